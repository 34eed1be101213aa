"""Bytes of files to events: the rule for lines, and that no byte is lost on any path."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logbrook.produce.lines import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    Reading,
    complete,
    encode,
    split,
)
from logbrook.produce.target import JSON, TEXT, Batch

OFF = Reading("text", multiline=False)
ON = Reading("text", multiline=True)

# Small alphabets make line ends, indentation and broken UTF-8 meet often.
PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"\xff", b"\xc3\xa9", b"\0", b'{"a":1}', b"{", b"at x", b"Caused by: ",
     b"Traceback (most recent call last):", b"\xef\xbb\xbf", b'"', b"\\"]
)  # fmt: skip
FILES = st.lists(PIECES | st.binary(max_size=4), max_size=40).map(b"".join)


def model(data: bytes) -> list[bytes]:
    """A line ends at LF or CRLF; what is behind the last end counts if it is not empty; long padding is left out."""
    lines = [re.sub(rb"^\0{8,}", b"", line) for line in re.split(rb"\r?\n", data)]
    return lines if lines[-1] else lines[:-1]


def bodies(batches: list[Batch]) -> list[bytes]:
    """The body of each event, as ClickHouse will store it."""
    found: list[bytes] = []
    for batch in batches:
        if batch.kind == TEXT:
            found.append(batch.payload)
        else:
            found += [json.loads(line)["body"].encode() for line in batch.payload.split(b"\n")]
    return found


@given(FILES)
@example(b"a\r\r\nb")
@example(b"a\r")
@example(b"\n\n")
@example(b"")
def test_lines_are_those_of_the_model(data: bytes) -> None:
    """`split` does what the rule says."""
    assert split(data) == model(data)


@given(FILES)
@example(b"[x\xff\n{y\xff")
def test_without_multiline_a_line_is_an_event(data: bytes) -> None:
    """As many events as lines, each body byte for byte its line, in order; the counts of the batches add up."""
    batches = list(encode(data, OFF))
    assert bodies(batches) == model(data)
    assert sum(batch.events for batch in batches) == len(model(data))


@given(FILES)
def test_with_multiline_no_line_is_lost(data: bytes) -> None:
    """The lines of all bodies are the lines of the file, but for blank ones between events."""
    found = [line for body in bodies(list(encode(data, ON))) for line in body.split(b"\n")]
    assert [line for line in found if line.strip()] == [line for line in model(data) if line.strip()]


@given(FILES, st.sampled_from([OFF, ON, Reading("json"), Reading("json", multiline=False)]))
def test_where_a_file_is_cut_does_not_matter(data: bytes, reading: Reading) -> None:
    """Read in pieces of any size, with what is not complete held back, a file gives the same events."""

    def flat(batches: list[Batch]) -> list[tuple[bytes, str]]:
        return [(line, b.kind) for b in batches for line in (b.payload.split(b"\n") if b.kind == JSON else [b.payload])]

    found: list[Batch] = []
    held = b""
    for start in range(0, len(data), 7):
        held += data[start : start + 7]
        end = complete(held, reading)
        assert end == 0 or held[end - 1 : end] == b"\n"
        found += encode(held[:end], reading)
        held = held[end:]
    found += encode(held, reading)
    assert flat(found) == flat(list(encode(data, reading)))


@given(FILES, st.text(max_size=5))
def test_batches_of_json_are_json(data: bytes, service: str) -> None:
    """Each line of a batch of text is one object with the body, and the service if one is given."""
    for batch in encode(data, Reading("text", multiline=False, service=service)):
        if batch.kind == JSON:
            events = [json.loads(line) for line in batch.payload.split(b"\n")]
            assert len(events) == batch.events
            assert all(event.keys() - {"encoding"} == {"service", "body"} for event in events)
            assert all(event["service"] == service for event in events)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'Starting\n{"a":1}\n', [{"body": "Starting"}, {"a": 1}]),
        (b"2026-01-01 {}\n{main} started\n", [{"body": "2026-01-01 {}"}, {"body": "{main} started"}]),
        (b'{\n  "a": 1,\n  "b": {\n    "c": 2\n  }\n}\n{\r\n  "d": 3\r\n}\n', [{"a": 1, "b": {"c": 2}}, {"d": 3}]),
        (b"\0" * 100 + b"first\n", [{"body": "first"}]),
        (b'[{"a":1},{"b":[2]}]\n', [{"a": 1}, {"b": [2]}]),
        (b'[\n{"a":1},\n{"b":2}\n]\n', [{"a": 1}, {"b": 2}]),
        (b'[\n  {\n    "a": 1\n  },\n  {\n    "b": {\n      "c": 2\n    }\n  }\n]\n', [{"a": 1}, {"b": {"c": 2}}]),
        (b'{ "a": 1,\r\n  "b": 2\r\n}\r\n, {\r\n  "c": 3\r\n}\r\n', [{"a": 1, "b": 2}, {"c": 3}]),
    ],
)
@pytest.mark.parametrize("multiline", [False, True])
def test_each_line_says_whether_it_is_json(data: bytes, expected: list[dict[str, Any]], multiline: bool) -> None:
    """An object on one line or, indented, on several, also in an array; anything else is text, wherever it is cut.

    Zeros before a line are padding.
    """
    reading = Reading(multiline=multiline)
    for cut in (0, complete(data, reading)):
        batches = [*encode(data[:cut], reading), *encode(data[cut:], reading)]
        assert [json.loads(line) for batch in batches for line in batch.payload.split(b"\n")] == expected


def test_an_object_over_several_lines_is_waited_for() -> None:
    """As long as its end is missing, it is not complete."""
    data = b'{"a":1}\n{\n  "b": 2\n'
    for multiline in (False, True):
        assert complete(data, Reading(multiline=multiline)) == len(b'{"a":1}\n')


def test_a_service_stands_beside_text_that_is_not_utf8() -> None:
    """Each of its bytes is a character of ISO 8859-1 then, and the event says so."""
    (batch,) = encode(b"K\xe4se \xff\n", Reading(service="s"))
    assert json.loads(batch.payload) == {"service": "s", "body": "K\xe4se \xff", "encoding": "ISO-8859-1"}


def test_a_service_stands_in_json_that_is_not_utf8() -> None:
    """Its other fields are read as well, since the bytes are characters of ISO 8859-1 then."""
    (batch,) = encode(b'{"msg":"K\xe4se","level":"error"}\n', Reading(service="s"))
    assert json.loads(batch.payload) == {"service": "s", "encoding": "ISO-8859-1", "msg": "K\xe4se", "level": "error"}


def test_json_goes_as_it_is() -> None:
    """Objects keep their bytes, blank lines are none, broken objects are for ClickHouse to flag."""
    data = b'{"a": 1e400, "b":18446744073709551616}\r\n\n  {"c":"\xff"}\n{"broken\n'
    (batch,) = encode(data, Reading("json"))
    assert batch == Batch(b'{"a": 1e400, "b":18446744073709551616}\n{"c":"\xff"}\n{"broken', 3)


def test_text_between_json_is_text() -> None:
    """What a crash writes between lines of JSON is an event of its own, whole."""
    data = b'{"a":1}\nTraceback (most recent call last):\n  File "x"\nValueError: y\n{"a":2}\n'
    (batch,) = encode(data, Reading("json"))
    events = [json.loads(line) for line in batch.payload.split(b"\n")]
    assert events == [{"a": 1}, {"body": 'Traceback (most recent call last):\n  File "x"\nValueError: y'}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{}", {"service": "s"}),
        (b'{"a":1}', {"service": "s", "a": 1}),
        (b'{ "a":1}', {"service": "s", "a": 1}),
        (b'{"service":"own"}', {"service": "own"}),
        (b'{"resource":{"service.name":"own"}}', {"resource": {"service.name": "own"}}),
    ],
)
def test_service_of_json(line: bytes, expected: dict[str, Any]) -> None:
    """`--service` names the events that name none."""
    (batch,) = encode(line, Reading("json", service="s"))
    assert json.loads(batch.payload) == expected


@pytest.mark.parametrize(
    ("service", "path", "expected"),
    [
        (None, "/var/log/kafka.log", None),
        ("shop", "/var/log/kafka.log", "shop"),
        ("{file}", "/var/log/kafka.log", "kafka"),
        ("dev-{file}", "syslog", "dev-syslog"),
        ("{file}", "-", "stdin"),
    ],
)
def test_service_of_a_file(service: str | None, path: str, expected: str | None) -> None:
    """`{file}` is the file's name without directory and suffix."""
    assert Reading(service=service).of(path).service == expected


