"""Read a span of Kafka again and store what is missing, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from logbrook import clickhouse, config
from logbrook.clickhouse import ClickHouseError
from logbrook.consumer.batch import Batch, Fetched
from logbrook.consumer.inlet import Inlet, Position, take_over
from logbrook.consumer.pieces import Pieces, refuses_messages
from logbrook.consumer.span import Bounds, Span, reader, spans
from logbrook.errors import KafkaUnavailableError
from logbrook.kafka import in_words

_FETCH_SECONDS = 1.0
_PATIENCE_FETCHES = 60
# Of a batch: enough to find several messages that ClickHouse refuses, each alone.
_MOST_FAILURES = 200

Progress = Callable[[int, int], None]
"""Called with messages read, and messages to read in all."""


def replay(
    settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse, bounds: Bounds, progress: Progress
) -> int:
    """Store the messages within `bounds` that are missing; returns how many there were.

    Safe to run alongside consumers, to repeat, and to interrupt: it writes only below the committed offsets, where they
    do not. Raises UnavailableError if Kafka or ClickHouse does not answer; ClickHouseError if an insert is refused.
    """
    client = clickhouse.connect(database)
    with reader(kafka, settings.group) as consumer:
        topic, found = spans(consumer, kafka, bounds)
        todo = {span.partition: span for span in found if span.first < span.end}
        if not todo:
            return 0
        positions = {p: Position(span.first, 0) for p, span in todo.items()}
        inlet = take_over(client, topic, positions, writer="replay")
        consumer.assign([TopicPartition(topic.name, p, span.first) for p, span in todo.items()])
        store = _Store(inlet, Pieces(settings.max_batch_messages, settings.parallel_inserts), positions)
        try:
            return _read(consumer, store, todo, settings, progress)
        finally:
            store.inlet.close()
            store.pieces.close()


def _read(
    consumer: Consumer, store: "_Store", todo: dict[int, Span], settings: config.Consumer, progress: Progress
) -> int:
    total = sum(span.end - span.first for span in todo.values())
    batch, read, stored, idle = Batch(), 0, 0, 0
    left = {partition: span.end - span.first for partition, span in todo.items()}
    while any(left.values()):
        wanted: list[Fetched] = []
        messages = consumer.consume(10_000, _FETCH_SECONDS)
        for each in messages:
            if (error := each.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaUnavailableError(f"Kafka {in_words(error)}") from KafkaException(error)
                # Between the last message and the end there is only the end of a transaction.
                ended = todo[cast(int, each.partition())]
                left[ended.partition] = max(0, ended.end - cast(int, each.offset()))
                continue
            message = cast(Fetched, each)
            span = todo[message.partition()]
            if message.offset() < span.end:
                wanted.append(message)
            left[span.partition] = max(0, span.end - message.offset() - 1)
        idle = 0 if messages else idle + 1
        if idle > _PATIENCE_FETCHES:
            raise KafkaUnavailableError(f"Kafka sends nothing more; {sum(left.values())} messages are left")
        batch.add(wanted)
        read = total - sum(left.values())
        if len(batch.rows) >= settings.max_batch_messages or batch.size_bytes >= settings.max_batch_bytes:
            stored, batch = stored + store(batch), Batch()
        progress(read, total)
    stored += store(batch)
    progress(read, total)
    return stored


@dataclass
class _Store:
    """Stores what is missing from a batch, and says how many messages there were."""

    inlet: Inlet
    pieces: Pieces
    positions: dict[int, Position]

    def __call__(self, batch: Batch) -> int:
        before = batch.without(self.inlet.stored)
        wanted = before.without_coordinates(self.inlet.repeated(before))
        fresh, failures = wanted, 0
        while fresh.rows:
            try:
                self.pieces.insert(self.inlet, fresh)
            except ClickHouseError as error:
                failures += 1
                if not refuses_messages(error) or failures > _MOST_FAILURES:
                    raise
                # Some of it may be stored: the rest is sent in smaller pieces, through a new inlet.
                former, positions = self.inlet, self.positions
                self.inlet = take_over(former.client, former.topic, positions, writer="replay")
                fresh = fresh.without(self.inlet.stored)
            else:
                break
        return len(wanted.rows)
