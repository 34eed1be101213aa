"""What consumers make of messages: Kafka's side, and a small model of how the view in ClickHouse splits them."""

import json
import time
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from logbrook.config import Kafka
from logbrook.kafka import IDEMPOTENCY_KEY_HEADER, SOURCE_HEADER, client_config
from tests.gateway.collecting import Kept


def kept(kafka: Kafka, count: int) -> list[Kept]:
    """All messages of a topic, oldest first in each partition: at least `count`, or it fails after 30 s."""
    consumer = Consumer(client_config(kafka) | {"group.id": "reading", "enable.partition.eof": False})
    partitions = [TopicPartition(kafka.topic, number, OFFSET_BEGINNING) for number in range(kafka.partitions)]
    consumer.assign(partitions)
    found: list[Kept] = []
    deadline = time.monotonic() + 30
    ends = {number: consumer.get_watermark_offsets(TopicPartition(kafka.topic, number))[1] for number in range(8)}
    while len(found) < max(count, sum(ends.values())):
        assert time.monotonic() < deadline, f"{len(found)} of {count} messages arrived"
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            headers: dict[str, Any] = dict(message.headers() or [])
            found.append(
                Kept(
                    message.value() or b"",
                    headers.get(SOURCE_HEADER),
                    headers.get(IDEMPOTENCY_KEY_HEADER),
                    message.partition() or 0,
                )
            )
    consumer.close()
    return found


def is_json(text: bytes) -> bool:
    """Whether `text` is valid JSON to ClickHouse, whose parser is as narrow as orjson (test_stored.py)."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def split(message: bytes) -> list[bytes]:
    """A message's events, by the rule of schema/views/fields_view.sql."""
    lines = [line for line in message.split(b"\n") if line.strip()]
    if message.lstrip().startswith(b"{") and len(lines) > 1:
        if is_json(lines[0]):
            return lines
        if not is_json(message) and any(line.lstrip().startswith(b"{") and is_json(line) for line in lines):
            return lines
    return [message]


def events(messages: list[bytes]) -> list[Any]:
    """The events of messages: JSON as objects, anything else as the bytes that it is."""
    found = [event for message in messages for event in split(message)]
    return [json.loads(event) if event.startswith(b"{") and is_json(event) else event for event in found]
