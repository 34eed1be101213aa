// One event in full, the lines around it, and its trace.

import { get } from "./api.js";
import { byId, copy, el, svg, textNodes, toast } from "./dom.js";
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
  if (!event) {
    drawer.replaceChildren(head(), el("p.nothing", {}, "Loading …"));
    try {
      const answer = await get(`events/${encodeURIComponent(id)}`, {}, "event");
      if (!answer || state.event !== id) return;
      shown = answer.event;
    } catch (error) {
      drawer.replaceChildren(head(), el("p.nothing", {}, error.message));
      return;
    }
  }
  tab("event");
}

/** Draw the open event again, in another zone. */
export function redraw() {
  if (shown) tab("event");
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
    .map(([name, label]) =>
      el(
        "button",
        { type: "button", role: "tab", "aria-selected": String(name === current), onclick: () => tab(name) },
        label,
      ),
    );
  return el(
    "header",
    {},
    el("div", { role: "tablist" }, tabs),
    el(
      "button.ghost",
      {
        type: "button",
        "aria-label": "Close",
        title: "Close (Esc)",
        onclick: () => change({ event: "" }, { replace: true }),
      },
      "×",
    ),
  );
}

function tab(name) {
  const body = el("div.drawer-body", {});
  drawer.replaceChildren(head(name), body);
  if (name === "event") body.append(...details());
  if (name === "context") around(body);
  if (name === "trace") trace(body);
}

function details() {
  const event = shown;
  const message = el("pre.body", { dir: "ltr" }, ...textNodes(event.body, { lines: true, words: wordsToMark() }));
  const hidden = event.body_bytes > new TextEncoder().encode(event.body).length;
  const rest =
    event.truncated &&
    el(
      "button.button.small",
      {
        type: "button",
        onclick: async () => {
          const all = await whole();
          if (all && all.id === shown?.id) tab("event");
        },
      },
      `Show all${hidden ? ` ${bytes(event.body_bytes)}` : ""}`,
    );
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
      {},
      el(`span.badge.level-${event.severity}`, {}, event.severity_text || event.severity),
      el("time", {}, fullTime(event.timestamp)),
    ),
    message,
    rest || "",
    el(
      "div.buttons",
      {},
      copying("Copy message", "Message copied", (all) => all.body),
      copying("Copy JSON", "Event copied as JSON", (all) => JSON.stringify(all, null, 2)),
      el("button.button.small", { type: "button", onclick: () => tab("context") }, "Lines around it"),
      event.trace_id ? el("button.button.small", { type: "button", onclick: () => tab("trace") }, "Open trace") : "",
    ),
    section(
      "Fields",
      fields.map(([name, value]) => [name, value, name]),
    ),
    section(
      "Attributes",
      Object.entries(event.attributes).map(([name, value]) => [name, value, `attr.${name}`]),
    ),
    section(
      "Resource",
      Object.entries(event.resource).map(([name, value]) => [name, value, `resource.${name}`]),
    ),
    section(
      "Scope",
      Object.entries(event.scope_attributes).map(([name, value]) => [name, value, `scope.${name}`]),
    ),
    el(
      "p.note",
      {},
      `Arrived ${fullTime(event.ingested_at)} · ${event.topic || "?"} ` +
        `${event.partition}/${event.offset}/${event.index} · ${bytes(event.body_bytes)}`,
    ),
  ];
}

