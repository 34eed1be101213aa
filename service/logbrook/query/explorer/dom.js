// Elements, built without markup: whatever a log line says, it only ever becomes a text node.

/** An element with properties, listeners (`on...`), attributes (all of which may be left out) and children; strings
 * become text nodes.
 * @param {string} name
 * @param {...any} rest
 * @returns {any} */
export function el(name, ...rest) {
  const [properties, ...children] = rest[0]?.constructor === Object ? rest : [{}, ...rest];
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria") && key !== "role") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button with classes (`.button.small`): what it says, what a click does, and further properties. */
export const button = (classes, label, onclick, properties = {}) =>
  el(`button${classes}`, { type: "button", onclick, ...properties }, ...[label].flat());

/** A tab of a list of tabs, and what it shows. */
export const tab = (label, selected, onclick, controls) =>
  choose(button("", label, onclick, { role: "tab", "aria-controls": controls }), selected);

/** Mark a tab as the one that is shown, or not; Tab reaches only that. */
export const choose = (element, selected) =>
  Object.assign(element, { ariaSelected: String(selected), tabIndex: selected ? 0 : -1 });

/** Let the arrow keys, Home, and End move the focus among the items of a menu, tabs, or headings, as the ARIA Authoring
 * Practices Guide says. */
export function arrows(list) {
  list.addEventListener("keydown", (event) => {
    const items = [...list.querySelectorAll(":is([role], .sort):enabled")];
    const at = items.indexOf(document.activeElement);
    const steps = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    items.at(steps[event.key] % items.length).focus();
  });
  return list;
}

/** A table of rows below headings, which are texts or cells. */
export const table = (headings, rows) =>
  el(
    "table.list",
    el("thead", el("tr", ...headings.map((each) => (typeof each === "string" ? el("th", each) : each)))),
    el("tbody", ...rows),
  );

/** How an answer's query was read where other tools differ, what it left out, and why it found nothing. */
export const hintsOf = (answer) =>
  answer.hints.length
    ? el("div", { role: "status" }, el("ul.hints", ...answer.hints.map((hint) => el("li", ...textNodes(hint)))))
    : "";

/** An SVG element with attributes. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The element of index.html with this id, of whatever kind it is.
 * @returns {any} */
export const byId = (id) => document.getElementById(id);

// Control characters, and those that reorder, join or hide text: shown as what they are.
const HIDDEN = new RegExp(
  // Colors of a terminal are one sign, so that the text among them can be read.
  String.raw`(?:\u001b\[[\d;]*m)+|[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e]` +
    String.raw`|[\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]` +
    // What joins two emoji to one is not hidden.
    String.raw`|(?<![\p{ExtPict}\p{EMod}\ufe0f])\u200d|\u200d(?!\p{ExtPict})`,
  "gu",
);

const isColors = (text) => text.length > 2;

function shown(text) {
  const code = text.codePointAt(0);
  if (isColors(text)) return "·";
  // In letters that every font has.
  if (code < 0x20 || code === 0x7f) return `^${String.fromCodePoint(code ^ 0x40)}`;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

const hiddenTitle = (text) => (isColors(text) ? `colors: ${text.replaceAll("\u001b", "^[")}` : "hidden character");

/** Text as nodes: hidden characters visible, `words` marked. `lines` keeps line breaks, else they become ⏎. */
export function textNodes(text, { words = [], lines = false } = {}) {
  const nodes = [];
  const marked = words.length ? new RegExp(words.map(escapeRegExp).join("|"), "gi") : null;
  const plain = (piece) => {
    if (!marked) return nodes.push(piece);
    let at = 0;
    for (const found of piece.matchAll(marked)) {
      if (!found[0]) continue;
      nodes.push(piece.slice(at, found.index), el("mark", found[0]));
      at = found.index + found[0].length;
    }
    return nodes.push(piece.slice(at));
  };
  let at = 0;
  for (const found of text.matchAll(HIDDEN)) {
    plain(text.slice(at, found.index));
    const tab = found[0] === "\t";
    nodes.push(
      tab ? (lines ? "\t" : "  ") : el("span.hidden-character", { title: hiddenTitle(found[0]) }, shown(found[0])),
    );
    at = found.index + found[0].length;
  }
  plain(text.slice(at));
  return lines ? nodes : nodes.flatMap((node) => (typeof node === "string" ? oneLine(node) : [node]));
}

function oneLine(text) {
  return text.split("\n").flatMap((line, index) => (index ? [el("span.hidden-character", "⏎"), line] : [line]));
}

const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Text into the clipboard, also where the page is not served over HTTPS. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { value: text, className: "offscreen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const nameOf = (element) => element.name || element.getAttribute("aria-label") || element.textContent;

/** Replace what is in an element; the focus stays on what has the same name. */
export function replace(element, ...children) {
  const had = element.contains(document.activeElement) && nameOf(document.activeElement);
  element.replaceChildren(...children);
  if (!had) return;
  const same = [...element.querySelectorAll("a, button, select, [tabindex]")].find((each) => nameOf(each) === had);
  same?.focus({ preventScroll: true });
}

/** Replace the one element in another by a newer one of its kind, which stays scrolled and keeps the focus. */
export function refill(element, child) {
  const old = element.firstElementChild;
  const { scrollTop = 0 } = old?.className === child.className ? old : {};
  const hadFocus = old === document.activeElement;
  replace(element, child);
  child.scrollTop = scrollTop;
  if (hadFocus) child.focus({ preventScroll: true });
}

const dialog = byId("dialog");
const toaster = byId("toast");

/** Show the dialog, or something else in it; then the focus stays on what has the same label. */
export function show(title, ...content) {
  const label = document.activeElement?.getAttribute("aria-label") ?? "";
  const heading = el("h2", { id: "dialog-title", tabIndex: -1 }, title);
  dialog.replaceChildren(
    el("header", heading, button(".ghost", "×", hide, { "aria-label": "Close" })),
    ...content,
    toaster,
  );
  if (dialog.open) (dialog.querySelector(`[aria-label="${CSS.escape(label)}"]:enabled`) ?? heading).focus();
  else dialog.showModal();
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
// Outside of an open dialog, a message would be dimmed, and not read aloud.
dialog.addEventListener("close", () => document.body.append(toaster));

/** Close the dialog. */
export const hide = () => dialog.close();

/** A list that this browser keeps under a name. */
export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(`logbrook.${name}`) ?? "[]");
  } catch {
    return [];
  }
}

/** Keep a list in this browser. */
export const keep = (name, list) => localStorage.setItem(`logbrook.${name}`, JSON.stringify(list));

let hiding;
/** A short message at the bottom of the page. */
export function toast(message) {
  toaster.textContent = message;
  toaster.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    toaster.hidden = true;
  }, 2600);
}

/** Open or close a menu that belongs to a button; a click elsewhere closes it. `fill` is given what closes it and
 * returns the focus to the button. */
export function popup(button, menu, fill) {
  const close = () => {
    menu.hidden = true;
    button.setAttribute("aria-expanded", "false");
  };
  const leave = () => {
    close();
    button.focus();
  };
  button.addEventListener("click", () => {
    if (!menu.hidden) return close();
    fill(leave);
    menu.hidden = false;
    button.setAttribute("aria-expanded", "true");
    menu.querySelector("button, input")?.focus({ preventScroll: true });
  });
  document.addEventListener("pointerdown", (event) => {
    if (!menu.hidden && !menu.contains(event.target) && !button.contains(event.target)) close();
  });
  menu.addEventListener("focusout", ({ relatedTarget: to }) => {
    if (to && !menu.contains(to) && !button.contains(to)) close();
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      leave();
    }
  });
}
