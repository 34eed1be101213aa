// One event in full, the lines around it, and its trace.

import { get } from "./api.js";
import { toggle } from "./columns.js";
import { arrows, button, byId, copy, el, replace, svg, tab, textNodes, toast } from "./dom.js";
import { bytes, counted, fullTime, rowTime, took } from "./format.js";
import { change, state } from "./state.js";
import { term, withTerm, wordsToMark } from "./terms.js";
import { timeline } from "./trace.js";

const drawer = byId("drawer");
const AROUND_MINUTES = 5;
const MOST_LINES = 500;
// Of a body that is shown as indented JSON: characters, and levels.
const [MOST_INDENTED, DEEPEST] = [100_000, 20];
// With more fields than this, they can be filtered.
const FEW_FIELDS = 12;
let shown = null;
let step;

/** Say how to go to the next event of the list. */
export function stepWith(go) {
  step = go;
}

/** Show an event; `event` may be known already, else it is asked for by its id. */
export async function open(id, event) {
  if (!event && shown?.id === id && !drawer.hidden) return;
  shown = event ?? null;
  drawer.hidden = false;
  document.body.classList.add("drawer-open");
  if (event) return page("event");
  const body = el("div.drawer-body");
  drawer.replaceChildren(head(), body);
  await filled(body, `events/${encodeURIComponent(id)}`, {}, "event", (answer) => {
    if (state.event !== id) return;
    shown = answer.event;
    page("event");
  });
}

/** Ask a route and let `draw` show the answer; until then, and if there is none, the element says so. */
async function filled(body, path, parameters, kind, draw) {
  body.replaceChildren(el("p.nothing", "Loading …"));
  try {
    const answer = await get(path, parameters, kind);
    if (answer) draw(answer);
  } catch (error) {
    body.replaceChildren(el("p.nothing", error.message));
  }
}

/** Draw the open event again, in another zone. */
export function redraw() {
  if (shown) page("event");
}

/** Close the drawer. */
export function close() {
  drawer.hidden = true;
  shown = null;
  document.body.classList.remove("drawer-open");
}

function head(current) {
  const tabs = [
    ["event", "Event"],
    ["context", "Around it"],
    ["trace", "Trace"],
  ]
    .filter(([name]) => shown && (name !== "trace" || shown.trace_id))
    .map(([name, label]) => tab(label, name === current, () => page(name), "drawer-page"));
  const steps = document.querySelector(".table")
    ? [
        button(".ghost", "↑", () => step(-1), { "aria-label": "Previous event", title: "Previous (k)" }),
        button(".ghost", "↓", () => step(1), { "aria-label": "Next event", title: "Next (j)" }),
      ]
    : [];
  return el(
    "header",
    arrows(el("div", { role: "tablist", "aria-label": "Event" }, tabs)),
    ...steps,
    button(".ghost", "×", () => change({ event: "" }, { replace: true }), {
      "aria-label": "Close",
      title: "Close (Esc)",
    }),
  );
}

function page(name) {
  const body = el("div.drawer-body", { id: "drawer-page", role: "tabpanel", tabIndex: 0, "aria-label": name });
  const hadFocus = drawer.contains(document.activeElement);
  replace(drawer, head(name), body);
  if (hadFocus && !drawer.contains(document.activeElement)) drawer.querySelector("[aria-selected=true]").focus();
  if (name === "event") body.append(...details());
  if (name === "context") around(body);
  if (name === "trace") trace(body);
}

