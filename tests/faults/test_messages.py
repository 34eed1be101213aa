"""Messages that nobody would send on purpose, each stored once all the same; and what is left out on purpose."""

import json
import time

import pytest
from confluent_kafka import Producer

from logbrook.kafka import IDEMPOTENCY_KEY_HEADER, producer_config
from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, Sender, check
from tests.faults.parts import in_full
from tests.faults.processes import until
from tests.faults.stack import Place

# By name: a message, and the rows that it becomes (None: at least one).
HOSTILE: dict[str, tuple[bytes, int | None]] = {
    "nothing": (b"", None),
    "blanks": (b"  \n\n \t", None),
    "an empty array": (b"[]", None),
    "null": (b"null", None),
    "a number": (b"17", None),
    "bad UTF-8": (b'{"body": "\xff\xfe\xc3"}', 1),
    "bad UTF-8 as text": (b"\xff\xfe\xc3(", 1),
    "a lone surrogate": (b'{"body": "\\ud800"}', 1),
    "a NUL": (b'{"body": "a\\u0000b"}', 1),
    "broken JSON": (b'{"body": "cut off', 1),
    "deep JSON": (b'{"body":' + b"[" * 3000 + b"]" * 3000 + b"}", 1),
    "deeper JSON than a parser takes": (b"[" * 200_000, None),
    "a type clash": (json.dumps({"body": {"a": [1, {}]}, "severity_number": "high", "attributes": 7}).encode(), 1),
    "the year 1970": (b'{"timestamp": 1, "body": "old"}', 1),
    "the year 2200": (b'{"timestamp": "2200-01-01T00:00:00Z", "body": "new"}', 1),
    "the year 99999": (b'{"timestamp": "99999-01-01T00:00:00Z", "body": "x"}', 1),
    "a huge number": (b'{"timestamp": 1e400, "severity_number": 1e400, "body": "x"}', 1),
    "the same key twice": (b'{"body": "a", "body": "b", "attributes": {"x": 1, "x": 2}}', 1),
    "thousands of attributes": (json.dumps({"attributes": {f"k{n}": n for n in range(5000)}}).encode(), 1),
    "a message of the largest size": (b'{"body": "' + b"x" * 990_000 + b'"}', 1),
    "a hundred thousand events": (b"\n".join([b'{"body": "y"}'] * 70_000), 70_000),
    "text of many lines": (b"Traceback:\n  line 1\n  line 2", None),
}


