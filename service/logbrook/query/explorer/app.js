// Puts the parts together: what changes in the state is requested again and drawn.

import { help } from "./actions.js";
import { alerts } from "./alerts.js";
import { cancel, get, selection } from "./api.js";
import { layout } from "./columns.js";
import { earlier } from "./compare.js";
import * as completeness from "./completeness.js";
import { counts } from "./counts.js";
import { arrows, button, byId, choose, el, hintsOf, replace, tab } from "./dom.js";
import * as drawer from "./drawer.js";
import * as facets from "./facets.js";
import { count, short } from "./format.js";
import * as histogram from "./histogram.js";
import { Live } from "./live.js";
import { known, needs } from "./me.js";
import * as saved from "./saved.js";
import { showProblem } from "./searchbox.js";
import { order } from "./sort.js";
import { change, onChange, state, typedQuery } from "./state.js";
import { Table } from "./table.js";
import { parts } from "./terms.js";
import { zoomOut } from "./timepicker.js";
import { health, patterns, services } from "./views.js";

const PAGE = 200;
const VIEWS = [
  ["events", "Events"],
  ["patterns", "Patterns"],
  ["services", "Services"],
  ["health", "Health"],
  ["alerts", "Alerts"],
];
const tabs = VIEWS.map(([name, label]) =>
  Object.assign(
    tab(label, false, () => change({ view: name }), "content"),
    { id: `view-${name}` },
  ),
);
arrows(byId("views")).replaceChildren(...tabs);
// Alerts are about all events alike.
known.then(() => Object.assign(tabs.at(-1), needs("everything")));
const DRAW = { events: counts, patterns, services, health, alerts };
const content = byId("content");
const status = byId("status");
let cursor = null;
let loading = false;
let latest = 0;
let retrying;

const table = new Table({
  onOpen: (event) => {
    opened = event;
    // Back closes the drawer, and does not leave the page.
    change({ event: event.id }, { replace: Boolean(state.event) });
    drawer.open(event.id, event);
  },
  onEnd: () => more(),
  onScroll: (top) => live.pause(top > 40, true),
});
const pill = button(".pill", "", () => live.pause(false), { hidden: true });
const live = new Live(table, {
  onCount: (_on, paused, held) => {
    pill.hidden = !paused;
    pill.textContent = held ? `${count(held)} new · Resume` : "Paused · Resume";
  },
  onProblem: (message) => {
    status.textContent = message;
  },
  onComplete: completeness.tell,
});
let opened = null;

async function search() {
  cursor = null;
  loading = true;
  table.note("");
  try {
    const answer = await get("search", { ...selection(), order: order(), limit: PAGE }, "view");
    if (!answer) return;
    cursor = answer.cursor;
    table.set(answer.events);
    replace(content, hintsOf(answer), table.element, pill);
    told(answer);
    if (!answer.events.length) nothing(answer);
    else table.note(cursor ? "Loading more …" : "End of results.");
    if (state.live) live.start();
  } finally {
    loading = false;
  }
}

function nothing(answer) {
  if (state.live) return;
  content.replaceChildren(
    el(
      "div.empty",
      el("h2", state.query ? "Nothing matches in this range" : "No events in this range"),
      el("p", state.query ? "Try a longer range or fewer words." : "Send some, or choose a longer range."),
      hintsOf(answer),
      el(
        "div.buttons",
        ["24h", "7d", "30d"].map((range) =>
          button(".button", `Last ${range}`, () => change({ from: range, to: "now" })),
        ),
        state.query ? button(".button", "Clear the query", () => change({ query: "" })) : "",
        button(".button", "Help", help),
      ),
    ),
  );
}

async function more() {
  if (!cursor || loading || table.isCut || state.view !== "events") return;
  loading = true;
  const after = cursor;
  try {
    const answer = await get("search", { ...selection(), order: order(), limit: PAGE, cursor }, "more");
    // Another search may have begun meanwhile.
    if (!answer || cursor !== after || table.isCut) return;
    cursor = answer.cursor;
    table.append(answer.events);
    table.note(cursor ? "Loading more …" : "End of results.");
  } catch (error) {
    if (cursor !== after) return;
    table.note(error.message);
    cursor = null;
  } finally {
    loading = false;
  }
}

function told(answer) {
  const { cost } = answer;
  status.replaceChildren(
    el("span", `${Math.round(answer.took)} ms`),
    el(
      "span.detail",
      {
        title:
          `${count(cost.rows_read)} rows and ${count(cost.bytes_read)} bytes read by ${cost.statements} statements ` +
          `in ${cost.elapsed_ms} ms; the table has ${count(cost.table_rows)} rows`,
      },
      `${short(cost.rows_read)} of ${short(cost.table_rows)} rows read`,
    ),
  );
  completeness.tell(answer);
}

const FAILURES = {
  query_syntax: "This query has a mistake",
  not_allowed: "Your role does not permit this",
  cancelled: "Cancelled",
};
const RETRY_MS = 5000;

function failed(error) {
  live.stop();
  if (error.code === "query_syntax") showProblem(error);
  status.textContent = "";
  const retries = error.code === "unreachable" || (state.live && [502, 503].includes(error.status));
  if (retries) retrying = setTimeout(refresh, RETRY_MS);
  content.replaceChildren(
    el(
      "div.empty",
      el("h2", FAILURES[error.code] ?? "The search failed"),
      el("p", error.message),
      error.expected ? el("p.note", `Expected: ${error.expected}.`) : "",
      retries ? el("p.note", `Trying again every ${RETRY_MS / 1000} seconds.`) : "",
      el("div.buttons", button(".button", "Try again", refresh), button(".button", "Help", help)),
    ),
  );
}

