"""A query with stages as one SELECT, and its answer.

Each stage adds to a SELECT; one that needs what the SELECT before it makes of the rows, all of them or a first few,
reads from that as a subquery. ClickHouse reads no column that nothing behind needs.
"""

import re
from collections.abc import Iterable
from typing import Any

from logbrook.query import catalog, counts, events, filters, hints, search, stages, syntax, timerange
from logbrook.query.answers import QueryAnswer, QueryColumn
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.meaning import QuerySyntaxError
from logbrook.query.selection import COUNTED, Selection
from logbrook.query.stages import Aggregate, Column, Extract, Limit, Sort, Stage, Stats, Where
from logbrook.query.syntax import Field, Node, Place
from logbrook.query.timerange import SECOND

# Without `limit`, of a query that lists events.
_LISTED_EVENTS = 1000
_LISTED_CHARACTERS = 1024
_STEPS = 60
# What `*` leaves out, and filters read.
_ALIASES = "Ids, BodyWords, BodyNumbers, LogAttributeTerms, ResourceAttributeItems"
# The bucket of the sorting key first, so that ClickHouse stops reading when it has enough.
_NEWEST_FIRST = f"toStartOfFiveMinutes(Timestamp) DESC, {events.NEWEST_FIRST}"
_LEVEL = "multiIf({}, 'none')".format(
    ", ".join(f"SeverityNumber >= {lowest}, '{name}'" for name, lowest in reversed(catalog.LEVELS.items()) if lowest)
)
_PLAIN_NAME = re.compile(r"(?!r\d+$)[A-Za-z_][\w.]*(?:\([\w.]*\))?", re.ASCII)


async def answer(engine: Engine, selection: Selection, text: str, limit: int) -> QueryAnswer:
    """What the stages of a query make of the events of its selection, in at most `limit` rows."""
    query, spent = stages.parse(text), Spent()
    select = _Select(selection, query)
    most = min(limit, engine.query.max_result_rows)
    if query.lists_events() and not any(isinstance(each, Limit) for each in query.stages):
        most = min(most, _LISTED_EVENTS)
    sql, parameters = select.final(query.columns, most + 1), select.parameters
    # As many bytes as an answer to SQL: no other request is answered while this one is assembled.
    statement = Statement(sql, parameters.values, most_bytes=engine.query.max_sql_result_bytes)
    found = await engine.rows(statement, spent)
    rows = found[:most]
    notes = hints.of_query(query.text, query.node) + _cuts(
        rows, most, truncated=len(found) > most, charted=select.step > 0
    )
    unfilled = [all(value in (None, "", 0) for value in column) for column in zip(*rows, strict=True)]
    if not rows or any(unfilled):
        notes += await hints.of_fields(engine, selection, _fields(query.stages, query.columns), spent)
    if all(unfilled):
        notes += await hints.of_nothing(engine, selection, spent)
    return QueryAnswer(
        columns=[QueryColumn(name=each.name, kind=each.kind) for each in query.columns],
        rows=rows,
        truncated=len(found) > most,
        step_seconds=select.step / SECOND if select.step else None,
        hints=list(dict.fromkeys(notes)),
        from_=timerange.rfc3339(select.period.start),
        to=timerange.rfc3339(select.period.end),
        sql=parameters.inlined(sql),
        cost=await engine.cost(spent),
    )


def _cuts(rows: list[list[Any]], most: int, *, truncated: bool, charted: bool) -> list[str]:
    """What is not in an answer."""
    texts = [value for row in rows for value in row if isinstance(value, str)]
    notes = {
        f"Only the first {most:,} rows are here: filter, or group by less.": truncated,
        f"Texts are cut at {_LISTED_CHARACTERS:,} characters.": any(len(each) == _LISTED_CHARACTERS for each in texts),
        f"`{counts.OTHER}` is all but the {counts.MAX_SERIES} most frequent.": charted and counts.OTHER in texts,
    }
    return [note for note, is_so in notes.items() if is_so]


