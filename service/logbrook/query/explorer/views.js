// The other views: similar lines grouped, and what each service sends.

import { get, selection } from "./api.js";
import { el, textNodes } from "./dom.js";
import { bytes, count, fullTime, short } from "./format.js";
import { change, state } from "./state.js";
import { term, withTerm } from "./terms.js";

/** A pattern as a term: its variable places become wildcards. */
export function patternTerm(pattern) {
  return pattern
    .split("<*>")
    .map((text) => text.replace(/[^\w]/g, "\\$&"))
    .join("*");
}

/** Fill the content with patterns. Returns the answer for the status line. */
export async function patterns(content) {
  const answer = await get("patterns", selection(), "view");
  if (!answer) return undefined;
  const note = answer.exact ? "" : ` The newest ${short(answer.events_counted)} matches were grouped.`;
  content.replaceChildren(
    el(
      "div.scroll",
      {},
      el("p.note", {}, `Lines that differ only in numbers and ids.${note}`),
      el(
        "table.list",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ["Count", "Share", "Level", "Pattern", "Services"].map((name) => el("th", {}, name)),
          ),
        ),
        el(
          "tbody",
          {},
          answer.patterns.map((each) => {
            const bar = el("span.share");
            bar.style.width = `${Math.max(1, each.share * 100)}%`;
            return el(
              "tr",
              {
                tabIndex: 0,
                title: "Show these events",
                onclick: () => pick(each),
                onkeydown: (event) => {
                  if (event.key === "Enter") pick(each);
                },
              },
              el("td.number", {}, count(each.count)),
              el("td.bar-cell", {}, bar, el("span", {}, `${(each.share * 100).toFixed(1)} %`)),
              el("td", {}, el(`span.badge.level-${each.severity}`, {}, each.severity)),
              el("td.message", { dir: "ltr" }, ...marked(each.pattern)),
              el(
                "td.muted",
                {},
                each.services.slice(0, 3).join(", "),
                each.services.length > 3 ? ` +${each.services.length - 3}` : "",
              ),
            );
          }),
        ),
      ),
      answer.patterns.length ? "" : el("p.nothing", {}, "No events match."),
    ),
  );
  return answer;
}

function marked(pattern) {
  return pattern
    .split("<*>")
    .flatMap((text, index) => (index ? [el("span.variable", {}, "∗"), ...textNodes(text)] : textNodes(text)));
}

function pick(pattern) {
  change({ query: withTerm(patternTerm(pattern.pattern)), view: "events" });
}

/** Fill the content with the services. Returns the answer for the status line. */
export async function services(content) {
  const answer = await get("stats", { ...selection(), limit: 200 }, "view");
  if (!answer) return undefined;
  const most = Math.max(1, ...answer.services.map((each) => each.events));
  const fact = (label, value) => el("div.fact", {}, el("b", {}, value), el("span", {}, label));
  content.replaceChildren(
    el(
      "div.scroll",
      {},
      el(
        "div.facts",
        {},
        fact("events", short(answer.events)),
        fact("errors", short(answer.errors)),
        fact("since the last arrival", answer.freshness_seconds === null ? "never" : age(answer.freshness_seconds)),
        fact("events stored", short(answer.table_rows)),
        answer.table_bytes === null ? "" : fact("on disk", bytes(answer.table_bytes)),
      ),
      el(
        "table.list",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ["Service", "Events", "Per second", "Errors", "Error rate", "Message bytes", "Last arrival"].map((name) =>
              el("th", {}, name),
            ),
          ),
        ),
        el(
          "tbody",
          {},
          answer.services.map((each) => {
            const bar = el("span.share");
            bar.style.width = `${(each.events / most) * 100}%`;
            return el(
              "tr",
              {
                tabIndex: 0,
                title: "Show its events",
                onclick: () => change({ query: withTerm(term("service", each.service)), view: "events" }),
              },
              el("td.name", {}, ...textNodes(each.service || "(none)")),
              el("td.bar-cell", {}, bar, el("span", {}, count(each.events))),
              el("td.number", {}, short(each.events_per_second)),
              el("td.number", {}, count(each.errors)),
              el(`td.number${each.error_rate > 0.05 ? ".bad" : ""}`, {}, `${(each.error_rate * 100).toFixed(2)} %`),
              el("td.number", {}, bytes(each.body_bytes)),
              el("td.muted", {}, fullTime(each.last_ingested_at)),
            );
          }),
        ),
      ),
    ),
  );
  return answer;
}

/** Without Prometheus: what the API itself knows. */
async function ownHealth(content) {
  const answer = await get("stats", { from: state.from, to: state.to, limit: 1 }, "view");
  if (!answer) return undefined;
  const fact = (label, value) => el("div.fact", {}, el("b", {}, value), el("span", {}, label));
  content.replaceChildren(
    el(
      "div.scroll.health",
      {},
      el(
        "div.facts",
        {},
        fact("since the last arrival", answer.freshness_seconds === null ? "never" : age(answer.freshness_seconds)),
        fact("events in this range", short(answer.events)),
        fact("events stored", short(answer.table_rows)),
        answer.table_bytes === null ? "" : fact("on disk", bytes(answer.table_bytes)),
      ),
      el("p.note", {}, "More needs Prometheus: set LOGBROOK_QUERY_PROMETHEUS_URL. `logbrook doctor` checks every hop."),
    ),
  );
  return answer;
}

/** Fill the content with how the platform itself is. Returns the answer. */
export async function health(content) {
  const answer = await get("status", {}, "view").catch((error) => {
    if (error.code === "no_prometheus") return null;
    throw error;
  });
  if (answer === null) return ownHealth(content);
  if (!answer) return undefined;
  const shown = ({ value, unit }) =>
    value === null
      ? "–"
      : unit === "bytes"
        ? bytes(value)
        : `${unit === "s" ? value.toFixed(2) : short(Math.round(value))} ${unit}`;
  const down = answer.processes.filter((each) => !each.up);
  content.replaceChildren(
    el(
      "div.scroll.health",
      {},
      el(
        "div.facts",
        {},
        answer.figures.map((each) =>
          el("div.fact", { title: each.meaning }, el("b", {}, shown(each)), el("span", {}, each.name)),
        ),
      ),
      answer.alerts.length
        ? el(
            "table.list",
            {},
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                ["Alert", "State", "What it means", "What to do", "Since"].map((name) => el("th", {}, name)),
              ),
            ),
            el(
              "tbody",
              {},
              answer.alerts.map((each) =>
                el(
                  "tr",
                  {},
                  el("td.name", {}, each.name),
                  el(`td${each.firing ? ".bad" : ".muted"}`, {}, each.firing ? each.severity : "pending"),
                  el("td", {}, each.summary, ". ", each.description),
                  el("td.muted", {}, each.runbook),
                  el("td.muted", {}, fullTime(each.since)),
                ),
              ),
            ),
          )
        : el("p.note", {}, "No alert."),
      el(
        "p.note",
        {},
        down.length
          ? `Not answering: ${down.map((each) => `${each.name} (${each.address})`).join(", ")}.`
          : `All ${answer.processes.length} processes answer.`,
      ),
    ),
  );
  return answer;
}

function age(seconds) {
  for (const [unit, size] of Object.entries({ d: 86400, h: 3600, min: 60 }))
    if (seconds >= size) return `${(seconds / size).toFixed(1)} ${unit}`;
  return `${seconds.toFixed(1)} s`;
}
