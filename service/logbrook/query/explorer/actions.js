// What the menu offers: link, export, saved searches, appearance, help.

import { rule } from "./alerts.js";
import { address, selection } from "./api.js";
import { button, byId, copy, el, keep, kept, popup, toast } from "./dom.js";
import { moment, rangeName } from "./format.js";
import { asSearch, change, state } from "./state.js";

const dialog = byId("dialog");
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
  ["s", "saved searches"],
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
  ["resource.host.name:web-1", "an attribute of the source"],
  ["… | stats count, p95(ms) by service", "count, by fields"],
  ["… | timechart 5m count by level", "over time"],
  ["… | top 20 http.route", "the most frequent"],
  ["… | where count>10 | sort -count", "of what was counted"],
];

function show(title, ...content) {
  dialog.replaceChildren(
    el(
      "header",
      el("h2", title),
      button(".ghost", "×", () => dialog.close(), { "aria-label": "Close" }),
    ),
    ...content,
  );
  if (!dialog.open) dialog.showModal();
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

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

/** A link to exactly these events: relative times become fixed. */
async function share() {
  const fixed = { from: moment(state.from).toISOString(), to: moment(state.to).toISOString(), live: "" };
  await copy(new URL(asSearch(fixed), location.href).href);
  toast("Link copied; it shows exactly this time range");
}

/** The present search as a rule of alerts, to be changed and put into the file. */
function asRule() {
  const copied = async () => {
    await copy(text.value);
    toast("Rule copied");
  };
  const text = el("textarea.rule", { readOnly: true, rows: 6, spellcheck: false, "aria-label": "Rule" });
  text.value = rule();
  show(
    "An alert on this search",
    el("p.note", {}, "Put this below rules: in alerts.yaml (docs/alerts.md), and change the condition."),
    text,
    el("button.button.primary", { type: "button", onclick: copied }, "Copy"),
  );
}

function exported(format) {
  const link = el("a", { href: address("export", { ...selection(), format }), download: `logs.${format}` });
  document.body.append(link);
  link.click();
  link.remove();
  toast("All matches are being exported");
}

/** Saved searches: this browser's own. */
export function saved() {
  const all = kept("saved");
  const store = (searches) => {
    keep("saved", searches);
    saved();
  };
  const go = ({ name, ...rest }) => {
    dialog.close();
    change({ ...rest, event: "" });
  };
  const input = el("input", {
    type: "text",
    name: "name",
    placeholder: "Name of this search",
    required: true,
    maxLength: 80,
    value: state.query,
  });
  show(
    "Saved searches",
    el(
      "form.save",
      {
        onsubmit: (event) => {
          event.preventDefault();
          store([
            { name: input.value, query: state.query, from: state.from, to: state.to, by: state.by, view: state.view },
            ...all,
          ]);
          toast("Saved in this browser");
        },
      },
      input,
      el("button.button.primary", { type: "submit" }, "Save this search"),
    ),
    all.length
      ? el(
          "ul.saved",
          all.map((each, index) =>
            el(
              "li",
              button(
                ".choice",
                [
                  el("strong", each.name),
                  el("span", `${each.query || "everything"} · ${rangeName(each.from, each.to)}`),
                ],
                () => go(each),
              ),
              button(".ghost", "×", () => store(all.filter((_, position) => position !== index)), {
                "aria-label": `Delete ${each.name}`,
              }),
            ),
          ),
        )
      : el("p.nothing", "None yet."),
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

popup(byId("more"), byId("actions"), (close) => {
  const item = (label, action, stays = false) => {
    const act = (event) => {
      action(event);
      if (!stays) close();
    };
    return button(".choice", label, act, { role: "menuitem" });
  };
  byId("actions").replaceChildren(
    item("Copy link", share),
    item("Saved searches …", saved),
    item("Alert on this search …", asRule),
    el("hr"),
    item("Export as NDJSON", () => exported("ndjson")),
    item("Export as CSV", () => exported("csv")),
    el("hr"),
    item(THEMES[themeName()], nextTheme, true),
    item(state.utc === "1" ? "Times: UTC" : "Times: local", () =>
      change({ utc: state.utc === "1" ? "" : "1" }, { replace: true }),
    ),
    el("hr"),
    item("Help and keys", help),
  );
});
