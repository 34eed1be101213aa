"""Counting in the language: what stands behind the filter of a query, stage after stage, each behind a `|`.

    level>=error | stats count, p95(duration_ms), uniq(user.id) by service
    service:cart | timechart 5m count(level>=error) as errors by http.route
    "took" | extract /took (?<ms>\\d+) ms/ | where ms>250 | top 20 http.route

docs/query.md has the grammar. Behind `stats`, `timechart`, `top`, and `fields` there are only their columns.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

from logbrook.query import catalog, columns, timerange
from logbrook.query.language import NAME, REGEX, Parser, name_of
from logbrook.query.meaning import QuerySyntaxError, matches
from logbrook.query.syntax import Field, Node, Place

STAGES = ("where", "extract", "stats", "timechart", "top", "sort", "limit", "fields")
MAX_STAGES = 20
# More are nobody's table, and each costs ClickHouse an expression in every stage behind it.
MAX_COLUMNS = 20
TOP = 10
OF_NUMBERS = ("sum", "avg", "min", "max")
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)", re.ASCII)
_CALL = re.compile(r"(\w+(?:\.\d+)?)(?![\w.])", re.ASCII)
_FIGURE = re.compile(r"\w[\w.]*\([^()|]*\)")
_WORD = re.compile(r"\w+")
_WHOLE = re.compile(r"\d{1,9}(?![\w.])", re.ASCII)
_STEP = re.compile(rf"(\d{{1,6}})({'|'.join(timerange.UNITS)})(?!\w)", re.ASCII)
# What has brackets that are signs, and the brackets that open groups: by name, or (second) not to be kept.
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\((?:\?P?<(\w+)>|(\?))?", re.DOTALL)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Column:
    """A column of an answer: its name, the field that it shows, and whether that is text, a number, or a time."""

    name: str
    field: Field
    kind: str


@dataclass(frozen=True)
class Where:
    """Only the rows that match."""

    node: Node


@dataclass(frozen=True)
class Extract:
    """Columns from the groups of a regular expression, by their number; empty where it does not match."""

    source: Column
    pattern: str
    made: dict[int, Column]


@dataclass(frozen=True)
class Aggregate:
    """A figure of a group: of a column, or, for `count`, of the rows that match."""

    function: str
    of: Column | None
    where: Node | None
    made: Column


@dataclass(frozen=True)
class Stats:
    """Figures of groups, in each a key and the column made of it; with `step` in nanoseconds (0: a round one) of steps
    of time, which `time` shows. `at` is where the step is written."""

    figures: tuple[Aggregate, ...]
    by: tuple[tuple[Column, Column], ...]
    time: Column | None = None
    step: int = 0
    at: int = 0


@dataclass(frozen=True)
class Sort:
    """By these columns; True for the largest first."""

    by: tuple[tuple[Column, bool], ...]


@dataclass(frozen=True)
class Limit:
    """The first so many rows."""

    rows: int


Stage = Where | Extract | Stats | Sort | Limit


@dataclass(frozen=True)
class Query:
    """A filter with its text, its stages, and the columns of the answer."""

    text: str
    node: Node
    stages: tuple[Stage, ...]
    columns: tuple[Column, ...]

    def lists_events(self) -> bool:
        """Whether its rows are events, and not groups of them."""
        return not any(isinstance(each, Stats) for each in self.stages)


# What answers call it, where queries have no name for it.
_EVENT = {
    each.name: Column(each.name, Field(Place.COLUMN, each.sql, each.kind == "number"), each.kind)
    for each in columns.COLUMNS
    if not each.typed and each.kind != "map"
}


@dataclass
class _Scope:
    """The names that a filter can use: what the stages before it made, and else the events' fields."""

    columns: dict[str, Column] = field(default_factory=dict)
    of_events: bool = True

    def _made(self, name: str) -> bool:
        return name in self.columns and self.columns[name].field.place is Place.MADE

    def fields(self, name: str) -> tuple[Field, ...]:
        return (self.columns[name].field,) if self._made(name) else catalog.fields(name)

    def is_body(self, name: str) -> bool:
        return not self._made(name) and catalog.is_body(name)

    def is_level(self, name: str) -> bool:
        return not self._made(name) and catalog.is_level(name)

    def is_level_key(self, name: str, value: str = "") -> bool:
        return not self._made(name) and catalog.is_level_key(name, value)

    def is_known(self, name: str) -> bool:
        return self._made(name) or catalog.is_known(name)


def parse(text: str) -> Query:
    """A filter and its stages. Raises QuerySyntaxError."""
    return _Parser(text).query()


