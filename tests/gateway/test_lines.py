"""POST /ingest's bodies: JSON in its shapes, text, and what a content type that says nothing is taken for."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logbrook import multiline
from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import mend
from tests.gateway import reading
from tests.gateway.door import read

NDJSON, JSON, TEXT, FORM = "application/x-ndjson", "application/json", "text/plain", "application/x-www-form-urlencoded"
LIMIT = 200
SETTINGS = Gateway(allow_anonymous=True, max_message_bytes=LIMIT, max_request_events=500)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=3).filter(lambda made: len(encode(made)) <= LIMIT)
# Bytes as log files have them, newlines apart: often text, sometimes not even UTF-8.
LINES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30).map(str.encode),
    st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from([b"", b"  ", b"\tat a.b.C(D.java:1)", b"Caused by: x", b"{", b"[", b'{"a": 1', b"[2025-01-01] x"]),
)


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def without_mark(body: bytes) -> bytes:
    """A body without the byte order mark that some editors put first."""
    return body.removeprefix(b"\xef\xbb\xbf")


def bodies_of(batch: Batch) -> list[bytes]:
    """What each event's body says, as bytes."""
    found = reading.events(batch.messages)
    return [event["body"].encode() if isinstance(event, dict) else event for event in found]


@given(st.lists(OBJECTS, min_size=1, max_size=40))
def test_lines_of_json_are_passed_on_as_they_are(objects: list[dict[str, object]]) -> None:
    """Cutting NDJSON into messages loses no byte and no event, and no message is over the limit."""
    lines = [encode(each) for each in objects]

    batch = read(b"\n".join(lines), NDJSON, SETTINGS)

    assert batch.events == len(lines)
    assert b"\n".join(batch.messages).split(b"\n") == lines
    assert max(map(len, batch.messages)) <= LIMIT


@given(st.lists(OBJECTS, min_size=1, max_size=20), st.sampled_from([None, 1]))
def test_an_array_gives_the_same_events_as_lines(objects: list[dict[str, object]], indent: int | None) -> None:
    """An array, on one line or pretty-printed, becomes one event an element."""
    body = json.dumps(objects, indent=indent).encode()

    batch = read(body, JSON, SETTINGS.__class__(allow_anonymous=True, max_message_bytes=2000))

    assert batch.events == len(objects)
    assert reading.events(batch.messages) == objects


@given(OBJECTS, st.sampled_from([None, 2]), st.sampled_from([JSON, FORM, ""]))
def test_one_object_is_one_event(value: dict[str, object], indent: int | None, content_type: str) -> None:
    """Also when it is pretty-printed, and when the content type does not say what it is."""
    batch = read(json.dumps(value, indent=indent).encode(), content_type, Gateway(allow_anonymous=True))

    assert batch.events == 1
    assert reading.events(batch.messages) == [value]


