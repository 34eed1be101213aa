// One event in full, the lines around it, and its trace.

import { get } from "./api.js";
import { toggle } from "./columns.js";
import { button, byId, copy, el, svg, tab, textNodes, toast } from "./dom.js";
import { bytes, fullTime, rowTime } from "./format.js";
import { change, state } from "./state.js";
import { term, withTerm, wordsToMark } from "./terms.js";

const drawer = byId("drawer");
let shown = null;

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
    .map(([name, label]) => tab(label, name === current, () => page(name)));
  return el(
    "header",
    el("div", { role: "tablist" }, tabs),
    button(".ghost", "×", () => change({ event: "" }, { replace: true }), {
      "aria-label": "Close",
      title: "Close (Esc)",
    }),
  );
}

function page(name) {
  const body = el("div.drawer-body");
  drawer.replaceChildren(head(name), body);
  if (name === "event") body.append(...details());
  if (name === "context") around(body);
  if (name === "trace") trace(body);
}

function details() {
  const event = shown;
  const message = el("pre.body", { dir: "ltr" }, ...textNodes(event.body, { lines: true, words: wordsToMark() }));
  const hidden = event.body_bytes > new TextEncoder().encode(event.body).length;
  const rest = button(".button.small", `Show all${hidden ? ` ${bytes(event.body_bytes)}` : ""}`, async () => {
    const all = await whole();
    if (all && all.id === shown?.id) page("event");
  });
  const fields = [
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
      event.trace_id ? button(".button.small", "Open trace", () => page("trace")) : "",
    ),
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
    el("h3", title),
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
    el("dd", { dir: "ltr" }, linked(value)),
    el(
      "div.pick",
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

/** Only http and https become links, and those tell the other side nothing. */
function linked(value) {
  if (!/^https?:\/\/[^\s]+$/i.test(value) || !URL.canParse(value))
    return el("span", ...textNodes(value, { lines: true }));
  return el("a", { href: value, target: "_blank", rel: "noopener noreferrer nofollow" }, ...textNodes(value));
}

function around(body) {
  filled(body, "context", { id: shown.id, before: 30, after: 30 }, "context", (answer) => {
    body.replaceChildren(
      el("p.note", `The same source: ${answer.event.service || "no service"}, same instance, pod or host.`),
      el(
        "ol.lines",
        ...[...answer.before, answer.event, ...answer.after].map((event) =>
          line(event, el("time", rowTime(event.timestamp))),
        ),
      ),
    );
    body.querySelector(".here")?.scrollIntoView({ block: "center" });
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
    el("span.message", { dir: "ltr" }, ...textNodes(event.body.slice(0, 300))),
  );
}

function trace(body) {
  const id = shown.trace_id;
  filled(body, `traces/${encodeURIComponent(id)}`, {}, "trace", (answer) => {
    const start = Date.parse(answer.started_at);
    body.replaceChildren(
      el(
        "p.note",
        `${answer.events.length} events of ${answer.services.length} services ` +
          `in ${Math.round(answer.duration_ms * 10) / 10} ms`,
        answer.complete ? "" : " (the first ones only)",
      ),
      el(
        "ol.lines.trace",
        ...answer.events.map((event) => {
          const bar = el("i.at");
          const after = Date.parse(event.timestamp) - start;
          bar.style.left = `${answer.duration_ms ? (after / answer.duration_ms) * 100 : 0}%`;
          return line(event, el("div.way", bar), el("span.service", ...textNodes(event.service)));
        }),
      ),
      button(".button.small", "Search for this trace", () => change({ query: `trace_id:${id}`, event: "" })),
    );
  });
}
