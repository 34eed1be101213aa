"""Just enough of ClickHouse's grammar to see what kind of statement a request contains and where to change it.

The engine reads and writes files where a server reads and writes the connection: an INSERT's data becomes `FROM
INFILE`, and a SELECT's result goes `INTO OUTFILE` to a pipe. Statements are bytes: a string literal may contain any.
Anything unexpected is passed to the engine as it is, which then says what is wrong with it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# An unterminated token extends to the end of the text: searching for its end from every later place would take minutes.
_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<string>'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z))
    |(?P<quoted>"(?:[^"\\]|\\.|"")*+(?:"|\\?\Z)|`(?:[^`\\]|\\.|``)*+(?:`|\\?\Z))
    |(?P<dollar>\$(?:\w[\w$\x80-\xff]*)?)
    |(?P<word>[A-Za-z_\x80-\xff][\w$\x80-\xff]*|\w+)
    |(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)
_WITH_RESULT = {b"SELECT", b"WITH", b"FROM", b"("}
# Data begins after the format's name, blanks and one line break.
_BEFORE_DATA = re.compile(rb"[ \t\f]*\r?\n?")
_INSERT_ENDS = {b"SELECT", b"WITH", b"FROM", b"WATCH"}


@dataclass(frozen=True)
class Token:
    """One token: its upper-case text, its position, and how many brackets are open around it."""

    kind: str
    text: bytes
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class Insert:
    """An INSERT whose data follows: `head` + FROM INFILE ... + `settings` + FORMAT `format`, data from `data_at`."""

    head: bytes
    settings: bytes
    format: bytes
    data_at: int

    def from_file(self, path: str, compression: str) -> bytes:
        """The statement with its data taken from a file."""
        infile = b"FROM INFILE %s COMPRESSION %s" % (literal(path), literal(compression))
        return b"%s %s %s FORMAT %s" % (self.head, infile, self.settings, self.format)


@dataclass(frozen=True)
class InsertFromInput:
    """INSERT ... SELECT ... FROM input('structure') FORMAT x: `head` + file(...) + `tail`, data from `data_at`."""

    head: bytes
    structure: bytes
    tail: bytes
    format: bytes
    data_at: int

    def from_file(self, path: str, compression: str) -> bytes:
        """The statement with its data taken from a file."""
        arguments = (literal(path), literal(self.format), self.structure, literal(compression))
        return b"%s file(%s) %s" % (self.head, b", ".join(arguments), self.tail)


@dataclass(frozen=True)
class Select:
    """A statement with a result: `head`, where INTO OUTFILE fits, then `tail` (FORMAT and SETTINGS)."""

    head: bytes
    tail: bytes
    format: bytes | None

    def into_file(self, path: str, format_: str, compression: str | None) -> bytes:
        """The statement with its result written to a file, in its own format or else `format_`."""
        outfile = b"INTO OUTFILE %s TRUNCATE" % literal(path)
        if compression is not None:
            outfile += b" COMPRESSION " + literal(compression)
        return b"%s\n%s %s" % (self.head, outfile, self.tail or b"FORMAT " + format_.encode())


def literal(text: str | bytes) -> bytes:
    """A string literal."""
    raw = _bytes(text)
    return b"'" + raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def identifier(text: str | bytes) -> bytes:
    """A quoted identifier."""
    raw = _bytes(text)
    return b"`" + raw.replace(b"\\", b"\\\\").replace(b"`", b"\\`") + b"`"


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def tokens(text: bytes) -> Iterator[Token]:
    """Tokens without white space and comments."""
    depth = at = 0
    while match := _TOKEN.match(text, at):
        kind, start, at = match.lastgroup or "mark", at, match.end()
        if kind == "space":
            continue
        if kind == "dollar":
            closed = _heredoc_end(text, start)
            kind, at = ("heredoc", closed) if closed else ("word" if at - start > 1 else "mark", at)
        value = text[start:at].upper() if kind == "word" else text[start:at]
        if value in (b")", b"]", b"}"):
            depth -= 1
        yield Token(kind, value, start, at, depth)
        if value in (b"(", b"[", b"{"):
            depth += 1


def _heredoc_end(text: bytes, start: int) -> int:
    """Where the heredoc ends that begins with the dollar sign at `start`; 0 if none does: `$x$` is a name as well.

    As in https://github.com/ClickHouse/ClickHouse/blob/master/src/Parsers/Lexer.cpp: anything may stand between the two
    dollar signs, and only what comes a second time makes it a heredoc.
    """
    tag_end = text.find(b"$", start + 1) + 1
    tag = text[start:tag_end]
    closing = text.find(tag, tag_end) if tag_end else -1
    return closing + len(tag) if closing >= 0 else 0


def first_words(text: bytes, count: int = 2) -> tuple[bytes, ...]:
    """The first tokens, upper-case: what kind of statement it is."""
    found = []
    for token in tokens(text):
        found.append(token.text)
        if len(found) == count:
            break
    return tuple(found)


def verb(text: bytes) -> bytes:
    """What the statement does: its first word, or the INSERT after a WITH."""
    return _verb(tokens(text))


def _verb(stream: Iterator[Token]) -> bytes:
    """The verb; the stream is then after it (after a WITH, also after INTO)."""
    first = next(stream, None)
    if first is None or first.text != b"WITH":
        return b"" if first is None else first.text
    previous: Token | None = None
    for token in stream:
        if token.depth == 0 and token.text == b"INTO" and previous is not None and previous.text == b"INSERT":
            return b"INSERT"
        previous = token
    return first.text


def insert(text: bytes) -> Insert | InsertFromInput | None:
    """Parse an INSERT that comes with data; None if it is something else, or takes its rows from elsewhere."""
    stream = tokens(text)
    if _verb(stream) != b"INSERT":
        return None
    token = next(stream, None)
    while token is not None and token.text in (b"INTO", b"TABLE", b"FUNCTION"):
        token = next(stream, None)
    # `token` is the table's name (its first part), whatever it is called.
    settings_at, end, previous = None, 0 if token is None else token.end, b""
    for token in stream:
        if token.depth == 0 and token.kind == "word" and previous != b".":
            if token.text in _INSERT_ENDS:
                return _insert_from_input(text)
            if token.text == b"SETTINGS":
                settings_at = token.start
            elif token.text == b"VALUES":
                return _insert(text, settings_at, token.start, b"Values", token.end)
            elif token.text == b"FORMAT":
                name = next(stream, None)
                if name is None:
                    return None
                format_ = text[name.start : name.end]
                return _insert(text, settings_at, token.start, format_, _data_at(text, name))
        previous, end = token.text, token.end
    return _insert(text, settings_at, end, b"Values", len(text))


def _insert(text: bytes, settings_at: int | None, format_at: int, format_: bytes, data_at: int) -> Insert:
    head_end = format_at if settings_at is None else settings_at
    return Insert(text[:head_end], text[head_end:format_at], format_, data_at)


def _data_at(text: bytes, format_name: Token) -> int:
    blank = _BEFORE_DATA.match(text, format_name.end)
    return blank.end() if blank else format_name.end


def _insert_from_input(text: bytes) -> InsertFromInput | None:
    """Parse an INSERT whose SELECT reads the request's data; None if it reads something else."""
    if b"input" not in text.lower():
        return None
    recent: list[Token] = []
    source: tuple[int, bytes, int] | None = None
    stream = tokens(text)
    for token in stream:
        recent = [*recent[-3:], token]
        if [each.text for each in recent[:2]] == [b"INPUT", b"("] and len(recent) == 4 and token.text == b")":
            source = recent[0].start, text[recent[2].start : recent[2].end], token.end
        elif source and token.depth == 0 and token.text == b"FORMAT" and (name := next(stream, None)) is not None:
            start, structure, end = source
            format_ = text[name.start : name.end]
            return InsertFromInput(text[:start], structure, text[end : token.start], format_, _data_at(text, name))
    return None


def select(text: bytes) -> Select | None:
    """Parse a statement that starts as a SELECT does; None if it starts differently, or is WITH ... INSERT."""
    return with_format(text) if verb(text) in _WITH_RESULT else None


def with_format(text: bytes) -> Select:
    """Parse any statement that may end with FORMAT."""
    found = list(tokens(text))
    while found and found[-1].text == b";":
        found.pop()
    if not found:
        return Select(text, b"", None)
    end = found[-1].end
    for index in range(len(found) - 2, 0, -1):
        token, name = found[index], found[index + 1]
        if token.depth or token.kind != "word" or token.text != b"FORMAT" or name.kind != "word":
            continue
        after = found[index + 2].text if index + 2 < len(found) else b"SETTINGS"
        if name.text != b"SETTINGS" and after == b"SETTINGS":
            return Select(text[: token.start], text[token.start : end], text[name.start : name.end])
    return Select(text[:end], b"", None)
