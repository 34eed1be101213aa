// The search box: suggestions while typing, marks where the query is wrong.

import { get } from "./api.js";
import { byId, el, keep, kept, textNodes } from "./dom.js";
import { short } from "./format.js";
import { change, onChange, setTyped, state } from "./state.js";
import { fieldWord, LEVELS, parts, quoted } from "./terms.js";

const EXAMPLES = [
  ["level>=error", "errors and worse"],
  ['"timed out"', "a phrase"],
  ["service:checkout", "one service"],
  ["-healthcheck", "without a word"],
  ["attr.http.response.status_code:>=500", "a number in an attribute"],
  ["user.id:user-3*", "a wildcard"],
  ["trace_id in (level>=error)", "traces with errors"],
  ["level>=error | stats count by service", "counts"],
];
const STAGES = {
  "where ": "only rows that match",
  "extract ": "fields from /(?<name>…)/",
  "stats ": "counts and other figures, by field",
  "timechart ": "the same over time",
  "top ": "the most frequent values",
  "sort ": "-field: the largest first",
  "limit ": "the first rows",
  "fields ": "only these columns",
};
const FUNCTIONS = {
  count: "how many",
  "uniq(": "how many different values",
  "p95(": "a percentile",
  "avg(": "",
  "sum(": "",
  "max(": "",
};
const input = byId("query");
const list = byId("suggestions");
const problem = byId("problem");
let items = [];
// What they were offered for: they are stale as soon as more is typed.
let offeredFor = "";
let chosen = -1;
let fields = null;
let waiting;

/** The query in the box, which can't show line breaks. */
const typed = () => (input.value === state.query.replace(/[\r\n]/g, "") ? state.query : input.value);

