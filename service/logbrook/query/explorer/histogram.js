// Counts over time: stacked bars, an outline of earlier ones, a legend to filter by, and a drag that sets the range.

import { selection } from "./api.js";
import { changeOf, RANGES, shown } from "./compare.js";
import { button, byId, el, replace, svg, textNodes } from "./dom.js";
import { axisTime, count, counted, short, shortTime } from "./format.js";
import { change, state } from "./state.js";
import { fieldWord, hasTerm, hasValue, LEVELS, opposite, term, withTerm, withValue } from "./terms.js";

const WIDTH = 1000;
const HEIGHT = 100;
const OTHER = "(other)";
// Lines across a logarithmic scale.
const MOST_LINES = 4;
const plot = byId("plot");
let data = null;
// Of the compared range, if there is one.
let before = null;
// Which events the drawn answer is about.
let drawnFor = "";

function seriesClass(series, index) {
  return LEVELS.includes(series.name) && data.by === "level" ? `level-${series.name}` : `series-${index % 11}`;
}

/** Where the steps of an answer begin and end, in milliseconds. */
export const ends = ({ buckets, step_seconds: step }) => [
  Date.parse(buckets[0]),
  Date.parse(buckets.at(-1)) + step * 1000,
];

/** Draw what the compared range has over an answer, unless another is drawn by now. */
export function compare(answer, earlier) {
  // Steps of weeks are not the same a day earlier: one more touches the range.
  const isSame = answer.step_seconds === earlier.step_seconds && answer.buckets.length === earlier.buckets.length;
  if (data === answer && isSame) draw(answer, earlier);
}

/** The sum of several series, by step. */
const summed = (series) =>
  data.buckets.map((_, bucket) => series.reduce((sum, { counts }) => sum + (counts[bucket] ?? 0), 0));

const total = (counts) => counts.reduce((sum, events) => sum + events, 0);

/** By how much series have more events than past ones, in the steps that are over. */
function changed(series, past) {
  const over = data.buckets.filter((bucket) => Date.parse(bucket) + data.step_seconds * 1000 <= Date.now()).length;
  const [now, then] = [series, past].map((all) => summed(all).slice(0, over));
  return changeOf(total(now), total(then));
}

/** The same for one series and the compared range; empty where it may be one of the others. */
function changedOne(series) {
  const named = (wanted) => before.series.filter(({ name }) => name === wanted);
  if (!before || series.name === OTHER) return "";
  const past = named(series.name);
  return past.length || !named(OTHER).length ? changed([series], past) : "";
}

/** What a height is in proportion to: a count, or its logarithm. */
export const scaled = (events) => (state.scale ? Math.log1p(Math.max(events, 0)) : Math.max(events, 0));

/** A button that turns the logarithmic scale on or off, by which one spike does not flatten all else. */
export const logScale = (classes) =>
  button(classes, "Log scale", () => change({ scale: state.scale ? "" : "log" }, { replace: true }), {
    "aria-pressed": String(Boolean(state.scale)),
  });

/** What a plot says of its scale: the highest value, and lines at powers of ten if it is logarithmic. `heightOf` a
 * value is in percent. */
export function scale(highest, heightOf) {
  const step = Math.max(10, 10 ** Math.ceil(Math.log10(highest) / MOST_LINES));
  const lines = [];
  for (let value = 1; state.scale && scaled(value) < 0.75 * scaled(highest); value *= step) {
    const across = el("div.power", el("span.scale", short(value)));
    across.style.bottom = `${heightOf(value)}%`;
    lines.push(across);
  }
  return [...lines, el("span.scale", short(highest))];
}

