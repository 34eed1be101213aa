"""What a query may have meant instead, said next to its answer in plain sentences.

Other tools' syntax that is plain text here is always pointed out. The reason why nothing was found is looked up only
if nothing was.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

from logbrook.errors import LogbrookError
from logbrook.query import catalog, values
from logbrook.query.engine import Engine, Spent
from logbrook.query.selection import Selection
from logbrook.query.syntax import (
    All,
    Any,
    Equals,
    Everything,
    Field,
    In,
    Matches,
    Node,
    Place,
    Text,
    TextGlob,
    fields_of,
)

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
# Where a word begins and ends; what looks like another tool's syntax, and what to write instead.
_BEGIN, _END = r"(?<![^\s(])", r"(?![^\s)])"
_LOOKS_LIKE = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (rf"{_BEGIN}(or|and|not){_END}", "`{0}` is read as a word; the operators are AND, OR, and NOT, in capitals."),
        (rf"{_BEGIN}\{{[^}}]*[=:]", "`{{` is read as text: write service:edge instead of {{service=\"edge\"}}."),
        (
            rf"{_BEGIN}(/[^\s/]*(?:[^\w\s/.*?-]|\.\*)[^\s/]*/){_END}",
            "`{0}` is read as text; a regular expression has a field: body:{0}.",
        ),
        (rf"{_BEGIN}(\[[^\[\]\s]+ TO [^\[\]\s]+\])", "`{0}` is read as words; a range has a field: duration_ms:{0}."),
        (
            rf"{_BEGIN}(\w+ +(?:LIKE|IN|BETWEEN)){_END}",
            "`{0}` is read as words: write field:pre*, field:(a OR b), field:[1 TO 5], or field in (QUERY).",
        ),
        (rf"{_BEGIN}([^\s()|&]+(?:\|\||&&)[^\s()]*)", "`{0}` is read as one word: put blanks around the operator."),
        (rf"{_BEGIN}([+~^][\w.]+)", "`{0}` is read as text: every word must match anyway."),
    )
)  # fmt: skip


def of_query(query: str, node: Node) -> list[str]:
    """What in a query is read differently by other tools."""
    bare = _QUOTED.sub('""', query)
    found = [
        hint.format(*match.groups()) for pattern, hint in _LOOKS_LIKE if (match := pattern.search(bare)) is not None
    ]
    for part in _positive(node):
        if isinstance(part, All):
            same = [each.field for each in part.parts if isinstance(each, Equals)]
            found += [
                f"No event has two values of `{field.name}` at once: write {field.name}:(a OR b)."
                for field in dict.fromkeys(same)
                if same.count(field) > 1
            ]
        elif isinstance(part, Matches) and re.fullmatch(r"[\w-]+", part.pattern):
            found.append(f"`/{part.pattern}/` is a regular expression; put the value in quotes if it has the slashes.")
    return found


def _positive(node: Node) -> Iterator[Node]:
    """A tree's nodes, except those that it excludes."""
    yield node
    if isinstance(node, (All, Any)):
        for part in node.parts:
            yield from _positive(part)
    elif isinstance(node, In):
        yield from _positive(node.part)


async def of_nothing(engine: Engine, selection: Selection, spent: Spent) -> list[str]:
    """Why a query finds nothing in its range: names and values that are not there, words that are not in bodies."""
    found: list[str] = []
    parts = list(_positive(selection.node))
    everything = Selection(Everything(), selection.period)
    with contextlib.suppress(LogbrookError):
        found += await of_fields(engine, selection, {field for part in parts for field in fields_of(part)}, spent)
        wanted = {
            part.value
            for part in parts
            if isinstance(part, Equals) and part.field == Field(Place.COLUMN, "ServiceName")
        }
        if wanted:
            services = await values.services(engine, everything, spent)
            found += [
                f"No event in this range has the service `{name}`{_near(name, services)}"
                for name in sorted(wanted - set(services))
            ]
    if any(isinstance(part, In) for part in parts):
        found.append("`in (...)` takes a query: write field:(a OR b) for one of several values.")
    words = [part.text for part in parts if isinstance(part, Text)] + [
        part.glob for part in parts if isinstance(part, TextGlob)
    ]
    if words:
        value = words[0] if re.fullmatch(r"[\w.-]+", words[0]) else "value"
        found.append(f"Words are looked for in the body only; a value is found by its field: attr.NAME:{value}")
    return found


async def of_fields(engine: Engine, selection: Selection, fields: Iterable[Field], spent: Spent) -> list[str]:
    """Which of these attributes no event in the range has, and what is nearest to them."""
    names = {field for field in fields if field.place not in {Place.COLUMN, Place.MADE}}
    if not names:
        return []
    log, resource = await values.names(engine, selection.period, spent)
    keys = {Place.LOG: log, Place.RESOURCE: resource, Place.ANYWHERE: log | resource}
    there = [f"attr.{key}" for key in log] + [f"resource.{key}" for key in resource] + list(catalog.SHOWN)
    return [
        f"No event in this range has the field `{field.name}`{_near(field.name, there)}"
        for field in sorted(names, key=lambda field: field.name)
        # A rare one of very many may still be there.
        if field.name not in keys.get(field.place, [field.name]) and max(len(log), len(resource)) < values.MAX_NAMES
    ]


def _near(name: str, there: Iterable[str]) -> str:
    """The end of a sentence: which of the names is nearest."""
    by_end = {re.sub(r"^(?:attr|resource)\.", "", each): each for each in reversed(list(there))}
    folded = {re.sub(r"\W|_", "", each).lower(): each for each in by_end}
    wanted = re.sub(r"\W|_", "", name).lower()
    parts = [each for each in folded if wanted and (each.endswith(wanted) or wanted in each)]
    nearest = [each for each in (wanted,) if each in folded] or parts or difflib.get_close_matches(wanted, folded, 1)
    return f"; did you mean `{by_end[folded[nearest[0]]]}`?" if nearest else "."
