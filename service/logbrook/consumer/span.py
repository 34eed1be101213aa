"""A span of a topic: by partition, the offsets from one up to (but not including) another."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from logbrook import config
from logbrook.consumer.committed import position_in
from logbrook.consumer.inlet import Topic
from logbrook.errors import KafkaUnavailableError
from logbrook.kafka import client_config, in_words, topic_id, unavailable

_TIMEOUT_SECONDS = 10.0
# Reading this many messages is quicker than starting a new fetch further on.
_READ_ON_MESSAGES = 10_000


@dataclass(frozen=True)
class Bounds:
    """What to read. Times are Unix milliseconds; None leaves that side open."""

    from_offset: int | None = None
    from_time_ms: int | None = None
    to_time_ms: int | None = None


@dataclass(frozen=True)
class Span:
    """Offsets of one partition: `first` up to `end`, and how many the group, at `committed`, has not stored yet."""

    partition: int
    first: int
    end: int
    pending: int
    committed: int = 0


def reader(kafka: config.Kafka, group: str) -> Consumer:
    """A client that reads by offset: it never joins the group and never commits."""
    return Consumer(
        client_config(kafka)
        | {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error", "enable.partition.eof": True}
    )


def spans(consumer: Consumer, kafka: config.Kafka, bounds: Bounds) -> tuple[Topic, list[Span]]:
    """The topic and, by partition, what is within `bounds`, still in Kafka, and below the committed offset.

    Above the committed offset, consumers are still working. Raises UnavailableError if the brokers do not answer.
    """
    topic = Topic(kafka.topic, topic_id(kafka, _TIMEOUT_SECONDS))
    try:
        metadata = consumer.list_topics(kafka.topic, timeout=_TIMEOUT_SECONDS).topics[kafka.topic]
        partitions = [TopicPartition(kafka.topic, number) for number in sorted(metadata.partitions)]
        lower = _at(consumer, partitions, bounds.from_time_ms)
        upper = _at(consumer, partitions, bounds.to_time_ms)
        found = []
        for each in consumer.committed(partitions, timeout=_TIMEOUT_SECONDS):
            low, high = consumer.get_watermark_offsets(each, timeout=_TIMEOUT_SECONDS)
            committed = position_in(topic, each).offset
            # A partition without a message after the time has nothing from then on, and ends before `to_time_ms`.
            since = 0 if bounds.from_time_ms is None else lower.get(each.partition, high)
            first = max(low, bounds.from_offset or 0, since)
            end = min(max(committed, low), upper.get(each.partition, high))
            pending = max(0, high - max(committed, low))
            found.append(Span(each.partition, min(first, end), end, pending, committed))
    except KafkaException as error:
        raise unavailable(kafka, error) from error
    return topic, found


def stalled(consumer: Consumer, topic: Topic, found: Collection[Span], until: float) -> set[int]:
    """The partitions with pending messages of which the group commits none before `until` (monotonic time).

    Returns as soon as all of them have moved. The consumer must not be reading anything else.
    Raises UnavailableError if the brokers do not answer.
    """
    waiting = {span.partition: span.committed for span in found if span.pending}
    while waiting:
        asked = [TopicPartition(topic.name, partition) for partition in waiting]
        try:
            answer = consumer.committed(asked, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise KafkaUnavailableError(f"Kafka {in_words(error)}") from error
        now = {each.partition: position_in(topic, each).offset for each in answer}
        waiting = {partition: at for partition, at in waiting.items() if now[partition] == at}
        if time.monotonic() >= until:
            break
        time.sleep(0.2)
    return readable(consumer, topic.name, waiting) if waiting else set()


def readable(consumer: Consumer, topic: str, offsets: Mapping[int, int]) -> set[int]:
    """The partitions with a message at or above the offset given, or that can't be read to find out.

    The end of a transaction has an offset, too, and so do messages of an aborted one: nobody ever reads those.
    """
    found = set[int]()
    # One after the other: fetching from many at once could exceed the audit's memory.
    for partition, offset in offsets.items():
        consumer.assign([TopicPartition(topic, partition, offset)])
        first = consumer.poll(_TIMEOUT_SECONDS)
        error = first.error() if first is not None else None
        if error is None or error.code() != KafkaError._PARTITION_EOF:
            found.add(partition)
    consumer.unassign()
    return found


def still_in_kafka(consumer: Consumer, topic: str, partition: int, gaps: Iterable[range]) -> list[range]:
    """The parts of these ranges of offsets, in order, that are messages: neither the end of a transaction, nor part of
    an aborted one, nor compacted away.

    Raises UnavailableError if the brokers do not answer.
    """
    found, last, following = list[range](), -1, -1
    for gap in gaps:
        if gap.start > following + _READ_ON_MESSAGES or following < 0:
            consumer.assign([TopicPartition(topic, partition, gap.start)])
            following = gap.start
        elif last in gap:
            _append(found, last)
        while following < gap.stop:
            message = consumer.poll(_TIMEOUT_SECONDS)
            if message is None:
                raise KafkaUnavailableError(f"Kafka does not send partition {partition}")
            if (error := message.error()) is None:
                last = cast(int, message.offset())
                following = last + 1
                if last in gap:
                    _append(found, last)
            elif error.code() == KafkaError._PARTITION_EOF:
                following = max(gap.stop, cast(int, message.offset()))
            else:
                raise KafkaUnavailableError(f"Kafka {in_words(error)}") from KafkaException(error)
    consumer.unassign()
    return found


def first_at(consumer: Consumer, topic: str, partition: int, time_ms: int, otherwise: int) -> int:
    """The first offset at or after a time, or `otherwise`. Raises UnavailableError if the brokers do not answer."""
    try:
        return _at(consumer, [TopicPartition(topic, partition)], time_ms).get(partition, otherwise)
    except KafkaException as error:
        raise KafkaUnavailableError(f"Kafka {in_words(error)}") from error


def _append(ranges: list[range], offset: int) -> None:
    """Add an offset that is above all others; next to the last range it lengthens that one."""
    if ranges and ranges[-1].stop == offset:
        ranges[-1] = range(ranges[-1].start, offset + 1)
    else:
        ranges.append(range(offset, offset + 1))


def _at(consumer: Consumer, partitions: list[TopicPartition], time_ms: int | None) -> dict[int, int]:
    """By partition: the first offset at or after a time; partitions without one are left out."""
    if time_ms is None:
        return {}
    asked = [TopicPartition(each.topic, each.partition, time_ms) for each in partitions]
    found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_SECONDS)
    return {each.partition: each.offset for each in found if each.offset >= 0}
