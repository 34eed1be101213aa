"""What the query API says an answer is complete until: reported once a second, beside the loop.

A report says of each owned partition that all it held at some time is stored. Its parts are asked for in this order:
ClickHouse's time, the topic's partitions, where they end, and only then what is stored. So whatever a partition holds
above that end came into it after that time, and whatever is below what is stored is in the table. That stays true
whoever owns the partition later, so reports need no fence, and a late one from a former owner does no harm.

Nothing waits for a report, and one that fails is left out: the API then says since when it does not know.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog
from confluent_kafka import IsolationLevel

from logbrook import clickhouse, config
from logbrook.clickhouse import HttpClient
from logbrook.cluster import ONE_SERVER, Cluster
from logbrook.consumer.inlet import Topic, server_time
from logbrook.kafka import end_offsets, topic_shape

log = structlog.get_logger()

EVERY_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
_SAY_AGAIN_SECONDS = 60.0
# Of a partition that lags. With every second one left out, the time is coarser, and as true.
_MOST_ENDS = 1000

Ends = list[tuple[int, int]]
"""Of one partition: (ClickHouse's time in ms, the offset at which the partition ended then or later), both growing."""


class Completeness:
    """A thread that reports until it is stopped. `stored` gives, by owned partition, the offset below which everything
    is stored; it is called from that thread."""

    def __init__(
        self, topic: Topic, kafka: config.Kafka, database: config.ClickHouse, stored: Callable[[], Mapping[int, int]]
    ) -> None:
        self._topic, self._kafka, self._stored = topic, kafka, stored
        self._database = replace(database, timeout_seconds=min(database.timeout_seconds, _TIMEOUT_SECONDS))
        self._ends: dict[int, Ends] = {}
        self._complete: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="completeness", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another report; does not wait for the one that is under way."""
        self._stop.set()

    def _run(self) -> None:
        client: HttpClient | None = None
        said_at = -_SAY_AGAIN_SECONDS
        while not self._stop.wait(EVERY_SECONDS):
            try:
                if client is None:
                    client = clickhouse.connect(self._database)
                    if (Cluster.of(client) or ONE_SERVER).name:
                        # A replica may have this report before it has the rows, and the servers' clocks differ.
                        log.info("answers do not say until when they are complete: not on a cluster")
                        break
                self._report(client)
            except Exception as error:
                if time.monotonic() - said_at >= _SAY_AGAIN_SECONDS:
                    said_at = time.monotonic()
                    log.warning("answers can't say until when they are complete", error=str(error)[:500])
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def _report(self, client: HttpClient) -> None:
        # A row that is stored within the same millisecond must not count as earlier.
        now_ms = int(server_time(client) * 1000) - 1
        topic_id, partition_count = topic_shape(self._kafka, _TIMEOUT_SECONDS)
        owned = self._stored().keys()
        if topic_id != self._topic.id or not owned:
            return
        # Behind an open transaction are messages that nobody can read yet, and that Kafka has acknowledged.
        asked = end_offsets(self._kafka, owned, _TIMEOUT_SECONDS, IsolationLevel.READ_UNCOMMITTED)
        ends = {partition: answer.result(_TIMEOUT_SECONDS).offset for partition, answer in asked.items()}
        if rows := self._rows(now_ms, ends, self._stored()):
            # Kafka allows letters, digits and ._- in a topic's name.
            of_all = f"'{self._topic.name}', '{topic_id}', {partition_count}, now64(3)"
            values = ", ".join(f"({of_all}, {', '.join(map(str, row))})" for row in rows)
            client.command(
                "INSERT INTO partition_progress (KafkaTopic, KafkaTopicId, PartitionCount, ReportedAt,"
                f" KafkaPartition, CompleteUntil, StoredOffset, EndOffset) VALUES {values}"
            )

    def _rows(self, now_ms: int, ends: Mapping[int, int], stored: Mapping[int, int]) -> list[tuple[int | str, ...]]:
        """By owned partition: its number, the last time at which it ended where everything is stored now, and both
        offsets."""
        # What is no longer owned starts over if it comes back; what was reported of it remains.
        self._ends = {partition: self._ends.get(partition, []) for partition in ends.keys() & stored.keys()}
        self._complete = {partition: self._complete.get(partition, 0) for partition in self._ends}
        for partition, known in self._ends.items():
            if known and known[-1][1] == ends[partition]:
                known.pop()
            known.append((now_ms, ends[partition]))
            while known and known[0][1] <= stored[partition]:
                self._complete[partition] = known.pop(0)[0]
            if len(known) > _MOST_ENDS:
                del known[1::2]
        return [
            (partition, f"fromUnixTimestamp64Milli({complete_ms})", stored[partition], ends[partition])
            for partition, complete_ms in sorted(self._complete.items())
        ]
