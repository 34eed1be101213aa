"""vocabulary.toml as SQL expressions, which views/parse_view.sql names in braces."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

VOCABULARY: Mapping[str, Any] = tomllib.loads((resources.files("logbrook.schema") / "vocabulary.toml").read_text())
FIELDS: Mapping[str, Sequence[str]] = VOCABULARY["fields"]
TIMES: Sequence[Mapping[str, Any]] = VOCABULARY["times"]
ZONES: Mapping[str, str] = {name: offset for name, offset in VOCABULARY["zones"].items() if name != "ambiguous"}
# Fields that have no column: objects whose contents do, and what another message's events are in.
_NO_COLUMN = ("resource", "scope", "attributes")
COLUMNS = [field for field in FIELDS if field not in _NO_COLUMN]
_NAMES = [name for names in FIELDS.values() for name in names]
# Objects that stay as they are: a body that is one is JSON, and what the others hold has columns of its own.
_WHOLE = ("body", "message", "msg", *_NO_COLUMN)
LEVEL_TEXTS = [text for text in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for _ in range(4)]
_LEVEL_WORDS, _MARKED_WORDS = (VOCABULARY["levels_in_text"][key] for key in ("words", "marked_words"))
# The longer ones first: the first that fits counts.
_ANY_LEVEL = "|".join(sorted((*_LEVEL_WORDS, *_MARKED_WORDS), key=len, reverse=True))
# POSIX counts hours behind Greenwich where all others count those ahead of it: PostgreSQL shows GMT+3 for UTC-3.
_OFFSETS = {
    **ZONES,
    **{f"GMT{sign}{hours}": f"{other}{hours:02}:00" for sign, other in ("+-", "-+") for hours in range(15)},
    **{f"UTC{sign}{hours}": f"{sign}{hours:02}:00" for sign in "+-" for hours in range(15)},
    "z": "Z",
}


def expression(name: str, argument: str) -> str | None:
    """What replaces `{name}` or `{name: argument}`; None if the name is not one of ours."""
    make = _EXPRESSIONS.get(name)
    return make(argument) if make else None


def bits(names: Iterable[str]) -> str:
    """Each name's bit: its position among the names of all fields. As SQL."""
    return f"toUInt128('{sum(1 << _NAMES.index(name) for name in names)}')"


def pattern(each: Mapping[str, Any]) -> str:
    """The pattern of one format of times, and of what may stand before it."""
    return _filled("^{before}" + each["pattern"])


def _filled(text: str) -> str:
    """A pattern with the parts that it names in braces."""
    parts = VOCABULARY["time_parts"] | {
        "levels": _ANY_LEVEL,
        "zones": "|".join(("UTC", "GMT", *ZONES, *VOCABULARY["zones"]["ambiguous"])),
    }
    while found := re.search(r"\{([a-z]+)\}", text):
        text = text.replace(found[0], parts[found[1]])
    return text


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


def _replaced(pair: Sequence[str]) -> str:
    return f"replaceRegexpOne(time_text, {_text(_filled(pair[0]))}, {_text(pair[1])})"


_EXPRESSIONS: Mapping[str, Callable[[str], str]] = {
    "names": lambda _: _array(map(_text, _NAMES)),
    "places": lambda _: _array(map(str, range(len(_NAMES)))),
    "masks": lambda _: _array(bits(FIELDS[field]) for field in COLUMNS),
    "bit_of": lambda name: bits([name]),
    "bits_of_field": lambda field: bits(FIELDS[field]),
    "shared_bits": lambda field: bits(VOCABULARY["shared_names"][field]),
    "whole_bits": lambda _: bits(_WHOLE),
    "bit_found": lambda field: f"field_bits[{COLUMNS.index(field) + 1}]",
    "value_of": lambda field: f"top_values[indexOf(bits, field_bits[{COLUMNS.index(field) + 1}])]",
    "used": _used,
    "level_values": lambda _: _array(_text(word) for words in VOCABULARY["levels"].values() for word in words),
    "level_meanings": lambda _: _array(number for number, words in VOCABULARY["levels"].items() for _ in words),
    "level_texts": lambda _: _array(map(_text, LEVEL_TEXTS)),
    "level_words": lambda _: _text("|".join(_LEVEL_WORDS)),
    "any_level_word": lambda _: _text(_ANY_LEVEL),
    # One group for each format. A single pattern costs a fraction of one for each, above all of planning.
    "time_pattern": lambda _: _text(_filled("^{before}(?:" + "|".join(each["pattern"] for each in TIMES) + ")")),
    "iso_pattern": lambda _: _text(_filled('^["\\[(<]*' + TIMES[0]["pattern"])),
    "time_replaced": lambda _: _by_format("replaced", _replaced, "time_text"),
    "completions": lambda _: _array(_text(each.get("completed", "")) for each in TIMES),
    "zones": lambda _: _array(map(_text, _OFFSETS)),
    "offsets": lambda _: _array(map(_text, _OFFSETS.values())),
    "formats_with": lambda key: _formats(lambda each: key in each),
    "formats_without": lambda what: _formats(lambda each: _lacks(each, what)),
    "extracted": lambda key: _by_format(key, lambda text: f"extract(head, {_text(text)})", "''"),
}
