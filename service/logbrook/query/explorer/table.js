// The list of events: only the rows in sight exist, however many there are.

import { columns, fieldOf, titleOf } from "./columns.js";
import { arrows, el, replace, textNodes } from "./dom.js";
import { moment, rowTime } from "./format.js";
import { heading, order, sortInQuery, turn } from "./sort.js";
import { state } from "./state.js";
import { wordsToMark } from "./terms.js";

const OVERSCAN = 12;
const SHOWN_CHARACTERS = 400;
const narrow = matchMedia("(max-width: 720px)");

const WIDTHS = { time: "var(--time)", level: "52px", service: "128px" };

/** A column's width; the message, or the last one, takes what is left. */
function widthOf({ name, width }, index, all) {
  const rest = all.some((each) => each.name === "message" && !each.width)
    ? name === "message"
    : index === all.length - 1;
  if (rest && !width) return "minmax(0, 1fr)";
  return width ? `${width}px` : (WIDTHS[name] ?? "140px");
}

/** A list that shows events, opens them with `onOpen`, and asks for more with `onEnd`. */
export class Table {
  constructor({ onOpen, onEnd, onScroll }) {
    this.events = [];
    this.selected = -1;
    this.isCut = false;
    this.words = [];
    this.callbacks = { onOpen, onEnd, onScroll };
    this.spacer = el("div.spacer");
    this.rows = el("div.rows", { role: "rowgroup" });
    this.head = arrows(el("div.head", { role: "row" }));
    this.body = el(
      "div.table-body",
      {
        tabIndex: 0,
        role: "grid",
        "aria-rowcount": -1,
        onscroll: () => this.scrolled(),
      },
      el("div.heads", { role: "rowgroup" }, this.head),
      this.spacer,
      this.rows,
    );
    this.element = el("div.table", this.body);
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row && !String(getSelection())) this.open(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.render()).observe(this.body);
    narrow.addEventListener("change", () => this.layout());
  }

  get rowHeight() {
    return narrow.matches ? 52 : ({ 1: 60, 2: 78 }[state.wrap] ?? (state.dense === "1" ? 22 : 28));
  }

  /** The height that rows can be seen in: the headings stay. */
  get room() {
    return this.body.clientHeight - this.head.offsetHeight;
  }

  /** Lay out columns and rows as the state says. */
  layout() {
    this.columns = columns(narrow.matches ? "" : state.columns);
    this.element.style.setProperty("--columns", this.columns.map(widthOf).join(" "));
    this.element.classList.toggle("wrap", state.wrap !== "");
    this.element.classList.toggle("expanded", state.wrap === "2");
    this.element.classList.toggle("dense", state.dense === "1" && state.wrap === "");
    replace(
      this.head,
      ...this.columns.map(({ name }) => {
        const cell = { role: "columnheader", title: name };
        if (name === "message") return el("span", cell, titleOf(name));
        if (name === "time") return heading("span", titleOf(name), order() ? "ascending" : "descending", turn, cell);
        return heading("span", titleOf(name), "none", () => sortInQuery(name, this.fields()), cell);
      }),
    );
    // Tab reaches one of them, and then what is next to the list.
    for (const [index, each] of this.head.querySelectorAll("button").entries()) each.tabIndex = index ? -1 : 0;
    this.body.setAttribute("aria-label", order() ? "Events, oldest first" : "Events, newest first");
    this.render();
  }

  /** The names of the columns as stages know them. */
  fields() {
    return this.columns.map(({ name }) => ({ time: "timestamp", message: "body" })[name] ?? name);
  }

  /** Show these events, from the top. */
  set(events) {
    this.events = events;
    this.isCut = false;
    this.words = wordsToMark();
    this.selected = -1;
    this.withDay = Number(moment(state.to)) - Number(moment(state.from)) > 12 * 3600e3 || state.to !== "now";
    this.element.classList.toggle("with-day", this.withDay);
    this.body.scrollTop = 0;
    this.render();
  }

  /** Add the events of the next page at the end. */
  append(events) {
    this.events.push(...events);
    this.render();
  }

  /** Add newer events at the top; a reader who has scrolled down keeps the place. */
  prepend(events, most) {
    this.events.unshift(...events);
    if (this.events.length > most) {
      this.events.length = most;
      // The next page does not follow what is last now.
      this.isCut = true;
      this.end = "Older events: stop the live tail.";
    }
    if (this.selected >= 0) this.selected += events.length;
    if (this.body.scrollTop > 0) this.body.scrollTop += events.length * this.rowHeight;
    this.fresh = new Set(events.map((event) => event.id));
    this.render();
  }

  /** A line below the last event. */
  note(text) {
    this.end = text;
    this.render();
  }

  scrolled() {
    this.render();
    this.callbacks.onScroll?.(this.body.scrollTop);
  }

  render() {
    const height = this.rowHeight;
    const seen = Math.ceil(this.room / height);
    const first = Math.max(0, Math.floor(this.body.scrollTop / height) - OVERSCAN);
    const last = Math.min(this.events.length, first + seen + 2 * OVERSCAN);
    this.spacer.style.height = `${this.events.length * height + 44}px`;
    this.rows.style.transform = `translateY(${first * height}px)`;
    const rows = this.events.slice(first, last).map((event, offset) => this.row(event, first + offset));
    const foot = el("div.foot", { role: "row" }, el("span", { role: "gridcell" }, this.end ?? ""));
    if (last === this.events.length && this.end) rows.push(foot);
    this.rows.replaceChildren(...rows);
    const isThere = first <= this.selected && this.selected < last;
    this.body.setAttribute("aria-activedescendant", isThere ? `row-${this.selected}` : "");
    if (last > this.events.length - seen) this.callbacks.onEnd?.();
  }

  row(event, index) {
    const classes = ["row", `level-${event.severity}`];
    if (index === this.selected) classes.push("selected");
    if (this.fresh?.has(event.id)) classes.push("fresh");
    return el(
      `div.${classes.join(".")}`,
      {
        role: "row",
        id: `row-${index}`,
        "data-index": index,
        "aria-rowindex": index + 2,
        "aria-selected": String(index === this.selected),
      },
      this.columns.map(({ name }) => this.cell(event, name)),
      state.wrap === "2" && !narrow.matches ? this.attributes(event) : "",
    );
  }

  /** All that an event says besides its text, below it. */
  attributes(event) {
    const pairs = Object.entries({ ...event.resource, ...event.attributes }).map(([name, value]) => `${name}=${value}`);
    const text = pairs.join("  ").slice(0, SHOWN_CHARACTERS);
    return el("span.attributes", { role: "gridcell", dir: "ltr" }, ...textNodes(text, { words: this.words }));
  }

  cell(event, name) {
    const role = { role: "gridcell" };
    if (name === "time")
      return el("time", { ...role, dateTime: event.timestamp }, rowTime(event.timestamp, this.withDay));
    if (name === "level") return el("span.level", role, event.severity === "none" ? "·" : event.severity);
    const whole = name === "message" ? event.body : fieldOf(event, name);
    const text = whole.slice(0, SHOWN_CHARACTERS);
    const title = name === "message" ? undefined : text;
    const [kind, words] = name === "message" ? ["message", this.words] : [name === "service" ? name : "other", []];
    return el(
      `span.${kind}`,
      { ...role, title, dir: "ltr" },
      ...textNodes(text || (name === "message" ? "" : "–"), { words, lines: state.wrap !== "" }),
      whole.length > SHOWN_CHARACTERS ? el("em", " …") : "",
    );
  }

  /** Open the event at an index. */
  open(index) {
    if (index < 0 || index >= this.events.length) return;
    this.select(index);
    this.callbacks.onOpen(this.events[index]);
  }

  /** Select the event at an index and bring it into sight; Enter is then for the list, except in the drawer. */
  select(index) {
    if (!document.activeElement?.closest("#drawer")) this.body.focus({ preventScroll: true });
    this.selected = Math.max(0, Math.min(this.events.length - 1, index));
    const top = this.selected * this.rowHeight;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    if (top + this.rowHeight > this.body.scrollTop + this.room) this.body.scrollTop = top + this.rowHeight - this.room;
    this.render();
  }
}
