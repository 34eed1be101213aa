// The live tail: new events at the top while they arrive; scrolling down or the button holds them back.

import { address } from "./api.js";
import { byId } from "./dom.js";
import { change, state } from "./state.js";

const MOST_EVENTS = 5000;
const button = byId("live");

/** Follows the query of the state into a table; `onCount` is told what is held back, `onComplete` until when it is all. */
export class Live {
  constructor(table, callbacks) {
    this.table = table;
    this.callbacks = callbacks;
    this.source = null;
    this.held = [];
    this.paused = false;
  }

  /** Begin to follow. */
  start() {
    this.stop();
    this.source = new EventSource(address("tail", { query: state.query }));
    this.source.addEventListener("events", (message) => this.arrived(JSON.parse(message.data).reverse()));
    this.source.addEventListener("skipped", () =>
      this.callbacks.onProblem("Too fast to show everything; some events are skipped."),
    );
    this.source.addEventListener("problem", (message) => this.callbacks.onProblem(JSON.parse(message.data).message));
    this.source.addEventListener("complete", (message) => this.callbacks.onComplete(JSON.parse(message.data)));
    this.source.addEventListener("open", () => this.show());
    this.source.addEventListener("error", () => {
      if (this.source?.readyState === EventSource.CLOSED) {
        this.callbacks.onProblem("The live tail was refused; is the query right?");
        change({ live: "" }, { replace: true });
      } else this.callbacks.onProblem("The connection was lost; trying again …");
    });
    this.show();
  }

  /** Stop following. */
  stop() {
    this.source?.close();
    this.source = null;
    this.held = [];
    this.paused = false;
    this.show();
  }

  /** Newest first. */
  arrived(events) {
    const known = new Set(this.table.events.slice(0, 1000).map((event) => event.id));
    const fresh = events.filter((event) => !known.has(event.id));
    if (this.paused) this.held = [...fresh, ...this.held].slice(0, MOST_EVENTS);
    else this.table.prepend(fresh, MOST_EVENTS);
    this.show();
  }

  /** Hold back what arrives, or let it in. */
  pause(paused) {
    if (!this.source || this.paused === paused) return;
    this.paused = paused;
    if (!paused && this.held.length) this.table.prepend(this.held, MOST_EVENTS);
    if (!paused) {
      this.held = [];
      this.table.body.scrollTop = 0;
    }
    this.show();
  }

  show() {
    const on = Boolean(this.source);
    button.setAttribute("aria-pressed", String(on));
    button.classList.toggle("paused", this.paused);
    button.lastChild.textContent = !on ? "Live" : this.paused ? "Paused" : "Live";
    this.callbacks.onCount(on, this.paused, this.held.length);
  }
}
