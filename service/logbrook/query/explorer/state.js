// What is shown, all of it in the URL: a link opens the same view elsewhere.

const LAYOUT = { columns: "", wrap: "", dense: "" };
const VIEW = {
  query: "",
  from: "1h",
  to: "now",
  by: "level",
  view: "events",
  as: "",
  compare: "",
  sort: "",
  scale: "",
  ...LAYOUT,
};
const DEFAULTS = { ...VIEW, event: "", live: "", utc: "", saved: "" };
// What a URL can leave out, by the name of the saved view in it.
const bases = new Map([["", DEFAULTS]]);
const listeners = new Set();

export const state = { ...DEFAULTS };

const baseOf = (name) => bases.get(name) ?? DEFAULTS;
const partsOf = (defaults, given) =>
  Object.fromEntries(Object.entries(defaults).map(([key, value]) => [key, given[key] ?? value]));

/** What a view is: all parts of the state, or of another, that are saved.
 * @param {any} given */
export const viewOf = (given = state) => partsOf(VIEW, given);
/** Those parts of it that say how the list looks.
 * @param {any} given */
export const layoutOf = (given = state) => partsOf(LAYOUT, given);

function read() {
  const given = Object.fromEntries(new URLSearchParams(location.search));
  Object.assign(state, partsOf(baseOf(given.saved ?? ""), given));
  if (state.to !== "now") state.live = "";
}

/** Know what a name in the URL stands for. */
export const learn = (name, view) => bases.set(name, { ...DEFAULTS, ...viewOf(view) });

/** Whether what is shown is no longer the saved view that the URL names. */
export const isChanged = () => Object.keys(VIEW).some((key) => state[key] !== baseOf(state.saved)[key]);

/** The state as the query part of a URL, without the defaults, and without what a saved view says. */
export function asSearch(changes = {}) {
  const all = { ...state, ...changes };
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(all)) if (value !== baseOf(all.saved)[key]) given.set(key, value);
  const text = given.toString();
  return text ? `?${text}` : location.pathname;
}

/** Change the state; everything that listens is told the names that changed. `replace` leaves no step to go back to. */
export function change(given, { replace = false } = {}) {
  // What was typed and not yet searched for counts as soon as something else is asked for.
  const asks = ["from", "to", "view", "live"].some((key) => key in given) && !("query" in given);
  const changes = { ...(asks && { query: typed() }), ...given };
  // Only what arrives now can be followed.
  if ((changes.to ?? state.to) !== "now") changes.live = "";
  const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
  // Even then the URL may become shorter: a saved view may now say the rest.
  if (!changed.length && !replace) return;
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

/** Read the state from the URL again. */
export function reread() {
  const before = { ...state };
  read();
  tell(Object.keys(state).filter((key) => state[key] !== before[key]));
}

window.addEventListener("popstate", () => {
  if (bases.has(new URLSearchParams(location.search).get("saved") ?? "")) reread();
  else location.reload();
});
read();
