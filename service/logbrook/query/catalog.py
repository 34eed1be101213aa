"""The fields that everybody may name in a query, and the names of the severities."""

from logbrook.query import columns
from logbrook.query.syntax import Field, Place

COLUMNS = {
    typed: Field(Place.COLUMN, each.sql, each.kind == "number") for each in columns.COLUMNS for typed in each.typed
} | {"idempotency_key": Field(Place.COLUMN, "IdempotencyKey")}
BODY_NAMES = frozenset({"body", "message", "msg"})
LEVEL_NAMES = frozenset({"level", "severity"})
# A prefix says whose attribute it is; without one the event's own are looked at, then its resource's.
PREFIXES = {
    "attr": Place.LOG,
    "attributes": Place.LOG,
    "resource": Place.RESOURCE,
    "scope": Place.SCOPE,
}
LEVELS = {"none": 0, "trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
_LEVEL_ALIASES = {
    "unset": "none",
    "verbose": "trace",
    "notice": "info",
    "information": "info",
    "warning": "warn",
    "err": "error",
    "severe": "error",
    "crit": "fatal",
    "critical": "fatal",
    "panic": "fatal",
    "emergency": "fatal",
}
HIGHEST_SEVERITY = 24
# What the explorer offers while a name is typed.
SHOWN = ("service", "level", "body", "trace_id", "span_id", "event", "scope", "source", "severity_text", "parse_error")


def field(name: str) -> Field:
    """The field that a typed name means; an unknown name is an attribute."""
    if name in COLUMNS:
        return COLUMNS[name]
    prefix, dot, rest = name.partition(".")
    if dot and rest and prefix in PREFIXES:
        return Field(PREFIXES[prefix], rest)
    return Field(Place.ANYWHERE, name)


def is_known(name: str) -> bool:
    """Whether the name can only mean a field: `level=error` is then no text."""
    prefix, dot, rest = name.partition(".")
    known = name in COLUMNS or name in BODY_NAMES or name in LEVEL_NAMES
    return known or bool(dot and rest and prefix in PREFIXES)


def level(name: str) -> tuple[int, int] | None:
    """The lowest and highest severity number of a level's name or number; None if it is neither."""
    name = name.lower()
    name = _LEVEL_ALIASES.get(name, name)
    if name in LEVELS:
        lowest = LEVELS[name]
        return (lowest, lowest + 3 if lowest else 0)
    if name.isascii() and name.isdigit() and int(name) <= HIGHEST_SEVERITY:
        return int(name), int(name)
    return None


def level_name(number: int) -> str:
    """The level that a severity number belongs to."""
    return next((name for name, lowest in reversed(LEVELS.items()) if number >= lowest), "none")
