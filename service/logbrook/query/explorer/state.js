// What is shown, all of it in the URL: a link opens the same view elsewhere.

const DEFAULTS = { query: "", from: "1h", to: "now", by: "level", view: "events", event: "", live: "", utc: "" };
const listeners = new Set();

export const state = { ...DEFAULTS };

function read() {
  const given = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(DEFAULTS)) state[key] = given.get(key) ?? value;
}

/** The state as the query part of a URL, without what is as always. */
export function asSearch(changes = {}) {
  const all = { ...state, ...changes };
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(all)) if (value !== DEFAULTS[key]) given.set(key, value);
  const text = given.toString();
  return text ? `?${text}` : location.pathname;
}

/** Change the state; everything that listens is told the names that changed. `replace` leaves no step to go back to. */
export function change(changes, { replace = false } = {}) {
  const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
  if (!changed.length) return;
  Object.assign(state, changes);
  history[replace ? "replaceState" : "pushState"](null, "", asSearch());
  tell(changed);
}

/** Be told of changes. */
export function onChange(listener) {
  listeners.add(listener);
}

function tell(changed) {
  for (const listener of listeners) listener(new Set(changed));
}

window.addEventListener("popstate", () => {
  const before = { ...state };
  read();
  tell(Object.keys(state).filter((key) => state[key] !== before[key]));
});
read();

/** A word of the query language for a value: quoted if it needs to be. */
export function quoted(value) {
  return /^[\w./@][\w./@-]*$/.test(value) && !/^(AND|OR|NOT)$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** `field:value`; an attribute's key may be of any kind. */
export function term(field, value) {
  const [, prefix, key] = /^(attr|resource|scope)\.(.*)$/s.exec(field) ?? [null, null, null];
  if (key && !/^[\w.@/-]+$/.test(key)) return `${prefix}."${key.replace(/["\\]/g, "\\$&")}":${quoted(value)}`;
  return `${field}:${quoted(value)}`;
}

/** Whether the query has this term as a whole. */
export const hasTerm = (part) => ` ${state.query} `.includes(` ${part} `);

/** The query with one more term that must match too; without it if it has it already. */
export function withTerm(part) {
  const query = state.query.trim();
  if (hasTerm(part)) return ` ${query} `.replace(` ${part} `, " ").trim().replace(/\s+/g, " ");
  const opposite = part.startsWith("-") ? part.slice(1) : `-${part}`;
  const rest = hasTerm(opposite) ? ` ${query} `.replace(` ${opposite} `, " ").trim() : query;
  if (!rest) return part;
  return / OR /.test(rest) && !/^\(.*\)$/.test(rest) ? `(${rest}) ${part}` : `${rest} ${part}`;
}

/** Words of the query that a line may show, for marking. */
export function wordsToMark() {
  const words = [];
  for (const found of state.query.matchAll(/(^|[\s(])(?:"((?:[^"\\]|\\.)+)"|([^\s():"\\*?<>=-][^\s():"\\*?<>=]*)(?=[\s)]|$))/g)) {
    const word = found[2] ?? found[3];
    if (word && !/^(AND|OR|NOT)$/.test(word)) words.push(word.replace(/\\(.)/g, "$1"));
  }
  return words.sort((a, b) => b.length - a.length).slice(0, 20);
}
