"""What the query language means, said once more in plain Python: the other opinion of the property tests."""

import functools
import re
from ipaddress import ip_address, ip_network
from typing import Any

from logbrook.query.syntax import (
    All,
    Compares,
    Equals,
    Everything,
    Exists,
    Field,
    Fits,
    In,
    InNetwork,
    Matches,
    Node,
    Not,
    OfField,
    Place,
    Severity,
    Text,
    TextGlob,
    glob_pieces,
)
from logbrook.query.syntax import Any as AnyOf
from tests.query.corpus import EVENTS

Row = dict[str, Any]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Rows(list[Row]):
    """The rows that there are, which `in (...)` looks for."""

    __hash__ = object.__hash__  # type: ignore[assignment]


ALL = Rows(EVENTS)


def matches(node: Node, row: Row, rows: Rows = ALL) -> bool:  # noqa: PLR0911 - one for each kind of node
    """Whether a row of the table matches, where there are `rows`."""
    match node:
        case Everything():
            return True
        case Text(text=text):
            return any(has_text(lower(row["Body"]), lower(each)) for each in cases(text))
        case TextGlob(glob=glob):
            return any(has_glob(lower(row["Body"]), lower(each)) for each in cases(glob))
        case Severity(lowest=lowest, highest=highest):
            return bool(lowest <= row.get("SeverityNumber", 0) <= highest)
        case Not(part=part):
            return not matches(part, row, rows)
        case All(parts=parts):
            return all(matches(part, row, rows) for part in parts)
        case AnyOf(parts=parts):
            return any(matches(part, row, rows) for part in parts)
        case In(field=field, part=part):
            return shown(field, row) in among(field, part, rows)
    return any(fits_value(node, value) for value in values(node.field, row))


@functools.cache
def among(field: Field, part: Node, rows: Rows) -> set[str]:
    """The values of a field in the rows that match."""
    return {shown(field, row) for row in rows if matches(part, row, rows)} - {""}


def shown(field: Field, row: Row) -> str:
    """The value of a field as text: of the event's own attribute if its resource has one, too."""
    return str(next(iter(values(field, row)), ""))


def lower(text: str) -> str:
    """As the body is compared: only ASCII letters have a case."""
    return "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in text)


def cases(text: str) -> set[str]:
    """A text as it may be written: other letters than ASCII's as typed, small, capital, or with capitals first."""
    return (
        {text, text.lower(), text.upper(), text.capitalize(), text.title()} if text.lower() != text.upper() else {text}
    )


def words(text: str) -> list[str]:
    """Runs of ASCII letters, digits and everything that is not ASCII."""
    return re.findall(r"[0-9A-Za-z\u0080-\U0010ffff]+", text)


def has_text(body: str, text: str) -> bool:
    """The text's words stand in a row in the body, and the text itself is in it."""
    if re.search("[\u2600-\u27bf\u2e80-\u9fff\U0001f000-\U0001faff]", text):
        return text in body
    wanted, there = words(text), words(body)
    in_a_row = any(there[at : at + len(wanted)] == wanted for at in range(len(there) - len(wanted) + 1))
    return text in body and in_a_row


def has_glob(body: str, glob: str) -> bool:
    """Without punctuation a word of the body fits the glob, with it some part of the body does."""
    literal = "".join(character for character, wild in glob_pieces(glob) if not wild)
    if words(literal) == [literal]:
        return any(glob_fits(glob, word) for word in words(body))
    return glob_fits(f"*{glob}*", body)


def glob_fits(glob: str, text: str) -> bool:
    """Whether the whole text fits."""
    pattern = "".join(
        (".*" if character == "*" else ".") if wild else re.escape(character) for character, wild in glob_pieces(glob)
    )
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def values(field: Field, row: Row) -> list[Any]:
    """The values of a field that a row has; an attribute that is not there has none."""
    if field.place is Place.COLUMN:
        return [row.get(field.name, 0 if field.numeric else "")]
    places = ("LogAttributes", "ResourceAttributes") if field.place is Place.ANYWHERE else (field.place.value,)
    return [row[place][field.name] for place in places if field.name in row.get(place, {})]


def fits_value(node: OfField, value: Any) -> bool:  # noqa: PLR0911 - one for each kind of node
    """Whether one value of the field is as asked."""
    match node:
        case Equals(value=wanted):
            return bool(value == wanted)
        case Fits(glob=glob):
            return glob_fits(glob, value)
        case Exists():
            return bool(value)
        case Matches(pattern=pattern):
            return re.search(pattern, value) is not None
        case InNetwork(network=network):
            try:
                return ip_address(value) in ip_network(network)
            except ValueError:
                return False
        case Compares(operator=operator, number=number):
            return compares(as_number(value), operator, number)


def as_number(value: Any) -> float | None:
    """The number that a value is, as a whole."""
    if not isinstance(value, str):
        return float(value)
    if value in ("nan", "inf"):
        return float(value)
    return float(value) if _NUMBER.fullmatch(value) else None


def compares(value: float | None, operator: str, number: float) -> bool:
    """Whether the number is related so; none never is."""
    if value is None:
        return False
    relations = {
        ">": value > number,
        ">=": value >= number,
        "<": value < number,
        "<=": value <= number,
        "=": value == number,
    }
    return relations[operator]
