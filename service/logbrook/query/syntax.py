"""What the query language can say: the tree that the parser builds and that becomes SQL.

Text is compared without regard to ASCII case in the body, exactly everywhere else. A *glob* is text in which `*`
stands for any run of characters, `?` for one, and a backslash takes the meaning from the next character.
"""

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where a field's value is kept."""

    COLUMN = "column"
    LOG = "LogAttributes"
    RESOURCE = "ResourceAttributes"
    SCOPE = "ScopeAttributes"
    ANYWHERE = "anywhere"  # in the attributes of the event or, failing that, of its resource


@dataclass(frozen=True)
class Field:
    """A field of an event: for a column its name in the table, else the attribute's key."""

    place: Place
    name: str
    numeric: bool = False


@dataclass(frozen=True)
class Everything:
    """Matches every event."""


@dataclass(frozen=True)
class Text:
    """The body has the words of `text` in a row, and `text` itself."""

    text: str


@dataclass(frozen=True)
class TextGlob:
    """Without punctuation: a word of the body fits `glob`; with: a part of the body does."""

    glob: str


@dataclass(frozen=True)
class Equals:
    """The field's value is `value`; an attribute must be there, even if `value` is empty."""

    field: Field
    value: str


@dataclass(frozen=True)
class Fits:
    """The field is there and its whole value fits `glob`."""

    field: Field
    glob: str


@dataclass(frozen=True)
class Exists:
    """The attribute is there; a column is neither empty nor 0."""

    field: Field


@dataclass(frozen=True)
class Compares:
    """The field's value is a number, and so related to `number`. `operator` is one of > >= < <= =."""

    field: Field
    operator: str
    number: float


@dataclass(frozen=True)
class Severity:
    """The severity number is between the two, both included; 0 is an event without severity."""

    lowest: int
    highest: int


@dataclass(frozen=True)
class Not:
    """What `part` does not match."""

    part: "Node"


@dataclass(frozen=True)
class All:
    """What every part matches."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Any:
    """What some part matches."""

    parts: "tuple[Node, ...]"


Node = Everything | Text | TextGlob | Equals | Fits | Exists | Compares | Severity | Not | All | Any


def glob_pieces(glob: str) -> list[tuple[str, bool]]:
    """The characters of a glob, each with whether it is a wildcard."""
    pieces: list[tuple[str, bool]] = []
    characters = iter(glob)
    for character in characters:
        if character == "\\":
            pieces.append((next(characters, "\\"), False))
        else:
            pieces.append((character, character in "*?"))
    return pieces


def columns(node: Node) -> set[str]:
    """The columns of the table that a filter reads."""
    match node:
        case Text() | TextGlob():
            return {"Body"}
        case Severity():
            return {"SeverityNumber"}
        case Equals(field=field) | Fits(field=field) | Exists(field=field) | Compares(field=field):
            return {field.name} if field.place is Place.COLUMN else {field.place.value}
        case Not(part=part):
            return columns(part)
        case All(parts=parts) | Any(parts=parts):
            return set().union(*(columns(part) for part in parts))
    return set()
