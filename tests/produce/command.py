"""`logbrook produce` as a process, and what a topic holds afterwards."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from logbrook import config
from logbrook.kafka import client_config


def environment(topic: config.Kafka | None = None, **more: str) -> dict[str, str]:
    """A process environment with nothing of ours in it but where Kafka is."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(config.PREFIX)}
    if topic is not None:
        clean |= {"LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap_servers, "LOGBROOK_KAFKA_TOPIC": topic.topic}
    return clean | more


def start(env: dict[str, str], *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command; `options` are subprocess.Popen's."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "logbrook", "produce", *arguments]
    return subprocess.Popen(command, env=env, **(streams | options))


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int
    output: str
    errors: str

    @property
    def summary(self) -> dict[str, Any]:
        """The object that --json prints."""
        found: dict[str, Any] = json.loads(self.output)
        return found


def finish(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Outcome:
    """Wait for the end."""
    output, errors = process.communicate(stdin, timeout=60)
    return Outcome(process.returncode, output.decode(), errors.decode())


def run(env: dict[str, str], *arguments: str, stdin: bytes | None = None) -> Outcome:
    """Run the command to its end."""
    process = start(env, *arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
    return finish(process, stdin)


@dataclass(frozen=True)
class Stored:
    """A message of the topic."""

    partition: int
    offset: int
    key: str | None
    payload: bytes


def _stored(message: Message) -> Stored:
    partition, offset, value = message.partition(), message.offset(), message.value()
    key = dict(message.headers() or []).get("idempotency-key")
    assert partition is not None
    assert offset is not None
    assert value is not None
    return Stored(partition, offset, key.decode() if isinstance(key, bytes) else None, bytes(value))


def stored(topic: config.Kafka) -> list[Stored]:
    """All messages of the topic, by partition and offset."""
    consumer = Consumer(client_config(topic) | {"group.id": "test", "enable.auto.commit": False})
    try:
        starts, wanted = [], 0
        for partition in range(topic.partitions):
            first, end = consumer.get_watermark_offsets(TopicPartition(topic.topic, partition), timeout=10)
            starts.append(TopicPartition(topic.topic, partition, first))
            wanted += end - first
        consumer.assign(starts)
        found: list[Stored] = []
        deadline = time.monotonic() + 60
        while len(found) < wanted:
            assert time.monotonic() < deadline
            for message in consumer.consume(1_000, 0.5):
                assert message.error() is None
                found.append(_stored(message))
        return sorted(found, key=lambda message: (message.partition, message.offset))
    finally:
        consumer.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
