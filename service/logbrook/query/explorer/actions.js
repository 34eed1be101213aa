// What the menu offers: link, export, views, appearance, help.

import { rule } from "./alerts.js";
import { layout } from "./columns.js";
import { arrows, button, byId, copy, el, popup, show, toast } from "./dom.js";
import { exported } from "./export.js";
import { moment } from "./format.js";
import { needs } from "./me.js";
import { saved } from "./saved.js";
import { asSearch, change, state } from "./state.js";
import { parts } from "./terms.js";

const SHORTCUTS = [
  ["/", "type a query"],
  ["Enter", "search"],
  ["j  k", "next, previous event"],
  ["o", "open the event"],
  ["Esc", "close"],
  ["l", "live tail on or off"],
  ["p", "pause the live tail"],
  ["t", "time range"],
  ["z", "zoom out"],
  ["r", "search again"],
  ["s", "saved views"],
  ["c", "columns and rows"],
  ["1 2 3 4 5", "events, patterns, services, health, alerts"],
  ["?", "this help"],
];
const LANGUAGE = [
  ["connection refused", "both words, anywhere in the message"],
  ['"timed out"', "the phrase"],
  ["-healthcheck", "without"],
  ["timeout OR refused", "either; ( ) group"],
  ["service:checkout", "a field"],
  ["service:(cart OR auth)", "one of several"],
  ["level>=warn", "warn, error and fatal"],
  ["attr.http.response.status_code:>=500", "a number in an attribute"],
  ["user.id:user-3*", "* any characters, ? one"],
  ["trace_id:*", "has the field"],
  ["trace_id in (level>=error)", "a value that other events have"],
  ["resource.host.name:web-1", "an attribute of the source"],
  ["… | stats count, p95(ms) by service", "figures for each service"],
  ["… | timechart 5m count by level", "the same over time"],
  ["… | top 20 http.route", "the most frequent values"],
  ["… | where count>10 | sort -count", "filter and sort the counts"],
];

/** The query language and the shortcuts. */
export function help() {
  const list = (rows) =>
    el(
      "dl.help",
      rows.map(([key, meaning]) => el("div", el("dt", el("kbd", key)), el("dd", meaning))),
    );
  show(
    "Help",
    el(
      "div.columns",
      el("section", el("h3", "Queries"), list(LANGUAGE)),
      el("section", el("h3", "Keys"), list(SHORTCUTS)),
    ),
  );
}

/** A link to exactly these events: relative times become fixed, and all of a saved view is spelled out. */
async function share() {
  const fixed = { from: moment(state.from).toISOString(), to: moment(state.to).toISOString(), live: "", saved: "" };
  await copy(new URL(asSearch(fixed), location.href).href);
  toast("Link copied; it shows exactly this time range");
}

/** The current search as a rule of alerts, to be adjusted and put into the file. */
function asRule() {
  const copied = async () => {
    await copy(text.value);
    toast("Rule copied");
  };
  const text = el("textarea.rule", { readOnly: true, rows: 6, spellcheck: false, "aria-label": "Rule" });
  text.value = rule();
  show(
    "An alert on this search",
    el("p.note", "Put this under “rules:” in alerts.yaml (docs/alerts.md), and adjust the condition."),
    text,
    button(".button.primary", "Copy", copied),
  );
}

const themeName = () => localStorage.getItem("logbrook.theme") ?? "";
const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}
theme(themeName());

function nextTheme(event) {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(themeName()) + 1) % names.length];
  localStorage.setItem("logbrook.theme", next);
  theme(next);
  event.target.textContent = THEMES[next];
}

popup(byId("more"), arrows(byId("actions")), (close) => {
  /** @type {(label: string, action: any, properties?: any) => any} */
  const item = (label, action, { stays = false, ...properties } = {}) => {
    const act = (event) => {
      // First, so that a dialog gives the focus back to the button.
      if (!stays) close();
      action(event);
    };
    return button(".choice", label, act, { role: "menuitem", tabIndex: -1, ...properties });
  };
  // Stages count; an export has the events that they counted.
  const what = parts(state.query).stages ? "Export the events" : "Export";
  byId("actions").replaceChildren(
    item("Copy link", share),
    item("Saved views …", saved),
    item("Columns and rows …", layout),
    item("Alert on this search …", asRule),
    el("hr"),
    item(`${what} as NDJSON`, () => exported("ndjson"), needs("export")),
    item(`${what} as CSV`, () => exported("csv"), needs("export")),
    el("hr"),
    item(THEMES[themeName()], nextTheme, { stays: true }),
    item(state.utc === "1" ? "Times: UTC" : "Times: local", () =>
      change({ utc: state.utc === "1" ? "" : "1" }, { replace: true }),
    ),
    el("hr"),
    item("Help and keys", help),
  );
});
