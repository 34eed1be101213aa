// Words of the query language: made, found in the query, and put into it.

import { state, typedQuery } from "./state.js";

export const LEVELS = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

/** A word of the query language for a value: quoted if it needs to be. */
export function quoted(value) {
  return /^[\w./@][\w./@-]*$/.test(value) && !/^(AND|OR|NOT)$/.test(value)
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

/** A query's filter, and the stages behind it, from the first | that begins a word. */
export function parts(query) {
  const lexemes = /"(?:[^"\\]|\\.)*"|[:~]\s*\/(?:\\.|[^/\\])+\/(?=[\s)]|$)|\\.|(?<=^|[\s)"])\|(?!\|)/gs;
  for (const found of query.matchAll(lexemes)) {
    if (found[0] === "|") return { filter: query.slice(0, found.index).trim(), stages: query.slice(found.index) };
  }
  return { filter: query, stages: "" };
}

/** A term with the blanks around it; not beside an operator, which would be left alone without it. */
const alone = (part) =>
  new RegExp(
    String.raw`(?<!\s(?:AND|OR|NOT|&&|\|\|))\s${part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}\s(?!(?:AND|OR|&&|\|\|)\s)`,
  );

const without = (filter, part) => ` ${filter} `.replace(alone(part), " ").trim();

/** Whether the query's filter has this term as a whole. */
export const hasTerm = (part) => alone(part).test(` ${parts(state.query).filter} `);

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
  const less = without(query, part);
  if (less !== query) return less;
  const rest = without(query, part.startsWith("-") ? part.slice(1) : `-${part}`);
  if (!rest) return part;
  return /\s(OR|\|\|)\s/.test(rest) && !/^\(.*\)$/.test(rest) ? `(${rest}) ${part}` : `${rest} ${part}`;
}

const VALUE = String.raw`"(?:[^"\\]|\\.)*"|[^\s()"<>=!\[{~][^\s()"]*`;

/** Where a filter asks for values of a field, and for which, as words: `field:a`, `field:(a OR b)`. Only where all of
 * the filter's terms must match. */
function chosenIn(filter, field) {
  const nowhere = { before: filter, after: "", words: [] };
  if (/\s(OR|\|\|)\s/.test(filter.replace(/"(?:[^"\\]|\\.)*"|\([^()]*\)/g, ""))) return nowhere;
  const name = fieldWord(field).replace(/\W/g, "\\$&");
  const values = String.raw`(${VALUE})|\(((?:${VALUE})(?: OR (?:${VALUE}))*)\)`;
  const found = new RegExp(String.raw`(?<=^|\s)(?<!\bNOT\s+)${name}:(?:${values})(?=\s|$)`).exec(filter);
  if (!found) return nowhere;
  return {
    before: filter.slice(0, found.index).trimEnd(),
    after: filter.slice(found.index + found[0].length).trimStart(),
    words: found[1] ? [found[1]] : found[2].match(new RegExp(VALUE, "g")).filter((word) => word !== "OR"),
  };
}

/** The values of a field that the query's filter asks for, as words. */
export const chosen = (field) => chosenIn(parts(state.query).filter, field).words;

/** Whether the query's filter asks for this value of a field, maybe among others. */
export const hasValue = (field, value) => hasTerm(term(field, value)) || chosen(field).includes(quoted(value));

/** The query's filter without what it asks of a field. */
export function withoutField(field) {
  const { before, after } = chosenIn(parts(state.query).filter, field);
  return [before, after].filter(Boolean).join(" ");
}

/** The query as it is typed with one more value of a field that may match instead of those it asks for; without it if
 * it has it already. */
export function withValue(field, value) {
  const { filter, stages } = parts(typedQuery().trim());
  const { before, after, words } = chosenIn(filter, field);
  if (!words.length) return withTerm(term(field, value));
  const word = quoted(value);
  const rest = words.includes(word) ? words.filter((each) => each !== word) : [...words, word];
  const made = rest.length && `${fieldWord(field)}:${rest.length > 1 ? `(${rest.join(" OR ")})` : rest}`;
  return [before, made, after, stages].filter(Boolean).join(" ");
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
