"""The query language: text in, tree out, or an error that says where and what was expected.

    connection refused "order 17" -healthcheck              words and phrases of the body; - leaves out
    service:checkout level>=warn                            fields
    (service:cart OR service:auth) attr.http.status_code:>=500
    user.id:user-3* trace_id:*                              wildcards; * alone: the field is there
    trace_id in (level>=error service:cart)                 a value that events in the range have that match a filter

    duration_ms:[100 TO 200] ip:10.0.0.0/8 path:/^\\/api/    ranges, networks, regular expressions

Words next to each other must all match. `AND` (`&&`), `OR` (`||`) and `NOT` are operators in capitals only. A `|` ends
the filter, and stages follow (stages.py).
"""

import re

from logbrook.query import catalog
from logbrook.query.meaning import NUMBER, QuerySyntaxError, any_of, body_text, comparison, matches, value_of
from logbrook.query.syntax import All, Any, Everything, Exists, Field, In, Node, Not, Place, Text, is_unspaced

MAX_CHARACTERS = 4096
MAX_DEPTH = 24
MAX_TERMS = 100
# Thousands of them in one pattern keep ClickHouse busy for minutes within one block, where it does not check deadlines.
MAX_WILDCARDS = 100

_NAME = r'(?:([^\W\d](?:[\w.@/-]|\\ )*|@[\w.@/-]*)|(?:(attr|attributes|resource|scope)\.)?"((?:[^"\\]|\\.)+)")'
NAME = re.compile(_NAME + r'(?![\w.@/"-])')
_FIELD = re.compile(_NAME + r"(:|\s*(?:=~|!~|!=|==?|>=|<=|>|<)(?![=>~])\s*)")
_IN = re.compile(_NAME + r"\s+in\s*(?=\()")
_OPERATOR = re.compile(r"=~|!~|!=|>=|<=|>|<|=")
_KEYWORDS = {"AND": "AND", "OR": "OR", "NOT": "NOT", "&&": "AND", "||": "OR"}
_KEYWORD = re.compile(r"(AND|OR|NOT|&&|\|\|)(?=[\s()]|$)")
REGEX = re.compile(r"/((?:\\.|[^/\\])+)/(?=[\s)]|$)")
_STAGE = re.compile(r"\|(?!\|)")
_RANGE = re.compile(r"([\[{])\s*([^\s\[\]{}]+)\s+TO\s+([^\s\[\]{}]+)\s*([\]}])(?=[\s)]|$)")


def parse(text: str, within: str | None = "") -> Node:
    """The tree of a filter; nothing but blanks matches everything. Raises QuerySyntaxError.

    `within` is the range as an SQL condition, for `in (...)`, which is a mistake if it is None.
    """
    node, end = split(text, within)
    if end < len(text):
        raise QuerySyntaxError(end, "a filter has no stages", "the end of the query, or quotes around | as text")
    return node


def split(text: str, within: str | None = "") -> tuple[Node, int]:
    """The tree of a query's filter, and the character at which its stages begin. Raises QuerySyntaxError."""
    parser = Parser(text, within)
    return parser.filter(), parser.at


def name_of(found: re.Match[str]) -> str:
    """The name that a match of NAME stands for."""
    key = found[3] and re.sub(r"\\(.)", r"\1", found[3])
    return (found[1] or "").replace("\\ ", " ") or (f"{found[2]}.{key}" if found[2] else key)


