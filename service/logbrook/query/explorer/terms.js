// Words of the query language: made, found in the query, and put into it.

import { state, typedQuery } from "./state.js";

export const LEVELS = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

/** A word of the query language for a value: quoted if it needs to be. */
export function quoted(value) {
  // As it is, it would be an operator, a regular expression, text, or a network.
  return /^[\w./@][\w./@-]*$/.test(value) && !/^(AND|OR|NOT|\/.*\/|\/\/.*|[\d.]+\/\d+)$/.test(value)
    ? value
    : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** The name of a field in the query language; an attribute's key may be of any kind. */
export function fieldWord(field) {
  const [, prefix, key] = /^((?:attr|resource|scope)\.)?(.*)$/s.exec(field);
  return (prefix ?? "") + (/^[\w.@/-]+$/.test(key) ? key : `"${key.replace(/["\\]/g, "\\$&")}"`);
}

/** `field:value` */
export const term = (field, value) => `${fieldWord(field)}:${quoted(value)}`;

/** What a term becomes to leave out what it asks for, and the other way around. */
export const opposite = (part) => (part.startsWith("-") ? part.slice(1) : `-${part}`);

// What has no operators in it: strings, regular expressions, and characters behind a backslash.
const LITERAL = /"(?:[^"\\]|\\.)*"|[:~]\s*\/(?:\\.|[^/\\])+\/(?=[\s)]|$)|\\./gs;
const STAGE = new RegExp(String.raw`${LITERAL.source}|(?<=^|[\s)"])\|(?!\|)`, "gs");

/** A query's filter, and the stages behind it, from the first | that begins a word. */
export function parts(query) {
  for (const found of query.matchAll(STAGE)) {
    if (found[0] === "|") return { filter: query.slice(0, found.index).trim(), stages: query.slice(found.index) };
  }
  return { filter: query, stages: "" };
}

/** A filter, or its beginning, without literals and groups: only a parenthesis or a string that is open is left. */
function outermost(filter) {
  let text = filter.replace(LITERAL, (found) => (found[0] === "\\" ? "_" : " "));
  while (/\([^()]*\)/.test(text)) text = text.replace(/\([^()]*\)/g, " ");
  return text;
}

/** Whether a filter has alternatives outside of all groups. */
const hasOr = (filter) => /(^|\s)(OR|\|\|)(\s|$)/.test(outermost(filter));

/** Where a filter has what fits a pattern as a term that must match, and what is around it. */
function placeOf(filter, pattern) {
  if (hasOr(filter)) return undefined;
  const whole = new RegExp(String.raw`(?<=^|\s)(?<!\bNOT\s+)(?:${pattern})(?=\s|$)`, "g");
  for (const found of filter.matchAll(whole)) {
    const before = filter.slice(0, found.index).trimEnd();
    const after = filter.slice(found.index + found[0].length).trimStart();
    if (!/[("]/.test(outermost(before))) return { found, before, after };
  }
  return undefined;
}

const placeOfTerm = (filter, part) => placeOf(filter, part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));

/** What is left of a filter without what is at a place, and without the AND beside it. */
function without({ before, after }) {
  const rest = before.replace(/\s*(?<!\S)(AND|&&)$/, "");
  return [rest, rest === before ? after.replace(/^(AND|&&)\s+/, "") : after].filter(Boolean).join(" ");
}

/** Whether the query's filter has this term as a whole. */
export const hasTerm = (part) => Boolean(placeOfTerm(parts(state.query).filter, part));

/** The terms of fields that the query's filter leaves out, each with its minus. */
export const excluded = () =>
  (
    parts(state.query).filter.match(
      /(?<=^|\s)-(?:[\w.@/-]+|(?:attr|resource|scope)\."[^"]+"):(?:"(?:[^"\\]|\\.)*"|[^\s()"]+)(?=\s|$)/g,
    ) ?? []
  ).filter(hasTerm);

/** The query as it is typed with one more term that must match too; without it if it has it already. */
export function withTerm(part) {
  const { filter, stages } = parts(typedQuery().trim());
  return [filterWith(filter, part), stages].filter(Boolean).join(" ");
}

function filterWith(query, part) {
  const place = placeOfTerm(query, part);
  if (place) return without(place);
  const against = placeOfTerm(query, opposite(part));
  const rest = against ? without(against) : query;
  return [hasOr(rest) ? `(${rest})` : rest, part].filter(Boolean).join(" ");
}

const VALUE = String.raw`"(?:[^"\\]|\\.)*"|[^\s()"<>=!\[{~][^\s()"]*`;

/** Where a filter asks for values of a field, and for which, as words: `field:a`, `field:(a OR b)`. */
function chosenIn(filter, field) {
  const name = fieldWord(field).replace(/\W/g, "\\$&");
  const place = placeOf(filter, String.raw`${name}:(?:(${VALUE})|\(((?:${VALUE})(?: OR (?:${VALUE}))*)\))`);
  if (!place) return { before: filter, after: "", words: [] };
  const [, one, several] = place.found;
  return { ...place, words: one ? [one] : several.match(new RegExp(VALUE, "g")).filter((word) => word !== "OR") };
}

/** The values of a field that the query's filter asks for, as words. */
export const chosen = (field) => chosenIn(parts(state.query).filter, field).words;

/** Whether the query's filter asks for this value of a field, maybe among others. */
export const hasValue = (field, value) => hasTerm(term(field, value)) || chosen(field).includes(quoted(value));

/** The query's filter without what it asks of a field. */
export function withoutField(field) {
  return without(chosenIn(parts(state.query).filter, field));
}

/** The query as it is typed with one more value of a field that may match instead of those it asks for; without it if
 * it has it already. */
export function withValue(field, value) {
  const { filter, stages } = parts(typedQuery().trim());
  const place = chosenIn(filter, field);
  const { before, after, words } = place;
  if (!words.length) return withTerm(term(field, value));
  const word = quoted(value);
  const rest = words.includes(word) ? words.filter((each) => each !== word) : [...words, word];
  const made = `${fieldWord(field)}:${rest.length > 1 ? `(${rest.join(" OR ")})` : rest}`;
  return [...(rest.length ? [before, made, after] : [without(place)]), stages].filter(Boolean).join(" ");
}

/** Words of the query that a line may show, for marking. */
export function wordsToMark() {
  const words = [];
  // Not the name and the `in` of `name in (…)`, and not the values of other fields.
  const filter = parts(state.query)
    .filter.replace(/\S+\s+in\s*\(/g, "(")
    .replace(/(?<!\b(?:body|message)):\([^()]*\)/g, ":");
  for (const found of filter.matchAll(
    /(^|[\s(])(?:"((?:[^"\\]|\\.)+)"|([^\s():"\\*?<>=-][^\s():"\\*?<>=]*)(?=[\s)]|$))/g,
  )) {
    const word = found[2] ?? found[3];
    if (word && !/^(AND|OR|NOT)$/.test(word)) words.push(word.replace(/\\(.)/g, "$1"));
  }
  return words.sort((a, b) => b.length - a.length).slice(0, 20);
}
