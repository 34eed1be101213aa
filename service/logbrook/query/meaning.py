"""What a name, an operator, and a value of the query language ask for, as a part of the tree.

`start` is the character at which the value begins, for the error; `made` is the field if a stage made it.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Iterable

from logbrook.query import catalog
from logbrook.query.functions import MAX_PATTERN_CHARACTERS
from logbrook.query.refusals import BadRequestError
from logbrook.query.syntax import (
    Any,
    Compares,
    Equals,
    Everything,
    Exists,
    Field,
    Fits,
    InNetwork,
    Matches,
    Node,
    Not,
    Place,
    Severity,
    Text,
    TextGlob,
    escaped,
    glob_pieces,
)
from logbrook.schema.parsing import LEVEL_TEXTS

NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_MAX_INTEGER = 2**63 - 1
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+/\d{1,3}")


class QuerySyntaxError(BadRequestError):
    """The query can't be understood: `position` is the character (from 0), `expected` what would fit there."""

    def __init__(self, position: int, message: str, expected: str) -> None:
        super().__init__("query_syntax", message, position=position, expected=expected)


def any_of(fields: Iterable[Field], make: Callable[[Field], Node]) -> Node:
    """What one of the fields matches."""
    nodes = tuple(make(field) for field in fields)
    return nodes[0] if len(nodes) == 1 else Any(nodes)


def body_text(raw: str) -> Node:
    """A word of the body, or a glob."""
    return _glob_or_text(raw, Text, TextGlob)


def value_of(name: str, value: str, start: int, made: Field | None = None, *, quoted: bool) -> Node:  # noqa: PLR0911 - one for each kind of name
    """What `name:value` asks for."""
    if made:
        return _equals(made, value, start, quoted=quoted)
    if catalog.is_body(name):
        if not quoted and value == "*":
            return Not(Equals(Field(Place.COLUMN, "Body"), ""))
        return Text(value) if quoted else body_text(value)
    if catalog.is_level(name):
        return Severity(1, catalog.HIGHEST_SEVERITY) if value == "*" else Severity(*_level(value, start))
    if name == "_exists_":
        return any_of(catalog.fields(value), Exists)
    node = any_of(catalog.fields(name), lambda field: _equals(field, value, start, quoted=quoted))
    if catalog.is_level_key(name, value) and (level := catalog.level(value)):
        return Any((Severity(*level), node))
    return node


def comparison(name: str, operator: str, value: str, start: int, made: Field | None = None) -> Node:
    """What `name>value` asks for. `operator` is one of > >= < <= =."""
    if made:
        return Compares(made, operator, _number(value, start, made))
    if catalog.is_level(name) or catalog.is_level_key(name, value):
        lowest, highest = _level(value, start)
        ranges = {
            ">=": (lowest, catalog.HIGHEST_SEVERITY),
            ">": (highest + 1, catalog.HIGHEST_SEVERITY),
            "<=": (0, highest),
            "<": (0, lowest - 1),
            "=": (lowest, highest),
        }
        return Severity(*ranges[operator])
    fields = [field for field in catalog.fields(name) if field.numeric or field.place is not Place.COLUMN]
    if catalog.is_body(name) or not fields:
        raise QuerySyntaxError(start - len(operator), f"{name} is text and has no order", f"{name}:value")
    return any_of(fields, lambda field: Compares(field, operator, _number(value, start, field)))


def matches(name: str, pattern: str, start: int, made: Field | None = None) -> Node:
    """What `name:/pattern/` asks for."""
    # A longer one keeps ClickHouse busy within one block, where it does not check its deadline.
    if not pattern or len(pattern) > MAX_PATTERN_CHARACTERS:
        expected = f"one to {MAX_PATTERN_CHARACTERS} characters"
        raise QuerySyntaxError(start, f"the regular expression has {len(pattern)} characters", expected)
    if catalog.is_body(name) and not made:
        return Matches(Field(Place.COLUMN, "Body"), pattern)
    fields = (catalog.COLUMNS["severity_text"],) if catalog.is_level(name) else catalog.fields(name)
    fields = (made,) if made else fields
    if any(field.numeric for field in fields):
        raise QuerySyntaxError(start, f"{name} is a number and has no text to match", f"{name}:>0 or {name}:0")
    return any_of(fields, lambda field: Matches(field, pattern))


def _equals(field: Field, value: str, start: int, *, quoted: bool) -> Node:
    if not quoted and set(value) == {"*"}:
        return Exists(field)
    if field.numeric:
        return Compares(field, "=", _number(value, start, field))
    if field.name in ("TraceId", "SpanId") and field.place is Place.COLUMN:
        value = value.replace("-", "").lower()
    if field.name == "SeverityText" and field.place is Place.COLUMN and value.upper() in LEVEL_TEXTS:
        value = value.upper()
    if quoted:
        return Equals(field, value)
    if _NETWORK.fullmatch(value) and (network := _network(value)):
        return Any((Equals(field, value), InNetwork(field, network)))
    return _glob_or_text(value, lambda text: Equals(field, text), lambda glob: Fits(field, glob))


def _level(value: str, start: int) -> tuple[int, int]:
    level = catalog.level(value)
    if level is None:
        expected = f"one of {', '.join(catalog.LEVELS)}, or a number from 0 to 24"
        raise QuerySyntaxError(start, f"{value!r} is not a level" if value else "the level is missing", expected)
    return level


def _number(value: str, start: int, field: Field) -> float:
    if not NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        raise QuerySyntaxError(start, f"{value!r} is not a number", "a number such as 500 or 0.25")
    if field.place is not Place.COLUMN:
        return float(value)
    if not re.fullmatch(r"[+-]?\d+", value) or abs(int(value)) > _MAX_INTEGER:
        raise QuerySyntaxError(start, f"{value!r} is not a whole number", "a whole number of at most 64 bits")
    return int(value)


def _network(text: str) -> str | None:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def _glob_or_text(raw: str, text: Callable[[str], Node], glob: Callable[[str], Node]) -> Node:
    """A glob if `raw` has a wildcard without a backslash before it, else text."""
    pieces = glob_pieces(raw)
    if not any(wild for _, wild in pieces):
        return text("".join(character for character, _ in pieces))
    if all(wild and character == "*" for character, wild in pieces):
        return Everything()
    return glob("".join(character if wild else escaped(character) for character, wild in pieces))