class Parser:
    """A recursive descent over the characters; each method leaves `at` after what it took. Raises QuerySyntaxError."""

    def __init__(self, text: str, within: str | None) -> None:
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
        self.text, self.within, self.at, self.terms = text, within, 0, 0
        # Fields that stages made, by their names.
        self.made: dict[str, Field] = {}

    def filter(self) -> Node:
        """The filter that is here, up to the next stage."""
        self._blanks()
        if self._ends():
            return Everything()
        node = self._alternatives(0, None)
        if not self._ends():
            raise QuerySyntaxError(self.at, "this ) does not close anything", "the end of the query, or a ( before it")
        return node

    def _ends(self) -> bool:
        """Whether the query or the next stage begins here."""
        return self.at == len(self.text) or _STAGE.match(self.text, self.at) is not None

    def _need(self, name: str, start: int) -> None:
        """Raise QuerySyntaxError if the rows have no such field; events can have any."""

    def _is_known(self, name: str) -> bool:
        return name in self.made or catalog.is_known(name)

    def _blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _keyword(self) -> str | None:
        found = _KEYWORD.match(self.text, self.at)
        return _KEYWORDS[found[1]] if found else None

    def _take(self, keyword: str) -> bool:
        """Move past a keyword if it is here."""
        found = _KEYWORD.match(self.text, self.at)
        if found is None or _KEYWORDS[found[1]] != keyword:
            return False
        self.at = found.end()
        return True

    def _alternatives(self, depth: int, field: str | None) -> Node:
        parts = [self._conjunction(depth, field)]
        while self._take("OR"):
            parts.append(self._conjunction(depth, field))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _conjunction(self, depth: int, field: str | None) -> Node:
        self._blanks()
        parts = [self._negation(depth, field)]
        self._blanks()
        while not self._ends() and self.text[self.at] != ")" and self._keyword() != "OR":
            if self._take("AND"):
                self._blanks()
            parts.append(self._negation(depth, field))
            self._blanks()
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _negation(self, depth: int, field: str | None) -> Node:
        negated = False
        while True:
            if self._take("NOT"):
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
        if (keyword := self._keyword()) is not None or self._ends() or self.text[start] == ")":
            found = "the query ends here" if start == len(self.text) else f"there is {keyword or self.text[start]} here"
            within = "; a query has no functions" if self.text[start - 1 : start + 1] == "()" else ""
            raise QuerySyntaxError(start, found, f"a word, a phrase, field:value or ({within}")
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise QuerySyntaxError(start, f"there are more than {MAX_TERMS} terms", "a shorter query")
        if self.text[start] == "(":
            return self._group(depth, field)
        if field is not None:
            return self._value(depth, field)
        return self._term(depth)

    def _group(self, depth: int, field: str | None) -> Node:
        opened = self.at
        if depth >= MAX_DEPTH:
            raise QuerySyntaxError(opened, f"there are more than {MAX_DEPTH} ( inside each other", "fewer ( )")
        self.at += 1
        node = self._alternatives(depth + 1, field)
        if self._ends():
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
        """A word or a phrase of the body, or a field with its value."""
        start = self.at
        if (found := _IN.match(self.text, start)) and (found[1] or found[2]):
            return self._among(found, depth)
        found = _FIELD.match(self.text, start)
        if found is None or not self._is_field(found):
            self._need("body", start)
            return Text(self._quoted()) if self.text[start] == '"' else body_text(self._raw('\\s()"'))
        name = name_of(found)
        self._need(name, start)
        self.at = found.end()
        operator = found[4].strip()
        if operator not in ("=", "==", ":"):
            return self._related(name, operator, depth)
        node = self._value(depth, name)
        # It may be text as well: programs write `user=bob` into their lines, and CJK text has no blanks between words.
        text = self.text[start : self.at]
        is_field = found[3] or self._is_known(name) or "(" in text or (operator == ":" and not is_unspaced(name))
        return node if is_field else Any((node, body_text(text)))

    def _among(self, found: re.Match[str], depth: int) -> Node:
        """`name in (filter)`."""
        name, start, within = name_of(found), self.at, self.within
        self._need(name, start)
        if catalog.is_level(name) or catalog.is_body(name):
            raise QuerySyntaxError(start, f"{name} has no `in (...)`", "a field such as trace_id or user.id")
        if within is None or self.made:
            expected = "`in` in a search of a time range, before extract and stats, and not inside another `in`"
            raise QuerySyntaxError(start, "`in (...)` is not possible here", expected)
        self.at, self.within = found.end(), None
        part = self._group(depth, None)
        self.within = within
        return any_of(catalog.fields(name), lambda field: In(field, part, within))

    def _is_field(self, found: re.Match[str]) -> bool:
        """Whether this is meant as a field, and not as text that happens to have a colon or a > in it."""
        rest, operator = self.text[found.end() :], found[4].strip()
        has_value = rest != "" and not rest[0].isspace() and rest[0] != ")"
        if operator == ":":
            return has_value if found[3] and not found[2] else not rest.startswith("//")
        if operator != found[4] and not has_value:
            return False
        if found[2] or (found[1] and self._is_known(found[1])):
            return True
        return has_value if operator[0] in "=!" else NUMBER.match(rest) is not None

    def _value(self, depth: int, name: str) -> Node:
        start = self.at
        if start == len(self.text) or self.text[start].isspace() or self.text[start] == ")":
            raise QuerySyntaxError(
                start, f"{name}: has no value", f'a value right after the colon, or quotes around "{name}:" as text'
            )
        if self.text[start] == "(":
            return self._group(depth, name)
        if self.text[start] == '"':
            return value_of(name, self._quoted(), start, self.made.get(name), quoted=True)
        if regex := REGEX.match(self.text, start):
            self.at = regex.end()
            return matches(name, regex[1].replace("\\/", "/"), start, self.made.get(name))
        if limits := _RANGE.match(self.text, start):
            self.at = limits.end()
            return self._range(name, limits)
        if operator := _OPERATOR.match(self.text, start):
            self.at = operator.end()
            return self._related(name, operator[0], depth)
        return value_of(name, self._raw("\\s()"), start, self.made.get(name), quoted=False)

    def _related(self, name: str, operator: str, depth: int) -> Node:
        """What `name` and an operator ask for; the value is next."""
        start = self.at
        if operator == "!=":
            node: Node = Not(self._value(depth, name))
            fields = catalog.fields(name)
            is_attribute = fields[-1].place is not Place.COLUMN and not catalog.is_body(name) and name not in self.made
            return All((any_of(fields, Exists), node)) if is_attribute and not catalog.is_level(name) else node
        value = self._quoted() if self.text.startswith('"', start) else self._raw_or_nothing()
        if operator in ("=~", "!~"):
            node = matches(name, value, start, self.made.get(name))
            return Not(node) if operator == "!~" else node
        return comparison(name, operator, value, start, self.made.get(name))

    def _range(self, name: str, limits: re.Match[str]) -> Node:
        """`[1 TO 5]` with its ends, `{1 TO 5}` without, `*` for no end."""
        lowest = (">=" if limits[1] == "[" else ">", limits[2], limits.start(2))
        highest = ("<=" if limits[4] == "]" else "<", limits[3], limits.start(3))
        parts = [comparison(name, *each, self.made.get(name)) for each in (lowest, highest) if each[1] != "*"]
        if not parts:
            return value_of(name, "*", limits.start(), self.made.get(name), quoted=False)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _raw(self, stops: str) -> str:
        """Everything up to a stop character, as a glob."""
        found = re.compile(rf"(?:\\.|[^{stops}\\]|\\$)+", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise QuerySyntaxError(self.at, f"there is {self.text[self.at]} here", "a value")
        self.at = found.end()
        return found[0]

    def _raw_or_nothing(self) -> str:
        return "" if self.at == len(self.text) or self.text[self.at] in " \t\r\n()" else self._raw("\\s()")
