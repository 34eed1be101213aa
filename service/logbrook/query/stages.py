"""The stages of a query: what follows its filter, each behind a `|`, in order.

    level>=error | stats count, p95(duration_ms), uniq(user.id) by service
    service:cart | timechart 5m count(level>=error) as errors by http.route
    "took" | extract /took (?<ms>\\d+) ms/ | where ms>250 | top 20 http.route

docs/query.md has the grammar. After `stats`, `timechart`, `top`, and `fields` there are only their columns.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar

from logbrook.query import catalog, columns, counts, timerange
from logbrook.query.language import NAME, REGEX, Parser, name_of
from logbrook.query.meaning import QuerySyntaxError, matches
from logbrook.query.pipeline import LEVEL, PERCENTILE, Aggregate, Column, Key, Pipeline
from logbrook.query.selection import Selection
from logbrook.query.syntax import Field, Place
from logbrook.query.timerange import SECOND

STAGES = ("where", "extract", "stats", "timechart", "top", "sort", "limit", "fields")
MAX_STAGES = 20
# Nobody reads a wider table, and each column costs ClickHouse an expression in every stage that follows.
MAX_COLUMNS = 20
_TOP = 10
_STEPS = 60
_OF_NUMBERS = ("sum", "avg", "min", "max")
_FUNCTION = re.compile(r"\w+(?:\.\d+)?(?![\w.])", re.ASCII)
_DEFAULT_NAME = re.compile(r"\w[\w.]*\([^()|]*\)")
_WORD = re.compile(r"\w+")
_WHOLE = re.compile(r"\d{1,9}(?![\w.])", re.ASCII)
_STEP = re.compile(rf"([1-9]\d{{0,5}})({'|'.join(timerange.UNITS)})(?!\w)", re.ASCII)
# What may contain a literal parenthesis, and the parentheses that open groups: named, or (second) not captured.
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\((?:\?P?<(\w+)>|(\?))?", re.DOTALL)
# The names that answers use for columns that filters have no name for.
_EVENT = {
    each.name: Column(each.name, Field(Place.COLUMN, each.sql, each.kind == "number"), each.kind)
    for each in columns.COLUMNS
    if not each.typed and each.kind != "map"
}

Item = TypeVar("Item")


class Stages(Parser):
    """Reads the filter of a query and then its stages, each into a pipeline. Raises QuerySyntaxError."""

    def __init__(self, text: str, selection: Selection) -> None:
        super().__init__(text, selection.period.condition())
        self.pipeline = Pipeline(selection)
        # By name; while rows are events, all fields of an event exist as well.
        self._columns: dict[str, Column] = {}
        self._of_events, self._numbers = True, itertools.count(1)
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
            raise QuerySyntaxError(start, f"{name} is a time", "the time range of the request instead")

    def _unknown(self, name: str, start: int) -> NoReturn:
        near = difflib.get_close_matches(name, self._columns, 1)
        there = ", ".join(each if NAME.fullmatch(each) else f'"{each}"' for each in self._columns)
        expected = f"{f'{near[0]}? ' if near else ''}One of {there}"
        raise QuerySyntaxError(start, f"the stage before this one has no column {name}", expected)

    def _fail(self, message: str, expected: str) -> NoReturn:
        raise QuerySyntaxError(self.at, message, expected)

    def _skip(self, word: str) -> bool:
        """Move past a word or a sign and the blanks after it, if it is here."""
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
        """The name of a field, or the name that an aggregate has without `as`."""
        if (found := _DEFAULT_NAME.match(self.text, self.at)) and found[0] in self._columns:
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
        return Column(name, Field(Place.MADE, f"c{next(self._numbers)}", kind == "number"), kind)

    def _have(self, made: Iterable[Column], start: int, *, only: bool = True) -> None:
        """Set the columns that there are from here on, or add to those before."""
        there = {} if only else dict(self._columns)
        for each in made:
            if only and each.name in there:
                raise QuerySyntaxError(start, f"there are two columns {each.name}", "`as` and another name")
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
        # The limits are those of a pattern in a filter.
        matches("body", pattern, start)
        if "\\Q" in pattern:
            raise QuerySyntaxError(start, r"the pattern has \Q", "a backslash before each special character")
        opened = [each[1] for each in _GROUP.finditer(pattern) if each[0].startswith("(") and not each[2]]
        made = {number: self._make(name, "text") for number, name in enumerate(opened, 1) if name}
        if not made:
            raise QuerySyntaxError(start, "the pattern has no named group", r"a group such as (?<ms>\d+)")
        self._have(made.values(), start, only=False)
        self.pipeline.extract(source, re.sub(r"\(\?<(?=\w+>)", "(?P<", pattern), made)

    def _timechart(self) -> None:
        if not self._of_events:
            self._fail("timechart needs events", "timechart before stats, top, and fields")
        period, found = self.pipeline.period, _STEP.match(self.text, self.at)
        step = int(found[1]) * timerange.UNITS[found[2]] if found else counts.round_step(period, _STEPS)
        if (steps := self.pipeline.in_steps(step)) > counts.MAX_BUCKETS:
            shortest = counts.round_step(period, counts.MAX_BUCKETS) / SECOND
            expected = f"at most {counts.MAX_BUCKETS}: a step of {shortest:g}s or more, or a shorter range"
            self._fail(f"the range has {steps:,} such steps", expected)
        whole = self.pipeline.period
        if whole.start < timerange.LOWEST or whole.end > timerange.HIGHEST:
            self._fail("the steps go beyond the years 1677 to 2262", "a shorter step or range")
        if found:
            self.at = found.end()
            self._blanks()
        self._stats(self._make("time", "time"))

    def _stats(self, time: Column | None = None) -> None:
        at, grouped = self.at, self._skip("by")
        if grouped or self._ends():
            aggregates = [self._counted()]
        else:
            aggregates = self._list(self._aggregate)
            grouped = self._skip("by")
        self._group_by(aggregates, self._keys(as_text=time is not None) if grouped else [], at, time)

    def _group_by(self, aggregates: list[Aggregate], by: list[Key], at: int, time: Column | None = None) -> None:
        self._have([*([time] if time else []), *(each for _, each in by), *(each.made for each in aggregates)], at)
        self.pipeline.stats(aggregates, by, time)
        self.lists_events = False

    def _counted(self) -> Aggregate:
        return Aggregate("count", None, None, self._make("count", "number"))

    def _keys(self, *, as_text: bool = False) -> list[Key]:
        """The fields to group by, for a chart as text: one of its values is `(other)`."""
        return [(key, self._make(key.name, "text" if as_text else key.kind)) for key in self._list(self._named)]

    def _aggregate(self) -> Aggregate:
        start, found = self.at, _FUNCTION.match(self.text, self.at)
        function = found[0] if found else ""
        if not (function in {"count", "uniq", *_OF_NUMBERS} or PERCENTILE.fullmatch(function)):
            expected = f"count, or one of uniq, p95, {', '.join(_OF_NUMBERS)} with (field)"
            self._fail("there is no such function", expected)
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
        """The column in the parentheses of a function."""
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
            descending = self._skip("-")
            return self._named(), descending

        self.pipeline.sort(self._list(key))

    def _limit(self) -> None:
        if (rows := self._number()) is None:
            self._fail("limit has no number", "a whole number of rows")
        self.pipeline.take(rows)

    def _fields(self) -> None:
        at = self.at
        self._have(self._list(self._named), at)
