"""What the query language can say: the tree that the parser builds, and that becomes SQL.

In the body, text is compared ignoring case (`spellings`), elsewhere exactly. A *glob* is text in which `*` stands for
any run of characters and `?` for one; after a backslash, the next character stands for itself.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where a field's value is kept."""

    COLUMN = "column"
    LOG = "LogAttributes"
    RESOURCE = "ResourceAttributes"
    SCOPE = "ScopeAttributes"
    ANYWHERE = "anywhere"  # in the attributes of the event or, failing that, of its resource
    MADE = "made"  # a stage of the query makes it


@dataclass(frozen=True)
class Field:
    """A field of an event: for a column its name in the table or the statement, else the attribute's key."""

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
    """Without punctuation, a word of the body fits `glob`; with it, a part of the body does."""

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
class Matches:
    """The field is there and some part of its value matches `pattern`, a regular expression of RE2."""

    field: Field
    pattern: str


@dataclass(frozen=True)
class InNetwork:
    """The field's value is an IP address of `network`, such as 10.0.0.0/8."""

    field: Field
    network: str


@dataclass(frozen=True)
class Exists:
    """The field has a value: neither empty nor, for a number, 0."""

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


@dataclass(frozen=True)
class In:
    """The field has a value that also occurs among the events of `within`, an SQL condition, that `part` matches."""

    field: Field
    part: "Node"
    within: str


OfField = Equals | Fits | Matches | InNetwork | Exists | Compares
Node = Everything | Text | TextGlob | OfField | Severity | Not | All | Any | In

# Scripts that put no blanks between words, and emoji: a part of a run of them is what people look for.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U0001f000-\U0001faff\U00020000-\U0003ffff]"
)


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script without blanks between words, so that its words can't be told apart."""
    return _UNSPACED.search(text) is not None


def lowered(text: str) -> str:
    """`text` as the engine's `lower` writes it: only ASCII letters change."""
    return text.encode().lower().decode()


def spellings(text: str) -> list[str]:
    """How a text may be spelled in the body, once the ASCII letters of both are in lower case.

    Other letters count as typed, all in lower case, all in upper case, and with capitals at the beginning.
    """
    if all(each.isascii() or each.lower() == each.upper() for each in text):
        return [lowered(text)]
    variants = (text, text.lower(), text.upper(), text.capitalize(), text.title())
    return list(dict.fromkeys(lowered(each) for each in variants))


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


def escaped(text: str) -> str:
    """The glob that fits nothing but `text`."""
    return re.sub(r"([*?\\])", r"\\\1", text)


def fields_of(node: Node) -> tuple[Field, ...]:
    """The field that a node is about, if any."""
    return (node.field,) if isinstance(node, OfField | In) else ()


def columns(node: Node) -> set[str]:
    """The columns of the table that a filter reads."""
    match node:
        case Text() | TextGlob():
            return {"Body"}
        case Severity():
            return {"SeverityNumber"}
        case Not(part=part):
            return columns(part)
        case All(parts=parts) | Any(parts=parts):
            return set().union(*(columns(part) for part in parts))
        case In(part=part):
            # Its range is not in whole minutes.
            return {"Timestamp"} | columns(part)
    return {field.name if field.place is Place.COLUMN else field.place.value for field in fields_of(node)}
