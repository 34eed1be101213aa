"""The fields that a query can name, and the names of the severities."""

import re

from logbrook.query import columns
from logbrook.query.syntax import Field, Place
from logbrook.schema import parsing


def _folded(name: str) -> str:
    return re.sub("[_.-]", "", name).lower()


COLUMNS = {
    typed: Field(Place.COLUMN, each.sql, each.kind == "number") for each in columns.COLUMNS for typed in each.typed
} | {"idempotency_key": Field(Place.COLUMN, "IdempotencyKey")}
# Other names of the same columns: the parser's, and other spellings. An attribute may have such a name, too.
_ALIASES = {
    "service": parsing.FIELDS["service"],
    "trace_id": parsing.FIELDS["trace"],
    "span_id": parsing.FIELDS["span"],
    "trace_flags": parsing.FIELDS["flags"],
    "event_name": parsing.FIELDS["event_name"],
}
_BY_SQL = {each.sql: COLUMNS[each.typed[0]] for each in columns.COLUMNS if each.typed} | {
    "IdempotencyKey": COLUMNS["idempotency_key"]
}
_BY_ALIAS = (
    {_folded(name): field for name, field in (COLUMNS | _BY_SQL).items()}
    | {_folded(each.name): COLUMNS[each.typed[0]] for each in columns.COLUMNS if each.typed}
    | {_folded(alias): COLUMNS[name] for name, aliases in _ALIASES.items() for alias in aliases}
)
BODY_NAMES = frozenset({"body", "message", "msg"})
LEVEL_NAMES = frozenset({"level", "severity"})
_LEVEL_KEYS = frozenset(parsing.FIELDS["level"]) - LEVEL_NAMES - {"levelno", "severity_text", "severitytext"}
# Of these, what is a number is not a level: `status>=500`.
_SHARED_KEYS = frozenset(parsing.VOCABULARY["shared_names"]["level"])
# A prefix says whose attribute it is; without one, the event's own are searched, then its resource's.
PREFIXES = {
    "attr": Place.LOG,
    "attributes": Place.LOG,
    "resource": Place.RESOURCE,
    "scope": Place.SCOPE,
    **{place.value: place for place in (Place.LOG, Place.RESOURCE, Place.SCOPE)},
}
LEVELS = {"none": 0, "trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
HIGHEST_SEVERITY = 24
# What the explorer offers while a name is typed.
SHOWN = ("service", "level", "body", "trace_id", "span_id", "event", "scope", "source", "severity_text", "parse_error")


def fields(name: str) -> tuple[Field, ...]:
    """The fields that a typed name can mean: a column, by any of its names, and the attribute of that name."""
    if found := COLUMNS.get(name) or _BY_SQL.get(name):
        return (found,)
    prefix, dot, rest = name.partition(".")
    if dot and rest and prefix in PREFIXES:
        return (Field(PREFIXES[prefix], rest),)
    attribute = Field(Place.ANYWHERE, name)
    column = _BY_ALIAS.get(_folded(name))
    return (column, attribute) if column else (attribute,)


def field(name: str) -> Field:
    """The first field that a typed name can mean; an unknown name is an attribute."""
    return fields(name)[0]


def is_body(name: str) -> bool:
    """Whether a typed name means the body."""
    return name.lower() in BODY_NAMES


def is_level(name: str) -> bool:
    """Whether a typed name means the level, and nothing else."""
    return name.lower() in LEVEL_NAMES or _folded(name) == "severitynumber"


def is_level_key(name: str, value: str = "") -> bool:
    """Whether events may carry their level under this name, as this value; it may also be an attribute."""
    return name.lower() in _LEVEL_KEYS and not (name.lower() in _SHARED_KEYS and re.match(r"[-\d]", value) is not None)


def is_known(name: str) -> bool:
    """Whether the name can only mean a field: `level=error` is then not text."""
    return is_body(name) or is_level(name) or is_level_key(name) or fields(name)[0].place is not Place.ANYWHERE


def level(name: str) -> tuple[int, int] | None:
    """The lowest and highest severity number of a level's name or number; None if it is neither."""
    name = name.lower()
    name = _LEVEL_WORDS.get(name, name)
    if name in LEVELS:
        lowest = LEVELS[name]
        return (lowest, lowest + 3 if lowest else 0)
    if name.isascii() and name.isdigit() and int(name) <= HIGHEST_SEVERITY:
        return int(name), int(name)
    return None


def level_name(number: int) -> str:
    """The level that a severity number belongs to."""
    return next((name for name, lowest in reversed(LEVELS.items()) if number >= lowest), "none")


# The words that the parser takes for a level.
_LEVEL_WORDS = {"unset": "none"} | {
    word: level_name(int(number))
    for number, words in parsing.VOCABULARY["levels"].items()
    for word in words
    if word.isalpha()
}
