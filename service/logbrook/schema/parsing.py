"""vocabulary.toml as SQL expressions, which views/parse_view.sql names in braces."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

VOCABULARY: Mapping[str, Any] = tomllib.loads((resources.files("logbrook.schema") / "vocabulary.toml").read_text())
FIELDS: Mapping[str, Sequence[str]] = VOCABULARY["fields"]
TIMES: Sequence[Mapping[str, Any]] = VOCABULARY["times"]
# Fields that are objects at the top level; each of the others becomes a column.
_OBJECTS = ("resource", "scope", "attributes")
COLUMNS = [field for field in FIELDS if field not in _OBJECTS]
_NAMES = [name for names in FIELDS.values() for name in names]
# Objects that stay as they are: if the body is one, it is JSON, and the contents of the others have their own columns.
_WHOLE = ("body", "message", "msg", *_OBJECTS)
LEVEL_TEXTS = [text for text in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for _ in range(4)]


def expression(name: str, argument: str) -> str | None:
    """What replaces `{name}` or `{name: argument}`; None if the name is not one of ours."""
    make = _EXPRESSIONS.get(name)
    return make(argument) if make else None


def bits(names: Iterable[str]) -> int:
    """Each name's bit: its position among the names of all fields."""
    return sum(1 << _NAMES.index(name) for name in names)


def _used(argument: str) -> str:
    """`field = condition` for each field, in any order, as the list of conditions in the order of the fields."""
    conditions = dict(re.findall(r"(\w+) = (.+?)(?:,\n|$)", argument.strip()))
    return f"[{', '.join(conditions[field] for field in COLUMNS)}]"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(values)}]"


def _by_format(key: str, make: Callable[[Any], str], otherwise: str) -> str:
    """An expression for each time format that has the key."""
    cases = [f"time_format = {number}, {make(each[key])}" for number, each in enumerate(TIMES, 1) if key in each]
    return f"multiIf({', '.join(cases)}, {otherwise})"


def _formats(wanted: Callable[[Mapping[str, Any]], bool]) -> str:
    return f"({', '.join(str(number) for number, each in enumerate(TIMES, 1) if wanted(each))})"


def _lacks(each: Mapping[str, Any], what: str) -> bool:
    """Whether a time format lacks only the `year`, or the whole `date`."""
    completed = each.get("completed", "")
    return "%F" in completed if what == "date" else "%Y" in completed


def _completed(moment: str) -> str:
    def prefix(pattern: str) -> str:
        return f"formatDateTime({moment}, {_text(pattern)})" if "%" in pattern else _text(pattern)

    return _by_format("completed", prefix, "''")


def _time_format() -> str:
    cases = [f"match(head, {_text(each['pattern'])}), {number}" for number, each in enumerate(TIMES, 1)]
    return f"multiIf(head = '', 0, {', '.join(cases)}, 0)"


def _replaced() -> str:
    replace = "replaceOne(time_text, {}, {})".format
    return _by_format("replaced", lambda pair: replace(*map(_text, pair)), replace("','", "'.'"))


_EXPRESSIONS: Mapping[str, Callable[[str], str]] = {
    "names": lambda _: _array(map(_text, _NAMES)),
    "masks": lambda _: _array(hex(bits(FIELDS[field])) for field in COLUMNS),
    "bit_of": lambda name: hex(bits([name])),
    "whole_bits": lambda _: hex(bits(_WHOLE)),
    "bit_found": lambda field: f"field_bits[{COLUMNS.index(field) + 1}]",
    "value_of": lambda field: f"top_values[indexOf(bits, field_bits[{COLUMNS.index(field) + 1}])]",
    "used": _used,
    "level_values": lambda _: _array(_text(word) for words in VOCABULARY["levels"].values() for word in words),
    "level_meanings": lambda _: _array(number for number, words in VOCABULARY["levels"].items() for _ in words),
    "level_texts": lambda _: _array(map(_text, LEVEL_TEXTS)),
    "level_words": lambda _: _text("|".join(VOCABULARY["levels_in_text"]["words"])),
    "time_format": lambda _: _time_format(),
    "time_text": lambda _: _by_format("time", lambda pattern: f"extract(head, {_text(pattern)})", "''"),
    "time_replaced": lambda _: _replaced(),
    "time_completed": _completed,
    "formats_with": lambda key: _formats(lambda each: key in each),
    "formats_without": lambda what: _formats(lambda each: _lacks(each, what)),
    "extracted": lambda key: _by_format(key, lambda pattern: f"extract(head, {_text(pattern)})", "''"),
}