/** Ask a route about what is selected and draw the answer, or say why there is none. */
async function drawn(part, path, parameters) {
  try {
    const answer = await get(path, { ...selection(), ...parameters });
    if (answer) part.draw(answer);
    return answer;
  } catch (error) {
    part.empty(error.code === "query_syntax" ? "" : error.message);
  }
  return undefined;
}

async function chart() {
  const parameters = { by: state.by, buckets: innerWidth < 720 ? 40 : 90 };
  const answer = await drawn(histogram, "histogram", parameters);
  if (!answer || !state.compare) return;
  const compared = { query: state.query, ...parameters, ...earlier(...histogram.ends(answer)) };
  const before = await get("histogram", compared, "compared").catch(() => undefined);
  if (before) histogram.compare(answer, before);
}
const sides = () => drawn(facets, "facets", { limit: facets.VALUES });

async function view({ again = false } = {}) {
  const { stages } = parts(state.query);
  // Events are followed, and not counts of them.
  if (stages && state.live) change({ live: "" }, { replace: true });
  const mine = ++latest;
  clearTimeout(retrying);
  showProblem(null);
  tabs[0].textContent = stages ? "Counts" : "Events";
  for (const [index, [name]] of VIEWS.entries()) choose(tabs[index], name === state.view);
  content.setAttribute("aria-labelledby", `view-${state.view}`);
  if (!again) busy(true);
  try {
    if (state.view === "events" && !stages) await search();
    else await other();
  } catch (error) {
    failed(error);
  } finally {
    if (mine === latest) busy(false);
  }
}

async function other() {
  live.stop();
  const answer = await (DRAW[state.view] ?? services)(content);
  if (answer?.cost) told(answer);
  else if (answer) status.textContent = `${Math.round(answer.took)} ms`;
}

/** Show whether an answer is waited for, until which the old one is dimmed. */
function busy(is) {
  document.body.classList.toggle("busy", is);
  content.setAttribute("aria-busy", String(is));
}
byId("cancel").addEventListener("click", () => cancel("view"));

function refresh() {
  view();
  chart();
  sides();
}

onChange((changed) => {
  const selected = ["query", "from", "to", "utc"].some((name) => changed.has(name));
  if (changed.has("live") && !state.live) live.stop();
  if (["columns", "wrap", "dense", "sort", "live"].some((name) => changed.has(name))) table.layout();
  const compared = changed.has("compare");
  const counted = Boolean(parts(state.query).stages);
  const shown =
    ["view", "as", "sort"].some((name) => changed.has(name)) ||
    (compared && state.view === "patterns") ||
    (changed.has("scale") && counted);
  // Without a live tail, the order may be another again, and the end of the list is not missing.
  if (selected || shown || (changed.has("live") && (state.live || order() || table.isCut))) view();
  if (selected || compared || changed.has("by") || changed.has("scale")) chart();
  if (selected) sides();
  if (changed.has("event")) showEvent();
  else if (changed.has("utc")) drawer.redraw();
});

function showEvent() {
  if (!state.event) {
    if (byId("drawer").contains(document.activeElement)) table.body.focus({ preventScroll: true });
    drawer.close();
  } else drawer.open(state.event, opened?.id === state.event ? opened : undefined);
}

byId("live").addEventListener("click", () =>
  change(
    state.live
      ? { live: "" }
      : {
          live: "1",
          view: "events",
          to: "now",
          from: state.to === "now" ? state.from : "15m",
          query: parts(typedQuery()).filter,
        },
  ),
);
window.addEventListener("logbrook-refresh", refresh);
// While following, the chart and the filters keep up as well, only less often.
regularly(() => state.live && !live.paused && Promise.all([chart(), sides()]));
regularly(() => ["health", "alerts"].includes(state.view) && view({ again: true }));

/** Do something every ten seconds while the page is visible; what takes longer is not begun twice. */
function regularly(act) {
  setTimeout(async () => {
    try {
      if (!document.hidden) await act();
    } finally {
      regularly(act);
    }
  }, 10_000);
}

/** What a key does to the list; false where another view is shown. */
const inList = (act) => () => table.element.isConnected && act();
const open = inList(() => table.open(Math.max(0, table.selected)));
// What is open is the selected event.
const step = (by) => inList(() => (state.event ? table.open(table.selected + by) : table.select(table.selected + by)));
drawer.stepWith((by) => step(by)());
const KEYS = {
  "/": () => byId("query").focus(),
  j: step(1),
  k: step(-1),
  o: open,
  Enter: open,
  l: () => byId("live").click(),
  p: () => live.pause(!live.paused),
  t: () => byId("time").click(),
  z: zoomOut,
  r: refresh,
  s: saved.saved,
  c: layout,
  "?": help,
  1: () => change({ view: "events" }),
  2: () => change({ view: "patterns" }),
  3: () => change({ view: "services" }),
  4: () => change({ view: "health" }),
  5: () => change({ view: "alerts" }),
  Escape: () => change({ event: "" }, { replace: true }),
};
document.addEventListener("keydown", (event) => {
  const target = /** @type {Element} */ (event.target);
  const typing = target.closest("input, textarea, select, dialog, [contenteditable]");
  const pressed = target.closest("button, a, summary") && event.key === "Enter";
  const scrolls = target.closest("#drawer, #facets, .menu") && event.key.startsWith("Arrow");
  if (typing || pressed || scrolls || event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  const key = event.key === "ArrowDown" ? "j" : event.key === "ArrowUp" ? "k" : event.key;
  if (KEYS[key] && KEYS[key]() !== false) event.preventDefault();
});

if (state.saved) await saved.load();
table.layout();
refresh();
if (state.event) showEvent();