/** The token that the caret is in: where it starts, and its field if it has one. */
function token() {
  const before = input.value.slice(0, input.selectionStart);
  const { stages } = parts(before);
  const stage = /\|\s*(\w*)\s[^|]*$/.exec(stages)?.[1];
  const start = (stage ? /[^\s(,]*$/ : /[^\s(|]*$/).exec(before).index;
  const text = before.slice(start);
  const sign = /^[-!]?/.exec(text)[0];
  const body = text.slice(sign.length);
  const found = /^([\w.@/-]+|(?:attr|resource|scope)\."[^"]+")(:?(?:[!<>]?=|[<>])|:)"?(.*)$/.exec(body);
  // Within `field:(a OR b` each word is a value of the field.
  const group = /([\w.@/-]+|(?:attr|resource|scope)\."[^"]+"):\([^()]*$/.exec(before.slice(0, start));
  const [, field, operator, value] =
    !found && group && !/^(OR|AND|NOT)?$/.test(body) ? [body, group[1], "", body] : (found ?? []);
  return { start: start + sign.length, end: input.selectionStart, text: body, field, operator, value, stages, stage };
}

async function suggestions() {
  const { text, field, operator, value, start, end, stages, stage } = token();
  const offered = (all) =>
    Object.entries(all).flatMap(([label, note]) =>
      label.startsWith(text) ? { label, note, text: label, start, end } : [],
    );
  if (stages && !stage) return offered(STAGES);
  const before = operator ? field + operator : "";
  const range = { from: state.from, to: state.to };
  if (!input.value.trim()) return [...recent(), ...EXAMPLES.map(([query, note]) => ({ query, note, whole: true }))];
  if (field === "level" || field === "severity") {
    const fitting = LEVELS.filter((level) => level !== "none" && level.startsWith(value.toLowerCase()));
    return fitting.map((level) => ({ label: level, text: `${before}${level} `, start, end }));
  }
  if (field) {
    const answer = await get(
      "values",
      { field: field.replaceAll('"', ""), contains: value, limit: 12, ...range },
      "suggest",
    ).catch(() => undefined);
    return (answer?.values ?? []).map((each) => ({
      label: each.value,
      note: short(each.count),
      text: `${before}${quoted(each.value)} `,
      start,
      end,
    }));
  }
  if (!text) return [];
  fields ??= (await get("fields", range, "suggest-fields").catch(() => undefined))?.fields ?? null;
  const wanted = text.toLowerCase();
  const rank = (name) =>
    name.startsWith(wanted) ? 0 : name.replace(/^(attr|resource)\./, "").startsWith(wanted) ? 1 : 2;
  const named = stage && stage !== "where";
  const functions = ["stats", "timechart"].includes(stage) ? offered(FUNCTIONS) : [];
  const found = (fields ?? [])
    .filter((each) => each.name.toLowerCase().includes(wanted))
    .sort((a, b) => rank(a.name) - rank(b.name))
    .slice(0, 10)
    .map((each) => ({
      label: each.name,
      note: each.events ? short(each.events) : each.kind,
      text: `${fieldWord(each.name)}${named ? "" : ":"}`,
      start,
      end,
    }));
  return [...functions, ...found];
}

const recent = () =>
  kept("recent")
    .slice(0, 5)
    .map((query) => ({ query, note: "recent", whole: true }));

/** Put a query before the others of this browser. */
function remember(query) {
  if (query.trim()) keep("recent", [query, ...kept("recent").filter((each) => each !== query)].slice(0, 20));
}

async function suggest() {
  const given = input.value;
  const found = await suggestions();
  if (given !== input.value || document.activeElement !== input) return;
  items = found;
  offeredFor = given;
  chosen = -1;
  list.replaceChildren(
    ...items.map((item, index) =>
      el(
        "li",
        {
          id: `suggestion-${index}`,
          role: "option",
          "aria-selected": "false",
          onpointerdown: (event) => {
            event.preventDefault();
            take(index);
          },
        },
        el("span.label", ...textNodes(item.label ?? item.query)),
        el("span.note", item.note ?? ""),
      ),
    ),
  );
  open(items.length > 0);
}

function open(visible) {
  list.hidden = !visible;
  input.setAttribute("aria-expanded", String(visible));
  if (!visible) input.removeAttribute("aria-activedescendant");
}

function choose(index) {
  chosen = (index + items.length) % items.length;
  for (const [position, option] of [...list.children].entries()) {
    option.setAttribute("aria-selected", String(position === chosen));
    if (position === chosen) option.scrollIntoView({ block: "nearest" });
  }
  input.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
}

function take(index) {
  const item = items[index];
  open(false);
  if (item.whole) {
    input.value = item.query;
    submit(item.query);
    return;
  }
  input.value = input.value.slice(0, item.start) + item.text + input.value.slice(item.end).trimStart();
  const caret = item.start + item.text.length;
  input.setSelectionRange(caret, caret);
  edited();
}

function edited() {
  showProblem(null);
  think();
}

function think() {
  byId("clear").hidden = !input.value;
  clearTimeout(waiting);
  waiting = setTimeout(suggest, 120);
}

function submit(query = typed()) {
  open(false);
  clearTimeout(waiting);
  remember(query);
  if (state.query === query) window.dispatchEvent(new Event("logbrook-refresh"));
  else change({ query, event: "" });
}

/** Mark what the API did not understand, and say what it expected. */
export function showProblem(error) {
  problem.hidden = !error;
  input.setAttribute("aria-invalid", String(Boolean(error)));
  byId("marks").replaceChildren();
  if (!error) return;
  const expected = error.expected ? ` Expected: ${error.expected}.` : "";
  problem.replaceChildren(`${error.message[0].toUpperCase()}${error.message.slice(1)}.${expected}`);
  if (error.position === undefined) return;
  const characters = [...input.value];
  const before = characters.slice(0, error.position).join("");
  const rest = characters.slice(error.position).join("");
  const marked = /^\S+/.exec(rest)?.[0] ?? " ";
  byId("marks").replaceChildren(before, el("span.wrong", marked === " " ? "\u00a0\u00a0" : marked));
  byId("marks").scrollLeft = input.scrollLeft;
}

input.addEventListener("input", edited);
input.addEventListener("focus", think);
input.addEventListener("scroll", () => {
  byId("marks").scrollLeft = input.scrollLeft;
});
input.addEventListener("blur", () => open(false));
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && !list.hidden) {
    event.preventDefault();
    choose(chosen + 1);
  } else if (event.key === "ArrowUp" && !list.hidden) {
    event.preventDefault();
    choose(chosen < 0 ? items.length - 1 : chosen - 1);
  } else if (
    (event.key === "Tab" || event.key === "Enter") &&
    !list.hidden &&
    offeredFor === input.value &&
    (chosen >= 0 || (event.key === "Tab" && items.length && !items[0].whole))
  ) {
    event.preventDefault();
    take(Math.max(chosen, 0));
  } else if (event.key === "Escape") {
    if (list.hidden) input.blur();
    open(false);
    event.stopPropagation();
  }
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("clear").addEventListener("click", () => {
  input.value = "";
  submit();
  input.focus();
});
setTyped(typed);
onChange((changed) => {
  if (changed.has("query") && typed() !== state.query) input.value = state.query;
  if (changed.has("from") || changed.has("to")) fields = null;
  byId("clear").hidden = !input.value;
});
input.value = state.query;
byId("clear").hidden = !input.value;
