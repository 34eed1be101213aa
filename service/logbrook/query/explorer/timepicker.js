// The time range: relative, absolute, or a step back from a zoom.

import { button, byId, el, popup } from "./dom.js";
import { moment, rangeName } from "./format.js";
import { change, onChange, state } from "./state.js";

const RANGES = ["5m", "15m", "30m", "1h", "3h", "6h", "12h", "24h", "2d", "7d", "14d", "30d"];
const opener = byId("time");
const menu = byId("times");

function show() {
  opener.textContent = rangeName(state.from, state.to);
}

/** A Date as an input of type datetime-local wants it, in the zone that is shown. */
function forInput(date) {
  const shifted = state.utc === "1" ? date : new Date(date - date.getTimezoneOffset() * 60e3);
  return shifted.toISOString().slice(0, 19);
}

function fromInput(text) {
  return new Date(state.utc === "1" ? `${text}Z` : text);
}

popup(opener, menu, (close) => {
  const set = (from, to) => {
    close();
    change({ from, to, event: "" });
  };
  const field = (name, label, date) =>
    el("label", el("span", label), el("input", { type: "datetime-local", step: 1, name, value: forInput(date) }));
  const error = el("p.problem", { hidden: true });
  const form = el(
    "form.absolute",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const [start, end] = ["start", "end"].map((name) => fromInput(form.elements[name].value));
        if (!(start < end)) {
          error.textContent = "The beginning must be before the end.";
          error.hidden = false;
          return;
        }
        set(start.toISOString(), end.toISOString());
      },
    },
    field("start", "From", moment(state.from)),
    field("end", "To", moment(state.to)),
    error,
    el("button.button.primary", { type: "submit" }, "Apply"),
  );
  menu.replaceChildren(
    el(
      "div.ranges",
      RANGES.map((range) =>
        button(".choice", rangeName(range, "now"), () => set(range, "now"), {
          "aria-pressed": String(state.from === range && state.to === "now"),
        }),
      ),
    ),
    form,
    button(".choice", "Zoom out (z)", () => {
      close();
      zoomOut();
    }),
  );
});

/** Twice the range, around the same middle. */
export function zoomOut() {
  const [start, end] = [moment(state.from).getTime(), moment(state.to).getTime()];
  // Also of a range that is not one.
  const size = Math.max(end - start, 1000);
  const last = Math.min(end + size / 2, Date.now());
  change({ from: new Date(last - 2 * size).toISOString(), to: new Date(last).toISOString() });
}

onChange(show);
show();
