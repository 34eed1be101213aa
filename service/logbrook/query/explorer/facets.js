// The filters at the side: the most frequent values of the fields, each a click away from being filtered by.

import { button, byId, el, keep, kept } from "./dom.js";
import { count, short } from "./format.js";
import { change } from "./state.js";
import { hasTerm, term, withTerm } from "./terms.js";

const panel = byId("facets");
const toggle = byId("show-facets");
const closed = new Set(kept("closed-facets"));

/** Draw an answer of /v1/facets. */
export function draw(answer) {
  const note = answer.exact
    ? null
    : el(
        "p.note",
        { title: "Counting all matches would take too long." },
        `Counted from the newest ${short(answer.events_counted)} matches.`,
      );
  const groups = answer.facets.filter((facet) => facet.values.length).map(group);
  panel.replaceChildren(
    button(".button.close-facets", "Close filters", () => show(false)),
    ...groups,
    note ?? "",
  );
}

/** Say why there is nothing. */
export function empty(message) {
  panel.replaceChildren(el("p.note", message));
}

function group(facet) {
  const most = facet.values[0].count;
  const details = el(
    "details.facet",
    { open: !closed.has(facet.field) },
    el("summary", facet.field.replace(/^(attr|resource)\./, ""), el("span.kind", kind(facet.field))),
    el(
      "ul",
      facet.values.map((value) => entry(facet.field, value, most)),
    ),
  );
  details.addEventListener("toggle", () => {
    closed[details.open ? "delete" : "add"](facet.field);
    keep("closed-facets", [...closed]);
  });
  return details;
}

const kind = (field) => (field.startsWith("attr.") ? "attribute" : field.startsWith("resource.") ? "resource" : "");

function entry(field, value, most) {
  const part = term(field, value.value);
  const included = hasTerm(part);
  const excluded = hasTerm(`-${part}`);
  const bar = el("span.share");
  bar.style.width = `${Math.max(2, (value.count / most) * 100)}%`;
  const level = field === "level" ? el(`i.level-${value.value}`) : "";
  const shown = [bar, level, el("span.text", value.value || "(empty)"), el("b", short(value.count))];
  return el(
    "li",
    { className: included ? "included" : excluded ? "excluded" : "" },
    button(".value", shown, () => change({ query: withTerm(part) }), {
      "aria-pressed": String(included),
      title: `${value.value || "(empty)"}: ${count(value.count)}`,
    }),
    button(".out", "−", () => change({ query: withTerm(`-${part}`) }), {
      "aria-label": `Filter out ${value.value}`,
      "aria-pressed": String(excluded),
      title: "Filter out",
    }),
  );
}

function show(visible) {
  document.body.classList.toggle("facets-open", visible);
  toggle.setAttribute("aria-expanded", String(visible));
}
toggle.addEventListener("click", () => show(!document.body.classList.contains("facets-open")));