@given(st.lists(LINES, min_size=1, max_size=30))
@example([b"{", b'{"a": 1', b"x"])
@example([b"{\x80"])
@example([b"{\x80", b" \x80"])
def test_text_keeps_every_byte(lines: list[bytes]) -> None:
    """Each event's body is exactly its lines, whatever bytes they have; blank lines between events are not events.

    Only of several lines that begin like JSON is each byte that is not UTF-8 replaced, so that they stay one event.
    """
    body = b"\n".join(lines)
    clean = without_mark(body).replace(b"\r\n", b"\n").split(b"\n")
    expected = [b"\n".join(clean[first:last]) for first, last in multiline.group(clean)]
    like_json = (b"{", b"[", b"\xef\xbb\xbf")
    expected = [mend.utf8(e) if b"\n" in e and e.lstrip().startswith(like_json) else e for e in expected]
    if not expected or any(len(each) > LIMIT // 4 for each in expected):
        return

    batch = read(body, TEXT, SETTINGS)

    assert batch.events == len(expected)
    assert bodies_of(batch) == expected


@given(st.lists(LINES.filter(bytes.strip), min_size=1, max_size=30))
@example([b"\xef"])
@example([b"[\x80", b"{\x80"])
def test_broken_lines_of_json_are_events_too(lines: list[bytes]) -> None:
    """NDJSON with lines that are not JSON, or not UTF-8, has as many events as lines, with all of their bytes."""
    body = without_mark(b"\n".join(lines)).replace(b"\r\n", b"\n")
    expected = [line.strip(b" \t\r") for line in body.split(b"\n") if line.strip()]
    if not expected:
        return

    batch = read(b"\n".join(lines), NDJSON, SETTINGS)

    found = [event for message in batch.messages for event in reading.split(message)]
    assert batch.events == len(found) == len(expected)
    for line, event in zip(expected, found, strict=True):
        assert event.strip(b" \t\r") == line or json.loads(event)["body"].encode() == line


@given(st.binary(max_size=300), st.sampled_from([NDJSON, JSON, TEXT, FORM, "", "image/png"]))
def test_any_body_is_taken_or_refused_clearly(body: bytes, content_type: str) -> None:
    """No bytes make the reader fail in any other way than an answer of 400 or 413."""
    try:
        batch = read(body, content_type, SETTINGS)
    except RejectedError as refused:
        outcome = refused.status
    else:
        outcome = 200
        assert batch.events == sum(len(reading.split(message)) for message in batch.messages) > 0

    assert outcome in (200, 400, 413)


@given(st.binary(max_size=300), st.sampled_from([NDJSON, JSON, TEXT, ""]))
def test_the_same_bytes_give_the_same_messages(body: bytes, content_type: str) -> None:
    """A retry is cut as the first attempt was: only then are its messages known again."""
    outcomes: list[Batch | None] = []
    for _ in range(2):
        try:
            outcomes.append(read(body, content_type, SETTINGS))
        except RejectedError:
            outcomes.append(None)

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'{"a": 1}', [{"a": 1}]),
        (b'{"a": 1}\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        (b' {"a": 1}\r\n\r\n  {"b": 2}', [{"a": 1}, {"b": 2}]),
        (b'[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        (b'{\n  "a": 1\n}\n', [{"a": 1}]),
        (b'\xef\xbb\xbf{"a": 1}', [{"a": 1}]),
        (b"plain text\r\nmore\r\n", [{"body": "plain text"}, {"body": "more"}]),
        (b"[2025-01-01] looks like an array", [{"body": "[2025-01-01] looks like an array"}]),
        (b"{braces} are text too", [{"body": "{braces} are text too"}]),
        (b'{"a": 1}\nthen text', [{"a": 1}, {"body": "then text"}]),
        (b"ERROR x\n\tat a.B\nCaused by: y\n\t... 3 more\nINFO z", [
            {"body": "ERROR x\n\tat a.B\nCaused by: y\n\t... 3 more"}, {"body": "INFO z"}]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["", FORM, "application/octet-stream"])
def test_what_a_body_is_shows_in_its_bytes(body: bytes, events: list[object], content_type: str) -> None:
    """Without a content type, or with curl's default, JSON is told from text by its first bytes."""
    assert reading.events(read(body, content_type, Gateway()).messages) == events


def test_elements_that_are_no_objects_are_bodies() -> None:
    """An array of strings is a list of messages."""
    batch = read(b'["a", 5, null, ["b"]]', JSON, Gateway())

    assert reading.events(batch.messages) == [{"body": "a"}, {"body": 5}, {"body": None}, {"body": ["b"]}]


def test_text_that_looks_like_json_stays_text() -> None:
    """With the type text/plain a line is a body, whatever it begins with."""
    batch = read(b'{"a": 1}\n[1, 2]', TEXT, Gateway())

    assert reading.events(batch.messages) == [{"body": '{"a": 1}'}, {"body": "[1, 2]"}]


def test_numbers_are_not_rewritten() -> None:
    """Digits that no float can hold reach the topic as they are."""
    body = b'[{"id": 123456789012345678901234567890.10}]'

    assert read(body, JSON, Gateway()).messages == [b'{"id": 123456789012345678901234567890.10}']


def test_half_a_surrogate_does_not_cost_the_others() -> None:
    """JavaScript cuts strings between the halves of an emoji: the half becomes U+FFFD, the array is taken."""
    batch = read(rb'[{"a": "cut \ud83d"}, {"b": "whole \ud83d\ude00 \\ud83d"}]', JSON, Gateway())

    assert reading.events(batch.messages) == [{"a": "cut \ufffd"}, {"b": "whole \U0001f600 \\ud83d"}]


@pytest.mark.parametrize(
    ("body", "code", "byte"),
    [
        (b'{"a": nope}', "broken_json", 7),
        (b'[{"a": 1}, {"b":]', "broken_json", 16),
        (b'[{"a": 1}', "broken_json", 9),
        (b'{"a": 1', "broken_json", 7),
        (b'"text"', "no_event", 0),
    ],
)
def test_a_broken_document_is_refused_with_its_place(body: bytes, code: str, byte: int) -> None:
    """Who says application/json and sends none learns at which byte it breaks."""
    with pytest.raises(RejectedError) as refused:
        read(body, JSON, Gateway())

    assert (refused.value.status, refused.value.code, refused.value.place) == (400, code, {"byte": byte})


@pytest.mark.parametrize("body", [b"", b"\n \r\n", b"\xef\xbb\xbf", b"[]"])
def test_nothing_is_no_request(body: bytes) -> None:
    """An empty body is most likely a mistake, and is answered 400."""
    with pytest.raises(RejectedError, match="no event"):
        read(body, JSON, Gateway())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a": 1}\n{"b": "' + bytes(300).replace(b"\0", b"x") + b'"}\n{"c": 1}', NDJSON),
        (b'[{"a": 1}, {"b": "' + bytes(300).replace(b"\0", b"x") + b'"}]', JSON),
        (b"a\n" + bytes(300).replace(b"\0", b"x") + b"\nc", TEXT),
        (b"a\n" + bytes(300).replace(b"\0", b"\xff") + b"\nc", TEXT),
        (b'a\n{"b": "' + bytes(300).replace(b"\0", b"x") + b'"}\n', NDJSON),
    ],
)
def test_an_event_over_the_limit_is_named(body: bytes, content_type: str) -> None:
    """An event that fits into no message is answered 413 with its index, and nothing of the request is sent."""
    with pytest.raises(RejectedError) as refused:
        read(body, content_type, SETTINGS)

    assert (refused.value.status, refused.value.code) == (413, "event_too_large")
    assert refused.value.place == {"event": 1, "limit": LIMIT}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{}\n" * 501, NDJSON), (b"x\n" * 501, NDJSON), (b"x\n" * 501, TEXT), (b"[" + b"1," * 500 + b"1]", JSON)],
)
def test_too_many_events_are_refused(body: bytes, content_type: str) -> None:
    """The number of events in a request is bounded."""
    with pytest.raises(RejectedError) as refused:
        read(body, content_type, SETTINGS)

    assert (refused.value.status, refused.value.place) == (413, {"limit": 500})


def test_nesting_without_end_is_refused() -> None:
    """A document of brackets is answered 400, not with a crash."""
    with pytest.raises(RejectedError) as refused:
        read(b"[" * 200_000, JSON, Gateway())

    assert (refused.value.status, refused.value.code) == (400, "too_deep")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"event_id": "1"}\n{"event_id":"2"}', True),
        (b'[{"event_id": "1"}, {"event_id" : 2}]', True),
        (b'{"event_id": "1"}\n{"a": "event_id"}', False),
        (b'{"a": 1}\n{"event_id": "1", "b": {"event_id": 1}}', False),
        (b'{"body": "\\"event_id\\": 1"}', False),
        (b"event_id: 1", False),
    ],
)
def test_a_batch_is_named_when_each_event_is(body: bytes, named: bool) -> None:
    """Only where every event has an id do the bytes of a body say that it is a repeated one."""
    assert read(body, "", Gateway()).named is named
