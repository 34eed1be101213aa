"""What the gateway makes of text is what ClickHouse stores: every line an event, every byte of it in the body."""

import contextlib
import random
import re
from dataclasses import replace

import pytest

from logbrook import clickhouse as connection
from logbrook import config, multiline
from logbrook.config import Gateway
from logbrook.errors import RejectedError
from tests.gateway import fuzzing, reading
from tests.gateway.door import read

SETTINGS = Gateway(allow_anonymous=True, max_message_bytes=500)
COLUMNS = ["topic", "topic_id", "partition", "offset", "timestamp_ms", "source", "idempotency_key", "payload"]
PIECES = [
    *(
        b"INFO a line",
        b"{braces}",
        b'{"a": 1',
        b'{"a": 1}',
        b"[1, 2]",
        b'["x"',
        b"[2025-01-01] x",
        b"a\xff\xfeb",
        b"\x00",
    ),
    *(
        b"caf\xc3\xa9",
        b'quote " and \\',
        b"\tat a.B(C.java:1)",
        b"Caused by: x",
        b"  indented",
        b"",
        b"5",
        b"null",
        b"x\ry",
    ),
]


def stored(database: config.ClickHouse, messages: list[bytes]) -> list[bytes]:
    """The bodies that the view makes of messages, in their order."""
    client = connection.connect(database)
    rows = [["t", "", 0, offset, 1_757_930_000_000, "s", "", message] for offset, message in enumerate(messages)]
    client.insert("arrivals", rows, COLUMNS)
    found = client.query("SELECT hex(Body) FROM otel_logs ORDER BY KafkaOffset, KafkaIndex").result_rows
    client.close()
    return [bytes.fromhex(body) for (body,) in found]


def test_text_is_stored_byte_for_byte(database: config.ClickHouse) -> None:
    """Bodies of lines that look like JSON, are no UTF-8, or belong to a stack trace: as many rows, the same bytes."""
    chance = random.Random(7)
    messages, expected = [], []
    for _ in range(200):
        lines = [b"start", *(chance.choice(PIECES) for _ in range(chance.randint(1, 12)))]
        batch = read(b"\n".join(lines), "text/plain", SETTINGS)
        messages += batch.messages
        expected += [b"\n".join(lines[first:last]) for first, last in multiline.group(lines)]

    assert stored(database, messages) == expected


def test_broken_lines_of_json_are_stored_one_by_one(database: config.ClickHouse) -> None:
    """A body of JSON in which every line is broken becomes as many rows, each with its text."""
    lines = [b'{"number": %d, "broken' % number for number in range(50)]

    batch = read(b"\n".join(lines), "application/x-ndjson", SETTINGS)

    assert stored(database, batch.messages) == lines


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"msg":"x","v":1e400}'] * 3,
        [b'{"msg":"x","v":' + b"7" * 400 + b"}"] * 3,
        [b'{"msg":"x","v":' + b"7" * 400 + b"}", b"{", b'{"msg":"x"}'],
        [b'{"msg":"\\ud800"}'] * 3,
        [b'{"msg":"x","n":1,}'] * 3,
        [b'{"msg":"\xff"}'] * 3,
        [b"{" + b'"a":[' * 1_100 + b"]" * 1_100 + b"}"] * 3,
    ],
)
@pytest.mark.parametrize("in_array", [False, True])
def test_lines_that_only_some_parsers_take(database: config.ClickHouse, lines: list[bytes], in_array: bool) -> None:
    """Numbers beyond a double, halves of characters, commas, bytes that are not UTF-8: a line stays an event."""
    content_type = "application/json" if in_array else "application/x-ndjson"
    body = b"[" + b",".join(lines) + b"]" if in_array else b"\n".join(lines)
    accepted, messages = 0, list[bytes]()
    # An array is refused as a whole where it is broken.
    with contextlib.suppress(*[RejectedError] if in_array else []):
        batch = read(body, content_type, Gateway())
        accepted, messages = batch.events, batch.messages

    assert accepted == 3 or in_array
    assert len(stored(database, messages)) == accepted


def test_json_is_what_clickhouse_takes_for_json(database: config.ClickHouse) -> None:
    """The gateway's idea of a valid object is ClickHouse's own: on it depends how many events a message has.

    But for integers beyond a double, which ClickHouse takes: such a line goes alone, and is an event to both.
    """
    bodies = [sent.body for sent in fuzzing.requests(70, seed=5)]
    lines = [line for body in bodies for line in body.split(b"\n") if line.startswith(b"{")]
    lines += [b'{"a":%s%s}' % (b"[" * depth, b"]" * depth) for depth in range(1_015, 1_030)]
    client = connection.connect(database)
    client.command("CREATE TABLE lines (number UInt32, line String) ENGINE = MergeTree ORDER BY number")
    client.insert("lines", list(enumerate(lines)), ["number", "line"])
    [valid] = client.query("SELECT isValidJSON(line) FROM lines ORDER BY number").result_columns
    client.close()
    assert 50 < sum(valid) < len(lines) - 50
    differing = [line for line, expected in zip(lines, valid, strict=True) if reading.is_json(line) != bool(expected)]
    assert [line for line in differing if reading.is_json(line) or not re.search(rb"[1-9][0-9]{308}", line)] == []


def test_accepted_is_stored_whatever_is_sent(database: config.ClickHouse) -> None:
    """Bodies of each kind that nobody should send, to all routes and over gRPC: no 5xx, and as many rows as accepted.

    `make fuzz` sends 10,000 of each kind.
    """
    patient = replace(database, timeout_seconds=300)
    assert [wrong for _, found in fuzzing.faults(patient, count=70, seed=3) for wrong in found] == []
