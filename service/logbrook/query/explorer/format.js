// Times, counts and sizes as people read them.

import { state } from "./state.js";

const pad = (number, size = 2) => String(number).padStart(size, "0");

/** The parts of a time in the zone that is shown. */
function parts(date) {
  const utc = state.utc === "1";
  const get = (name) => date[`get${utc ? "UTC" : ""}${name}`]();
  return {
    day: `${get("FullYear")}-${pad(get("Month") + 1)}-${pad(get("Date"))}`,
    clock: `${pad(get("Hours"))}:${pad(get("Minutes"))}:${pad(get("Seconds"))}`,
  };
}

/** A point in time as a row shows it; with its day if asked. */
export function rowTime(timestamp, withDay) {
  const { day, clock } = parts(new Date(timestamp));
  const fraction = (/\.(\d{3})/.exec(timestamp) ?? [0, "000"])[1];
  return `${withDay ? `${day.slice(5)} ` : ""}${clock}.${fraction}`;
}

/** The zone that is shown: UTC, or its distance from it at that time. */
function zone(date) {
  const minutes = state.utc === "1" ? 0 : -date.getTimezoneOffset();
  if (!minutes) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** A point in time in full, with all its digits and the zone. */
export function fullTime(timestamp) {
  const { day, clock } = parts(new Date(timestamp));
  const fraction = (/\.(\d+)/.exec(timestamp) ?? [0, "0"])[1].replace(/0+$/, "") || "0";
  return `${day} ${clock}.${fraction} ${zone(new Date(timestamp))}`;
}

/** A point in time to the minute, or the second. */
export function shortTime(date, seconds = false) {
  const { day, clock } = parts(date);
  return `${day} ${seconds ? clock : clock.slice(0, 5)}`;
}

/** A label of the time axis. */
export function axisTime(date, stepSeconds, long) {
  const { day, clock } = parts(date);
  if (stepSeconds >= 86400) return day.slice(5);
  const time = stepSeconds < 60 ? clock : clock.slice(0, 5);
  return long ? `${day.slice(5)} ${time}` : time;
}

/** A length of time in milliseconds, in a unit that fits. */
export function took(ms) {
  if (ms && ms < 1) return `${Math.round(ms * 1000)} µs`;
  return ms < 1000 ? `${Math.round(ms * 10) / 10} ms` : `${(ms / 1000).toFixed(2)} s`;
}

export const count = (number) => number.toLocaleString("en-US");

/** So many of something. */
export const counted = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

/** A count in few characters: 1.2k, 3.4M. */
export function short(number) {
  for (const [unit, size] of Object.entries({ G: 1e9, M: 1e6, k: 1e3 })) {
    if (number >= size) return `${(number / size).toFixed(number / size < 10 ? 1 : 0)}${unit}`;
  }
  return String(Math.round(number * 100) / 100);
}

/** A size in bytes. */
export function bytes(number) {
  for (const [unit, size] of Object.entries({ TiB: 2 ** 40, GiB: 2 ** 30, MiB: 2 ** 20, KiB: 2 ** 10 })) {
    if (number >= size) return `${(number / size).toFixed(1)} ${unit}`;
  }
  return `${number} B`;
}

const UNITS = { ms: 1, s: 1000, m: 60e3, h: 3600e3, d: 86400e3, w: 604800e3 };

/** A time of the state as a Date, as the API reads it: relative, a number in s, ms, µs, or ns, or RFC 3339, in UTC
 * if it has no zone. What is not a time is now. */
export function moment(given, now = Date.now()) {
  const text = given.trim();
  const relative = /^(?:now)?\s*-?\s*(\d+)\s*(ms|s|m|h|d|w)$/.exec(text);
  if (!text || text === "now") return new Date(now);
  if (relative) return new Date(now - Number(relative[1]) * UNITS[relative[2]]);
  if (/^-?\d+(\.\d+)?$/.test(text)) {
    const unit = [1e11, 1e14, 1e17, Infinity].findIndex((limit) => Math.abs(Number(text)) < limit);
    return new Date(Number(text) * 1000 ** (1 - unit));
  }
  const date = new Date(text.replace(",", ".").replace(/^([\d-]+)[T ]([\d:.]+)$/, "$1T$2Z"));
  return Number.isNaN(Number(date)) ? new Date(now) : date;
}

const NAMES = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };

/** The range in words. */
export function rangeName(from, to) {
  const relative = /^(\d+)(s|m|h|d|w)$/.exec(from);
  if (relative && to === "now") {
    const [, number, unit] = relative;
    return `Last ${number === "1" ? NAMES[unit] : `${number} ${NAMES[unit]}s`}`;
  }
  const [start, end] = [moment(from), moment(to)];
  const seconds = Number(end) - Number(start) < 10 * 60e3;
  const [first, last] = [shortTime(start, seconds), to === "now" ? "now" : shortTime(end, seconds)];
  return first.slice(0, 10) === last.slice(0, 10) ? `${first} – ${last.slice(11)}` : `${first} – ${last}`;
}
