// The view of alerts: rules, what fires, what happened; and the current search as a rule.

import { get } from "./api.js";
import { el, refill, table, textNodes } from "./dom.js";
import { count, fullTime } from "./format.js";
import { state } from "./state.js";
import { parts } from "./terms.js";

const rows = (all, cellsOf) => all.map((each) => el("tr", ...cellsOf(each)));
const named = (each) =>
  [each.rule, ...Object.entries(each.group).map(([name, value]) => `${name} ${value}`)].join(", ");
// A link of an alert leads to an explorer, maybe under another name: its state is what counts here.
const link = (each) => {
  const text = textNodes(named(each));
  return each.link ? el("a", { href: new URL(each.link).search }, text) : text;
};

/** Fill the content with the alerts. Returns the answer for the status line. */
export async function alerts(content) {
  const answer = await get("alerts", {}, "view").catch((error) => {
    if (error.code === "no_alerts") return null;
    throw error;
  });
  if (answer === undefined) return undefined;
  if (answer === null) {
    content.replaceChildren(
      el("div.empty", el("h2", "No alerts here"), el("p", "Set LOGBROOK_QUERY_ALERTS_URL: docs/alerts.md.")),
    );
    return undefined;
  }
  refill(
    content,
    el(
      "div.scroll.alerts",
      { tabIndex: 0 },
      answer.firing.length
        ? table(
            ["Alert", "State", "What it says", "Since"],
            rows(answer.firing, (each) => [
              el("td.name", link(each)),
              el(`td${each.firing ? ".bad" : ".muted"}`, each.firing ? each.severity : "pending"),
              el("td", ...textNodes(each.description || "")),
              el("td.muted", fullTime(each.since)),
            ]),
          )
        : el("p.note", "No alerts."),
      table(
        ["Rule", "Query", "Condition", "Matches in the last window", "Evaluated until"],
        rows(answer.rules, (each) => [
          el("td.name", each.name),
          el("td", ...textNodes(each.query)),
          el("td", each.condition),
          el("td.number", each.matches === null ? "–" : count(each.matches)),
          el("td.muted", each.evaluated_until ? fullTime(each.evaluated_until) : "–"),
        ]),
      ),
      table(
        ["When", "Alert", "What happened"],
        rows(answer.history, (each) => [
          el("td.muted", fullTime(each.at)),
          el("td.name", link(each)),
          el("td", each.what),
        ]),
      ),
    ),
  );
  return answer;
}

/** The current search as a rule of alerts.yaml. */
export function rule() {
  const { filter } = parts(state.query);
  const words = filter.match(/[A-Za-z0-9]+/g) ?? ["Events"];
  const name = words
    .slice(0, 4)
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join("");
  // JSON's texts are YAML's.
  return [
    `  - name: ${/^[0-9]/.test(name) ? "_" : ""}${name}`,
    `    query: ${JSON.stringify(filter)}`,
    "    condition: count > 100",
    "    window: 5m",
    "    severity: warning",
    "",
  ].join("\n");
}
