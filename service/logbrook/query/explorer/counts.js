// What the stages of a query made: figures, bars, a chart over time, or a table.

import { get, selection } from "./api.js";
import { button, copy, el, hintsOf, replace, svg, table, textNodes, toast } from "./dom.js";
import { axisTime, count, fullTime } from "./format.js";
import { logScale, scale, scaled } from "./histogram.js";
import { needs } from "./me.js";
import { heading, sortedByQuery, sortInQuery } from "./sort.js";
import { change, state } from "./state.js";
import { LEVELS, parts } from "./terms.js";
import { barCell, fact } from "./views.js";

const WIDTH = 1000;
const HEIGHT = 260;
const NAMES = { figure: "Figure", line: "Line", bar: "Bars", table: "Table" };

/** Fill the content with the counts, in the form that the state says if the answer has it. Returns the answer. */
export async function counts(content) {
  const answer = await get("query", selection(), "view");
  if (!answer) return undefined;
  const forms = formsOf(answer);
  const form = forms.includes(state.as) ? state.as : forms[0];
  const choices = forms.map((name) =>
    button(".button.small", NAMES[name], () => change({ as: name }, { replace: true }), {
      "aria-pressed": String(name === form),
    }),
  );
  const copied = () => copy(answer.sql).then(() => toast("SQL copied"));
  const draw = form === "figure" ? figures : form === "line" || (form === "bar" && isChart(answer)) ? chart : listed;
  replace(
    content,
    el(
      "div.scroll.counts",
      el(
        "div.buttons",
        choices,
        draw === chart ? logScale(".button.small") : "",
        button(".button.small", "Copy SQL", copied, needs("sql")),
      ),
      hintsOf(answer),
      draw(answer, form),
      answer.rows.length ? "" : el("p.nothing", "No events match."),
    ),
  );
  return answer;
}

/** The places of the columns of a kind: text, number, or time. */
const of = ({ columns }, kind) => [...columns.keys()].filter((index) => columns[index].kind === kind);

const isChart = (answer) => answer.step_seconds && of(answer, "time").length > 0;

function formsOf(answer) {
  if (!answer.rows.length || !of(answer, "number").length) return ["table"];
  if (isChart(answer)) return ["line", "bar", "table"];
  const alone = answer.rows.length === 1 && !of(answer, "text").length;
  return [alone ? "figure" : "bar", "table"];
}

const shown = (value, kind) =>
  value === null ? ["–"] : kind === "number" ? [count(value)] : textNodes(kind === "time" ? fullTime(value) : value);

const figures = ({ columns, rows: [row] }) =>
  el("div.facts", ...row.map((value, index) => fact(columns[index].name, shown(value, columns[index].kind))));

/** A table; as bars, with the first figure as a share of the largest. */
function listed(answer, form) {
  const [bar] = form === "bar" ? of(answer, "number") : [];
  const most = Math.max(...answer.rows.map((row) => Math.abs(row[bar] ?? 0))) || 1;
  const cell = (value, index) => {
    const { kind } = answer.columns[index];
    if (index === bar && value !== null) return barCell(Math.abs(value) / most, count(value));
    if (kind === "time" && value !== null)
      return el(
        "td",
        button(".link", shown(value, kind), () => near(value, answer.step_seconds), { title: "Its events" }),
      );
    return el(`td.${kind}`, ...shown(value, kind));
  };
  const rows = answer.rows.map((row) => el("tr", ...row.map(cell)));
  return table(
    answer.columns.map(({ name }) => heading("th", name, sortedByQuery(name), () => sortInQuery(name))),
    rows,
  );
}

/** Show the events of a step, or of a moment. */
function near(timestamp, seconds) {
  const [from, to] = [0, seconds * 1000 || 1].map((ms) => new Date(Date.parse(timestamp) + ms).toISOString());
  change({ query: parts(state.query).filter, from, to });
}

/** For each group and figure of a timechart its values by step, null where there is none; the largest in all first. */
function seriesOf(answer) {
  const [start, step] = [Date.parse(answer.from), answer.step_seconds * 1000];
  const size = Math.round((Date.parse(answer.to) - start) / step);
  const [[time], keys, numbers] = ["time", "text", "number"].map((kind) => of(answer, kind));
  const found = new Map();
  for (const row of answer.rows) {
    for (const number of numbers) {
      const group = keys.map((key) => row[key] || "(empty)");
      const figure = numbers.length > 1 || !group.length ? [answer.columns[number].name] : [];
      const name = [...group, ...figure].join(" · ");
      if (!found.has(name)) found.set(name, { name, values: Array(size).fill(null) });
      found.get(name).values[Math.round((Date.parse(row[time]) - start) / step)] = row[number];
    }
  }
  const total = ({ values }) => values.reduce((sum, value) => sum + (value ?? 0), 0);
  return [...found.values()].toSorted((a, b) => total(b) - total(a));
}

function chart(answer, form) {
  const series = seriesOf(answer);
  const highest = Math.max(0, ...series.flatMap(({ values }) => values)) || 1;
  const y = (value) => HEIGHT - (scaled(value) / scaled(highest)) * (HEIGHT - 6);
  const kind = ({ name }, index) => (LEVELS.includes(name) ? `level-${name}` : `series-${index % 11}`);
  const drawn = series.map((each, index) => {
    const shapes = form === "line" ? line(each.values, y) : bars(each.values, y, index / series.length, series.length);
    return svg("g", { class: kind(each, index) }, ...shapes);
  });
  const size = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  const says = {
    role: "img",
    "aria-label": `${series.length} series, up to ${count(highest)}; the table has the numbers`,
  };
  return el(
    "div",
    el("div.legend", ...series.map((each, at) => el("span.key", el(`i.${kind(each, at)}`), ...textNodes(each.name)))),
    el("div.plot", says, svg("svg", size, ...drawn), ...scale(highest, (value) => 100 - (y(value) / HEIGHT) * 100)),
    el("div.axis", { "aria-hidden": "true" }, ...axis(answer)),
  );
}

/** A line through the steps that have a value; it ends where there is none. */
function line(values, y) {
  const way = values.map((value, step) => {
    if (value === null) return "";
    const goesOn = step && values[step - 1] !== null;
    return `${goesOn ? "L" : "M"}${((step + 0.5) / values.length) * WIDTH} ${y(value)}${goesOn ? "" : "h0"}`;
  });
  return [svg("path", { d: way.join("") })];
}

function bars(values, y, share, all) {
  const step = WIDTH / values.length;
  return values.flatMap((value, at) => {
    const place = { x: (at + share * 0.84) * step, y: y(value), width: (step * 0.84) / all, height: HEIGHT - y(value) };
    return value === null ? [] : [svg("rect", place)];
  });
}

function axis({ from, to, step_seconds }) {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  return [0, 0.25, 0.5, 0.75].map((share) => {
    const label = el("span", axisTime(new Date(start + share * (end - start)), step_seconds, end - start > 86400e3));
    label.style.left = `${share * 100}%`;
    return label;
  });
}
