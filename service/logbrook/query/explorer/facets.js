// The filters at the side: the most frequent values of the fields, each a click away from being filtered by.

import { get, selection } from "./api.js";
import { button, byId, show as dialog, el, hide, keep, kept } from "./dom.js";
import { count, short } from "./format.js";
import { change } from "./state.js";
import { excluded, hasTerm, term, withTerm } from "./terms.js";

/** How many values a filter shows; the dialog has more. */
export const VALUES = 8;
const MOST_VALUES = 100;

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
    // They match no event that is counted here.
    ...excluded().map((part) =>
      button(".choice.out-term", part, () => pick(part), { title: "No longer filter out", "aria-pressed": "true" }),
    ),
    ...groups,
    button(".choice.note", "Another field …", () => values("")),
    note ?? "",
  );
}

function pick(part) {
  hide();
  change({ query: withTerm(part) });
}

/** The dialog of a field's values: any field, and those values that contain a text. */
function values(name) {
  const input = (label, value) =>
    el("input", { type: "text", placeholder: label, "aria-label": label, value, maxLength: 256, oninput: find });
  const list = el("ul.facet", { "aria-live": "polite" });
  async function find() {
    const asked = { ...selection(), field: field.value.trim(), contains: part.value, limit: MOST_VALUES };
    const answer = asked.field && (await get("values", asked, "choose").catch((error) => ({ error })));
    if (answer === undefined) return;
    const [most] = answer.values ?? [];
    const found = (answer.values ?? []).map((each) => entry(asked.field, each, most.count));
    list.replaceChildren(...(found.length ? found : [el("li.nothing", answer.error?.message ?? "No values.")]));
  }
  const field = input("Field, such as attr.user.id", name);
  const part = input("Values that contain …", "");
  dialog("Values of a field", el("div.save", field, part), list);
  (name ? part : field).focus();
  find();
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
    facet.values.length < VALUES
      ? ""
      : button(".choice.note", "More …", () => values(facet.field), {
          "aria-label": `More values of ${facet.field}`,
        }),
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
    button(".value", shown, () => pick(part), {
      "aria-pressed": String(included),
      title: `${value.value || "(empty)"}: ${count(value.count)}`,
    }),
    button(".out", "−", () => pick(`-${part}`), {
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
