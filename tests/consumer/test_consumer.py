"""The consumer between real Kafka and the real engine: everything once, whoever comes and goes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import REGISTRY

from logbrook import clickhouse, config
from logbrook.consumer.audit import audit
from logbrook.consumer.loop import Loop
from logbrook.consumer.member import TopicRecreatedError
from logbrook.consumer.replay import replay
from logbrook.consumer.span import Bounds
from logbrook.errors import LogbrookError
from logbrook.kafka import producer_config

SETTINGS = config.Consumer(health_port=0, flush_after_seconds=0.1)


class Running:
    """A consumer in a thread of its own."""

    def __init__(self, settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse) -> None:
        self.loop = Loop(settings, kafka, database)
        self.stop = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run(self.stop)
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Let it leave, and wait until it has."""
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def consuming(settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse) -> Iterator[Running]:
    """A consumer for the time of a block."""
    running = Running(settings, kafka, database)
    try:
        yield running
    finally:
        running.end()


def send(kafka: config.Kafka, *payloads: bytes, partition: int = -1, key: str | None = None) -> None:
    """Messages into the topic, acknowledged."""
    producer = Producer(producer_config(kafka, 20))
    headers: list[tuple[str, str | bytes | None]] | None = [("idempotency-key", key)] if key else None
    for payload in payloads:
        producer.produce(kafka.topic, payload, partition=partition, headers=headers)
    assert producer.flush(30) == 0


def bodies(database: config.ClickHouse) -> list[str]:
    """The bodies of all events, sorted."""
    rows = clickhouse.connect(database).query("SELECT Body FROM otel_logs ORDER BY Body").result_rows
    return [body for (body,) in rows]


def eventually(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def numbered(first: int, end: int) -> list[bytes]:
    """Text messages with a number each, in sorting order."""
    return [b"event %06d" % number for number in range(first, end)]


def create_anew(admin: AdminClient, kafka: config.Kafka) -> bool:
    """Create a topic whose predecessor is being deleted; False while the broker still knows that one."""
    try:
        admin.create_topics([NewTopic(kafka.topic, kafka.partitions)])[kafka.topic].result()
    except KafkaException:
        return False
    return True


def test_everything_arrives_once_over_restarts(topic: config.Kafka, database: config.ClickHouse) -> None:
    """What is sent before, between and during the lives of consumers is stored exactly once, and the audit agrees."""
    send(topic, *numbered(0, 1000))
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(1000, 2000))
        eventually(lambda: len(bodies(database)) >= 2000)
    send(topic, *numbered(2000, 3000))
    with consuming(SETTINGS, topic, database):
        eventually(lambda: len(bodies(database)) >= 3000)

    assert bodies(database) == [each.decode() for each in numbered(0, 3000)]
    findings = audit(SETTINGS, topic, database, Bounds())
    assert sum(each.events for each in findings) == 3000
    assert {(each.missing, each.double, each.pending) for each in findings} == {(0, 0, 0)}


def test_what_comes_after_a_pause_is_stored_at_once(topic: config.Kafka, database: config.ClickHouse) -> None:
    """What follows it is collected: until `flush_after_seconds` are over, here never, or until the batch is full."""
    settings = replace(SETTINGS, flush_after_seconds=3600, max_batch_messages=2)
    with consuming(settings, topic, database) as running:
        send(topic, b"first")
        eventually(lambda: bodies(database) == ["first"], 60)
        send(topic, b"second")
        eventually(lambda: len(running.loop.filling.rows) == 1)
        send(topic, b"third")
        eventually(lambda: bodies(database) == ["first", "second", "third"])


def test_consumers_share_the_work_and_hand_it_over(topic: config.Kafka, database: config.ClickHouse) -> None:
    """While members come and go under load, each event is stored once."""
    with consuming(SETTINGS, topic, database) as first:
        send(topic, *numbered(0, 2000))
        with consuming(SETTINGS, topic, database) as second:
            eventually(lambda: bool(second.loop.member.owned) and bool(first.loop.member.owned))
            send(topic, *numbered(2000, 4000))
        send(topic, *numbered(4000, 5000))
        eventually(lambda: len(bodies(database)) >= 5000)

    assert bodies(database) == [each.decode() for each in numbered(0, 5000)]


def test_a_repeated_key_is_stored_once(topic: config.Kafka, database: config.ClickHouse) -> None:
    """A message with a key seen before stores nothing, in the same batch, in a later one and after a restart."""
    with consuming(SETTINGS, topic, database):
        send(topic, b"first", partition=2, key="k")
        send(topic, b"again", partition=2, key="k")
        eventually(lambda: bool(bodies(database)))
        send(topic, b"once more", partition=2, key="k")
        send(topic, b"other", partition=2, key="l")
        eventually(lambda: "other" in bodies(database))
    with consuming(SETTINGS, topic, database):
        send(topic, b"after the restart", partition=2, key="k")
        send(topic, b"end", partition=2)
        eventually(lambda: "end" in bodies(database))

    assert bodies(database) == ["end", "first", "other"]
    finding = audit(SETTINGS, topic, database, Bounds())[2]
    assert (finding.missing, finding.repeated) == (0, 3)


def test_a_topic_created_anew_is_read_from_its_beginning(topic: config.Kafka, database: config.ClickHouse) -> None:
    """The consumer ends when its topic was replaced; started again, it takes the new one's events from offset 0."""
    running = Running(SETTINGS, topic, database)
    send(topic, *numbered(0, 50), partition=0)
    eventually(lambda: len(bodies(database)) == 50)

    admin = AdminClient({"bootstrap.servers": topic.bootstrap_servers})
    admin.delete_topics([topic.topic])[topic.topic].result()
    eventually(lambda: create_anew(admin, topic))
    send(topic, *numbered(50, 150), partition=0)
    running.thread.join(60)
    running.end()

    with consuming(SETTINGS, topic, database):
        eventually(lambda: len(bodies(database)) >= 150)
    assert bodies(database) == [each.decode() for each in numbered(0, 150)]
    assert isinstance(running.error, TopicRecreatedError) or running.error is None