/** Draw an answer of /v1/histogram, and the outline of an earlier one. */
export function draw(answer, earlier = null) {
  // The compared range may come after the selection has changed.
  if (data !== answer) drawnFor = JSON.stringify(selection());
  data = answer;
  before = earlier;
  const size = data.buckets.length;
  const totals = summed(data.series);
  const past = before && summed(before.series);
  const more = past ? changed(data.series, before.series) : "";
  const highest = Math.max(1, ...totals, ...(past ?? []));
  const width = WIDTH / size;
  const heightOf = (events) => (scaled(events) / scaled(highest)) * (HEIGHT - 4);
  const bars = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const below = new Array(size).fill(0);
  for (const [index, series] of data.series.entries()) {
    const group = svg("g", { class: seriesClass(series, index) });
    for (const [bucket, events] of series.counts.entries()) {
      if (!events) continue;
      const height = Math.max((heightOf(totals[bucket]) * events) / totals[bucket], 0.8);
      below[bucket] += height;
      group.append(
        svg("rect", { x: bucket * width + width * 0.08, y: HEIGHT - below[bucket], width: width * 0.84, height }),
      );
    }
    bars.append(group);
  }
  if (past) {
    const way = past.map(
      (events, bucket) => `${bucket ? "L" : "M"}${bucket * width} ${HEIGHT - heightOf(events)}h${width}`,
    );
    bars.append(svg("path", { class: "past", d: way.join("") }));
  }
  const tip = el("div.tip", { hidden: true });
  const brush = el("div.brush", { hidden: true });
  const line = el("div.line", { hidden: true });
  plot.replaceChildren(bars, ...scale(highest, heightOf), line, brush, tip);
  plot.setAttribute("role", "img");
  plot.setAttribute(
    "aria-label",
    `${counted(data.total, "event")} in ${size} steps of ${duration(data.step_seconds)}, ${peak(data, totals)}` +
      `${more && `, ${more} ${RANGES[state.compare]}`}${state.scale && ", on a log scale"}; drag to zoom in`,
  );
  legend(more);
  axis();
}

/** In words, how many events the highest step has, and when it is. */
export function peak({ buckets, step_seconds: step }, counts) {
  const most = Math.max(...counts);
  const at = shortTime(new Date(buckets[counts.indexOf(most)]), step < 60);
  return `at most ${count(most)} in ${duration(step)}, at ${at}`;
}

/** About how many events match what is shown; undefined while that is not known. */
export const matches = () => (data && drawnFor === JSON.stringify(selection()) ? data.total : undefined);

/** Say that there is nothing to draw. */
export function empty(message) {
  data = null;
  plot.replaceChildren(el("p.nothing", message));
  byId("legend").replaceChildren();
  byId("axis").replaceChildren();
}

const labelOf = ({ name }) => el("span.text", ...textNodes(name || "(empty)"));

function legend(more) {
  const entries = data.series.map((series, index) => {
    // What has no value may not have the field either.
    const part = series.name ? term(data.by, series.name) : `-${fieldWord(data.by)}:*`;
    const name = [el(`i.${seriesClass(series, index)}`), labelOf(series), el("b", short(series.total))];
    const asked = () => (series.name ? withValue(data.by, series.name) : withTerm(part));
    const pick = (event) => change({ query: event.altKey ? withTerm(opposite(part)) : asked() });
    return button(".key", [...name, shown(changedOne(series))], pick, {
      name: part,
      title: "Filter for this; with Alt, filter out",
      "aria-pressed": String(series.name ? hasValue(data.by, series.name) : hasTerm(part)),
      disabled: series.name === OTHER,
    });
  });
  const select = (name, label, options) =>
    el(
      "select",
      { "aria-label": label, onchange: (event) => change({ [name]: event.target.value }, { replace: true }) },
      Object.entries(options).map(([value, text]) => el("option", { value, selected: value === state[name] }, text)),
    );
  const fields = [...new Set(["level", "service", state.by])].map((name) => [name, `by ${name}`]);
  replace(
    byId("legend"),
    el("strong", counted(data.total, "event")),
    shown(more),
    ...entries,
    logScale(".key.log"),
    select("compare", "Compare", RANGES),
    select("by", "Count by", Object.fromEntries(fields)),
  );
}

const TICKS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000,
];

