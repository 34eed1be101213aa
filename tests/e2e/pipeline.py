"""The whole pipeline as processes: gateway -> Kafka -> consumer -> ClickHouse, and a look at what came out."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, TopicPartition

from logbrook import clickhouse as connection
from logbrook import config
from logbrook.gateway import tokens
from logbrook.kafka import client_config
from native import ports
from native.processes import Service
from tests.components import ClickHouseServer, KafkaBroker, running

# From a send to its rows; far above what it takes, so that only a lost event runs into it.
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline: where to send, and where to look."""

    gateway_url: str
    token: str
    kafka: config.Kafka
    clickhouse: config.ClickHouse
    environment: dict[str, str]

    def position(self) -> "Position":
        """The end of the topic now: what is sent from now on comes after it."""
        consumer = Consumer(client_config(self.kafka) | {"group.id": "look"})
        try:
            ends = []
            for partition in range(self.kafka.partitions):
                offsets = consumer.get_watermark_offsets(TopicPartition(self.kafka.topic, partition), timeout=10)
                assert offsets is not None
                ends.append(offsets[1])
            return Position(self, tuple(ends))
        finally:
            consumer.close()


@dataclass(frozen=True)
class Position:
    """A place in the topic. `events` in a query stands for the rows of what was sent after it."""

    pipeline: Pipeline
    ends: tuple[int, ...]

    def query(self, sql: str) -> str:
        """The answer to `sql` as ClickHouse formats it (TabSeparated if it does not say)."""
        after = " OR ".join(f"(KafkaPartition = {n} AND KafkaOffset >= {end})" for n, end in enumerate(self.ends))
        events = f"SELECT * FROM otel_logs WHERE KafkaTopic = '{self.pipeline.kafka.topic}' AND ({after})"
        client = connection.connect(self.pipeline.clickhouse)
        try:
            return client.raw_query(f"WITH events AS ({events}) {sql}").decode(errors="replace")
        finally:
            client.close()

    def rows(self, columns: str) -> list[Any]:
        """Columns of the events, in the order of the topic: partition, offset, index."""
        after = " OR ".join(f"(KafkaPartition = {n} AND KafkaOffset >= {end})" for n, end in enumerate(self.ends))
        client = connection.connect(self.pipeline.clickhouse)
        try:
            answer = client.query(
                f"SELECT {columns} FROM otel_logs WHERE KafkaTopic = '{self.pipeline.kafka.topic}' AND ({after})"
                " ORDER BY KafkaPartition, KafkaOffset, KafkaIndex",
                column_formats={"Body": "bytes"},
            )
            return cast(list[Any], answer.result_rows)
        finally:
            client.close()

    def wait_for(self, count: int) -> None:
        """Wait until so many events have arrived. More than that are a failure."""
        eventually(lambda: int(self.query("SELECT count() FROM events")), count)


def eventually(look: Callable[[], Any], expected: Any) -> None:
    """Look until it is as expected; fail with the last look after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := look()) != expected:
        if time.monotonic() > deadline:
            assert found == expected
        time.sleep(0.1)


@contextmanager
def started(clickhouse: ClickHouseServer, kafka: KafkaBroker, directory: Path) -> Iterator[Pipeline]:
    """A pipeline with a topic and a database of its own, for the time of the block."""
    name = f"e2e_{uuid.uuid4().hex[:12]}"
    gateway_port, health_port = ports.free(2)
    issued = tokens.issue("e2e")
    topic, database = kafka.settings(name), clickhouse.settings(name)
    environment = {
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap_servers,
        "LOGBROOK_KAFKA_TOPIC": topic.topic,
        "LOGBROOK_CLICKHOUSE_HOST": database.host,
        "LOGBROOK_CLICKHOUSE_PORT": str(database.port),
        "LOGBROOK_CLICKHOUSE_PASSWORD": database.password,
        "LOGBROOK_CLICKHOUSE_DATABASE": database.database,
        "LOGBROOK_GATEWAY_PORT": str(gateway_port),
        "LOGBROOK_GATEWAY_TOKENS": issued.entry,
        "LOGBROOK_CONSUMER_HEALTH_PORT": str(health_port),
        # The consumer's batches are short, so that a test waits less.
        "LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS": "0.1",
    }
    subprocess.run(_command("migrate"), env=os.environ | environment, check=True, capture_output=True, timeout=120)
    with ExitStack() as stack:
        for command, port in (("gateway", gateway_port), ("consumer", health_port)):
            service = _service(command, environment, _answers(f"http://127.0.0.1:{port}/readyz"))
            stack.enter_context(running(service, directory / f"{command}.log"))
        yield Pipeline(f"http://127.0.0.1:{gateway_port}", issued.token, topic, database, environment)


def _service(command: str, environment: dict[str, str], ready: Callable[[], bool]) -> Service:
    return Service(command, _command(command), ready, 0, environment)


def _command(command: str) -> list[str]:
    return [sys.executable, "-m", "logbrook", command]


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return ready