function details() {
  const event = shown;
  const shape = { lines: true, words: wordsToMark() };
  const message = el("pre.body", { dir: "ltr", tabIndex: 0 }, ...linked(indented(event.body), shape));
  const hidden = event.body_bytes > new TextEncoder().encode(event.body).length;
  const rest = button(".button.small", `Show all${hidden ? ` ${bytes(event.body_bytes)}` : ""}`, async () => {
    const all = await whole();
    if (all && all.id === shown?.id) page("event");
  });
  const fields = [
    ["level", event.severity],
    ["service", event.service],
    ["trace_id", event.trace_id],
    ["span_id", event.span_id],
    ["event_name", event.event_name],
    ["scope", event.scope_name],
    ["source", event.source],
    ["parse_error", event.parse_error],
  ].filter(([, value]) => value);
  return [
    el(
      "div.summary",
      el(`span.badge.level-${event.severity}`, event.severity_text || event.severity),
      el("time", fullTime(event.timestamp)),
    ),
    message,
    event.truncated ? rest : "",
    el(
      "div.buttons",
      copying("Copy message", "Message copied", (all) => all.body),
      copying("Copy JSON", "Event copied as JSON", (all) => JSON.stringify(all, null, 2)),
      button(".button.small", "Lines around it", () => page("context")),
      button(".button.small", `± ${AROUND_MINUTES} min`, () => near(event.timestamp), {
        title: "What the query finds near it",
      }),
      event.trace_id ? button(".button.small", "Open trace", () => page("trace")) : "",
    ),
    Object.keys({ ...event.attributes, ...event.resource }).length > FEW_FIELDS ? finder() : "",
    section("Fields", fields, ""),
    section("Attributes", Object.entries(event.attributes), "attr."),
    section("Resource", Object.entries(event.resource), "resource."),
    section("Scope", Object.entries(event.scope_attributes), "scope."),
    el(
      "p.note",
      `Arrived ${fullTime(event.ingested_at)} · ${event.topic || "?"} ` +
        `${event.partition}/${event.offset}/${event.index} · ${bytes(event.body_bytes)}`,
    ),
  ];
}

/** Select the minutes around a time. */
function near(timestamp, changes = {}) {
  const [at, size] = [Date.parse(timestamp), AROUND_MINUTES * 60e3];
  change({ from: new Date(at - size).toISOString(), to: new Date(at + size).toISOString(), ...changes });
}

/** A box that leaves only the fields whose names or values contain a text. */
const finder = () =>
  el("input.finder", {
    type: "search",
    placeholder: "Find a field or value …",
    "aria-label": "Find a field or value",
    oninput: ({ target }) => {
      for (const each of drawer.querySelectorAll(".pair"))
        each.hidden = !each.textContent.toLowerCase().includes(target.value.toLowerCase());
    },
  });

