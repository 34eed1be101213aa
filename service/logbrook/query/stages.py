"""Counting in the language: what stands behind the filter of a query, stage after stage, each behind a `|`.

    level>=error | stats count, p95(duration_ms), uniq(user.id) by service
    service:cart | timechart 5m count(level>=error) as errors by http.route
    "took" | extract /took (?<ms>\\d+) ms/ | where ms>250 | top 20 http.route

docs/query.md has the grammar. Behind `stats`, `timechart`, `top`, and `fields` there are only their columns.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar

from logbrook.query import catalog, columns, counts, timerange
from logbrook.query.language import NAME, REGEX, Parser, name_of
from logbrook.query.meaning import QuerySyntaxError, matches
from logbrook.query.pipeline import LEVEL, PERCENTILE, Column, Figure, Key, Pipeline
from logbrook.query.selection import Selection
from logbrook.query.syntax import Field, Place
from logbrook.query.timerange import SECOND

STAGES = ("where", "extract", "stats", "timechart", "top", "sort", "limit", "fields")
MAX_STAGES = 20
# More are nobody's table, and each costs ClickHouse an expression in every stage behind it.
MAX_COLUMNS = 20
_TOP = 10
_STEPS = 60
_OF_NUMBERS = ("sum", "avg", "min", "max")
_FUNCTION = re.compile(r"\w+(?:\.\d+)?(?![\w.])|", re.ASCII)
_FIGURE = re.compile(r"\w[\w.]*\([^()|]*\)")
_WORD = re.compile(r"\w*")
_WHOLE = re.compile(r"\d{1,9}(?![\w.])", re.ASCII)
_STEP = re.compile(rf"([1-9]\d{{0,5}})({'|'.join(timerange.UNITS)})(?!\w)", re.ASCII)
# What has brackets that are signs, and the brackets that open groups: by name, or (second) not to be kept.
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\((?:\?P?<(\w+)>|(\?))?", re.DOTALL)
# What answers call it, where filters have no name for it.
_EVENT = {
    each.name: Column(each.name, Field(Place.COLUMN, each.sql, each.kind == "number"), each.kind)
    for each in columns.COLUMNS
    if not each.typed and each.kind != "map"
}

Item = TypeVar("Item")


class Stages(Parser):
    """The stages of a query, behind its filter: read in order, each added to a pipeline. Raises QuerySyntaxError."""

    def __init__(self, text: str, selection: Selection) -> None:
        super().__init__(text)
        self.pipeline = Pipeline(selection)
        # The columns that there are, by name; while rows are events, these besides all of an event's fields.
        self._columns: dict[str, Column] = {}
        self._of_events, self._count = True, 0
        self.named: set[Field] = set()
        self.lists_events = True
        self.filter()
        number = 0
        while self.at < len(text):
            if (number := number + 1) > MAX_STAGES:
                self._fail(f"there are more than {MAX_STAGES} stages", "fewer stages")
            self.at += 1
            self._blanks()
            self._stage()
            self._blanks()
            if not self._ends():
                self._fail(f"there is {text[self.at]} here", "a comma, | and the next stage, or the end")

    def columns(self) -> list[Column]:
        """The columns of the answer."""
        if not self._of_events:
            return list(self._columns.values())
        return [
            self._column(name, 0) for name in dict.fromkeys(("timestamp", "level", "service", *self._columns, "body"))
        ]

    def _need(self, name: str, start: int) -> None:
        if not self._of_events and name not in self._columns:
            self._unknown(name, start)
        if name in self._columns and self._columns[name].kind == "time":
            raise QuerySyntaxError(start, f"{name} is a time", "a range of time beside the query instead")

    def _unknown(self, name: str, start: int) -> NoReturn:
        near = difflib.get_close_matches(name, self._columns, 1)
        there = ", ".join(each if NAME.fullmatch(each) else f'"{each}"' for each in self._columns)
        expected = f"{f'{near[0]}? ' if near else ''}One of {there}"
        raise QuerySyntaxError(start, f"there is no {name} behind the stage before", expected)

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
        if (found := _FIGURE.match(self.text, self.at)) and found[0] in self._columns:
            self.at = found.end()
            return found[0]
        if not (found := NAME.match(self.text, self.at)):
            self._fail("there is no name here", "the name of a field")
        self.at = found.end()
        return name_of(found)

    def _named(self) -> Column:
        start = self.at
        return self._column(self._name(), start)

    def _column(self, name: str, start: int) -> Column:
        if name in self._columns:
            return self._columns[name]
        if not self._of_events:
            self._unknown(name, start)
        if catalog.is_level(name):
            return Column(name, LEVEL, "text")
        if found := _EVENT.get("body" if catalog.is_body(name) else name):
            return replace(found, name=name)
        field = catalog.field(name)
        self.named.add(field)
        return Column(name, field, "number" if field.numeric else "text")

    def _make(self, name: str, kind: str) -> Column:
        self._count += 1
        return Column(name, Field(Place.MADE, f"c{self._count}", kind == "number"), kind)

    def _have(self, made: Iterable[Column], start: int, *, only: bool = True) -> None:
        """From here on there are these columns: only these, or beside those of before."""
        there = {} if only else dict(self._columns)
        for each in made:
            if only and each.name in there:
                raise QuerySyntaxError(start, f"there are two columns {each.name}", "another name by `as`")
            there[each.name] = each
        if len(there) > MAX_COLUMNS:
            raise QuerySyntaxError(start, f"there are more than {MAX_COLUMNS} columns", "fewer columns")
        self._columns, self._of_events = there, self._of_events and not only
        self.made = {name: each.field for name, each in there.items() if each.field.place is Place.MADE}

    def _stage(self) -> None:
        start, found = self.at, _WORD.match(self.text, self.at)
        name = found[0] if found else ""
        if name not in STAGES:
            near = difflib.get_close_matches(name, STAGES, 1)
            expected = f"{f'{near[0]}? ' if near else ''}One of {', '.join(STAGES)}; as text, | in quotes"
            self._fail(f"{name} is not a stage" if name else "there is no stage", expected)
        self.at = start + len(name)
        self._blanks()
        getattr(self, f"_{name}")()

    def _where(self) -> None:
        if self._ends():
            self._fail("where has no filter", "a filter such as count>10")
        self.pipeline.where(self.filter())

    def _extract(self) -> None:
        at = self.at
        source = self._column("body", at) if self.text.startswith("/", at) else self._named()
        self._blanks()
        start, found = self.at, REGEX.match(self.text, self.at)
        if found is None:
            self._fail("there is no pattern", r"a regular expression such as /took (?<ms>\d+) ms/")
        if source.kind != "text" or source.field == LEVEL:
            raise QuerySyntaxError(at, f"{source.name} has no text", "a field that is text, or none for the body")
        self.at, pattern = found.end(), found[1].replace("\\/", "/")
        # As long as a filter's may be.
        matches("body", pattern, start)
        if "\\Q" in pattern:
            raise QuerySyntaxError(start, r"the pattern has \Q", "a backslash before each sign")
        opened = [each[1] for each in _GROUP.finditer(pattern) if each[0].startswith("(") and not each[2]]
        made = {number: self._make(name, "text") for number, name in enumerate(opened, 1) if name}
        if not made:
            raise QuerySyntaxError(start, "the pattern names no group", r"a group such as (?<ms>\d+)")
        self._have(made.values(), start, only=False)
        self.pipeline.extract(source, re.sub(r"\(\?<(?=\w+>)", "(?P<", pattern), made)

    def _timechart(self) -> None:
        at, found = self.at, _STEP.match(self.text, self.at)
        if not self._of_events:
            self._fail("timechart needs events", "timechart before stats, top, and fields")
        step = int(found[1]) * timerange.UNITS[found[2]] if found else counts.round_step(self.pipeline.period, _STEPS)
        shortest = counts.round_step(self.pipeline.period, counts.MAX_BUCKETS) / SECOND
        if (steps := self.pipeline.in_steps(step)) > counts.MAX_BUCKETS:
            expected = f"at most {counts.MAX_BUCKETS}: a step of {shortest:g}s or more, or a shorter range"
            self._fail(f"the range has {steps:,} such steps", expected)
        self.at = found.end() if found else at
        self._blanks()
        self._stats(self._make("time", "time"))

    def _stats(self, time: Column | None = None) -> None:
        at, grouped = self.at, self._skip("by")
        if grouped or self._ends():
            figures = [self._counted()]
        else:
            figures = self._list(self._figure)
            grouped = self._skip("by")
        self._group_by(figures, self._keys(as_text=time is not None) if grouped else [], at, time)

    def _group_by(self, figures: list[Figure], by: list[Key], at: int, time: Column | None = None) -> None:
        self._have([*([time] if time else []), *(each for _, each in by), *(each.made for each in figures)], at)
        self.pipeline.stats(figures, by, time)
        self.lists_events = False

    def _counted(self) -> Figure:
        return Figure("count", None, None, self._make("count", "number"))

    def _keys(self, *, as_text: bool = False) -> list[Key]:
        """The fields to group by; those of a chart are text, as `(other)` is among them."""
        return [(key, self._make(key.name, "text" if as_text else key.kind)) for key in self._list(self._named)]

    def _figure(self) -> Figure:
        start, found = self.at, _FUNCTION.match(self.text, self.at)
        function = found[0] if found else ""
        if not (function in {"count", "uniq", *_OF_NUMBERS} or PERCENTILE.fullmatch(function)):
            self._fail(
                "there is no such function", f"count, or one of uniq, p95, {', '.join(_OF_NUMBERS)} with (field)"
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
        return Figure(function, of, where, self._make(name, kind))

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
            raise QuerySyntaxError(start, f"{of.name} has no numbers", "a field with numbers; uniq counts values")
        return of

    def _top(self) -> None:
        at, rows = self.at, self._number()
        self._group_by([self._counted()], self._keys(), at)
        self.pipeline.take(_TOP if rows is None else rows)

    def _sort(self) -> None:
        def key() -> tuple[Column, bool]:
            falling = self._skip("-")
            return self._named(), falling

        self.pipeline.sort(self._list(key))

    def _limit(self) -> None:
        if (rows := self._number()) is None:
            self._fail("limit has no number", "a whole number of rows")
        self.pipeline.take(rows)

    def _fields(self) -> None:
        at = self.at
        self._have(self._list(self._named), at)
