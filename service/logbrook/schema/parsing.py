"""vocabulary.toml as SQL expressions, which the views name in braces."""

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
# The code of a name is its place among all of them, from 1. Two codes are of no name: empty values, and other keys.
_NAMES = [name for names in FIELDS.values() for name in names]
_EMPTY, _OTHER = 126, 127
# Objects that stay as they are: a body that is one is JSON, and what the others hold has columns of its own.
_WHOLE = ("body", "message", "msg", *_NO_COLUMN)
LEVEL_TEXTS = [text for text in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for _ in range(4)]
_LEVEL_WORDS, _MARKED_WORDS = (VOCABULARY["levels_in_text"][key] for key in ("words", "marked_words"))


def _either(words: Iterable[str]) -> str:
    """A pattern of any of the words, the same in every process. The longer ones first: the first that fits counts."""
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


# A level in a text, in brackets, behind a logger's name. In any case a word is one if a mark follows.
_LEVEL_FORM = (
    r"(?:(?:##)?[\[<({=|] *(?:[\w. -]+/)?)?(?:[\w.-]*[:.]+)?(?:((?i)" + _either((*_LEVEL_WORDS, *_MARKED_WORDS)) + r")"
    r"\d?(?:[ \t]*[\]>)}:|/!]|\t|  | -+ |\[|(?: +[\w.-]*\[))"
    "|(" + _either(_LEVEL_WORDS) + r")(?:[\s,;\"(]|$)|\[([DIWEFCV])\]|([DIWE])!|%[A-Z][A-Z\d_-]*-([0-7])-\w+:"
    r"|([DIWEF])\d? +(?:[A-Z]{4,}|- +\[)|([VDIWEF])/[\w.$-]{2,} *(?:\( *\d+\))?:|([IWEF])\d{4} \d\d:\d\d)"
)
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


def code(name: str) -> int:
    """The code of a name of a field."""
    return _NAMES.index(name) + 1


def _mask(field: str) -> str:
    """A number with a bit at the code of each name of the field, as a text."""
    return f"'{sum(1 << code(name) for name in FIELDS[field])}'"


def pattern(each: Mapping[str, Any]) -> str:
    """The pattern of one format of times, and of what may stand before it."""
    return _filled("^{before}" + _without_zone(each))


def _without_zone(each: Mapping[str, Any]) -> str:
    """A format's pattern: a list of zones in each would make the one pattern of all formats twice as large."""
    return str(each["pattern"]).replace("{zone}", "")


def _ungrouped(pattern: str) -> str:
    """The pattern without its groups. What is escaped, and what is in brackets, stays."""
    return re.sub(r"(\\.|\[(?:\\.|[^\]\\])+\])|\((?!\?)", lambda found: found[1] or "(?:", pattern)


def _filled(text: str) -> str:
    """A pattern with the parts that it names in braces."""
    parts = VOCABULARY["time_parts"] | {
        "levels": _either((*_LEVEL_WORDS, *_MARKED_WORDS)),
        "words": _either(_LEVEL_WORDS),
        "marked_words": _either(_MARKED_WORDS),
        "zones": "|".join(("UTC", "GMT", *ZONES, *VOCABULARY["zones"]["ambiguous"])),
    }
    while found := re.search(r"\{([a-z_]+)\}", text):
        text = text.replace(found[0], parts[found[1]])
    return text


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(values)}]"


def _codes(names: Iterable[str]) -> str:
    return f"({', '.join(str(code(name)) for name in names)})"


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