/** A JSON object or array with line breaks, its numbers and order as they are; any other text as it is. */
function indented(text) {
  try {
    if (text.length > MOST_INDENTED || typeof (JSON.parse(text) ?? "") !== "object") return text;
  } catch {
    return text;
  }
  let depth = 0;
  const line = (by) => {
    depth += by;
    return `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
  };
  return text.replace(/"(?:[^"\\]|\\.)*"|\s+|[{[]\s*[}\]]|[{}[\],:]/g, (part) => {
    if (part === "{" || part === "[") return part + line(1);
    if (part === "}" || part === "]") return line(-1) + part;
    if (part === ",") return part + line(0);
    return part === ":" ? ": " : part.trim();
  });
}

/** A button that copies a text made of the whole event, and says so. */
function copying(label, said, textOf) {
  return button(".button.small", label, async () => {
    const all = await whole();
    if (all) {
      copy(textOf(all));
      toast(said);
    }
  });
}

/** The event with nothing cut off; undefined, and a message, if it is not available. */
async function whole() {
  if (!shown.truncated) return shown;
  const answer = await get(`events/${encodeURIComponent(shown.id)}`, {}, "event").catch((error) => {
    toast(error.message);
    return undefined;
  });
  // Meanwhile the drawer may have been closed, or show another event.
  if (answer && answer.event.id === shown?.id) shown = answer.event;
  return answer?.event;
}

/** Pairs of name and value; `prefix` makes a field of the query language from a name. */
function section(title, pairs, prefix) {
  if (!pairs.length) return "";
  return el(
    "section.fields",
    el("h2", title),
    el("dl", ...pairs.map(([name, value]) => pair(name, value, prefix + name))),
  );
}

function pair(name, value, field) {
  const pick = (title, label, shows, onclick) =>
    button("", shows, onclick, { title, "aria-label": `${label ?? title} ${name}` });
  return el(
    "div.pair",
    { tabIndex: -1 },
    el("dt", { title: name }, ...textNodes(name)),
    el("dd", { dir: "ltr" }, ...linked(value, { lines: true })),
    el(
      "dd.pick",
      pick("Filter for", null, "+", () => change({ query: withTerm(term(field, value)) })),
      pick("Filter out", null, "−", () => change({ query: withTerm(`-${term(field, value)}`) })),
      pick("Count by this in the chart", "Count by", bars(), () => change({ by: field }, { replace: true })),
      pick("Show or hide as a column", "Column", columns(), () => toggle(field)),
      pick("Copy", null, pages(), () => {
        copy(value);
        toast(`${name} copied`);
      }),
    ),
  );
}

// Drawn, as not every font has such characters.
const pages = () => svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" }));
const columns = () => svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10" }));
const bars = () => svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: "M3 13V8M8 13V3M13 13V6" }));

// What ends a sentence or a JSON text does not belong to an address.
const ADDRESS = /https?:\/\/[^\s\p{C}"'<>\\^`{|}]*[^\s\p{C}"'<>\\^`{|}.,:;!?)\]]/giu;
// Behind an address, this begins more of it: it is a template, or has a quote in it, and a link would be wrong.
const GOES_ON = /^['{|][^\s\p{C}"'<>\\^`{|}.,:;!?)\]]/u;

const OPENERS = { ")": "(", "]": "[" };
const isOpen = (href, closer) => closer in OPENERS && href.split(OPENERS[closer]).length > href.split(closer).length;

/** The address that was found in a text, with what closes its own parentheses; "" if it is none. */
function address(text, { 0: found, index }) {
  let end = index + found.length;
  while (isOpen(text.slice(index, end), text[end])) end += 1;
  const href = text.slice(index, end);
  return URL.canParse(href) && !GOES_ON.test(text.slice(end, end + 3)) ? href : "";
}

/** Text as nodes, its addresses as links: only http and https, and those tell the other side nothing. */
function linked(text, shape) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const { index } = found;
    const href = address(text, found);
    if (!href) continue;
    const link = { href, target: "_blank", rel: "noopener noreferrer nofollow" };
    nodes.push(...textNodes(text.slice(at, index), shape), el("a", link, ...textNodes(href, shape)));
    at = index + href.length;
  }
  return [...nodes, ...textNodes(text.slice(at), shape)];
}

function around(body, lines = 30) {
  filled(body, "context", { id: shown.id, before: lines, after: lines }, "context", (answer) => {
    const isAll = lines === MOST_LINES || Math.max(answer.before.length, answer.after.length) < lines;
    body.replaceChildren(
      el(
        "p.note",
        `The same source: ${answer.event.service || "no service"}, same instance, pod or host. `,
        button(".button.small", `All sources, ± ${AROUND_MINUTES} min`, () => near(shown.timestamp, { query: "" })),
      ),
      el(
        "ol.lines",
        ...[...answer.before, answer.event, ...answer.after].map((event) =>
          line(event, el("time", rowTime(event.timestamp))),
        ),
      ),
    );
    if (!isAll)
      body.firstChild.append(
        " ",
        button(".button.small", "More lines", () => around(body, MOST_LINES)),
      );
    body.querySelector(".here").scrollIntoView({ block: "center" });
    if (lines === MOST_LINES) body.querySelector(".here button").focus({ preventScroll: true });
  });
}

/** An event among others, with what is before its message; a click opens it. */
function line(event, ...before) {
  const onclick = () => {
    shown = event;
    change({ event: event.id }, { replace: true });
    page("event");
  };
  return el(
    `li.level-${event.severity}${event.id === shown.id ? ".here" : ""}`,
    { onclick },
    ...before,
    button(".link.message", textNodes(event.body.slice(0, 300)), undefined, { dir: "ltr" }),
  );
}

function trace(body) {
  const id = shown.trace_id;
  filled(body, `traces/${encodeURIComponent(id)}`, {}, "trace", (answer) => {
    const { placed, whole } = timeline(answer.events);
    const share = (ms) => `${whole ? (ms / whole) * 100 : 0}%`;
    body.replaceChildren(
      el(
        "p.note",
        `${counted(answer.events.length, "event")} of ${counted(answer.services.length, "service")} in ${took(whole)}`,
        answer.complete ? "" : " (the first ones only)",
      ),
      el(
        "ol.lines.trace",
        ...placed.map(({ event, start, length }) => {
          const bar = el("i.at");
          bar.style.left = `min(${share(start)}, 100% - 6px)`;
          bar.style.width = share(length);
          const row = line(
            event,
            el("time", { title: fullTime(event.timestamp) }, `+${took(start)}`),
            el("span.service", ...textNodes(event.service)),
          );
          row.append(length ? el("span.took", took(length)) : "", el("div.way", bar));
          return row;
        }),
      ),
      el(
        "div.buttons",
        button(".button.small", "Search for this trace", () => change({ query: `trace_id:${id}`, event: "" })),
        answer.url
          ? el("a.button.small", { href: answer.url, target: "_blank", rel: "noopener noreferrer" }, "Show its spans ↗")
          : "",
      ),
    );
  });
}
