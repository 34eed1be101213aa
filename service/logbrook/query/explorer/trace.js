// The events of a trace on an axis of time.

/** A point in time in milliseconds since 1970, with the fraction that Date does not keep. */
const millis = (timestamp) =>
  Date.parse(`${timestamp.slice(0, 19)}Z`) + Number(`0${/\.\d+/.exec(timestamp) ?? ""}`) * 1000;

/** How many milliseconds what an event reports took, if it says so in a usual place; else 0. */
function lengthOf({ attributes }) {
  const name = Object.keys(attributes).find((each) => /(^|[._])(duration|elapsed|latency|took)_?ms$/i.test(each));
  // The Elastic Common Schema has nanoseconds.
  const ms = name ? Number(attributes[name]) : Number(attributes["event.duration"]) / 1e6;
  return ms > 0 && ms < Infinity ? ms : 0;
}

/** When each event, or what it reports, began after the first, and how long it took, in milliseconds, in that order:
 * what waited for something is reported later, but began before it. And how long all of it took. */
export function timeline(events) {
  const placed = events.map((event) => {
    const length = lengthOf(event);
    return { event, length, start: millis(event.timestamp) - length };
  });
  const first = Math.min(...placed.map(({ start }) => start));
  const last = Math.max(...placed.map(({ start, length }) => start + length));
  const after = placed.map((each) => ({ ...each, start: each.start - first }));
  return { placed: after.toSorted((a, b) => a.start - b.start), whole: last - first };
}
