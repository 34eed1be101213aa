// The columns of the list, and how its rows are: in the state, and remembered by this browser.

import { get } from "./api.js";
import { button, el, keep, kept, show } from "./dom.js";
import { order, turn } from "./sort.js";
import { change, layoutOf, state } from "./state.js";

const USUAL = ["time", "level", "service", "message"];
// Fields of an event that have another name in queries.
const NAMES = { event: "event_name", scope: "scope_name" };
const MOST = 30;

/** The columns from the left: the name of each, and its width in pixels unless it is the default. */
export function columns(text = state.columns) {
  const parts = (text || USUAL.join()).split(",", MOST);
  return parts.map((part) => {
    const [name, width] = part.split(":");
    return { name: decoded(name), width: Math.min(2000, Math.max(30, Number(width))) || undefined };
  });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A column's heading. */
export const titleOf = (name) =>
  USUAL.includes(name) ? name[0].toUpperCase() + name.slice(1) : name.replace(/^(attr|resource)\./, "");

/** An event's value of a field, as text. */
export function fieldOf(event, name) {
  const [, prefix, key] = /^(attr|resource|scope)\.(.*)$/s.exec(name) ?? [null, "", NAMES[name] ?? name];
  const maps = { attr: event.attributes, resource: event.resource, scope: event.scope_attributes };
  const places = prefix ? [maps[prefix]] : [event, event.attributes, event.resource];
  const value = places.find((each) => Object.hasOwn(each, key))?.[key] ?? "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Show a field as a column of the default width before the message, or hide it. */
export function toggle(name) {
  const all = columns();
  const others = all.filter((each) => each.name !== name);
  const place = all.findIndex((each) => each.name === "message");
  set(
    others.length < all.length ? others : all.toSpliced(place < 0 ? all.length : place, 0, { name, width: undefined }),
  );
}

function set(all) {
  const text = all.map(({ name, width }) => encodeURIComponent(name) + (width ? `:${width}` : "")).join();
  lay({ columns: text === USUAL.join() ? "" : text });
}

function lay(changes) {
  change(changes, { replace: true });
  keep("layout", layoutOf());
}

/** The dialog for all of it. */
export async function layout() {
  draw();
  const answer = await get("fields", { from: state.from, to: state.to }, "suggest-fields").catch(() => undefined);
  document
    .getElementById("field-names")
    ?.replaceChildren(...(answer?.fields ?? []).map(({ name }) => el("option", { value: name })));
}

function draw() {
  const all = columns();
  const names = document.getElementById("field-names") ?? el("datalist", { id: "field-names" });
  const put = (changed) => {
    set(changed);
    draw();
  };
  const moved = (from, to) => put(columns().toSpliced(from, 1).toSpliced(to, 0, columns()[from]));
  // Not drawn again, as the focus is on its way to the next field.
  const sized = (index, text) => set(columns().with(index, { ...all[index], width: Number(text) || undefined }));
  const row = ({ name, width }, index) =>
    el(
      "li",
      el("strong", titleOf(name)),
      el("input", {
        type: "number",
        min: 30,
        max: 2000,
        value: width ?? "",
        placeholder: "width",
        "aria-label": `Width of ${name} in pixels`,
        onchange: (event) => sized(index, event.target.value),
      }),
      button(".ghost", "↑", () => moved(index, index - 1), { "aria-label": `Move ${name} left`, disabled: !index }),
      button(".ghost", "↓", () => moved(index, index + 1), {
        "aria-label": `Move ${name} right`,
        disabled: index === all.length - 1,
      }),
      button(".ghost", "×", () => put(columns().toSpliced(index, 1)), {
        "aria-label": `Remove ${name}`,
        disabled: all.length === 1,
      }),
    );
  const field = el("input", {
    type: "text",
    name: "column",
    placeholder: "Another field, such as attr.user.id",
    required: true,
    maxLength: 256,
    "aria-label": "Field",
  });
  field.setAttribute("list", "field-names");
  const box = (label, name, checked, onchange) =>
    el("label.check", el("input", { type: "checkbox", name, checked, onchange }), ` ${label}`);
  const check = (label, name) =>
    box(label, name, state[name] === "1", (event) => lay({ [name]: event.target.checked ? "1" : "" }));
  const added = (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (name && !all.some((each) => each.name === name)) toggle(name);
    draw();
  };
  show(
    "Columns and rows",
    el("ol.saved.arranged", all.map(row)),
    el("form.save", { onsubmit: added }, field, names, el("button.button.primary", { type: "submit" }, "Add")),
    check("Wrap long text, up to three lines", "wrap"),
    box("Attributes below each event", "expanded", state.wrap === "2", (event) => {
      lay({ wrap: event.target.checked ? "2" : "" });
      draw();
    }),
    check("Dense rows", "dense"),
    box("Oldest first", "oldest", order() === "asc", turn),
    el(
      "div.buttons",
      button(".button.small", "Default columns", () => put(USUAL.map((name) => ({ name })))),
    ),
  );
}

// A link says how the list looks; without that, it looks as it last did here.
const remembered = layoutOf(kept("layout"));
if (!state.saved && !Object.values(layoutOf()).some(Boolean) && Object.values(remembered).some(Boolean))
  change(remembered, { replace: true });
