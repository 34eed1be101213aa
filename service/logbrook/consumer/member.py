"""Kafka's side of the consumer: membership of the group, fetching in order, committing.

Everything here runs on the loop's thread, except `check_topic`, which its worker also calls.
"""

from collections.abc import Callable, Collection, Mapping
from typing import cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from logbrook import config, metrics
from logbrook.consumer.batch import Fetched
from logbrook.consumer.committed import position_in, to_commit
from logbrook.consumer.inlet import Position, Topic
from logbrook.errors import LogbrookError
from logbrook.kafka import client_config, topic_id

log = structlog.get_logger()

FETCH_SECONDS = 0.1
_TIMEOUT_SECONDS = 10.0


class TopicRecreatedError(LogbrookError):
    """The topic was deleted and recreated. A restart begins at its first offset; nothing is stored twice."""


def consumer_config(settings: config.Consumer, kafka: config.Kafka) -> dict[str, object]:
    """librdkafka's settings: only we commit offsets, and only after the insert."""
    return client_config(kafka) | {
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.session_timeout_seconds * 1000),
        # Two may get lost before the third counts.
        "heartbeat.interval.ms": int(settings.session_timeout_seconds * 1000 / 4),
        # Reports up to where there is nothing to fetch: the end of a transaction has an offset but is not a message.
        "enable.partition.eof": True,
        "max.poll.interval.ms": 300_000,
        "queued.max.messages.kbytes": settings.fetch_queue_kilobytes,
        # As they are sent: logs inflate to twenty times that, and librdkafka's queue is only looked at between fetches.
        "fetch.max.bytes": 4 * 2**20,
        "max.partition.fetch.bytes": 2**20,
        "fetch.wait.max.ms": 50,
        # librdkafka's default of a second shows up as a stall each time its queue was full.
        "fetch.queue.backoff.ms": 10,
    }


