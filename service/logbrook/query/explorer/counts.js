// What the stages of a query made: a table, bars, a chart over time, or figures.

import { get, selection } from "./api.js";
import { button, copy, el, hintsOf, svg, table, textNodes, toast } from "./dom.js";
import { axisTime, count, fullTime, short } from "./format.js";
import { change, state } from "./state.js";
import { LEVELS } from "./terms.js";
import { barCell, fact } from "./views.js";

const WIDTH = 1000;
const HEIGHT = 260;
const NAMES = { figure: "Figure", line: "Line", bar: "Bars", table: "Table" };

/** Fill the content with the counts, in the form that the state says if the answer has it. Returns the answer. */
export async function counts(content) {
  const answer = await get("query", selection(), "view");
  if (!answer) return undefined;
  const found = parted(answer);
  const form = found.forms.includes(state.as) ? state.as : found.forms[0];
  const copied = async () => {
    await copy(answer.sql);
    toast("SQL copied");
  };
  content.replaceChildren(
    el(
      "div.scroll.counts",
      el(
        "div.buttons",
        found.forms.map((name) =>
          button(".button.small", NAMES[name], () => change({ as: name }, { replace: true }), {
            "aria-pressed": String(name === form),
          }),
        ),
        button(".button.small", "Copy SQL", copied),
      ),
      hintsOf(answer),
      DRAW[form](answer, found),
      answer.rows.length ? "" : el("p.nothing", "No events match."),
    ),
  );
  return answer;
}

/** Which columns are keys and which are figures, that of a chart's steps, and the forms that they can be shown in. */
function parted({ columns, rows, step_seconds }) {
  const of = (kind) => [...columns.keys()].filter((index) => columns[index].kind === kind);
  const [keys, figures, times] = [of("text"), of("number"), of("time")];
  const forms = ["table"];
  const time = step_seconds ? times[0] : undefined;
  if (rows.length && figures.length) {
    if (time !== undefined) forms.unshift("line", "bar");
    else if (keys.length) forms.unshift("bar");
    else if (rows.length === 1 && !times.length) forms.unshift("figure");
  }
  return { keys, figures, time, forms };
}

const shown = (value, kind) =>
  value === null ? ["–"] : kind === "number" ? [count(value)] : textNodes(kind === "time" ? fullTime(value) : value);

const cell = (value, { kind }) => el(`td.${kind === "number" ? "number" : "text"}`, ...shown(value, kind));

function tabled({ columns, rows }) {
  const lines = rows.map((row) => el("tr", ...row.map((value, index) => cell(value, columns[index]))));
  return table(headings(columns), lines);
}

const headings = (columns) => columns.map(({ name }) => name);

function barred(answer, { figures, time }) {
  if (time !== undefined) return chart(answer, bars);
  const most = Math.max(...answer.rows.map((row) => Math.abs(row[figures[0]] ?? 0))) || 1;
  const lines = answer.rows.map((row) =>
    el(
      "tr",
      ...row.map((value, index) =>
        index === figures[0] && value !== null
          ? barCell(Math.abs(value) / most, count(value))
          : cell(value, answer.columns[index]),
      ),
    ),
  );
  return table(headings(answer.columns), lines);
}

const figured = ({ columns, rows: [row] }) =>
  el("div.facts", ...row.map((value, index) => fact(columns[index].name, shown(value, columns[index].kind))));

/** The series of a timechart: for each group and figure, its values by step; null where there is none. */
function seriesOf({ columns, rows, from, to, step_seconds }, { keys, figures, time }) {
  const [start, step] = [Date.parse(from), step_seconds * 1000];
  const size = Math.round((Date.parse(to) - start) / step);
  const found = new Map();
  for (const row of rows) {
    for (const figure of figures) {
      const group = keys.map((key) => row[key] || "(empty)");
      const name = [...group, ...(figures.length > 1 || !group.length ? [columns[figure].name] : [])].join(" · ");
      if (!found.has(name))
        found.set(name, { name, level: keys.length === 1 && group[0], values: Array(size).fill(null) });
      found.get(name).values[Math.round((Date.parse(row[time]) - start) / step)] = row[figure];
    }
  }
  return [...found.values()];
}

const classOf = ({ level }, index) => (LEVELS.includes(level) ? `level-${level}` : `series-${index % 11}`);

function chart(answer, draw) {
  const series = seriesOf(answer, parted(answer));
  const highest = Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0))) || 1;
  const y = (value) => HEIGHT - (Math.max(value, 0) / highest) * (HEIGHT - 6);
  const groups = series.map((each, index) =>
    svg("g", { class: classOf(each, index) }, titled(each.name), ...draw(each.values, y, index, series.length)),
  );
  const label = `${series.length} series of ${answer.columns.at(-1).name}, at most ${count(highest)}; Table has the numbers`;
  const names = series.map((each, index) => el("span.key", el(`i.${classOf(each, index)}`), ...textNodes(each.name)));
  const size = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  return el(
    "div",
    el("div.legend", ...names),
    el("div.plot", { role: "img", "aria-label": label }, svg("svg", size, ...groups), el("span.scale", short(highest))),
    el("div.axis", { "aria-hidden": "true" }, ...axis(answer)),
  );
}

function titled(name) {
  const title = svg("title");
  title.append(...textNodes(name));
  return title;
}

/** A line through the steps that have a value; it ends where there is none. */
function line(values, y) {
  const x = (step) => ((step + 0.5) / values.length) * WIDTH;
  const way = values.map((value, step) => {
    if (value === null) return "";
    const goesOn = step && values[step - 1] !== null;
    return `${goesOn ? "L" : "M"}${x(step)} ${y(value)}${goesOn ? "" : "h0"}`;
  });
  return [svg("path", { d: way.join("") })];
}

function bars(values, y, index, all) {
  const width = (WIDTH / values.length) * 0.84;
  return values.flatMap((value, step) =>
    value === null
      ? []
      : [
          svg("rect", {
            x: (step / values.length) * WIDTH + (index * width) / all,
            y: y(value),
            width: width / all,
            height: HEIGHT - y(value),
          }),
        ],
  );
}

function axis({ from, to, step_seconds }) {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  return [0, 0.25, 0.5, 0.75].map((share) => {
    const step = Math.max(step_seconds, (end - start) / 4000);
    const label = el("span", axisTime(new Date(start + share * (end - start)), step, end - start > 86400e3));
    label.style.left = `${share * 100}%`;
    return label;
  });
}

const DRAW = { table: tabled, bar: barred, figure: figured, line: (answer) => chart(answer, line) };
