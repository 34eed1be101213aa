"""Read a span of Kafka again and store what is missing of it, and nothing else."""

from collections.abc import Callable
from typing import cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from logbrook import clickhouse, config
from logbrook.consumer.batch import Batch, Fetched
from logbrook.consumer.inlet import Inlet, Position, take_over
from logbrook.consumer.span import Bounds, Span, reader, spans
from logbrook.errors import UnavailableError

_FETCH_SECONDS = 1.0
_PATIENCE_FETCHES = 60

Progress = Callable[[int, int, int], None]
"""Called with messages read, messages to read in all, and messages stored so far."""


def replay(
    settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse, bounds: Bounds, progress: Progress
) -> int:
    """Store the messages within `bounds` that are missing; returns how many those were.

    Safe while consumers run, and to repeat or interrupt: it writes only below the committed offsets, where they do not.
    Raises UnavailableError if Kafka or ClickHouse does not answer; ClickHouseError if an insert is refused.
    """
    client = clickhouse.connect(database)
    consumer = reader(kafka, settings.group)
    try:
        topic, found = spans(consumer, kafka, bounds)
        todo = {span.partition: span for span in found if span.first < span.end}
        if not todo:
            return 0
        inlet = take_over(client, topic, {p: Position(span.first, 0) for p, span in todo.items()}, writer="replay")
        consumer.assign([TopicPartition(topic.name, p, span.first) for p, span in todo.items()])
        try:
            return _read(consumer, inlet, todo, settings, progress)
        finally:
            inlet.close()
    finally:
        consumer.close()


def _read(
    consumer: Consumer, inlet: Inlet, todo: dict[int, Span], settings: config.Consumer, progress: Progress
) -> int:
    total = sum(span.end - span.first for span in todo.values())
    batch, read, stored, idle = Batch(), 0, 0, 0
    left = {partition: span.end - span.first for partition, span in todo.items()}
    while any(left.values()):
        wanted: list[Fetched] = []
        messages = consumer.consume(10_000, _FETCH_SECONDS)
        for each in messages:
            if each.error() is not None:
                raise KafkaException(each.error())
            message = cast(Fetched, each)
            span = todo[message.partition()]
            if message.offset() < span.end:
                wanted.append(message)
            left[span.partition] = max(0, span.end - message.offset() - 1)
        idle = 0 if messages else idle + 1
        if idle > _PATIENCE_FETCHES:
            raise UnavailableError(503, "kafka_unavailable", f"Kafka sends no more, {sum(left.values())} still to read")
        batch.add(wanted)
        read = total - sum(left.values())
        if len(batch.rows) >= settings.max_batch_messages or batch.size_bytes >= settings.max_batch_bytes:
            stored, batch = stored + _store(inlet, batch), Batch()
        progress(read, total, stored)
    stored += _store(inlet, batch)
    progress(read, total, stored)
    return stored


def _store(inlet: Inlet, batch: Batch) -> int:
    missing = batch.without(inlet.stored)
    fresh = missing.without_coordinates(inlet.repeated(missing))
    if fresh.rows:
        inlet.insert(fresh.rows)
    return len(fresh.rows)
