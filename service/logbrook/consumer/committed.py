"""What is stored next to a committed offset in Kafka: the topic's incarnation, and when its insert began."""

import json

from confluent_kafka import TopicPartition

from logbrook.consumer.inlet import Position, Topic

_BEGINNING = Position(0, 0)


def to_commit(topic: Topic, partition: int, position: Position) -> TopicPartition:
    """A position as the group commits it."""
    metadata = {"topic_id": topic.id, "stored_at_seconds": position.stored_at_seconds, "clock": "clickhouse"}
    return TopicPartition(topic.name, partition, position.offset, json.dumps(metadata))


def position_in(topic: Topic, committed: TopicPartition) -> Position:
    """Where a reader resumes: the beginning if nothing was committed, or if that was for another incarnation."""
    if committed.offset < 0:
        return _BEGINNING
    if not committed.metadata:
        return Position(committed.offset, 0)
    entry = json.loads(committed.metadata)
    # Before commits named their clock, the time was the consumer's, which may be wrong.
    since = entry["stored_at_seconds"] if entry.get("clock") == "clickhouse" else 0
    return Position(committed.offset, since) if entry["topic_id"] == topic.id else _BEGINNING