def test_the_buffer_stays_bounded_while_clickhouse_is_away(topic: config.Kafka, database: config.ClickHouse) -> None:
    """With inserts failing, fetching stops at two batches; when they succeed again, all arrives."""
    client = clickhouse.connect(database)
    send(topic, *numbered(0, 3000))
    client.command("RENAME TABLE arrivals TO elsewhere")
    settings = replace(SETTINGS, max_batch_messages=500)
    with consuming(settings, topic, database) as running:
        eventually(lambda: running.loop.member._paused)

        assert len(running.loop.filling.rows) <= 2 * settings.max_batch_messages
        assert running.loop.unready() is not None

        client.command("RENAME TABLE elsewhere TO arrivals")
        eventually(lambda: len(bodies(database)) >= 3000)
        eventually(lambda: running.loop.unready() is None)
    assert bodies(database) == [each.decode() for each in numbered(0, 3000)]


def test_an_insert_that_goes_on_failing_is_tried_less_often(topic: config.Kafka, database: config.ClickHouse) -> None:
    """A take-over that works does not hide that inserts fail: failures in a row add up until one succeeds."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database) as consumer:
        send(topic, *numbered(0, 10))
        eventually(lambda: len(bodies(database)) == 10)
        client.command("DETACH TABLE routed")
        send(topic, *numbered(10, 20))
        eventually(lambda: "failed 3 times in a row" in str(consumer.loop.unready()), 60)
        client.command("ATTACH TABLE routed")
        eventually(lambda: len(bodies(database)) == 20)
        eventually(lambda: consumer.loop.unready() is None)


def test_replay_stores_what_is_missing_and_nothing_else(topic: config.Kafka, database: config.ClickHouse) -> None:
    """Rows that were lost come back from Kafka, while the consumer runs; a second replay finds nothing to do."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 1000))
        eventually(lambda: len(bodies(database)) == 1000)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))
        client.command("ALTER TABLE otel_logs DELETE WHERE KafkaOffset % 3 = 1 SETTINGS mutations_sync = 1")
        lost = 1000 - len(bodies(database))
        assert sum(each.missing for each in audit(SETTINGS, topic, database, Bounds())) == lost > 0

        stored = replay(SETTINGS, topic, database, Bounds(), lambda *_: None)

        assert stored == lost
        assert replay(SETTINGS, topic, database, Bounds(), lambda *_: None) == 0
    assert bodies(database) == [each.decode() for each in numbered(0, 1000)]


@pytest.mark.parametrize("window", [2, 2_000_000])
def test_the_audit_knows_what_has_expired(
    topic: config.Kafka, database: config.ClickHouse, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may keep what ClickHouse has deleted: that is not missing. What is newer, or follows what is stored, is."""
    monkeypatch.setattr("logbrook.consumer.audit._WINDOW", window)
    day_ms = 86_400_000
    now_ms = int(time.time() * 1000)
    client = clickhouse.connect(database)
    client.command("ALTER TABLE otel_logs MODIFY TTL toDate(IngestedAt) + toIntervalDay(5)")
    producer = Producer(producer_config(topic, 30))
    for days_ago in (20, 9, 8, 1, 7, 0):
        producer.produce(topic.topic, b"%d" % days_ago, partition=0, timestamp=now_ms - days_ago * day_ms)
    assert producer.flush(30) == 0
    with consuming(SETTINGS, topic, database):
        eventually(lambda: len(bodies(database)) == 6)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))

    def missing(kept: str) -> tuple[tuple[int, int], ...]:
        client.command(f"ALTER TABLE otel_logs DELETE WHERE Body NOT IN ({kept}) SETTINGS mutations_sync = 2")
        found = audit(SETTINGS, topic, database, Bounds())[0]
        assert found.repeated == 0
        return found.missing_offsets

    assert missing("'9', '1', '7', '0'") == ((2, 2),)
    assert missing("'1', '7', '0'") == ()
    assert missing("'1', '0'") == ((4, 4),)
    assert missing("'0'") == ((3, 4),)
    client.close()


def test_the_audit_finds_what_is_double(topic: config.Kafka, database: config.ClickHouse) -> None:
    """A row stored twice is counted as double, in its partition."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 10), partition=4)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))
    client.command("INSERT INTO otel_logs SELECT * FROM otel_logs WHERE KafkaOffset < 3")

    findings = audit(SETTINGS, topic, database, Bounds())

    assert [each.double for each in findings] == [0, 0, 0, 0, 3, 0, 0, 0]


def test_a_missing_topic_says_what_to_do(topic: config.Kafka, database: config.ClickHouse) -> None:
    """Without its topic the consumer does not start, and says how to create it."""
    with pytest.raises(LogbrookError, match="logbrook migrate"):
        Loop(SETTINGS, replace(topic, topic="never-created"), database)


def test_what_the_metrics_tell(topic: config.Kafka, database: config.ClickHouse) -> None:
    """Each insert tells how fresh its first message was, and an audit leaves its outcome behind."""

    def sample(name: str) -> float:
        return REGISTRY.get_sample_value(name) or 0.0

    inserts = sample("consumer_freshness_seconds_count")
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 100), b'{"message": "cut off')
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))

    assert sample("consumer_freshness_seconds_count") > inserts
    names = ("events", "flagged_events", "missing_events", "duplicate_events", "pending_messages")
    assert [sample(f"audit_{name}") for name in names] == [101, 1, 0, 0, 0]
