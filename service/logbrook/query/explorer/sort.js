// What a list or a table is sorted by: a click on a heading says it, in the state or in the query.

import { button, el } from "./dom.js";
import { change, state, typedQuery } from "./state.js";
import { fieldWord, parts } from "./terms.js";

/** A heading that sorts: a cell with a button, and for whoever can't see it, how its column is sorted. */
export const heading = (cell, label, sorted, onclick, properties = {}) =>
  el(cell, { ...properties, "aria-sort": sorted }, button(".sort", label, onclick, { title: "Sort by this" }));

const sortedAs = (name) => ({ [name]: "ascending", [`-${name}`]: "descending" })[state.sort] ?? "none";

/** The headings of a table and its items, in the order of the state; `by` has a number for those that sort. */
export function sorted(headings, items, by) {
  const [, minus, name] = /^(-?)(.*)$/s.exec(state.sort);
  const key = Object.hasOwn(by, name) ? by[name] : () => 0;
  const press = (column) => change({ sort: state.sort === `-${column}` ? column : `-${column}` }, { replace: true });
  return [
    headings.map((label) => {
      const column = label.toLowerCase();
      return Object.hasOwn(by, column) ? heading("th", label, sortedAs(column), () => press(column)) : label;
    }),
    items.toSorted((a, b) => (key(a) > key(b) ? 1 : key(a) < key(b) ? -1 : 0) * (minus ? -1 : 1)),
  ];
}

const OLDEST = "time";
/** The order of the list, as the API calls it; a live tail is always newest first. */
export const order = () => (state.sort === OLDEST && !state.live ? "asc" : "");
/** Turn the order of the list around. */
export const turn = () => change({ sort: order() ? "" : OLDEST, live: "" });

const LAST_SORT = /\s*\|\s*sort\s+(-?)((?:\w+\.)?"[^"|]*"|[\w.@-]+(?:\([^()|]*\))?)\s*$/;
/** A column in a stage; a figure has its own name. */
const stageWord = (name) => (/^\w[\w.]*\([^()|]*\)$/.test(name) ? name : fieldWord(name));

/** How the last stage of the query sorts a column. */
export function sortedByQuery(name) {
  const [, minus, word] = LAST_SORT.exec(parts(state.query).stages) ?? [];
  return word !== stageWord(name) ? "none" : minus ? "descending" : "ascending";
}

/** Sort by a column in the query's last stage, the largest first, or the other way around. `shown` are the columns of
 * a list of events, which becomes a table. */
export function sortInQuery(name, shown = []) {
  const { filter, stages } = parts(typedQuery().trim());
  const fields = shown.length && `| fields ${[...new Set(shown.map(stageWord))].join(", ")}`;
  const last = `| sort ${sortedByQuery(name) === "descending" ? "" : "-"}${stageWord(name)}`;
  change({ query: [filter, stages.replace(LAST_SORT, ""), fields, last].filter(Boolean).join(" ") });
}
