"""The two consumers that most pipelines have, to be measured under the same faults.

    python -m tests.faults.peers KIND

naive           insert what was fetched; librdkafka commits in the background
at_least_once   insert, then commit
"""

import sys

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Consumer, Message

from logbrook import clickhouse, config
from logbrook.kafka import client_config, topic_id

_COLUMNS = ["topic", "topic_id", "partition", "offset", "timestamp_ms", "source", "idempotency_key", "payload"]


def row(message: Message, topic: str) -> tuple[object, ...]:
    """One message as `arrivals` takes it."""
    stamp, payload = message.timestamp()[1], message.value() or b""
    return (message.topic(), topic, message.partition(), message.offset(), stamp, "", "", payload)


def main(kind: str) -> None:
    """Consume for ever."""
    settings, kafka = config.load(config.Consumer), config.load(config.Kafka)
    consumer = Consumer(
        client_config(kafka)
        | {
            "group.id": settings.group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": int(settings.session_timeout_seconds * 1000),
            "heartbeat.interval.ms": int(settings.session_timeout_seconds * 250),
            "enable.auto.commit": kind == "naive",
            "auto.commit.interval.ms": 500,
        }
    )
    topic, client = topic_id(kafka, 10), clickhouse.connect(config.load(config.ClickHouse))
    consumer.subscribe([kafka.topic])
    while True:
        messages = [each for each in consumer.consume(5000, settings.flush_after_seconds) if each.error() is None]
        if not messages:
            continue
        rows = [row(each, topic) for each in messages]
        while True:
            try:
                client.insert("arrivals", rows, column_names=_COLUMNS, settings={"async_insert": 0})
                break
            except ClickHouseError as error:
                print(f"again: {error}", file=sys.stderr, flush=True)
        if kind == "at_least_once":
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(sys.argv[1])
