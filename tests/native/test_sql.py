"""The little that the front understands of SQL, on everything that could be mistaken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.front import sql

PIECES = st.sampled_from(
    [
        *rb"SELECT|1|FORMAT|JSON|SETTINGS|a=1|INSERT INTO t|VALUES|(|)|'x;y'|`a b`|/* ; */|;|,|''|'|\|INPUT".split(
            b"|"
        ),
        *(b"--c\n", b"\xff", b"\n", b"$t$ FORMAT $t$", b"$x$", b"$", b"{x:UInt8}"),
    ]
)
STATEMENTS = st.lists(PIECES, max_size=12).map(b" ".join) | st.binary(max_size=60)


@given(STATEMENTS)
def test_anything_can_be_taken_apart(text: bytes) -> None:
    """No text raises, and tokens come in order, without overlap, each where it says it is."""
    at = 0
    for token in sql.tokens(text):
        assert at <= token.start < token.end <= len(text)
        assert token.text.lower() == text[token.start : token.end].lower()
        at = token.end
    sql.insert(text)
    sql.select(text)


@given(STATEMENTS)
def test_nothing_of_a_select_is_lost(text: bytes) -> None:
    """INTO OUTFILE goes in between; all tokens stay, but for semicolons at the end."""
    found = sql.select(text)
    if found is not None:
        into = found.into_file("/f", "TSV", None)
        marker = into.index(b"\nINTO OUTFILE '/f' TRUNCATE ")
        rest = into[marker:].removeprefix(b"\nINTO OUTFILE '/f' TRUNCATE ")
        # Without a tail nothing may follow: a literal that is not closed would take it in.
        kept = [token.text for token in sql.tokens(into[:marker] + (b" " + rest if found.tail else b""))]
        whole = [token.text for token in sql.tokens(text)]
        assert kept == whole[: len(kept)]
        assert set(whole[len(kept) :]) <= {b";"}


@given(st.binary())
def test_a_literal_is_one_token(value: bytes) -> None:
    """Whatever is in a string or a name, it ends where it ends."""
    assert [token.kind for token in sql.tokens(sql.literal(value))] == ["string"]
    assert [token.kind for token in sql.tokens(sql.identifier(value))] == ["quoted"]


@given(st.binary())
def test_data_begins_after_the_format(data: bytes) -> None:
    """One line break belongs to the statement, everything after it to the data."""
    statement = b"INSERT INTO t (a, b) FORMAT RowBinary\n"
    found = sql.insert(statement + data)
    assert isinstance(found, sql.Insert)
    assert (statement + data)[found.data_at :] == data
    assert (found.head.split(), found.format) == ([b"INSERT", b"INTO", b"t", b"(a,", b"b)"], b"RowBinary")


@pytest.mark.parametrize(
    ("text", "head", "settings", "format_"),
    [
        (b"INSERT INTO t VALUES (1)", b"INSERT INTO t", b"", b"Values"),
        (b"INSERT INTO db.format FORMAT CSV 1", b"INSERT INTO db.format", b"", b"CSV"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values", b"", b"Values"),
        (
            b"INSERT INTO t SETTINGS a = 1, b = 'FORMAT X' FORMAT TSV\n1",
            b"INSERT INTO t",
            b"SETTINGS a = 1, b = 'FORMAT X'",
            b"TSV",
        ),
        (b"INSERT INTO FUNCTION null('x UInt8') FORMAT TSV\n1", b"INSERT INTO FUNCTION null('x UInt8')", b"", b"TSV"),
        (b"INSERT INTO t (values, format) FORMAT TSV\n1", b"INSERT INTO t (values, format)", b"", b"TSV"),
        (b"INSERT INTO t", b"INSERT INTO t", b"", b"Values"),
        (b"/* x */ insert into t format tsv 1", b"/* x */ insert into t", b"", b"tsv"),
    ],
)
def test_inserts_with_data(text: bytes, head: bytes, settings: bytes, format_: bytes) -> None:
    """Names that are keywords, settings before the format, functions as targets."""
    found = sql.insert(text)
    assert isinstance(found, sql.Insert)
    assert (found.head.strip(), found.settings.strip(), found.format) == (head, settings, format_)


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SELECT 1",
        b"WITH 1 AS x INSERT INTO t SELECT x",
        b"WITH 1 AS insert SELECT insert",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"SELECT 'INSERT INTO t VALUES (1)'",
        b"",
    ],
)
def test_inserts_without_data(text: bytes) -> None:
    """Rows that come from elsewhere are the engine's business."""
    assert sql.insert(text) is None


@pytest.mark.parametrize("opening", [b"`\\", b'"\\', b"'\\", b"/*", b"$a$b", b"'"])
def test_what_nothing_ends_is_read_once(opening: bytes) -> None:
    """An open quotation goes to the end of the text, and costs no more for it: it was minutes for a small statement."""
    text = b"SELECT 1, " + opening + b"`\\" * 100_000

    found = list(sql.tokens(text))

    assert [token.text for token in found[:3]] == [b"SELECT", b"1", b","]
    assert len(found) <= 5


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (b"$$a$$", ["heredoc"]),
        (b"$a b\n$ FORMAT $a b\n$", ["heredoc"]),
        (b"$x$", ["word"]),
        (b"$x$y$", ["word"]),
        (b"$x$ $y$", ["word", "word"]),
        (b"$ x", ["mark", "word"]),
        (b"$", ["mark"]),
        (b"$$x", ["mark", "word"]),
        (b"1$$1$$", ["word", "heredoc"]),
    ],
)
def test_dollar_signs_are_names_until_they_close(text: bytes, kinds: list[str]) -> None:
    """A heredoc is what ClickHouse's lexer says: between two equal tags, of any characters; the rest are words."""
    assert [token.kind for token in sql.tokens(text)] == kinds


def test_a_parameters_name_may_have_dollar_signs() -> None:
    """The statement's format is seen behind it."""
    found = sql.select(b"SELECT {$x$:Int32} AS a FORMAT Native")
    assert found is not None
    assert found.format == b"Native"
