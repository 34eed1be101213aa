// What is shown, all of it in the URL: a link opens the same view elsewhere.

const DEFAULT = { query: "", from: "1h", to: "now", by: "level", view: "events", as: "", event: "", live: "", utc: "" };
const listeners = new Set();

export const state = { ...DEFAULT };

function read() {
  const given = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(DEFAULT)) state[key] = given.get(key) ?? value;
}

/** The state as the query part of a URL, without the defaults. */
export function asSearch(changes = {}) {
  const all = { ...state, ...changes };
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(all)) if (value !== DEFAULT[key]) given.set(key, value);
  const text = given.toString();
  return text ? `?${text}` : location.pathname;
}

/** Change the state; everything that listens is told the names that changed. `replace` leaves no step to go back to. */
export function change(given, { replace = false } = {}) {
  // What was typed and not yet searched for counts as soon as something else is asked for.
  const asks = ["from", "to", "view", "live"].some((key) => key in given) && !("query" in given);
  const changes = asks ? { query: typed(), ...given } : given;
  const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
  if (!changed.length) return;
  Object.assign(state, changes);
  history[replace ? "replaceState" : "pushState"](null, "", asSearch());
  tell(changed);
}

let typed = () => state.query;

/** The query in the search box. */
export const typedQuery = () => typed();

/** Say how to read the box. */
export function setTyped(read) {
  typed = read;
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
