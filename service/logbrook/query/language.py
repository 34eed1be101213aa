"""The query language: text in, tree out, or an error that says where and what was expected.

    connection refused "order 17" -healthcheck              words and phrases of the body; - leaves out
    service:checkout level>=warn                            fields
    (service:cart OR service:auth) attr.http.status_code:>=500
    user.id:user-3* trace_id:*                              wildcards; * alone: the field is there

Words next to each other must all match. `AND`, `OR` and `NOT` are operators in capitals only.
"""

import math
import re
from collections.abc import Callable

from logbrook.errors import RejectedError
from logbrook.query import catalog
from logbrook.query.syntax import (
    All,
    Any,
    Compares,
    Equals,
    Everything,
    Exists,
    Field,
    Fits,
    Node,
    Not,
    Place,
    Severity,
    Text,
    TextGlob,
)

MAX_CHARACTERS = 4096
MAX_DEPTH = 24
MAX_TERMS = 100
# Thousands of them in one pattern keep ClickHouse busy for minutes in one block, where it looks at no deadline.
MAX_WILDCARDS = 100
_MAX_INTEGER = 2**63 - 1

_FIELD = re.compile(
    r'(?:([A-Za-z_@][\w.@/-]*)|(attr|attributes|resource|scope)\."((?:[^"\\]|\\.)+)")(:|>=|<=|>|<|=)', re.ASCII
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_OPERATOR = re.compile(r">=|<=|>|<|=")
_KEYWORD = re.compile(r"(AND|OR|NOT)(?=[\s()]|$)")


class QuerySyntaxError(RejectedError):
    """The query can't be understood: `position` is the character (from 0), `expected` what would fit there."""

    def __init__(self, position: int, message: str, expected: str) -> None:
        super().__init__(400, "query_syntax", message, position=position, expected=expected)


def parse(text: str) -> Node:
    """The tree of a query; nothing but blanks matches everything. Raises QuerySyntaxError."""
    if len(text) > MAX_CHARACTERS:
        raise QuerySyntaxError(
            MAX_CHARACTERS, f"the query has {len(text)} characters", f"at most {MAX_CHARACTERS} characters"
        )
    if found := re.search("[\0\ud800-\udfff]", text):
        raise QuerySyntaxError(found.start(), "the query contains a character that text cannot have", "text")
    wildcards = [found.start() for found in re.finditer(r"[*?]", text)]
    if len(wildcards) > MAX_WILDCARDS:
        raise QuerySyntaxError(
            wildcards[MAX_WILDCARDS], f"there are more than {MAX_WILDCARDS} * and ?", "fewer wildcards"
        )
    return _Parser(text).query()


class _Parser:
    """A recursive descent over the characters; each method leaves `at` behind what it took."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.terms = text, 0, 0

    def query(self) -> Node:
        self._blanks()
        if self.at == len(self.text):
            return Everything()
        node = self._alternatives(0, None)
        if self.at < len(self.text):
            raise QuerySyntaxError(self.at, "this ) does not close anything", "the end of the query, or a ( before it")
        return node

    def _blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _keyword(self) -> str | None:
        found = _KEYWORD.match(self.text, self.at)
        return found[1] if found else None

    def _alternatives(self, depth: int, field: str | None) -> Node:
        parts = [self._conjunction(depth, field)]
        while self._keyword() == "OR":
            self.at += 2
            parts.append(self._conjunction(depth, field))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _conjunction(self, depth: int, field: str | None) -> Node:
        self._blanks()
        parts = [self._negation(depth, field)]
        self._blanks()
        while self.at < len(self.text) and self.text[self.at] != ")" and self._keyword() != "OR":
            if self._keyword() == "AND":
                self.at += 3
                self._blanks()
            parts.append(self._negation(depth, field))
            self._blanks()
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _negation(self, depth: int, field: str | None) -> Node:
        negated = False
        while True:
            if self._keyword() == "NOT":
                self.at += 3
                self._blanks()
            elif re.match(r"[-!](?=[^\s)\-!>])", self.text[self.at : self.at + 2]):
                self.at += 1
            else:
                break
            negated = not negated
        node = self._primary(depth, field)
        return Not(node) if negated else node

    def _primary(self, depth: int, field: str | None) -> Node:
        start = self.at
        if (keyword := self._keyword()) is not None or start == len(self.text) or self.text[start] == ")":
            found = "the query ends here" if start == len(self.text) else f"there is {keyword or ')'} here"
            raise QuerySyntaxError(start, found, "a word, a phrase, field:value or (")
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise QuerySyntaxError(start, f"there are more than {MAX_TERMS} terms", "a shorter query")
        if self.text[start] == "(":
            return self._group(depth, field)
        if field is not None:
            return self._value(depth, field)
        if self.text[start] == '"':
            return Text(self._quoted())
        return self._term(depth)

    def _group(self, depth: int, field: str | None) -> Node:
        opened = self.at
        if depth >= MAX_DEPTH:
            raise QuerySyntaxError(opened, f"there are more than {MAX_DEPTH} ( inside each other", "fewer ( )")
        self.at += 1
        node = self._alternatives(depth + 1, field)
        if self.at == len(self.text):
            raise QuerySyntaxError(self.at, f"the ( at character {opened + 1} is not closed", ")")
        self.at += 1
        return node

    def _quoted(self) -> str:
        opened = self.at
        characters: list[str] = []
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return "".join(characters)
            if character == "\\" and self.at < len(self.text) and self.text[self.at] in '"\\':
                character = self.text[self.at]
                self.at += 1
            characters.append(character)
        raise QuerySyntaxError(self.at, f'the " at character {opened + 1} is not closed', '"')

    def _term(self, depth: int) -> Node:
        """A word of the body, or a field with its value."""
        found = _FIELD.match(self.text, self.at)
        if found is None or not self._is_field(found):
            return _glob_or_text(self._raw('\\s()"'), Text, TextGlob)
        prefix, key, operator = found[2], found[3], found[4]
        name = found[1] or prefix + "." + re.sub(r"\\(.)", r"\1", key)
        self.at = found.end()
        if operator == "=":
            operator = ":"
        if operator != ":":
            return self._comparison(name, operator)
        return self._value(depth, name)

    def _is_field(self, found: re.Match[str]) -> bool:
        """Whether this is meant as a field, and not as text that happens to have a colon or a > in it."""
        rest, known = self.text[found.end() :], found[1] is None or catalog.is_known(found[1])
        if found[4] == ":":
            return not rest.startswith("//")
        return known or (found[4] != "=" and _NUMBER.match(rest) is not None)

    def _value(self, depth: int, name: str) -> Node:
        start = self.at
        if start == len(self.text) or self.text[start].isspace() or self.text[start] == ")":
            raise QuerySyntaxError(
                start, f"{name}: has no value", f'a value right after the colon, or quotes around "{name}:" as text'
            )
        if self.text[start] == "(":
            return self._group(depth, name)
        if self.text[start] == '"':
            return self._meaning(name, self._quoted(), start, quoted=True)
        if operator := _OPERATOR.match(self.text, start):
            self.at = operator.end()
            return self._comparison(name, operator[0])
        return self._meaning(name, self._raw("\\s()"), start, quoted=False)

    def _raw(self, stops: str) -> str:
        """Everything up to a stop character, as a glob."""
        found = re.compile(rf"(?:\\.|[^{stops}\\]|\\$)+", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise QuerySyntaxError(self.at, f"there is {self.text[self.at]} here", "a value")
        self.at = found.end()
        return found[0]

    def _meaning(self, name: str, value: str, start: int, *, quoted: bool) -> Node:  # noqa: PLR0911 - one a kind
        """What `name:value` asks for."""
        if name in catalog.BODY_NAMES:
            if quoted:
                return Text(value)
            return (
                Not(Equals(Field(Place.COLUMN, "Body"), "")) if value == "*" else _glob_or_text(value, Text, TextGlob)
            )
        if name in catalog.LEVEL_NAMES:
            return Severity(1, catalog.HIGHEST_SEVERITY) if value == "*" else Severity(*self._level(value, start))
        field = catalog.field(name)
        if not quoted and set(value) == {"*"}:
            return Exists(field)
        if field.numeric:
            return Compares(field, "=", self._number(value, start, field))
        trace = field.name in ("TraceId", "SpanId") and field.place is Place.COLUMN
        value = value.replace("-", "").lower() if trace else value
        if quoted:
            return Equals(field, value)
        return _glob_or_text(value, lambda text: Equals(field, text), lambda glob: Fits(field, glob))

    def _comparison(self, name: str, operator: str) -> Node:
        start = self.at
        value = self._quoted() if self.text.startswith('"', start) else self._raw_or_nothing()
        if name in catalog.LEVEL_NAMES:
            lowest, highest = self._level(value, start)
            ranges = {
                ">=": (lowest, catalog.HIGHEST_SEVERITY),
                ">": (highest + 1, catalog.HIGHEST_SEVERITY),
                "<=": (0, highest),
                "<": (0, lowest - 1),
                "=": (lowest, highest),
            }
            return Severity(*ranges[operator])
        field = catalog.field(name)
        if name in catalog.BODY_NAMES or (field.place is Place.COLUMN and not field.numeric):
            raise QuerySyntaxError(start - len(operator), f"{name} is text and has no order", f"{name}:value")
        return Compares(field, operator, self._number(value, start, field))

    def _raw_or_nothing(self) -> str:
        return "" if self.at == len(self.text) or self.text[self.at] in " \t\r\n()" else self._raw("\\s()")

    def _level(self, value: str, start: int) -> tuple[int, int]:
        level = catalog.level(value)
        if level is None:
            names = ", ".join(catalog.LEVELS)
            raise QuerySyntaxError(
                start, f"{value or 'nothing'!r} is not a level", f"one of {names}, or a number from 0 to 24"
            )
        return level

    def _number(self, value: str, start: int, field: Field) -> float:
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise QuerySyntaxError(start, f"{value!r} is not a number", "a number such as 500 or 0.25")
        if not field.numeric:
            return float(value)
        if not re.fullmatch(r"[+-]?\d+", value) or abs(int(value)) > _MAX_INTEGER:
            raise QuerySyntaxError(start, f"{value!r} is not a whole number", "a whole number of at most 64 bits")
        return int(value)


def _glob_or_text(raw: str, text: Callable[[str], Node], glob: Callable[[str], Node]) -> Node:
    """What a raw value means: a glob if a wildcard is in it that no backslash takes away, else text."""
    pieces: list[tuple[str, bool]] = []
    escaped = False
    for character in raw:
        if escaped:
            pieces.append((character, False))
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            pieces.append((character, character in "*?"))
    if escaped:
        pieces.append(("\\", False))
    if not any(wild for _, wild in pieces):
        return text("".join(character for character, _ in pieces))
    if all(wild and character == "*" for character, wild in pieces):
        return Everything()
    return glob("".join(c if wild or c not in "*?\\" else "\\" + c for c, wild in pieces))