/** A button that copies a text made of the whole event, and says so. */
function copying(label, said, textOf) {
  const onclick = async () => {
    const all = await whole();
    if (all) {
      copy(textOf(all));
      toast(said);
    }
  };
  return el("button.button.small", { type: "button", onclick }, label);
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

function section(title, rows) {
  if (!rows.length) return "";
  return el(
    "section.fields",
    {},
    el("h3", {}, title),
    el(
      "dl",
      {},
      rows.map(([name, value, field]) =>
        el(
          "div.pair",
          { tabIndex: -1 },
          el("dt", { title: name }, ...textNodes(name)),
          el("dd", { dir: "ltr" }, linked(value)),
          el(
            "div.pick",
            {},
            el(
              "button",
              {
                type: "button",
                title: "Filter for",
                "aria-label": `Filter for ${name}`,
                onclick: () => change({ query: withTerm(term(field, value)) }),
              },
              "+",
            ),
            el(
              "button",
              {
                type: "button",
                title: "Filter out",
                "aria-label": `Filter out ${name}`,
                onclick: () => change({ query: withTerm(`-${term(field, value)}`) }),
              },
              "−",
            ),
            el(
              "button",
              {
                type: "button",
                title: "Count by this in the chart",
                "aria-label": `Count by ${name}`,
                onclick: () => change({ by: field }, { replace: true }),
              },
              bars(),
            ),
            el(
              "button",
              {
                type: "button",
                title: "Copy",
                "aria-label": `Copy ${name}`,
                onclick: () => {
                  copy(value);
                  toast(`${name} copied`);
                },
              },
              pages(),
            ),
          ),
        ),
      ),
    ),
  );
}

// Drawn, as not every font has such characters.
const pages = () => svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" }));
const bars = () => svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: "M3 13V8M8 13V3M13 13V6" }));

/** Only http and https become links, and those tell the other side nothing. */
function linked(value) {
  if (!/^https?:\/\/[^\s]+$/i.test(value) || !URL.canParse(value))
    return el("span", {}, ...textNodes(value, { lines: true }));
  return el("a", { href: value, target: "_blank", rel: "noopener noreferrer nofollow" }, ...textNodes(value));
}

async function around(body) {
  body.replaceChildren(el("p.nothing", {}, "Loading …"));
  try {
    const answer = await get("context", { id: shown.id, before: 30, after: 30 }, "context");
    if (!answer) return;
    body.replaceChildren(
      el("p.note", {}, `The same source: ${answer.event.service || "no service"}, same instance, pod or host.`),
      lines([...answer.before, answer.event, ...answer.after], answer.event.id),
    );
    body.querySelector(".here")?.scrollIntoView({ block: "center" });
  } catch (error) {
    body.replaceChildren(el("p.nothing", {}, error.message));
  }
}

function lines(events, here) {
  return el(
    "ol.lines",
    {},
    events.map((event) =>
      el(
        `li.level-${event.severity}${event.id === here ? ".here" : ""}`,
        {
          onclick: () => {
            shown = event;
            change({ event: event.id }, { replace: true });
            tab("event");
          },
        },
        el("time", {}, rowTime(event.timestamp)),
        el("span.message", { dir: "ltr" }, ...textNodes(event.body.slice(0, 300))),
      ),
    ),
  );
}

async function trace(body) {
  body.replaceChildren(el("p.nothing", {}, "Loading …"));
  try {
    const answer = await get(`traces/${encodeURIComponent(shown.trace_id)}`, {}, "trace");
    if (!answer) return;
    const start = Date.parse(answer.started_at);
    body.replaceChildren(
      el(
        "p.note",
        {},
        `${answer.events.length} events of ${answer.services.length} services ` +
          `in ${Math.round(answer.duration_ms * 10) / 10} ms`,
        answer.complete ? "" : " (the first ones only)",
      ),
      el(
        "ol.lines.trace",
        {},
        answer.events.map((event) => {
          const bar = el("i.at");
          const after = Date.parse(event.timestamp) - start;
          bar.style.left = `${answer.duration_ms ? (after / answer.duration_ms) * 100 : 0}%`;
          return el(
            `li.level-${event.severity}${event.id === shown.id ? ".here" : ""}`,
            {
              onclick: () => {
                shown = event;
                change({ event: event.id }, { replace: true });
                tab("event");
              },
            },
            el("div.way", {}, bar),
            el("span.service", {}, ...textNodes(event.service)),
            el("span.message", { dir: "ltr" }, ...textNodes(event.body.slice(0, 300))),
          );
        }),
      ),
      el(
        "button.button.small",
        { type: "button", onclick: () => change({ query: `trace_id:${shown.trace_id}`, event: "" }) },
        "Search for this trace",
      ),
    );
  } catch (error) {
    body.replaceChildren(el("p.nothing", {}, error.message));
  }
}
