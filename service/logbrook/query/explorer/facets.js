// The filters at the side: the most frequent values of the fields, each a click away from being filtered by.

import { get, selection } from "./api.js";
import { button, byId, show as dialog, el, hide, keep, kept, replace, textNodes } from "./dom.js";
import { count, short } from "./format.js";
import { change } from "./state.js";
import { chosen, excluded, hasTerm, hasValue, term, withoutField, withTerm, withValue } from "./terms.js";

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
  replace(
    panel,
    button(".button.close-facets", "Close filters", () => show(false)),
    // They match no event that is counted here.
    ...excluded().map((part) =>
      button(".choice.out-term", textNodes(part), () => pick(withTerm(part)), {
        title: "No longer filter out",
        "aria-pressed": "true",
      }),
    ),
    ...groups,
    button(".choice.note", "Another field …", () => values("")),
    note ?? "",
  );
}

function pick(query) {
  hide();
  change({ query });
}

/** The values of a field that could be asked for as well as those that are. */
const others = (field, parameters, kind) =>
  get("values", { ...selection(), query: withoutField(field), field, ...parameters }, kind);

/** The dialog of a field's values: any field, and those values that contain a text. */
function values(name) {
  const input = (label, value) =>
    el("input", { type: "text", placeholder: label, "aria-label": label, value, maxLength: 256, oninput: find });
  const list = el("ul.facet", { "aria-live": "polite" });
  async function find() {
    const name = field.value.trim();
    const asked = { contains: part.value, limit: MOST_VALUES };
    const answer = name && (await others(name, asked, "choose").catch((error) => ({ error })));
    if (answer === undefined) return;
    const found = entries(name, answer.values ?? []);
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
  const list = el("ul", entries(facet.field, facet.values));
  if (chosen(facet.field).length)
    others(facet.field, { limit: VALUES }, `others of ${facet.field}`).then(
      (answer) => answer && replace(list, ...entries(facet.field, together(facet.values, answer.values))),
      // Then only those that are asked for are offered.
      () => undefined,
    );
  const details = el(
    "details.facet",
    { open: !closed.has(facet.field) },
    el(
      "summary",
      el("span.text", ...textNodes(facet.field.replace(/^(attr|resource)\./, ""))),
      el("span.kind", kind(facet.field)),
    ),
    list,
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

/** The values that are asked for, also if others are more frequent, and all others. */
const together = (asked, all) => [
  ...asked.filter(({ value }) => !all.some((each) => each.value === value)),
  ...all.map((each) => asked.find(({ value }) => value === each.value) ?? each),
];

function entries(field, values) {
  const most = Math.max(...values.map((each) => each.count));
  return values.map((each) => entry(field, each, most));
}

function entry(field, value, most) {
  const part = term(field, value.value);
  const included = hasValue(field, value.value);
  const excluded = hasTerm(`-${part}`);
  const bar = el("span.share");
  bar.style.width = `${Math.max(2, (value.count / most) * 100)}%`;
  const level = field === "level" ? el(`i.level-${value.value}`) : "";
  const shown = [bar, level, el("span.text", ...textNodes(value.value || "(empty)")), el("b", short(value.count))];
  return el(
    "li",
    { className: included ? "included" : excluded ? "excluded" : "" },
    button(".value", shown, () => pick(withValue(field, value.value)), {
      name: part,
      "aria-pressed": String(included),
      title: `${chosen(field).length && !included ? "Or " : ""}${value.value || "(empty)"}: ${count(value.count)}`,
    }),
    button(".out", "−", () => pick(withTerm(`-${part}`)), {
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