def test_hostile_messages(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Every offset becomes at least one row, whatever the message holds, and holds up nothing behind it (I1, I6)."""
    producer = Producer(producer_config(place.kafka, 30) | {"message.max.bytes": 1_000_000})
    for number, (payload, _) in enumerate(HOSTILE.values()):
        producer.produce(place.kafka.topic, payload, partition=number % 8)
    assert producer.flush(30) == 0
    places = _rows_expected(place)
    place.consumer().spawn()
    place.drain()
    rows = place.client.query(
        "SELECT KafkaPartition, KafkaOffset, count(), uniqExact(KafkaIndex) FROM otel_logs GROUP BY 1, 2"
    )
    found = {(partition, offset): (count, indexes) for partition, offset, count, indexes in rows.result_rows}
    assert {name: at for name, (at, _) in places.items() if at not in found} == {}, "offsets without a row"
    wrong = {name: found[at] for name, (at, rows) in places.items() if rows is not None and found[at] != (rows, rows)}
    assert wrong == {}, "not as many rows as events, or the same index twice"
    place.client.command("TRUNCATE TABLE otel_logs")
    sender.send(50)
    place.drain()


def _rows_expected(place: Place) -> dict[str, tuple[tuple[int, int], int | None]]:
    """By name: where the message is, and how many rows it becomes."""
    expected, counts = {}, dict[int, int]()
    for number, (name, (_, rows)) in enumerate(HOSTILE.items()):
        partition = number % 8
        expected[name] = ((partition, counts.get(partition, 0)), rows)
        counts[partition] = counts.get(partition, 0) + 1
    return expected


def test_hole_below_what_is_stored(place: Place, ledger: Ledger, sender: Sender) -> None:
    """What is missing below the highest stored offset is stored: the look-up is a set, not a maximum (I1, I2)."""
    sender.send(200)
    first = place.consumer(FAULT_AT="before_commit:1")
    first.spawn()
    assert first.child is not None
    first.child.wait(40)
    place.client.command("ALTER TABLE otel_logs DELETE WHERE KafkaOffset % 3 = 1 SETTINGS mutations_sync = 2")
    place.consumer().spawn()
    check(ledger, place)


def test_big_messages_are_whole(place: Place) -> None:
    """An insert is one part, all or nothing, though its messages hold more events than ClickHouse's blocks take."""
    events, messages = 80_000, 4
    producer = Producer(producer_config(place.kafka, 30))
    for number in range(messages):
        producer.produce(place.kafka.topic, b"\n".join([b'{"a":1}'] * events), partition=number)
    assert producer.flush(30) == 0
    place.client.command("SYSTEM STOP MERGES otel_logs")
    consumer = place.consumer(LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS="4")
    consumer.spawn()
    place.drain()
    parts = place.client.query(
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'otel_logs' AND active"
    ).result_rows
    assert sum(rows for (rows,) in parts) == events * messages
    assert all(rows % events == 0 for (rows,) in parts), f"a message was cut: {parts}"


def test_repeated_keys(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Of the messages with one key the first counts, across batches, consumers and crashes (I1, I2)."""
    producer = Producer(producer_config(place.kafka, 30))
    for turn in range(3):
        for number in range(20):
            name, payload = ledger.event(sender.rng)
            key = f"{turn}-{number}".encode()
            for _ in range(3):
                producer.produce(
                    place.kafka.topic, payload, partition=number % 8, headers={IDEMPOTENCY_KEY_HEADER: key}
                )
            ledger.acknowledge([name])
        assert producer.flush(30) == 0
        doomed = place.consumer(FAULT_AT=("before_insert:1", "in_insert:1", "before_commit:1")[turn])
        doomed.spawn()
        assert doomed.child is not None
        doomed.child.wait(40)
    place.consumer().spawn()
    check(ledger, place)


@pytest.mark.parametrize("total", [pytest.param(3000, marks=in_full), 300])
def test_refused_whatever_the_reason(total: int, place: Place, progress: Progress) -> None:
    """Messages that ClickHouse refuses even alone are stored raw and flagged, once, and hold up none of the others."""
    place.client.command(
        "ALTER TABLE otel_logs ADD CONSTRAINT picky"
        " CHECK NOT startsWith(Body, 'poison') OR startsWith(ParseError, 'stored raw')"
    )
    poisoned = {7, 8, total // 2, total - 1}
    producer = Producer(producer_config(place.kafka, 30))
    for number in range(total):
        text = b"poison %d" if number in poisoned else b"fine %d"
        producer.produce(place.kafka.topic, text % number, partition=0)
    assert producer.flush(30) == 0
    doomed = place.consumer(FAULT_AT="before_commit:1", LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS="2")
    doomed.spawn()
    until(lambda: not doomed.running, 400, "it has stored a batch with all of it, and committed nothing")
    progress(f"{doomed.log.count('taking over again')} tries until all were found")
    place.consumer().spawn()
    place.drain()
    rows = place.client.query("SELECT KafkaOffset, Body, ParseError FROM otel_logs ORDER BY KafkaOffset").result_rows
    assert [offset for offset, *_ in rows] == list(range(total)), "offsets that are missing or double"
    assert {offset: (body, error) for offset, body, error in rows if error} == {
        offset: (f"poison {offset}", "stored raw: ClickHouse error 469") for offset in poisoned
    }


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("keys", "size"), [pytest.param(250_000, 32, marks=in_full), (30_000, 32), (1_000, 20_000), (4, 500_000)]
)
def test_a_backlog_of_keyed_messages(keys: int, size: int, place: Place, progress: Progress) -> None:
    """However many keys wait and however long they are: each message is stored once, by a consumer that never ends."""
    producer = Producer(producer_config(place.kafka, 120) | {"message.max.bytes": 1_000_000})
    for number in range(keys):
        # A tenth is sent twice.
        for _ in range(2 if number % 10 == 0 else 1):
            headers: dict[str, str | bytes | None] = {IDEMPOTENCY_KEY_HEADER: f"{number:0{size}x}"}
            while True:
                try:
                    producer.produce(place.kafka.topic, str(number), partition=number % 8, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
    assert producer.flush(120) == 0
    consumer = place.consumer()
    consumer.spawn()
    began = time.monotonic()
    until(lambda: "taking over again" in consumer.log or place.drained(), 900, "the lag returns to 0")
    progress(f"{keys} keys of {size}: {time.monotonic() - began:.0f} s, {consumer.rss_bytes / 2**20:.0f} MiB")
    rows = place.client.query("SELECT count(), uniqExact(Body), uniqExact(IdempotencyKey) FROM otel_logs").result_rows
    assert rows == [(keys, keys, keys)]
    assert (consumer.running, consumer.starts) == (True, 1)
    assert "taking over again" not in consumer.log
