"""Work that does not move is seen by everybody who is asked, and moves again when its cause is gone."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event

import pytest
from confluent_kafka import Producer
from prometheus_client import REGISTRY

from logbrook import clickhouse, config
from logbrook.consumer import report
from logbrook.consumer.audit import Finding, audit
from logbrook.consumer.batch import Fetched
from logbrook.consumer.member import Member
from logbrook.consumer.replay import replay
from logbrook.consumer.span import Bounds
from logbrook.errors import KafkaUnavailableError
from logbrook.kafka import producer_config
from tests.consumer.test_consumer import SETTINGS, bodies, consuming, eventually, numbered, send

# So small that a part of what is sent fills it; so impatient that a test need not wait.
IMPATIENT = replace(SETTINGS, max_batch_messages=200, stalled_after_seconds=3.0)


def test_partitions_that_were_revoked_while_paused_are_fetched_again(
    topic: config.Kafka, database: config.ClickHouse
) -> None:
    """A pause ends for every partition that is owned when it ends, also for those that were away meanwhile."""
    client = clickhouse.connect(database)
    with consuming(IMPATIENT, topic, database) as running:
        eventually(lambda: len(running.loop.member.owned) == 8)
        client.command("RENAME TABLE arrivals TO elsewhere")
        send(topic, *numbered(0, 1000))
        eventually(lambda: running.loop.member.paused)
        with consuming(IMPATIENT, topic, database) as guest:
            eventually(lambda: len(guest.loop.member.owned) == 4 == len(running.loop.member.owned))
            client.command("RENAME TABLE elsewhere TO arrivals")
            eventually(lambda: not running.loop.member.paused)
            eventually(lambda: len(bodies(database)) == 1000)
        eventually(lambda: len(running.loop.member.owned) == 8)
        send(topic, *numbered(1000, 2000))

        eventually(lambda: len(bodies(database)) == 2000)
    assert bodies(database) == [each.decode() for each in numbered(0, 2000)]


def before_the_next_fetch(member: Member, work: Callable[[], None]) -> None:
    """Do it in the thread that fetches: any other one waits for librdkafka, for a minute on a busy machine."""
    fetch, done = member.fetch, Event()

    def fetch_then(most: int) -> list[Fetched]:
        work()
        member.fetch = fetch  # type: ignore[method-assign]
        done.set()
        return fetch(most)

    member.fetch = fetch_then  # type: ignore[method-assign]
    assert done.wait(60)


def test_what_does_not_move_is_not_called_well(topic: config.Kafka, database: config.ClickHouse) -> None:
    """A partition that is not fetched for whatever reason: /readyz, the lag, the audit and its exit status say so."""

    def sample(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"partition": "3"}) or 0.0

    # One that never pauses by itself.
    patient = replace(IMPATIENT, max_batch_messages=SETTINGS.max_batch_messages)
    with consuming(patient, topic, database) as running:
        send(topic, *numbered(0, 100))
        eventually(lambda: len(bodies(database)) == 100)
        member = running.loop.member
        before_the_next_fetch(member, lambda: member._consumer.pause(member._partitions({3})))
        send(topic, *numbered(100, 200), partition=3)
        send(topic, *numbered(200, 300), partition=4)

        eventually(lambda: "100 messages wait in partition 3" in (running.loop.unready() or ""))
        assert running.loop.unhealthy() is None, "it may yet pass"
        assert sample("consumer_lag_messages") == 100
        assert sample("consumer_stalled_seconds") >= 3
        findings = audit(IMPATIENT, topic, database, Bounds())
        assert [each.stalled for each in findings] == [0, 0, 0, 100, 0, 0, 0, 0]

        before_the_next_fetch(member, lambda: member._consumer.resume(member._partitions({3})))
        eventually(lambda: running.loop.unready() is None)
        assert not any(each.stalled for each in audit(IMPATIENT, topic, database, Bounds()))


def test_without_a_consumer_the_audit_fails(
    topic: config.Kafka,
    database: config.ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What waits while nobody works is not a good outcome: exit status 1, and where it waits."""
    send(topic, *numbered(0, 10), partition=2)
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap_servers,
        "KAFKA_TOPIC": topic.topic,
        "CLICKHOUSE_PORT": str(database.port),
        "CLICKHOUSE_PASSWORD": database.password,
        "CLICKHOUSE_DATABASE": database.database,
        "CONSUMER_STALLED_AFTER_SECONDS": "1",
    }.items():
        monkeypatch.setenv(f"LOGBROOK_{name}", value)

    assert report.run_audit(Bounds(), as_json=False) == 1

    assert "stalled partition 2: 10 messages wait" in capsys.readouterr().out


