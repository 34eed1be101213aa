"""What the gateway makes of text is what ClickHouse stores: every line an event, every byte of it in the body."""

import random

from logbrook import clickhouse, config, multiline
from logbrook.config import Gateway
from logbrook.gateway.lines import read

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
    client = clickhouse.connect(database)
    rows = [["t", "", 0, offset, 1_757_930_000_000, "s", "", message] for offset, message in enumerate(messages)]
    client.insert("arrivals", rows, COLUMNS)
    found = client.query("SELECT hex(Body) FROM otel_logs ORDER BY KafkaOffset, KafkaIndex").result_columns
    client.close()
    return [bytes.fromhex(body) for body in found[0]]


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
