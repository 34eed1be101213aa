// The list of events: only the rows in sight exist, however many there are.

import { el, textNodes } from "./dom.js";
import { moment, rowTime } from "./format.js";
import { state } from "./state.js";
import { wordsToMark } from "./terms.js";

const OVERSCAN = 12;
const SHOWN_CHARACTERS = 400;
const narrow = matchMedia("(max-width: 720px)");

/** A list that shows events, opens them with `onOpen`, and asks for more with `onEnd`. */
export class Table {
  constructor({ onOpen, onEnd, onScroll }) {
    this.events = [];
    this.selected = -1;
    this.words = [];
    this.callbacks = { onOpen, onEnd, onScroll };
    this.spacer = el("div.spacer");
    this.rows = el("div.rows", { role: "rowgroup" });
    this.body = el(
      "div.table-body",
      { tabIndex: 0, role: "grid", "aria-label": "Events, newest first", onscroll: () => this.scrolled() },
      this.spacer,
      this.rows,
    );
    this.foot = el("p.foot", { hidden: true });
    this.element = el(
      "div.table",
      el(
        "div.head",
        { "aria-hidden": "true" },
        el("span", "Time"),
        el("span", "Level"),
        el("span", "Service"),
        el("span", "Message"),
      ),
      this.body,
    );
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row && !String(getSelection())) this.open(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.render()).observe(this.body);
    narrow.addEventListener("change", () => this.render());
  }

  get rowHeight() {
    return narrow.matches ? 52 : 28;
  }

  /** Show these events, from the top. */
  set(events) {
    this.events = events;
    this.words = wordsToMark();
    this.selected = -1;
    this.withDay = Number(moment(state.to)) - Number(moment(state.from)) > 12 * 3600e3 || state.to !== "now";
    this.element.classList.toggle("with-day", this.withDay);
    this.body.scrollTop = 0;
    this.render();
  }

  /** Add older events at the end. */
  append(events) {
    this.events.push(...events);
    this.render();
  }

  /** Add newer events at the top; a reader who has scrolled down keeps the place. */
  prepend(events, most) {
    this.events.unshift(...events);
    this.events.length = Math.min(this.events.length, most);
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
    const seen = Math.ceil(this.body.clientHeight / height);
    const first = Math.max(0, Math.floor(this.body.scrollTop / height) - OVERSCAN);
    const last = Math.min(this.events.length, first + seen + 2 * OVERSCAN);
    this.spacer.style.height = `${this.events.length * height + 44}px`;
    this.rows.style.transform = `translateY(${first * height}px)`;
    const rows = this.events.slice(first, last).map((event, offset) => this.row(event, first + offset));
    if (last === this.events.length && this.end) rows.push(el("p.foot", this.end));
    this.rows.replaceChildren(...rows);
    if (last > this.events.length - seen) this.callbacks.onEnd?.();
  }

  row(event, index) {
    const text = event.body.length > SHOWN_CHARACTERS ? event.body.slice(0, SHOWN_CHARACTERS) : event.body;
    const classes = ["row", `level-${event.severity}`];
    if (index === this.selected) classes.push("selected");
    if (this.fresh?.has(event.id)) classes.push("fresh");
    return el(
      `div.${classes.join(".")}`,
      { role: "row", "data-index": index, "aria-selected": String(index === this.selected) },
      el("time", { role: "gridcell", dateTime: event.timestamp }, rowTime(event.timestamp, this.withDay)),
      el("span.level", { role: "gridcell" }, event.severity === "none" ? "·" : event.severity),
      el("span.service", { role: "gridcell", title: event.service }, ...textNodes(event.service || "–")),
      el(
        "span.message",
        { role: "gridcell", dir: "ltr" },
        ...textNodes(text, { words: this.words }),
        event.body.length > SHOWN_CHARACTERS ? el("em", " …") : "",
      ),
    );
  }

  /** Open the event at an index. */
  open(index) {
    if (index < 0 || index >= this.events.length) return;
    this.select(index);
    this.callbacks.onOpen(this.events[index]);
  }

  /** Select the event at an index and bring it into sight. */
  select(index) {
    this.selected = Math.max(0, Math.min(this.events.length - 1, index));
    const top = this.selected * this.rowHeight;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    if (top + this.rowHeight > this.body.scrollTop + this.body.clientHeight)
      this.body.scrollTop = top + this.rowHeight - this.body.clientHeight;
    this.render();
  }
}
