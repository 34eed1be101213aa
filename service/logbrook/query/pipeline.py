"""The SELECT of a query with stages; each stage adds to it (stages.py).

A stage that needs the result of those before it, or its first rows, reads from it as a subquery. Names and values that
a user wrote are bound; only plain names are part of the SQL, as the last aliases. What stages make is c1, c2, ...
"""

import re
from dataclasses import dataclass

from logbrook.query import catalog, counts, events, filters, search, syntax
from logbrook.query.columns import COLUMNS
from logbrook.query.selection import COUNTED, Selection
from logbrook.query.syntax import Field, Node, Place
from logbrook.query.timerange import SECOND

LISTED_CHARACTERS = 1024
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)", re.ASCII)
LEVEL = Field(Place.COLUMN, "SeverityNumber")
_LEVEL_NAME = "multiIf({}, 'none')".format(
    ", ".join(f"SeverityNumber >= {lowest}, '{name}'" for name, lowest in reversed(catalog.LEVELS.items()) if lowest)
)
# What `*` leaves out, and filters read.
_INDEXED = ("Ids", "BodyWords", "BodyNumbers", "LogAttributeTerms", "ResourceAttributeItems")
_ALIASES = ", ".join((*_INDEXED, *(each.sql for each in COLUMNS if each.alias)))
# The bucket of the sorting key first, so that ClickHouse stops reading when it has enough.
_NEWEST_FIRST = f"toStartOfFiveMinutes(Timestamp) DESC, {events.NEWEST_FIRST}"
# What needs no quotes in a copy and is different from our own names.
_PLAIN_NAME = re.compile(r"(?!r\d+$)[A-Za-z_][\w.]*(?:\([\w.]*\))?", re.ASCII)


@dataclass(frozen=True)
class Column:
    """A column of an answer: its name, the field that it shows, and whether that is text, a number, or a time."""

    name: str
    field: Field
    kind: str


@dataclass(frozen=True)
class Aggregate:
    """An aggregate function over a column or, for `count`, over the rows that match `where`; `made` shows it."""

    function: str
    of: Column | None
    where: Node | None
    made: Column


# What to group by, and the column that shows it.
Key = tuple[Column, Column]


