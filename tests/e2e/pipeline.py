"""The whole stack, native or in containers: gateway -> Kafka -> consumer -> ClickHouse, and a look at what came out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, TopicPartition

from logbrook import clickhouse as connection
from logbrook import config, tokens
from logbrook.kafka import client_config
from tests.components import native_stack
from tests.compose.stack import Stack

# From a send to its rows; far above what it takes, so that only a lost event runs into it.
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline: where to send, and where to look."""

    gateway_url: str
    grpc_address: str
    query_url: str
    token: str
    kafka: config.Kafka
    clickhouse: config.ClickHouse

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

    @property
    def _ours(self) -> str:
        """What was sent after it, but for the stack's own logs."""
        after = " OR ".join(f"(KafkaPartition = {n} AND KafkaOffset >= {end})" for n, end in enumerate(self.ends))
        return f"KafkaTopic = '{self.pipeline.kafka.topic}' AND Source != 'ship' AND ({after})"

    def query(self, sql: str) -> str:
        """The answer to `sql` as ClickHouse formats it (TabSeparated if it does not say)."""
        client = connection.connect(self.pipeline.clickhouse)
        try:
            events = f"SELECT * FROM otel_logs WHERE {self._ours} SETTINGS asterisk_include_alias_columns = 1"
            return client.raw_query(f"WITH events AS ({events}) {sql}").decode(errors="replace")
        finally:
            client.close()

    def rows(self, columns: str) -> list[Any]:
        """Columns of the events, in the order of the topic: partition, offset, index."""
        client = connection.connect(self.pipeline.clickhouse)
        try:
            answer = client.query(
                f"SELECT {columns} FROM otel_logs WHERE {self._ours} ORDER BY KafkaPartition, KafkaOffset, KafkaIndex",
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
def native(directory: Path) -> Iterator[Pipeline]:
    """The stack without Docker, for the time of the block."""
    ship, sender = tokens.issue("ship"), tokens.issue("e2e")
    extra = {
        "LOGBROOK_GATEWAY_TOKENS": f"{ship.entry},{sender.entry}",
        "LOGBROOK_TOKEN": ship.token,
        # The consumer's batches are short, so that a test waits less.
        "LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS": "0.1",
    }
    with native_stack(directory, extra) as stack:
        ports = stack.settings.ports
        yield Pipeline(
            f"http://127.0.0.1:{ports.gateway}",
            f"127.0.0.1:{ports.gateway_grpc}",
            f"http://127.0.0.1:{ports.query}",
            sender.token,
            config.Kafka(bootstrap_servers=f"127.0.0.1:{ports.kafka}"),
            stack.settings.clickhouse,
        )


def in_containers(stack: Stack) -> Pipeline:
    """A Compose stack that is up."""
    return Pipeline(
        f"http://127.0.0.1:{stack.gateway_port}",
        f"127.0.0.1:{stack.grpc_port}",
        f"http://127.0.0.1:{stack.query_port}",
        stack.token,
        config.Kafka(bootstrap_servers=f"127.0.0.1:{stack.kafka_port}"),
        config.ClickHouse(
            port=stack.clickhouse_port,
            username="logbrook",
            password=stack.password,
            database=config.ClickHouse.database,
        ),
    )