function axis() {
  const times = data.buckets.map((bucket) => Date.parse(bucket) / 1000);
  const span = times[times.length - 1] + data.step_seconds - times[0];
  const wanted = Math.max(2, Math.min(10, Math.floor(plot.clientWidth / 100)));
  const every = TICKS.find((seconds) => seconds >= data.step_seconds && span / seconds <= wanted) ?? span;
  const offset = (time) => (state.utc === "1" ? 0 : new Date(time * 1000).getTimezoneOffset() * 60);
  const zone = offset(times[0]);
  const first = Math.ceil((times[0] - zone) / every) * every + zone;
  const labels = [];
  for (let time = first; time < times[0] + span * 0.97; time += every) {
    // Hours and days are the zone's own, also after its clocks were changed.
    const at = every > 3600 ? time + offset(time) - zone : time;
    const label = el("span", axisTime(new Date(at * 1000), every, span > 86400));
    label.style.left = `${((at - times[0]) / span) * 100}%`;
    labels.push(label);
  }
  byId("axis").replaceChildren(...labels);
}

function duration(seconds) {
  for (const [unit, size] of Object.entries({ d: 86400, h: 3600, min: 60, s: 1 }))
    if (seconds >= size) return `${Math.round((seconds / size) * 10) / 10} ${unit}`;
  return `${Math.round(seconds * 1000)} ms`;
}

function bucketAt(clientX) {
  const box = plot.getBoundingClientRect();
  return Math.max(
    0,
    Math.min(data.buckets.length - 1, Math.floor(((clientX - box.left) / box.width) * data.buckets.length)),
  );
}

function place(element, first, last) {
  element.style.left = `${(first / data.buckets.length) * 100}%`;
  element.style.width = `${((last - first + 1) / data.buckets.length) * 100}%`;
}

function showTip(event) {
  const bucket = bucketAt(event.clientX);
  const tip = plot.querySelector(".tip");
  const rows = data.series
    .map((series, index) => [series, index])
    .filter(([series]) => series.counts[bucket])
    .reverse();
  tip.replaceChildren(
    el(
      "strong",
      shortTime(new Date(data.buckets[bucket]), data.step_seconds < 60),
      el("span", ` + ${duration(data.step_seconds)}`),
    ),
    ...rows.map(([series, index]) =>
      el("div", el(`i.${seriesClass(series, index)}`), labelOf(series), el("b", count(series.counts[bucket]))),
    ),
    before ? el("div", el("i.past"), el("span", "earlier"), el("b", count(summed(before.series)[bucket]))) : "",
  );
  tip.hidden = false;
  const box = plot.getBoundingClientRect();
  const left = event.clientX - box.left;
  tip.style.left = `${left > box.width / 2 ? left - tip.offsetWidth - 12 : left + 12}px`;
  const line = plot.querySelector(".line");
  line.hidden = false;
  place(line, bucket, bucket);
}

let dragFrom = null;
plot.addEventListener("pointerdown", (event) => {
  if (!data || event.button !== 0) return;
  dragFrom = bucketAt(event.clientX);
  plot.setPointerCapture(event.pointerId);
});
plot.addEventListener("pointermove", (event) => {
  if (!data) return;
  showTip(event);
  if (dragFrom === null) return;
  const [first, last] = [dragFrom, bucketAt(event.clientX)].sort((a, b) => a - b);
  const brush = plot.querySelector(".brush");
  brush.hidden = false;
  place(brush, first, last);
});
plot.addEventListener("pointerup", (event) => {
  if (dragFrom === null || !data) return;
  const [first, last] = [dragFrom, bucketAt(event.clientX)].sort((a, b) => a - b);
  dragFrom = null;
  const start = new Date(data.buckets[first]);
  const end = new Date(new Date(data.buckets[last]).getTime() + data.step_seconds * 1000);
  change({ from: start.toISOString(), to: end.toISOString(), event: "" });
});
plot.addEventListener("pointerleave", () => {
  if (!data || dragFrom !== null) return;
  plot.querySelector(".tip").hidden = true;
  plot.querySelector(".line").hidden = true;
});
plot.addEventListener("pointercancel", () => {
  dragFrom = null;
});
window.addEventListener("resize", () => {
  if (data) axis();
});