def test_batches_stay_below_both_limits() -> None:
    """Many short lines are cut by number, long ones by size; none is lost."""
    short = list(encode(b"x\n" * 2_500, OFF))
    assert [batch.events for batch in short] == [MAX_BATCH_EVENTS, MAX_BATCH_EVENTS, 500]
    long = list(encode((b"y" * 100_000 + b"\n") * 12, OFF))
    assert all(len(batch.payload) <= MAX_BATCH_BYTES for batch in long)
    assert bodies(long) == [b"y" * 100_000] * 12


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([b"x", "é".encode(), "\N{GRINNING FACE}".encode(), b"\1", b"\xff", b"ab\x80"]), st.integers(0, 3)
)
def test_a_line_too_long_for_a_message_is_cut(unit: bytes, shift: int) -> None:
    """Its pieces fit into messages, break no character, and together are the line."""
    line = b"-" * shift + unit * (2 * MAX_EVENT_BYTES // len(unit))
    batches = list(encode(line + b"\nnext\n", OFF))
    pieces = bodies(batches)
    assert pieces[-1] == b"next"
    assert b"".join(pieces[:-1]) == line
    assert all(len(batch.payload) <= MAX_EVENT_BYTES for batch in batches)


def test_stack_traces_stay_whole() -> None:
    """The events of a log with stack traces are its records."""
    records = [
        b"10:00 INFO start",
        b"10:01 ERROR failed\njava.lang.X: y\n\tat a.B.c(B.java:1)\nCaused by: z\n\t... 3 more".replace(
            b"\njava", b"\n  java"
        ),
        b'10:02 ERROR failed\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nKeyError: 1',
        b"10:03 INFO end",
    ]
    assert bodies(list(encode(b"\n".join(records) + b"\n", ON))) == records
    assert all(a != b for a, b in pairwise(records))