class Member:
    """A member of the consumer group.

    `changing(cause)` is called, from within `fetch` and `close`, before partitions are given up; `changed(cause)` after
    `owned` has changed.
    """

    def __init__(
        self,
        settings: config.Consumer,
        kafka: config.Kafka,
        changing: Callable[[], None],
        changed: Callable[[str], None],
    ) -> None:
        self.kafka = kafka
        self.topic = Topic(kafka.topic, topic_id(kafka, _TIMEOUT_SECONDS))
        self.owned: set[int] = set()
        self._changing, self._changed = changing, changed
        self._expected: dict[int, int] = {}
        self._positions: dict[int, Position] = {}
        self._looked_for: dict[int, tuple[int, int]] = {}
        # By partition: nothing can be read from the first of these offsets up to (without) the second.
        self._unreadable: dict[int, tuple[int, int]] = {}
        self._refused: set[int] = set()
        self._paused = False
        self._consumer = Consumer(consumer_config(settings, kafka) | {"on_commit": self._answered})
        self._consumer.subscribe(
            [self.topic.name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def fetch(self, most: int) -> list[Fetched]:
        """The messages that follow those fetched before: repeated ones are left out, gaps are reported.

        Waits up to FETCH_SECONDS for `most` messages, and serves the group's rebalances.
        """
        expected, fresh = self._expected, list[Fetched]()
        sought, fetched_before = set[int](), 0
        for each in self._consumer.consume(most, FETCH_SECONDS):
            error, partition, offset = each.error(), cast(int, each.partition()), cast(int, each.offset())
            at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
            if error is not None and not at_end:
                log.warning("fetch failed", error=str(error))
                continue
            # After a rebalance that was served while messages were collected, some are of partitions that are gone.
            if partition not in expected or partition in sought:
                continue
            wanted = expected[partition]
            if offset > wanted and not self._is_gap(partition, wanted, offset):
                sought.add(partition)
            elif offset < wanted:
                fetched_before += not at_end
            elif not at_end:
                expected[partition] = offset + 1
                fresh.append(cast(Fetched, each))
        if fetched_before:
            # If the topic was recreated, they would be other offsets.
            self.check_topic()
            metrics.consumer_skipped_messages_total.labels("fetched before").inc(fetched_before)
        return fresh

    def _is_gap(self, partition: int, wanted: int, offset: int) -> bool:
        """Whether there is nothing to read from `wanted` up to `offset`, which is then expected next.

        Messages that were collected before a partition was given up can arrive after its new assignment: they are not a
        gap. So the first time, it is fetched again; a gap that shows up again right after that is certain.
        """
        if self._looked_for.get(partition) != (wanted, offset):
            self._looked_for[partition] = (wanted, offset)
            self._consumer.seek(TopicPartition(self.topic.name, partition, wanted))
            return False
        # With each fetch Kafka reports its lowest offset (KIP-107). Gaps above that are not a loss: the end of a
        # transaction, messages of an aborted one, or what was compacted away.
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(self.topic.name, partition), cached=True)
        if (deleted := min(low, offset) - wanted) > 0:
            metrics.consumer_missing_offsets_total.inc(deleted)
            log.error(
                "offsets are missing in Kafka: its retention ran out before they were read",
                partition=partition,
                first=wanted,
                last=wanted + deleted - 1,
            )
        first, end = self._unreadable.get(partition, (wanted, wanted))
        self._unreadable[partition] = (first if end == wanted else wanted, offset)
        self._expected[partition] = offset
        return True

    @property
    def paused(self) -> bool:
        """Whether fetching is stopped."""
        return self._paused

    def pause(self) -> bool:
        """Stop fetching but keep serving rebalances; True if this changed anything."""
        if self._paused:
            return False
        self._consumer.pause(self._partitions(self.owned))
        self._paused = True
        return True

    def resume(self) -> None:
        """Fetch again."""
        if self._paused:
            self._consumer.resume(self._partitions(self.owned))
            self._paused = False

    def commit(self, next_offsets: Mapping[int, int], stored_at_seconds: int, ahead: Collection[int]) -> None:
        """Let the group resume at these offsets, below which everything is stored. It is harmless if this gets lost.

        One that is refused, as during a rebalance, is sent again by `commit_again`, so that the lag tells the truth.

        What is above them was stored no earlier than `stored_at_seconds`. This is not true of the partitions in
        `ahead`, where a former owner has stored some of what is above: for them, what was known before still applies.
        """
        for partition, offset in next_offsets.items():
            since = self._positions[partition].stored_at_seconds if partition in ahead else stored_at_seconds
            self._positions[partition] = Position(offset, since)
        self._send_commit(next_offsets)

    def commit_again(self) -> None:
        """Send refused commits of partitions that are still ours again, and commit trailing offsets without a message.

        Otherwise nobody would ever commit the latter, and the lag would stay above 0.
        """
        passed = set[int]()
        for partition, position in self.positions().items():
            first, end = self._unreadable.get(partition, (0, 0))
            if first <= position.offset < end:
                self._positions[partition] = Position(end, position.stored_at_seconds)
                passed.add(partition)
        self._send_commit((self._refused & self.owned) | passed)

    def _send_commit(self, partitions: Collection[int]) -> None:
        self._refused -= set(partitions)
        if partitions:
            self._consumer.commit(
                offsets=[to_commit(self.topic, each, self._positions[each]) for each in partitions], asynchronous=True
            )

    def _answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._refused |= {each.partition for each in partitions if error is not None or each.error is not None}

    def positions(self) -> dict[int, Position]:
        """By owned partition: everything below is stored, and everything that was fetched and is still held is above.

        This is what was committed when the partition was assigned, or what we have committed since: never what Kafka
        says now. Somebody who no longer owns the partition may have moved that past what we hold.
        """
        return {partition: self._positions[partition] for partition in self.owned}

    def _committed(self, partitions: set[int]) -> dict[int, Position]:
        """Where each partition resumes: at its beginning if nothing was committed for this incarnation."""
        positions = {}
        for each in self._consumer.committed(self._partitions(partitions), timeout=_TIMEOUT_SECONDS):
            if each.error is not None:
                raise KafkaException(each.error)
            positions[each.partition] = position_in(self.topic, each)
        return positions

    def check_topic(self) -> None:
        """Raise TopicRecreatedError if the topic has been recreated, UnavailableError if that can't be checked."""
        if topic_id(self.kafka, _TIMEOUT_SECONDS) != self.topic.id:
            raise TopicRecreatedError(f"topic {self.topic.name!r} was recreated: starting over at its beginning")

    def close(self) -> None:
        """Send what is left to commit and leave the group."""
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.check_topic()
        # librdkafka may skip a call of `on_lost` in the middle of a rebalance: what is held of these starts over.
        if again := self.owned & {each.partition for each in partitions}:
            self._own(self.owned - again, "lost")
        positions = self._committed({each.partition for each in partitions})
        start = [TopicPartition(self.topic.name, p, at.offset or OFFSET_BEGINNING) for p, at in positions.items()]
        consumer.incremental_assign(start)
        self._expected |= {partition: at.offset for partition, at in positions.items()}
        self._positions |= positions
        # Either way: librdkafka keeps the pause of a partition that was revoked while it was paused.
        (consumer.pause if self._paused else consumer.resume)(start)
        self._own(self.owned | positions.keys(), "assigned")

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._changing()
        self._own(self.owned - {each.partition for each in partitions}, "revoked")

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._own(self.owned - {each.partition for each in partitions}, "lost")

    def _own(self, owned: set[int], cause: str) -> None:
        log.info(cause, partitions=sorted(owned ^ self.owned), owned=len(owned))
        metrics.consumer_rebalances_total.inc()
        for partition in self.owned - owned:
            self._expected.pop(partition, None)
            self._unreadable.pop(partition, None)
        self.owned = owned
        self._changed(cause)

    def _partitions(self, partitions: set[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic.name, partition) for partition in sorted(partitions)]
