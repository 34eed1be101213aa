"""One rule over one window: what it counts, where its condition holds, and the lines that show it."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from logbrook.alert.rules import Rule
from logbrook.query import catalog, events, filters, language, patterns, timerange
from logbrook.query.columns import Event
from logbrook.query.engine import Engine, Statement
from logbrook.query.timerange import TimeRange

_COMPARE = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_DAY = 86400 * timerange.SECOND
# More alerts of one rule at a time than anybody reads; those with the most events come first.
MOST_GROUPS = 100
MOST_PATTERNS = 1000
LINES = 3
_LINE_CHARACTERS = 500

Group = tuple[str, ...]
"""The values of a rule's `group_by`; for a new pattern the pattern behind them."""


@dataclass(frozen=True)
class Found:
    """One group in one window."""

    group: Group
    value: float
    """What the condition is about."""
    events: int
    """Those that match the query."""
    holds: bool


def window(rule: Rule, at: int, length: int = 0) -> TimeRange:
    """The window that ends at `at`."""
    return TimeRange(at - (length or rule.window), at)


async def evaluate(engine: Engine, rule: Rule, at: int, length: int = 0) -> list[Found]:
    """What the window that ends at `at` holds, by group: those with the most, or the least, as the condition asks.

    Without `group_by` there is one group, even if nothing matches. Raises LogbrookError.
    """
    kind, parameters = rule.condition.kind, filters.Parameters()
    within, value, count = _within(rule, window(rule, at, length)), "events", "count()"
    if kind == "change":
        # A day without any counts as one event, so that the quotient is a number.
        before = _within(rule, window(rule, at - _DAY))
        count, value = f"countIf({within})", f"events / greatest(countIf({before}), 1)"
        within = f"(({within}) OR ({before}))"
    matching = where = filters.condition(language.parse(rule.query, within), parameters)
    if kind == "rate":
        value = f"events / {rule.window / timerange.SECOND!r}"
    elif kind == "distinct":
        assert rule.condition.field is not None
        text = filters.value_sql(rule.condition.field, parameters)
        value = f"uniqExactIf({text}, {text} != '')"
    elif kind == "ratio":
        where = filters.condition(language.parse(rule.condition.of, within), parameters)
        count, value = f"countIf({matching})", "events / count()"
    groups = [_group_sql(name, parameters) for name in rule.groups.values()]
    limit = MOST_GROUPS
    if kind == "new pattern":
        groups.append(patterns.pattern_sql(parameters))
        limit = MOST_PATTERNS
    names = ", ".join(f"{sql} AS g{index}" for index, sql in enumerate(groups))
    grouping = f"GROUP BY {', '.join(f'g{index}' for index in range(len(groups)))}" if groups else ""
    comparison, threshold = rule.condition.comparison, rule.condition.threshold
    order = f"ORDER BY value {'ASC' if '<' in comparison else 'DESC'}, events DESC LIMIT {limit:d}"
    sql = (
        f"SELECT {f'{names}, ' if names else ''}{count} AS events, toFloat64({value}) AS value FROM otel_logs"
        f" WHERE {within} AND ({where}) {grouping} {order}"
    )
    rows = await engine.rows(Statement(sql, parameters.values))
    found = []
    for *group, matches, number in rows:
        # Of no events, a quotient is not a number.
        amount = 0.0 if number is None else float(number)
        holds = matches == 0 if kind == "absent" else kind == "new pattern" or _COMPARE[comparison](amount, threshold)
        found.append(Found(tuple(str(each) for each in group), amount, int(matches), holds))
    return found


def _within(rule: Rule, period: TimeRange) -> str:
    if not rule.by_arrival:
        return period.condition()
    return (
        f"IngestedAt >= fromUnixTimestamp64Milli({period.start // 10**6:d})"
        f" AND IngestedAt < fromUnixTimestamp64Milli({period.end // 10**6:d})"
    )


def _group_sql(name: str, parameters: filters.Parameters) -> str:
    if not catalog.is_level(name):
        return filters.value_sql(catalog.field(name), parameters)
    levels = sorted(catalog.LEVELS.items(), key=lambda each: -each[1])
    return "multiIf(" + ", ".join(f"SeverityNumber >= {lowest}, '{level}'" for level, lowest in levels) + ", '')"


def query_of(rule: Rule, group: Group) -> str:
    """The rule's query for one group, in the query language."""
    terms = [f"({rule.query})"] if rule.query.strip() else []
    for name, value in zip(rule.groups.values(), group, strict=False):
        if value:
            terms.append(f"{name}:{_quoted(value)}")
    if len(group) > len(rule.groups):
        # The fixed parts of a pattern, as far as they are words.
        terms += [_quoted(part.strip()) for part in group[-1].split(patterns.MARK) if part.strip()]
    return " ".join(terms)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def lines(engine: Engine, rule: Rule, at: int, group: Group) -> list[Event]:
    """The newest matching events of a group's window, at most three. Raises LogbrookError."""
    parameters = filters.Parameters()
    within = _within(rule, window(rule, at))
    condition = filters.condition(language.parse(query_of(rule, group), within), parameters)
    sql = (
        f"SELECT {events.columns(_LINE_CHARACTERS)} FROM otel_logs WHERE {within} AND ({condition})"
        f" ORDER BY {events.NEWEST_FIRST} LIMIT {LINES:d}"
    )
    return [events.from_row(row) for row in await engine.rows(Statement(sql, parameters.values))]


def link(rule: Rule, at: int, group: Group, lines: Sequence[Event], explorer_url: str) -> str:
    """The explorer with these events. What arrived in a window happened at some other time: that of the lines."""
    period = window(rule, at)
    if rule.by_arrival and lines:
        times = [timerange.parse(each.timestamp, 0, "timestamp") for each in lines]
        period = TimeRange(min(times), max(times) + timerange.SECOND)
    state = {
        "query": query_of(rule, group),
        "from": timerange.rfc3339(period.start)[:23] + "Z",
        "to": timerange.rfc3339(period.end)[:23] + "Z",
    }
    return f"{explorer_url.rstrip('/')}/?{urlencode({name: text for name, text in state.items() if text})}"
