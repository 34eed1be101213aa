// Words of the query language: made, found in the query, and put into it.

import { state, typedQuery } from "./state.js";

export const LEVELS = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

/** A word of the query language for a value: quoted if it needs to be. */
export function quoted(value) {
  return /^[\w./@][\w./@-]*$/.test(value) && !/^(AND|OR|NOT)$/.test(value)
    ? value
    : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** `field:value`; an attribute's key may be of any kind. */
export function term(field, value) {
  const [, prefix, key] = /^(attr|resource|scope)\.(.*)$/s.exec(field) ?? [null, null, null];
  if (key && !/^[\w.@/-]+$/.test(key)) return `${prefix}."${key.replace(/["\\]/g, "\\$&")}":${quoted(value)}`;
  return `${field}:${quoted(value)}`;
}

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

/** Words of the query that a line may show, for marking. */
export function wordsToMark() {
  const words = [];
  // Not the name and the `in` of `name in (…)`.
  const filter = parts(state.query).filter.replace(/\S+\s+in\s*\(/g, "(");
  for (const found of filter.matchAll(
    /(^|[\s(])(?:"((?:[^"\\]|\\.)+)"|([^\s():"\\*?<>=-][^\s():"\\*?<>=]*)(?=[\s)]|$))/g,
  )) {
    const word = found[2] ?? found[3];
    if (word && !/^(AND|OR|NOT)$/.test(word)) words.push(word.replace(/\\(.)/g, "$1"));
  }
  return words.sort((a, b) => b.length - a.length).slice(0, 20);
}
