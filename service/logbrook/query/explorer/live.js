// The live tail: new events at the top while they arrive; scrolling down or the button holds them back.

import { address } from "./api.js";
import { byId } from "./dom.js";
import { change, state } from "./state.js";

const MOST_EVENTS = 5000;
const RETRY_MS = 5000;
const button = byId("live");

/** Follows the query of the state into a table; `onCount` is told what is held back, `onComplete` until when it is all. */
export class Live {
  constructor(table, callbacks) {
    this.table = table;
    this.callbacks = callbacks;
    this.source = null;
    this.held = [];
    this.paused = false;
    this.byScroll = false;
    this.skips = false;
    this.said = "";
  }

  /** Begin to follow. */
  start() {
    this.stop();
    this.source = new EventSource(address("tail", { query: state.query }));
    this.source.addEventListener("events", (message) => {
      this.say(this.skips ? "Too fast to show everything; some events are skipped." : "");
      this.skips = false;
      this.arrived(JSON.parse(message.data).reverse());
    });
    this.source.addEventListener("skipped", () => {
      this.skips = true;
    });
    this.source.addEventListener("problem", (message) => this.say(JSON.parse(message.data).message));
    this.source.addEventListener("complete", (message) => this.callbacks.onComplete(JSON.parse(message.data)));
    let wasOpen = false;
    this.source.addEventListener("open", () => {
      wasOpen = true;
      this.say("");
    });
    this.source.addEventListener("error", () => {
      const isClosed = this.source?.readyState === EventSource.CLOSED;
      if (isClosed && !wasOpen) {
        this.callbacks.onProblem("The live tail was refused; is the query right?");
        change({ live: "" }, { replace: true });
        return;
      }
      this.say("The connection was lost; trying again …");
      // The browser does not try again after an answer such as 503.
      if (isClosed) this.retrying = setTimeout(() => window.dispatchEvent(new Event("logbrook-refresh")), RETRY_MS);
    });
    this.show();
  }

  /** Stop following. */
  stop() {
    clearTimeout(this.retrying);
    this.source?.close();
    this.source = null;
    this.held = [];
    this.paused = false;
    this.skips = false;
    this.said = "";
    this.show();
  }

  /** Say what is wrong, or no longer. */
  say(message) {
    if (message !== this.said) this.callbacks.onProblem(message);
    this.said = message;
  }

  /** Newest first. */
  arrived(events) {
    const known = new Set(this.table.events.slice(0, 1000).map((event) => event.id));
    const fresh = events.filter((event) => !known.has(event.id));
    if (this.paused) this.held = [...fresh, ...this.held].slice(0, MOST_EVENTS);
    else this.table.prepend(fresh, MOST_EVENTS);
    this.show();
  }

  /** Hold back what arrives, or let it in; a scroll lets in only what a scroll holds back. */
  pause(paused, byScroll = false) {
    if (!this.source || this.paused === paused || (!paused && byScroll && !this.byScroll)) return;
    this.paused = paused;
    this.byScroll = byScroll;
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
