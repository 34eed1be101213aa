// A range of the same length earlier, to compare with: "is this more than usual, and what is new?"

import { el } from "./dom.js";
import { count } from "./format.js";
import { state } from "./state.js";

/** What can be compared with, by what the state says. */
export const RANGES = {
  "": "no comparison",
  before: "vs. the time before",
  day: "vs. a day earlier",
  week: "vs. a week earlier",
};
const DAY = 86400e3;

/** The compared range of one from `start` to `end`, both in milliseconds, as parameters. */
export function earlier(start, end) {
  const by = { day: DAY, week: 7 * DAY }[state.compare] ?? end - start;
  return { from: new Date(start - by).toISOString(), to: new Date(end - by).toISOString() };
}

/** By how much a count is more than in the compared range, as text; empty if neither has any. */
export function changeOf(now, before) {
  if (!before) return now ? "new" : "";
  const percent = Math.round((now / before - 1) * 100);
  return `${percent < 0 ? "−" : percent ? "+" : "±"}${count(Math.abs(percent))} %`;
}

/** The same as an element. */
export const shown = (change) => change && el(change === "new" ? "em.change.new" : "em.change", change);