class Pipeline:
    """The source of its rows, their filter, their order, and their number."""

    def __init__(self, selection: Selection) -> None:
        self.parameters, self.period, self.step = filters.Parameters(), selection.period, 0
        self.limit: int | None = None
        self._source, self._conditions, self._order = "otel_logs", [self.period.condition()], [_NEWEST_FIRST]
        self._made: dict[str, str] = {}
        # Whether the counts by minute, service, and level can still answer.
        self._counted = self.period.is_bucketed()
        self.where(selection.node)

    def where(self, node: Node) -> None:
        """Only the rows that match."""
        self._nest()
        self._conditions.append(f"({filters.condition(node, self.parameters)})")
        self._counted = self._counted and syntax.columns(node) <= COUNTED

    def extract(self, source: Column, pattern: str, made: dict[int, Column]) -> None:
        """Columns from the groups of a regular expression, by their number; empty where it does not match."""
        groups = f"extractGroups({self._value(source)}, {self.parameters.text(pattern)})"
        self._made |= {column.field.name: f"{groups}[{number:d}]" for number, column in made.items()}

    def sort(self, by: list[tuple[Column, bool]]) -> None:
        """By these columns; True for the largest first."""
        self._nest()
        self._order = [*(self._ordered(*each) for each in by), *self._order]

    def take(self, rows: int) -> None:
        """The first `rows` rows."""
        self.limit = rows if self.limit is None else min(self.limit, rows)

    def in_steps(self, step: int) -> int:
        """Count in whole steps of this many nanoseconds. Returns how many the range has."""
        self.step, self.period = step, self.period.aligned(step)
        return (self.period.end - self.period.start) // step

    def stats(self, aggregates: list[Aggregate], by: list[Key], time: Column | None = None) -> None:
        """Aggregates of the groups of some keys and, with `time`, of each step."""
        self._nest()
        counted = (
            self._counted
            and all(each.function == "count" and each.where is None for each in aggregates)
            and all(key.field in {Field(Place.COLUMN, name) for name in COUNTED} for key, _ in by)
        )
        keys = [(self._value(key), made.field.name) for key, made in by]
        order = [f"{aggregates[0].made.field.name} DESC", *(name for _, name in keys)]
        if time:
            bucket, within = counts.bucket_of(self.period, self.step, counted=counted)
            # Unless the source is a subquery, which has its own range.
            if self._source == "otel_logs":
                self._conditions[0] = within
            start = f"fromUnixTimestamp64Nano({self.period.start:d} + toInt64({bucket}) * {self.step:d})"
            keys, order = [(start, time.field.name), *self._frequent(keys)], [time.field.name, *order]
        elif counted:
            self.period = self.period.aligned(60 * SECOND)
            self._conditions[0] = search.minutes(self.period)
        made = [*keys, *((self._aggregate(each), each.made.field.name) for each in aggregates)]
        grouped = f"GROUP BY {', '.join(name for _, name in keys)}" if keys else ""
        self._source = f"({self._select(', '.join(f'{sql} AS {name}' for sql, name in made), grouped)})"
        self._conditions, self._made, self._order, self._counted = [], {}, order, False

    def statement(self, columns: list[Column]) -> str:
        """The whole SELECT, with these columns."""
        inner = self._select(", ".join(f"{self._value(each)} AS r{at}" for at, each in enumerate(columns)))
        names = [each.name if _PLAIN_NAME.fullmatch(each.name) else f"r{at}" for at, each in enumerate(columns)]
        shown = [f"{_shown(each.kind, f'q.r{at}')} AS `{names[at]}`" for at, each in enumerate(columns)]
        return f"SELECT {', '.join(shown)} FROM ({inner}) AS q"

    def _select(self, columns: str, rest: str | None = None) -> str:
        """The SELECT of some columns; `rest` takes the place of order and limit."""
        made = ", ".join(f"{sql} AS {name}" for name, sql in self._made.items())
        conditions = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        limit = "" if self.limit is None else f" LIMIT {self.limit:d}"
        rest = f"ORDER BY {', '.join(self._order)}{limit}" if rest is None else rest
        return f"{f'WITH {made} ' if made else ''}SELECT {columns} FROM {self._source}{conditions} {rest}"

    def _nest(self) -> None:
        """Continue from a subquery if the rows so far have a limit."""
        if self.limit is None:
            return
        beside = [_ALIASES] if self._source == "otel_logs" else []
        self._source = f"({self._select(', '.join(['*', *beside, *self._made]))})"
        self._conditions, self._made, self.limit, self._counted = [], {}, None, False

    def _frequent(self, keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The keys of a chart, all but the most frequent replaced by one: nobody can tell more lines apart."""
        texts = ", ".join(f"toString({sql})" for sql, _ in keys)
        grouped = f"GROUP BY {texts} ORDER BY count() DESC, {texts} LIMIT {counts.MAX_SERIES:d}"
        # GLOBAL: on a cluster, one server runs the subquery for all.
        frequent = f"({texts}) GLOBAL IN ({self._select(texts, grouped)})" if keys else ""
        return [(f"if({frequent}, toString({sql}), '{counts.OTHER}')", name) for sql, name in keys]

    def _aggregate(self, aggregate: Aggregate) -> str:
        if aggregate.of is None:
            return f"countIf({filters.condition(aggregate.where, self.parameters)})" if aggregate.where else "count()"
        value = self._value(aggregate.of)
        if aggregate.function == "uniq":
            return f"uniq(nullIf({value}, ''))" if aggregate.of.kind == "text" else f"uniq({value})"
        if aggregate.of.kind == "text":
            number = f"toFloat64OrNull({value})"
            value = f"if(isFinite({number}), {number}, NULL)"
        if percentile := PERCENTILE.fullmatch(aggregate.function):
            return f"quantileTDigest({round(float(percentile[1]) / 100, 6)!r})({value})"
        return f"{aggregate.function}({value})"

    def _value(self, column: Column) -> str:
        """SQL for what a column shows; '' for a text that an event does not have."""
        if column.field == LEVEL:
            return _LEVEL_NAME
        named = column.field.place in {Place.COLUMN, Place.MADE}
        return column.field.name if named else filters.value_sql(column.field, self.parameters)

    def _ordered(self, column: Column, descending: bool) -> str:
        direction = "DESC" if descending else "ASC"
        value = LEVEL.name if column.field == LEVEL else self._value(column)
        if column.kind != "text" or column.field == LEVEL:
            return f"{value} {direction} NULLS LAST"
        return f"toFloat64OrNull({value}) {direction} NULLS LAST, {value} {direction}"


def _shown(kind: str, sql: str) -> str:
    """SQL for a value in the form that answers have."""
    if kind == "time":
        return f"concat(replaceOne(toString(toTimeZone(toDateTime64({sql}, 9), 'UTC')), ' ', 'T'), 'Z')"
    return events.beginning(f"toValidUTF8({sql})", LISTED_CHARACTERS) if kind == "text" else sql