class _Parser(Parser):
    """The filter's parser, which a stage moves on; `scope` is what names mean behind the stages so far."""

    def __init__(self, text: str) -> None:
        self.scope, self.made = _Scope(), 0
        super().__init__(text, self.scope)

    def query(self) -> Query:
        node, stages = self.filter(), list[Stage]()
        text = self.text[: self.at]
        while self.at < len(self.text):
            if len(stages) >= MAX_STAGES:
                raise QuerySyntaxError(self.at, f"there are more than {MAX_STAGES} stages", "fewer stages")
            self.at += 1
            self._blanks()
            stages += self._stage()
            self._blanks()
            if not self._ends():
                self._fail(f"there is {self.text[self.at]} here", "a comma, | and the next stage, or the end")
        if self.scope.of_events:
            names = dict.fromkeys(("timestamp", "level", "service", *self.scope.columns, "body"))
            return Query(text, node, tuple(stages), tuple(self._column(name, 0) for name in names))
        return Query(text, node, tuple(stages), tuple(self.scope.columns.values()))

    def need(self, name: str, start: int) -> None:
        if not self.scope.of_events and name not in self.scope.columns:
            self._unknown(name, start)
        if name in self.scope.columns and self.scope.columns[name].kind == "time":
            raise QuerySyntaxError(start, f"{name} is a time", "a range of time beside the query instead")

    def _unknown(self, name: str, start: int) -> NoReturn:
        near = difflib.get_close_matches(name, self.scope.columns, 1)
        hint = f"{near[0]}? " if near else ""
        there = ", ".join(each if NAME.fullmatch(each) else f'"{each}"' for each in self.scope.columns)
        raise QuerySyntaxError(start, f"there is no {name} behind the stage before", f"{hint}One of {there}")

    def _fail(self, message: str, expected: str) -> NoReturn:
        raise QuerySyntaxError(self.at, message, expected)

    def _skip(self, word: str) -> bool:
        """Move past a word or a sign, and the blanks behind it, if it is here."""
        found = re.compile(rf"{word}(?!\w)" if word.isalpha() else re.escape(word)).match(self.text, self.at)
        if found:
            self.at = found.end()
            self._blanks()
        return found is not None

    def _list(self, one: Callable[[], Item]) -> list[Item]:
        items = [one()]
        self._blanks()
        while self._skip(","):
            items.append(one())
            self._blanks()
        return items

    def _number(self) -> int | None:
        """The whole number that is here, if there is one."""
        found = _WHOLE.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        self._blanks()
        return int(found[0])

    def _name(self) -> str:
        """A name: of a field, or as `stats` writes it for a figure."""
        start = self.at
        if (found := _FIGURE.match(self.text, start)) and found[0] in self.scope.columns:
            self.at = found.end()
            return found[0]
        if not (found := NAME.match(self.text, start)):
            self._fail("there is no name here", "the name of a field")
        self.at = found.end()
        return name_of(found)

    def _named(self) -> Column:
        start = self.at
        return self._column(self._name(), start)

    def _column(self, name: str, start: int) -> Column:
        if name in self.scope.columns:
            return self.scope.columns[name]
        if not self.scope.of_events:
            self._unknown(name, start)
        if catalog.is_level(name):
            return Column(name, Field(Place.COLUMN, "SeverityNumber"), "text")
        if (found := _EVENT.get("body" if catalog.is_body(name) else name)) is not None:
            return replace(found, name=name)
        named = catalog.field(name)
        return Column(name, named, "number" if named.numeric else "text")

    def _make(self, name: str, kind: str) -> Column:
        self.made += 1
        return Column(name, Field(Place.MADE, f"c{self.made}", kind == "number"), kind)

    def _have(self, made: Iterable[Column], start: int, *, only: bool = True) -> None:
        """From here on there are these columns: only these, or beside those of before."""
        there = {} if only else dict(self.scope.columns)
        for each in made:
            if only and each.name in there:
                raise QuerySyntaxError(start, f"there are two columns {each.name}", "another name by `as`")
            there[each.name] = each
        if len(there) > MAX_COLUMNS:
            raise QuerySyntaxError(start, f"there are more than {MAX_COLUMNS} columns", "fewer columns")
        self.scope.columns, self.scope.of_events = there, self.scope.of_events and not only

    def _stage(self) -> list[Stage]:
        start, found = self.at, _WORD.match(self.text, self.at)
        name = found[0] if found else ""
        if name not in STAGES:
            near = difflib.get_close_matches(name, STAGES, 1)
            expected = f"{f'{near[0]}? ' if near else ''}One of {', '.join(STAGES)}; as text, | in quotes"
            raise QuerySyntaxError(start, f"{name} is not a stage" if name else "there is no stage", expected)
        self.at += len(name)
        self._blanks()
        return {
            "where": self._where, "extract": self._extract, "stats": self._stats, "timechart": self._timechart,
            "top": self._top, "sort": self._sort, "limit": self._limit, "fields": self._fields,
        }[name]()  # fmt: skip

    def _where(self) -> list[Stage]:
        if self._ends():
            self._fail("where has no filter", "a filter such as count>10")
        return [Where(self.filter())]

    def _extract(self) -> list[Stage]:
        at = self.at
        source = self._column("body", at) if self.text.startswith("/", at) else self._named()
        self._blanks()
        start, found = self.at, REGEX.match(self.text, self.at)
        if found is None:
            self._fail("there is no pattern", r"a regular expression such as /took (?<ms>\d+) ms/")
        if source.kind != "text" or source.field.name == "SeverityNumber":
            raise QuerySyntaxError(at, f"{source.name} is no text", "a field that is text, or none for the body")
        self.at, pattern = found.end(), found[1].replace("\\/", "/")
        matches(catalog, "body", pattern, start)
        if "\\Q" in pattern:
            raise QuerySyntaxError(start, r"the pattern has \Q", "a backslash before each sign")
        opened = [each[1] for each in _GROUP.finditer(pattern) if each[0].startswith("(") and not each[2]]
        made = {number: self._make(name, "text") for number, name in enumerate(opened, 1) if name}
        if not made:
            raise QuerySyntaxError(start, "the pattern names no group", r"a group such as (?<ms>\d+)")
        self._have(made.values(), start, only=False)
        return [Extract(source, re.sub(r"\(\?<(?=\w+>)", "(?P<", pattern), made)]

    def _stats(self) -> list[Stage]:
        return [self._grouped(None, 0, self.at)]

    def _timechart(self) -> list[Stage]:
        at, step = self.at, 0
        if not self.scope.of_events:
            self._fail("timechart needs events", "timechart before stats, top, and fields")
        if found := _STEP.match(self.text, at):
            step, self.at = int(found[1]) * timerange.UNITS[found[2]], found.end()
            self._blanks()
            if not step:
                raise QuerySyntaxError(at, "the step has no length", "a step such as 5m")
        return [self._grouped(self._make("time", "time"), step, at)]

    def _grouped(self, time: Column | None, step: int, at: int) -> Stats:
        grouped = self._skip("by")
        if grouped or self._ends():
            figures = [Aggregate("count", None, None, self._make("count", "number"))]
        else:
            figures = self._list(self._figure)
            grouped = self._skip("by")
        by = self._list(self._key) if grouped else []
        if time:
            by = [(key, replace(made, kind="text", field=replace(made.field, numeric=False))) for key, made in by]
        made = [*([time] if time else []), *(each for _, each in by), *(each.made for each in figures)]
        self._have(made, at)
        return Stats(tuple(figures), tuple(by), time, step, at)

    def _key(self) -> tuple[Column, Column]:
        key = self._named()
        return key, self._make(key.name, key.kind)

    def _figure(self) -> Aggregate:
        start, call = self.at, _CALL.match(self.text, self.at)
        function = call[1] if call else ""
        if not (function in {"count", "uniq", *OF_NUMBERS} or PERCENTILE.fullmatch(function)):
            self._fail(
                "there is no such function", f"count, uniq(field), p95(field), or {'(field), '.join(OF_NUMBERS)}(field)"
            )
        self.at += len(function)
        of, where = None, None
        if function != "count":
            of = self._argument(function)
        elif empty := re.compile(r"\(\s*\)").match(self.text, self.at):
            self.at = empty.end()
        elif self.text.startswith("(", self.at):
            where = self._group(0, None)
        name = f"{function}({of.name})" if of else self.text[start : self.at] if where else "count"
        kind = "time" if of and of.kind == "time" and function != "uniq" else "number"
        self._blanks()
        if self._skip("as"):
            name = self._name()
        return Aggregate(function, of, where, self._make(name, kind))

    def _argument(self, function: str) -> Column:
        """The column that a function is of, in ( )."""
        opened = self.at
        if not self._skip("("):
            self._fail(f"{function} has no field", f"{function}(field)")
        start, of = self.at, self._named()
        self._blanks()
        if not self.text.startswith(")", self.at):
            self._fail(f"the ( at character {opened + 1} is not closed", ")")
        self.at += 1
        is_text = of.kind == "text" and of.field.place is Place.COLUMN
        if function != "uniq" and (is_text or (of.kind == "time" and function not in {"min", "max"})):
            raise QuerySyntaxError(
                start, f"{of.name} has no numbers", f"the name of a number; uniq({of.name}) counts values"
            )
        return of

    def _top(self) -> list[Stage]:
        at, rows = self.at, self._number()
        by, counted = self._list(self._key), Aggregate("count", None, None, self._make("count", "number"))
        self._have([*(each for _, each in by), counted.made], at)
        return [Stats((counted,), tuple(by)), Limit(TOP if rows is None else rows)]

    def _sort(self) -> list[Stage]:
        return [Sort(tuple(self._list(self._order)))]

    def _order(self) -> tuple[Column, bool]:
        falling = self._skip("-")
        return self._named(), falling

    def _limit(self) -> list[Stage]:
        if (rows := self._number()) is None:
            self._fail("limit has no number", "a whole number of rows")
        return [Limit(rows)]

    def _fields(self) -> list[Stage]:
        at = self.at
        self._have(self._list(self._named), at)
        return []