def test_an_error_of_kafka_has_no_code_of_clickhouse() -> None:
    """An error that is not ClickHouse's is handled like no answer, whatever else the error calls its code."""
    assert clickhouse.error_code(KafkaUnavailableError("Kafka: no answer")) is None


def test_the_end_of_a_transaction_does_not_wait(topic: config.Kafka, database: config.ClickHouse) -> None:
    """It has an offset that nobody reads or commits. Behind it, no partition counts as stalled."""
    producer = Producer(producer_config(topic, 30) | {"transactional.id": topic.topic})
    producer.init_transactions(30)
    with consuming(IMPATIENT, topic, database) as running:
        producer.begin_transaction()
        producer.produce(topic.topic, b"paid", partition=3)
        producer.commit_transaction(30)
        eventually(lambda: bodies(database) == ["paid"])
        eventually(lambda: running.loop.inserting is None)

        findings = audit(IMPATIENT, topic, database, Bounds())

    assert not any(each.missing or each.stalled for each in findings)


def test_transactions_leave_nothing_pending_or_missing(topic: config.Kafka, database: config.ClickHouse) -> None:
    """Committed, aborted and open transactions: what can be read is stored, the rest counts for nothing."""
    producer = Producer(producer_config(topic, 30) | {"transactional.id": topic.topic})
    producer.init_transactions(30)
    missing_before = REGISTRY.get_sample_value("consumer_missing_offsets_total")

    def transaction(*payloads: bytes, abort: bool = False) -> None:
        producer.begin_transaction()
        for payload in payloads:
            producer.produce(topic.topic, payload, partition=3)
        producer.flush(30)
        (producer.abort_transaction if abort else producer.commit_transaction)(30)

    def findings() -> list[Finding]:
        return audit(IMPATIENT, topic, database, Bounds())

    with consuming(IMPATIENT, topic, database) as running:
        transaction(b"a1", b"a2")
        transaction(b"never", abort=True)
        transaction(b"b1")
        transaction(b"never", b"never", abort=True)
        eventually(lambda: bodies(database) == ["a1", "a2", "b1"])
        eventually(lambda: sum(each.pending for each in findings()) == 0)
        assert not any(each.missing or each.double or each.stalled for each in findings())
        assert findings()[3].end_offset == 10, "four transactions with six messages, and their ends"
        eventually(lambda: running.loop.unready() is None)

        producer.begin_transaction()
        producer.produce(topic.topic, b"c1", partition=3)
        producer.flush(30)
        assert sum(each.pending for each in findings()) == 0, "it is open: nobody can read it"
        producer.commit_transaction(30)
        eventually(lambda: len(bodies(database)) == 4)
        eventually(lambda: sum(each.pending for each in findings()) == 0)

    assert REGISTRY.get_sample_value("consumer_missing_offsets_total") == missing_before
    client = clickhouse.connect(database)
    client.command("ALTER TABLE otel_logs DELETE WHERE Body IN ('a2', 'c1') SETTINGS mutations_sync = 2")
    assert findings()[3].missing_offsets == ((1, 1), (10, 10)), "and what is missing is found between them"
    assert replay(IMPATIENT, topic, database, Bounds(), lambda *_: None) == 2
    assert bodies(database) == ["a1", "a2", "b1", "c1"]
    assert not any(each.missing or each.double for each in findings())