def _fields(of: Iterable[Stage], columns: Iterable[Column]) -> set[Field]:
    """The fields that stages name."""
    found = {each.field for each in columns}
    for stage in of:
        match stage:
            case Extract(source=source):
                found.add(source.field)
            case Stats(figures=figures, by=by):
                found |= {each.of.field for each in figures if each.of} | {key.field for key, _ in by}
            case Sort(by=order):
                found |= {column.field for column, _ in order}
    return found


def _is_counted(selection: Selection, of: tuple[Stage, ...]) -> bool:
    """Whether the counts by minute, service, and level have the answer: the stages count nothing else."""
    lowest, highest = timerange.BUCKET_RANGE
    nodes: list[Node] = [selection.node]
    for stage in of:
        match stage:
            case Where(node=node):
                nodes.append(node)
            case Stats(figures=figures, by=by):
                return (
                    all(each.function == "count" and each.where is None for each in figures)
                    and all(key.field in (Field(Place.COLUMN, name) for name in COUNTED) for key, _ in by)
                    and all(syntax.columns(node) <= COUNTED for node in nodes)
                    and lowest <= selection.period.start
                    and selection.period.end <= highest
                )
            case _:
                return False
    return False


class _Select:
    """The SELECT of the stages so far: where its rows come from, which ones count, in which order, how many."""

    def __init__(self, selection: Selection, query: stages.Query) -> None:
        """Raises QuerySyntaxError if a timechart has too many steps."""
        self.parameters = filters.Parameters()
        chart = next((each for each in query.stages if isinstance(each, Stats) and each.time), None)
        self.period, self.step, self._bucket = selection.period, 0, ""
        counted = _is_counted(selection, query.stages)
        if chart:
            self.step = chart.step or counts.round_step(self.period, _STEPS)
            self.period = self.period.aligned(self.step)
            self._check_steps(chart)
            self._bucket, where = counts.bucket_of(selection, self.period, self.step, counted=counted)
        elif counted:
            self.period = self.period.aligned(60 * SECOND)
            where = search.minutes(self.period)
        else:
            where = self.period.condition()
        self._source, self._conditions, self._order = "otel_logs", [where], [_NEWEST_FIRST]
        self._made: dict[str, str] = {}
        self._limit: int | None = None
        self._add(Where(selection.node))
        for stage in query.stages:
            self._add(stage)

    def _check_steps(self, chart: Stats) -> None:
        steps = (self.period.end - self.period.start) // self.step
        if steps > counts.MAX_BUCKETS:
            shortest = counts.round_step(self.period, counts.MAX_BUCKETS) / SECOND
            expected = f"at most {counts.MAX_BUCKETS}: a step of {shortest:g}s or more, or a shorter range"
            raise QuerySyntaxError(chart.at, f"the range has {steps:,} such steps", expected)

    def final(self, columns: tuple[Column, ...], rows: int) -> str:
        """The whole statement, with at most so many rows."""
        self._limit = rows if self._limit is None else min(self._limit, rows)
        inner = self._select(", ".join(f"{self._value(each)} AS r{number}" for number, each in enumerate(columns)))
        # Other names would need quotes; the answer has them beside the rows.
        names = [each.name if _PLAIN_NAME.fullmatch(each.name) else f"r{at}" for at, each in enumerate(columns)]
        shown = [f"{_shown(each.kind, f'q.r{at}')} AS `{names[at]}`" for at, each in enumerate(columns)]
        return f"SELECT {', '.join(shown)} FROM ({inner}) AS q"

    def _select(self, columns: str, rest: str | None = None) -> str:
        """The SELECT of some columns; `rest` takes the place of order and limit."""
        made = ", ".join(f"{sql} AS {name}" for name, sql in self._made.items())
        before = f"WITH {made} " if made else ""
        conditions = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        limit = "" if self._limit is None else f" LIMIT {self._limit:d}"
        behind = f"ORDER BY {', '.join(self._order)}{limit}" if rest is None else rest
        return f"{before}SELECT {columns} FROM {self._source}{conditions} {behind}"

    def _nest(self) -> None:
        """Go on from the rows as they are, if there is a limit to how many."""
        if self._limit is None:
            return
        beside = [_ALIASES] if self._source == "otel_logs" else []
        self._source = f"({self._select(', '.join(['*', *beside, *self._made]))})"
        self._conditions, self._made, self._limit = [], {}, None

    def _add(self, stage: Stage) -> None:
        match stage:
            case Where(node=node):
                self._nest()
                self._conditions.append(f"({filters.condition(node, self.parameters)})")
            case Extract(source=source, pattern=pattern, made=made):
                groups = f"extractGroups({self._value(source)}, {self.parameters.text(pattern)})"
                self._made |= {column.field.name: f"{groups}[{number:d}]" for number, column in made.items()}
            case Stats():
                self._nest()
                self._stats(stage)
            case Sort(by=by):
                self._nest()
                self._order = [*(self._ordered(*each) for each in by), *self._order]
            case Limit(rows=rows):
                self._limit = rows if self._limit is None else min(self._limit, rows)

    def _stats(self, stage: Stats) -> None:
        keys = [(self._value(key), made.field.name) for key, made in stage.by]
        order = [f"{stage.figures[0].made.field.name} DESC", *(name for _, name in keys)]
        if stage.time:
            time, keys = stage.time.field.name, self._frequent(keys)
            start = f"fromUnixTimestamp64Nano({self.period.start:d} + toInt64({self._bucket}) * {self.step:d})"
            keys, order = [(start, time), *keys], [time, *order]
        figures = [(self._figure(each), each.made.field.name) for each in stage.figures]
        columns = ", ".join(f"{sql} AS {name}" for sql, name in [*keys, *figures])
        rest = f"GROUP BY {', '.join(name for _, name in keys)}" if keys else ""
        self._source = f"({self._select(columns, rest)})"
        self._conditions, self._made, self._order = [], {}, order

    def _frequent(self, keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The keys of a chart, with all but the most frequent thrown together: nobody can tell more lines apart."""
        if not keys:
            return []
        all_keys = ", ".join(f"toString({sql})" for sql, _ in keys)
        grouped = f"GROUP BY {all_keys} ORDER BY count() DESC, {all_keys} LIMIT {counts.MAX_SERIES:d}"
        frequent = f"({all_keys}) GLOBAL IN ({self._select(all_keys, grouped)})"
        return [(f"if({frequent}, toString({sql}), '{counts.OTHER}')", name) for sql, name in keys]

    def _figure(self, figure: Aggregate) -> str:
        if figure.of is None:
            return f"countIf({filters.condition(figure.where, self.parameters)})" if figure.where else "count()"
        if figure.function == "uniq":
            value = self._value(figure.of)
            return f"uniq(nullIf({value}, ''))" if figure.of.kind == "text" else f"uniq({value})"
        if percentile := stages.PERCENTILE.fullmatch(figure.function):
            return f"quantileTDigest({round(float(percentile[1]) / 100, 6)!r})({self._number(figure.of)})"
        return f"{figure.function}({self._number(figure.of)})"

    def _value(self, column: Column) -> str:
        """SQL for what a column shows; a text is '' if it is not there."""
        if column.field == Field(Place.COLUMN, "SeverityNumber"):
            return _LEVEL
        if column.field.place in {Place.COLUMN, Place.MADE}:
            return column.field.name
        return counts.value_sql(column.field, self.parameters)

    def _number(self, column: Column) -> str:
        """SQL for a column's number; NULL if it is none."""
        value = self._value(column)
        if column.kind != "text":
            return value
        number = f"toFloat64OrNull({value})"
        return f"if(isFinite({number}), {number}, NULL)"

    def _ordered(self, column: Column, falling: bool) -> str:
        direction = "DESC" if falling else "ASC"
        value = "SeverityNumber" if column.field == Field(Place.COLUMN, "SeverityNumber") else self._value(column)
        if column.kind != "text" or value == "SeverityNumber":
            return f"{value} {direction} NULLS LAST"
        # As numbers where they are, and behind them as text.
        return f"toFloat64OrNull({value}) {direction} NULLS LAST, {value} {direction}"


def _shown(kind: str, sql: str) -> str:
    """SQL for a value as an answer has it."""
    if kind == "time":
        return f"concat(replaceOne(toString(toTimeZone(toDateTime64({sql}, 9), 'UTC')), ' ', 'T'), 'Z')"
    return events.beginning(f"toValidUTF8({sql})", _LISTED_CHARACTERS) if kind == "text" else sql
