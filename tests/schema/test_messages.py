"""How messages become events: one, many or broken, and nothing lost."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.schema.conftest import Row, Store


@dataclass(frozen=True)
class Case:
    """A message, and for each of its events the body, the attributes and what was wrong."""

    promise: str
    payload: bytes
    events: list[tuple[bytes, dict[str, str], str]]


def text(promise: str, payload: bytes, error: str = "") -> Case:
    """A message that is one event, whose body is the message byte for byte."""
    return Case(promise, payload, [(payload, {}, error)])


CASES = [
    text("text is one event", b"hello"),
    text("newlines of a text are kept", b"Traceback:\n  File x\n\n  in y\r\nKeyError: 'a'\n"),
    text("blanks around a text are kept", b"  \t hello \r\n"),
    text("an empty message is an event, flagged", b"", "empty message"),
    text("a blank message is an event, flagged", b" \r\n\t\n", "empty message"),
    text("bytes that are no UTF-8 are kept", b"\xff\xfe caf\xe9 \x00\x80"),
    text("a JSON string is text", b'"hello"'),
    text("a JSON number is text", b"42"),
    text("an array of texts is text", b'["a", "b"]'),
    text("a line in brackets is text", b"[main] {started}"),
    text("braces without JSON are text, flagged", b"{main} started", "invalid JSON"),
    text("cut-off JSON is text, flagged", b'{"a": 1, "b', "invalid JSON"),
    text("a cut-off array is text, flagged", b'[{"a": 1}, {"b', "invalid JSON"),
    text("an array without events is text, flagged", b" [ ] ", "empty array"),
    text("JSON with bad UTF-8 is text, flagged", b'{"a": "\xff"}', "invalid JSON"),
    Case(
        "half a surrogate costs its character, a number beyond a double nothing",
        b'{"msg":"\\ud83d \\ud83d\\ude00 \\\\ud800","n":1e400}',
        [("\ufffd \U0001f600 \\ud800".encode(), {"n": "1e400"}, "")],
    ),
    Case(
        "lines of which none is valid are an event each",
        b'{"msg":1,}\n{"msg":2,}',
        [(b'{"msg":1,}', {}, "invalid JSON"), (b'{"msg":2,}', {}, "invalid JSON")],
    ),
    text("JSON without a line end between is text, flagged", b'{"a":1}{"b":2}', "invalid JSON"),
    text("cut-off pretty JSON is one event, flagged", b'{\n  "a": {\n    "b": 1\n', "invalid JSON"),
    text("deep JSON is text, flagged", b'{"a":' * 2000 + b"1" + b"}" * 2000, "invalid JSON"),
    text("text before JSON lines is text", b'started\n{"a":1}\n{"b":2}'),
    Case("an object is one event", b'{"msg":"m","a":1}', [(b"m", {"a": "1"}, "")]),
    Case("an object without a message has its JSON as body", b'{"a":1}', [(b'{"a":1}', {"a": "1"}, "")]),
    Case("blanks around an object mean nothing", b'\r\n  {"msg":"m"}\r\n\n', [(b"m", {}, "")]),
    Case("a byte order mark means nothing", b'\xef\xbb\xbf{"msg":"m"}', [(b"m", {}, "")]),
    Case(
        "a pretty-printed object is one event",
        b'{\n  "msg": "m",\n  "a": [\n    {"b": 1}\n  ]\n}\n',
        [(b"m", {"a": '[{"b":1}]'}, "")],
    ),
    Case(
        "each line with an object is an event",
        b'{"msg":"1","a":1}\n{"msg":"2"}\r\n{"msg":"3"}',
        [(b"1", {"a": "1"}, ""), (b"2", {}, ""), (b"3", {}, "")],
    ),
    Case("blank lines are no events", b'\n{"msg":"1"}\n\n \t\r\n{"msg":"2"}\n\n', [(b"1", {}, ""), (b"2", {}, "")]),
    Case(
        "a broken line is an event with its text, flagged; the others are whole",
        b'{"msg":"1"}\n{"msg":"2\r\n{"msg":"3"}\noops\n',
        [(b"1", {}, ""), (b'{"msg":"2', {}, "invalid JSON"), (b"3", {}, ""), (b"oops", {}, "")],
    ),
    Case(
        "the first line may be the broken one",
        b'{"msg":"1\n{"msg":"2"}\n',
        [(b'{"msg":"1', {}, "invalid JSON"), (b"2", {}, "")],
    ),
    Case(
        "each element of an array is an event",
        b'[{"msg":"1","a":{"b":2}},\n {"msg":"2"}]',
        [(b"1", {"a.b": "2"}, ""), (b"2", {}, "")],
    ),
    Case("an element that is no object is an event with its text", b'[{"msg":"1"}, 7, "x", null]', [
        (b"1", {}, ""), (b"7", {}, ""), (b'"x"', {}, ""), (b"null", {}, "")]),
    Case("a key that is there twice is kept twice", b'{"msg":"m","a":1,"a":2}', [(b"m", {"a": "1", "a#2": "2"}, "")]),
]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(store: Store) -> dict[str, list[Row]]:
    """The rows of every case, by its promise."""
    return dict(zip([case.promise for case in CASES], store([case.payload for case in CASES]), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_messages(case: Case, outcomes: dict[str, list[Row]]) -> None:
    """A message becomes the events of the table, in order."""
    rows = outcomes[case.promise]
    assert [(row["Body"], row["LogAttributes"], row["ParseError"]) for row in rows] == case.events
    assert [row["KafkaIndex"] for row in rows] == list(range(len(rows)))


@pytest.mark.parametrize("timestamp_ms", [0, -1, 2**62])
def test_a_message_without_a_time_arrives_now(store: Store, timestamp_ms: int) -> None:
    """Where Kafka has no usable time of the message, the time of the insert is the event's."""
    [[row]] = store([b"hello"], timestamp_ms=timestamp_ms)
    apart = datetime.fromisoformat(row["Timestamp"][:23]) - row["IngestedAt"].replace(tzinfo=None)
    assert abs(apart.total_seconds()) < 60


def test_a_broken_line_has_the_service_with_which_the_producer_begins_it(store: Store) -> None:
    """Nothing else of what can't be parsed is guessed."""
    payload = '{"service":"a é","msg":"x",}\n{"msg":"y","service":"b",}'.encode()
    [[first, second]] = store([payload])
    assert (first["ServiceName"], second["ServiceName"]) == ("a é", "")
    assert {first["ParseError"], second["ParseError"]} == {"invalid JSON"}
