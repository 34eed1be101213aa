// The other views: similar lines grouped, and what each service sends.

import { get, selection } from "./api.js";
import { changeOf, earlier, shown } from "./compare.js";
import { button, el, refill, replace, svg, table, textNodes } from "./dom.js";
import { bytes, count, fullTime, moment, short } from "./format.js";
import { peak } from "./histogram.js";
import { sorted } from "./sort.js";
import { change, state } from "./state.js";
import { LEVELS, parts, term, withTerm } from "./terms.js";

/** A pattern as a term: its variable places become wildcards. */
function patternTerm(pattern) {
  return pattern
    .split("<*>")
    .map((text) => text.replace(/[\s()"\\*?|:=<>~!]|^[-/]/g, "\\$&"))
    .join("*");
}

/** A share of the largest, behind a text. */
export function barCell(share, text, least = 0) {
  const bar = el("span.share");
  bar.style.width = `${Math.max(least, share * 100)}%`;
  return el("td.bar-cell", bar, el("span", text));
}

/** A figure and its label. */
export const fact = (label, value, title) => el("div.fact", { title }, el("b", ...[value].flat()), el("span", label));

/** A row that leads to events: a click anywhere on it does, or one on its button, which keys reach. */
const row = (onclick, ...cells) => el("tr", { title: "Show these events", onclick }, ...cells);

const MOST_PATTERNS = 200;
const TREND_HEIGHT = 20;

/** Counts over time as small bars, and in words. */
function trend(counts, answer) {
  const most = Math.max(...counts);
  const bars = counts.map((events, at) => {
    const height = events && Math.max(1, (events / most) * TREND_HEIGHT);
    return svg("rect", { x: at * 4, y: TREND_HEIGHT - height, width: 3, height });
  });
  const size = { viewBox: `0 0 ${counts.length * 4} ${TREND_HEIGHT}`, preserveAspectRatio: "none" };
  return el("td.trend", svg("svg", { ...size, role: "img" }, svg("title", {}, peak(answer, counts)), ...bars));
}

/** How many events a pattern had before: 0 if it is new, undefined where not all were counted. */
function countBefore(before, answer) {
  const known = new Map(before?.patterns.map((each) => [each.pattern, each.count]));
  const isExact = answer.exact && before?.exact;
  return ({ pattern }) => (before && (isExact || !known.has(pattern)) ? (known.get(pattern) ?? 0) : undefined);
}

/** Fill the content with patterns. Returns the answer for the status line. */
export async function patterns(content) {
  const answer = await get("patterns", { ...selection(), limit: MOST_PATTERNS }, "view");
  if (!answer) return undefined;
  const range = state.compare && earlier(Number(moment(state.from)), Number(moment(state.to)));
  const compared = { query: state.query, ...range, limit: MOST_PATTERNS };
  const before = range ? await get("patterns", compared, "view") : null;
  if (before === undefined) return undefined;
  const past = countBefore(before, answer);
  const isPartial = before && (!before.exact || before.patterns.length === MOST_PATTERNS);
  const note =
    (answer.exact ? "" : ` The newest ${short(answer.events_counted)} matches were grouped.`) +
    (isPartial ? ` New: not among the ${before.patterns.length} most frequent patterns of the other range.` : "");
  const [headings, ordered] = sorted(
    ["Count", ...(before ? ["Change"] : []), "Trend", "Share", "Level", "Pattern", "Services", "Example"],
    answer.patterns,
    {
      count: (each) => each.count,
      // What is new grew most; the more of it there is, the more.
      ...(before && {
        change: (each) => (past(each) === 0 ? 1e12 + each.count : each.count / (past(each) ?? Infinity)),
      }),
      level: (each) => LEVELS.indexOf(each.severity),
    },
  );
  const rows = ordered.map((each) =>
    row(
      () => pick(each),
      el("td.number", count(each.count)),
      before ? el("td.number", past(each) === undefined ? "" : shown(changeOf(each.count, past(each)))) : "",
      trend(each.counts, answer),
      barCell(each.share, `${(each.share * 100).toFixed(1)} %`, 1),
      el("td", el(`span.badge.level-${each.severity}`, each.severity)),
      el("td.message", { dir: "ltr" }, button(".link", marked(each.pattern))),
      el(
        "td.muted",
        ...textNodes(each.services.slice(0, 3).join(", ")),
        each.services.length > 3 ? ` +${each.services.length - 3}` : "",
      ),
      el(
        "td",
        button(".button.small", "Example", (event) => example(event, each), { title: "Its newest event" }),
      ),
    ),
  );
  replace(
    content,
    el(
      "div.scroll",
      el("p.note", `Lines that differ only in numbers and ids.${note}`),
      table(headings, rows),
      rows.length ? "" : el("p.nothing", "No events match."),
    ),
  );
  return answer;
}

/** Open the example of a pattern, and stay in the view. */
function example(event, pattern) {
  event.stopPropagation();
  change({ event: pattern.example.id });
}

function marked(pattern) {
  return pattern
    .split("<*>")
    .flatMap((text, index) => (index ? [el("span.variable", "∗"), ...textNodes(text)] : textNodes(text)));
}

function pick(pattern) {
  change({ query: parts(withTerm(patternTerm(pattern.pattern))).filter, view: "events" });
}

/** What the API itself knows of the table. */
const stored = (answer) => [
  fact("since the last arrival", answer.freshness_seconds === null ? "never" : age(answer.freshness_seconds)),
  fact("events stored", short(answer.table_rows)),
  answer.table_bytes === null ? "" : fact("on disk", bytes(answer.table_bytes)),
];

/** Fill the content with the services. Returns the answer for the status line. */
export async function services(content) {
  const answer = await get("stats", { ...selection(), limit: 200 }, "view");
  if (!answer) return undefined;
  const most = Math.max(1, ...answer.services.map((each) => each.events));
  const [headings, ordered] = sorted(
    ["Service", "Events", "Per second", "Errors", "Error rate", "Message bytes", "Last arrival"],
    answer.services,
    {
      events: (each) => each.events,
      errors: (each) => each.errors,
      "error rate": (each) => each.error_rate,
      "message bytes": (each) => each.body_bytes,
      "last arrival": (each) => Date.parse(each.last_ingested_at),
    },
  );
  const rows = ordered.map((each) =>
    row(
      () => change({ query: parts(withTerm(term("service", each.service))).filter, view: "events" }),
      el("td.name", button(".link", textNodes(each.service || "(none)"))),
      barCell(each.events / most, count(each.events)),
      el("td.number", short(each.events_per_second)),
      el("td.number", count(each.errors)),
      el(`td.number${each.error_rate > 0.05 ? ".bad" : ""}`, `${(each.error_rate * 100).toFixed(2)} %`),
      el("td.number", bytes(each.body_bytes)),
      el("td.muted", fullTime(each.last_ingested_at)),
    ),
  );
  const facts = [fact("events", short(answer.events)), fact("errors", short(answer.errors)), ...stored(answer)];
  replace(content, el("div.scroll", el("div.facts", ...facts), table(headings, rows)));
  return answer;
}

// What else there is, if /v1/status has no answer.
const MORE_HEALTH = {
  no_prometheus: "More needs Prometheus: set LOGBROOK_QUERY_PROMETHEUS_URL. `logbrook doctor` checks every hop.",
  not_allowed: "More is only for roles that see all events.",
};

/** What the API itself knows, and a note. */
async function ownHealth(content, note) {
  const answer = await get("stats", { from: state.from, to: state.to, limit: 1 }, "view");
  if (!answer) return undefined;
  const [arrival, ...rest] = stored(answer);
  refill(
    content,
    el(
      "div.scroll.health",
      { tabIndex: 0 },
      el("div.facts", arrival, fact("events in this range", short(answer.events)), ...rest),
      el("p.note", note),
    ),
  );
  return answer;
}

/** Fill the content with how the platform itself is. Returns the answer. */
export async function health(content) {
  const answer = await get("status", {}, "view").catch((error) => {
    if (error.code in MORE_HEALTH) return MORE_HEALTH[error.code];
    throw error;
  });
  if (typeof answer === "string") return ownHealth(content, answer);
  if (!answer) return undefined;
  const shown = ({ value, unit }) =>
    value === null
      ? "–"
      : unit === "bytes"
        ? bytes(value)
        : `${unit === "s" ? value.toFixed(2) : short(Math.round(value))} ${unit}`;
  const alerts = answer.alerts.map((each) =>
    el(
      "tr",
      el("td.name", each.name),
      el(`td${each.firing ? ".bad" : ".muted"}`, each.firing ? each.severity : "pending"),
      el("td", each.summary, ". ", each.description),
      el("td.muted", each.runbook),
      el("td.muted", fullTime(each.since)),
    ),
  );
  const down = answer.processes.filter((each) => !each.up).map((each) => `${each.name} (${each.address})`);
  refill(
    content,
    el(
      "div.scroll.health",
      { tabIndex: 0 },
      el("div.facts", ...answer.figures.map((each) => fact(each.name, shown(each), each.meaning))),
      alerts.length
        ? table(["Alert", "State", "What it means", "What to do", "Since"], alerts)
        : el("p.note", "No alerts."),
      el(
        "p.note",
        down.length ? `Not answering: ${down.join(", ")}.` : `All ${answer.processes.length} processes answer.`,
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