_TIME_PATTERN = _filled("^{before}(?:" + "|".join(map(_without_zone, TIMES)) + ")")
_LEVEL_VALUES = _array(_text(word) for words in VOCABULARY["levels"].values() for word in words)
_LEVEL_NUMBERS = _array(number for number, words in VOCABULARY["levels"].items() for _ in words)
# Functions of several views.
_SHARED: Mapping[str, str] = {
    # Of several keys that are the same, the second one is `key#2`.
    "numbered": "keys -> arrayMap((key, nth) -> if(nth = 1, key, concat(key, '#', toString(nth))),"
    " keys, arrayEnumerateUniq(keys))",
    # What a terminal takes for colors and the like, and no reader for text.
    "without_colors": r"""text -> if(position(text, '\x1b') = 0, text, replaceRegexpAll(text,
        '\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07\\x1b]*(?:\\x07|\x1b\\\\)?|[()][0-9A-B]|[@-Z\\\\^_])', ''))""",
    # The start of a text, without what may stand before it in a file: a byte order mark, the zeros of a cut file.
    "start_of": r"text -> substring(trimLeft(text, ' \t\r\n\0\xEF\xBB\xBF'), 1, 300)",
    "nanoseconds_of": "text -> ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(text, 9, 'UTC')), 0)",
    # Hours above 23, and minutes and seconds above 59; but for a leap second. A month or a day 0.
    "is_impossible": r"text -> match(text,"
    r" '(?:^|[^:\\d])(?:2[4-9]|[3-9]\\d):\\d\\d|\\d:[6-9]\\d|:(?:6[1-9]|[7-9]\\d)(?:\\D|$)|^\\d{4}-(?:00|\\d\\d-00)')",
    "level_of": f"text -> transform(lower(text), {_LEVEL_VALUES}, {_LEVEL_NUMBERS}, 0)",
}

_EXPRESSIONS: Mapping[str, Callable[[str], str]] = {
    "names": lambda _: _array(map(_text, _NAMES)),
    "codes": lambda _: _array(str(code(name)) for name in _NAMES),
    "empty_code": lambda _: str(_EMPTY),
    "other_code": lambda _: str(_OTHER),
    "masks": lambda _: f"CAST({_array(map(_mask, COLUMNS))}, 'Array(UInt128)')",
    "code_of": lambda name: str(code(name)),
    "codes_of": lambda field: f"BETWEEN {code(FIELDS[field][0])} AND {code(FIELDS[field][-1])}",
    "names_of": lambda field: f"({', '.join(map(_text, FIELDS[field]))})",
    "shared_codes": lambda field: _codes(VOCABULARY["shared_names"][field]),
    "no_levels": lambda _: f"({', '.join(map(_text, VOCABULARY['no_levels']['words']))})",
    "whole_names": lambda _: f"({', '.join(map(_text, _WHOLE))})",
    "code_found": lambda field: f"field_codes[{COLUMNS.index(field) + 1}]",
    "value_of": lambda field: f"top_values[indexOf(codes, field_codes[{COLUMNS.index(field) + 1}])]",
    "shared": lambda name: f"{_SHARED[name]} AS {name}",
    "level_texts": lambda _: _array(map(_text, LEVEL_TEXTS)),
    # Within a text: a `concat` would be planned wherever the pattern is used.
    "level_words": lambda _: _either(_LEVEL_WORDS),
    "level_form": lambda _: _text(_LEVEL_FORM)[1:-1],
    # One group for each format. A single pattern costs a fraction of one for each, above all of planning.
    "time_pattern": lambda _: _text(_TIME_PATTERN),
    "time_form": lambda _: _text(_ungrouped(_TIME_PATTERN)),
    "iso_pattern": lambda _: _text(_filled('^["\\[(<]*' + _without_zone(TIMES[0]))),
    "zone_pattern": lambda _: _text(_filled("^{zone}")),
    "formats_zoned": lambda _: _formats(lambda each: "{zone}" in each["pattern"]),
    "time_replaced": lambda _: _by_format("replaced", _replaced, "time_text"),
    "completions": lambda _: _array(_text(each.get("completed", "")) for each in TIMES),
    "zones": lambda _: _array(map(_text, _OFFSETS)),
    "offsets": lambda _: _array(map(_text, _OFFSETS.values())),
    "formats_with": lambda key: _formats(lambda each: key in each),
    "formats_without": lambda what: _formats(lambda each: _lacks(each, what)),
    "extracted": lambda key: _by_format(key, lambda text: f"extract(head, {_text(text)})", "''"),
}
