"""Kafka's failures on a real broker: each gets its one diagnosis."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, NewTopic, ResourceType

from logbrook import config
from logbrook.doctor import checks
from logbrook.doctor import kafka as topics
from logbrook.doctor.diagnosis import NotCheckedError
from logbrook.kafka import client_config
from logbrook.topic import create_topic
from native import brokers, jars, ports, processes
from tests.components import REPOSITORY, until
from tests.doctor import holes
from tests.doctor.conftest import OddBroker, grant
from tests.doctor.examining import diagnosed, examined, place
from tests.gateway.process import running as gateway


@contextmanager
def member(kafka: config.Kafka, group: str, topic: str = "", **more: Any) -> Iterator[Consumer]:
    """A consumer of the group that has taken what it gets, and commits nothing."""
    settings = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0}
    consumer = Consumer(client_config(kafka) | settings | more)
    consumer.subscribe([topic or kafka.topic])
    try:
        until(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()))
        yield consumer
    finally:
        consumer.close()


def test_advertised_listeners_that_lead_elsewhere(odd_broker: OddBroker, topic: config.Kafka) -> None:
    """Clients connect to the bootstrap address and then hang at the one that they are sent to: it is named, once."""
    finding = diagnosed(place(kafka=replace(topic, bootstrap_servers=odd_broker.wrong)), "kafka.advertised")

    assert odd_broker.wrong in finding.text
    assert "does not answer" in finding.text
    assert "KAFKA_ADVERTISED_LISTENERS" in finding.remedy


def test_advertised_listeners_of_ones_own(topic: config.Kafka) -> None:
    """The bootstrap address is the broker's own: said so."""
    assert "the bootstrap address itself" in examined(place(kafka=topic))["kafka advertised"].text


def test_kafka_before_zookeeper(tmp_path: Path) -> None:
    """A broker that waits for ZooKeeper does not listen: ZooKeeper is named, Kafka is not blamed."""
    port, zookeeper_port = ports.free(2)
    broker = brokers.kafka(tmp_path, jars.ensure(REPOSITORY / ".local/jars"), port, zookeeper_port)
    process = processes.start(broker, tmp_path / "kafka.log")
    try:
        until(lambda: "Connecting to zookeeper" in (tmp_path / "kafka.log").read_text())
        here = place(kafka=config.Kafka(bootstrap_servers=f"127.0.0.1:{port}"), zookeeper=f"127.0.0.1:{zookeeper_port}")
        finding = diagnosed(here, "zookeeper.down")
    finally:
        processes.stop(broker, process)

    assert "Start ZooKeeper first" in finding.remedy


def test_a_zookeeper_that_hangs() -> None:
    """It accepts connections and does not answer: down all the same."""
    with holes.silent() as port:
        here = place(kafka=config.Kafka(), zookeeper=f"127.0.0.1:{port}")
        diagnosed(here, "zookeeper.down")


def test_a_zookeeper_that_answers(odd_broker: OddBroker) -> None:
    """`srvr` is answered."""
    here = place(zookeeper=f"127.0.0.1:{odd_broker.zookeeper_port}")
    found = checks.examine(here, [each for each in checks.CHECKS if each.name == "zookeeper"])

    assert found[0].state == "ok", found


def test_a_wrong_password(odd_broker: OddBroker) -> None:
    """The broker says so at once: no time-out is waited for, and the password is not shown."""
    finding = diagnosed(place(kafka=odd_broker.user("consumer", "not-the-password")), "kafka.credentials")

    assert "'consumer'" in finding.text
    assert "not-the-password" not in finding.text


def test_a_listener_with_passwords_asked_without(odd_broker: OddBroker) -> None:
    """The settings' protocol is not the listener's."""
    finding = diagnosed(place(kafka=config.Kafka(bootstrap_servers=odd_broker.vpc)), "kafka.silent")

    assert "LOGBROOK_KAFKA_SECURITY_PROTOCOL" in finding.remedy


def test_a_user_without_any_rights(odd_broker: OddBroker, topic: config.Kafka) -> None:
    """It may not even see the topic: said as missing rights, not as a missing topic."""
    diagnosed(place(kafka=odd_broker.user("consumer", topic=topic.topic)), "kafka.rights")


def test_a_gateway_that_may_only_look(odd_broker: OddBroker, topic: config.Kafka) -> None:
    """What a user's role needs follows from its name; what it lacks is named."""
    grant(odd_broker, "gateway", ResourceType.TOPIC, topic.topic, AclOperation.DESCRIBE)

    assert "WRITE" in diagnosed(place(kafka=odd_broker.user("gateway", topic=topic.topic)), "kafka.rights").text


def test_a_gateway_that_may_write(odd_broker: OddBroker, topic: config.Kafka) -> None:
    """It needs no more; what it may not ask is not checked, with the reason."""
    grant(odd_broker, "gateway", ResourceType.TOPIC, topic.topic, AclOperation.DESCRIBE, AclOperation.WRITE)
    found = examined(place(kafka=odd_broker.user("gateway", topic=topic.topic)))

    assert found["kafka rights"].state == "ok"
    assert {found[name].state for name in ("topic retention", "consumers")} == {"not checked"}
    assert [each for each in found.values() if each.code] == []


def test_no_topic(odd_broker: OddBroker) -> None:
    """`logbrook migrate` creates it."""
    here = place(kafka=odd_broker.settings(f"test-{uuid.uuid4().hex[:12]}"))

    assert "logbrook migrate" in diagnosed(here, "topic.missing").remedy


def test_too_few_partitions(topic: config.Kafka) -> None:
    """The gateway would refuse to send: both numbers are named."""
    here = place(kafka=replace(topic, partitions=12))
    here.given = frozenset({"LOGBROOK_KAFKA_PARTITIONS"})
    finding = diagnosed(here, "topic.partitions")

    assert "8 partitions, LOGBROOK_KAFKA_PARTITIONS says 12" in finding.text


def test_more_partitions_than_configured(topic: config.Kafka) -> None:
    """That is a warning: everything works, and the rest is looked at."""
    here = place(kafka=replace(topic, partitions=4), group=topic.topic)
    here.given = frozenset({"LOGBROOK_KAFKA_PARTITIONS"})
    with member(topic, topic.topic):
        finding = diagnosed(here, "topic.settings")

    assert finding.state == "warning"


def test_partitions_without_a_leader(topic: config.Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen where a broker of several is away; here the one that there is, is taken out of its answer."""
    look = topics._described

    def leaderless(here: Any) -> Any:
        found = look(here)
        found.partitions[3].leader = None  # type: ignore[assignment]
        return found

    monkeypatch.setattr(topics, "_described", leaderless)

    assert "[3]" in diagnosed(place(kafka=topic), "topic.leaderless").text


def test_retention_that_was_configured_and_not_applied(topic: config.Kafka) -> None:
    """Only what somebody chose is compared: a consumer on another machine knows defaults alone."""
    here = place(kafka=replace(topic, retention_hours=24), group=topic.topic)
    here.given = frozenset({"LOGBROOK_KAFKA_RETENTION_HOURS"})
    with member(topic, topic.topic):
        assert "keeps 72, LOGBROOK_KAFKA_RETENTION_HOURS says 24" in diagnosed(here, "topic.settings").text


def test_retention_larger_than_the_disk(odd_broker: OddBroker) -> None:
    """The broker itself says how large its disk is."""
    kafka = replace(odd_broker.settings(f"test-{uuid.uuid4().hex[:12]}"), retention_bytes=2**50)
    create_topic(kafka)
    with member(kafka, kafka.topic):
        finding = diagnosed(place(kafka=kafka, group=kafka.topic), "kafka.retention")

    assert "8388608.0 GiB" in finding.text


def test_a_broker_whose_disk_is_nearly_full(topic: config.Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real figures of the broker's disk, with another idea of what is nearly full."""
    monkeypatch.setattr(topics, "_FULL", 1.0)

    with member(topic, topic.topic):
        assert "GiB are free" in diagnosed(place(kafka=topic, group=topic.topic), "kafka.disk").text


def test_a_disk_that_no_broker_tells_of(topic: config.Kafka) -> None:
    """Without one there is nothing to compare with: not checked, and not a division by zero."""
    here = place(kafka=topic)
    examined(here, "consumers", "lag", "probe")
    here.brokers = []

    with pytest.raises(NotCheckedError, match="no broker"):
        topics.retention(here)


def test_no_consumer(topic: config.Kafka) -> None:
    """The group has no member."""
    assert topic.topic in diagnosed(place(kafka=topic, group=topic.topic), "group.none").text


def test_a_consumer_of_another_topic(topic: config.Kafka) -> None:
    """The group has a member, and yet nobody has our partitions."""
    other = f"{topic.topic}-other"
    admin = AdminClient(client_config(topic))
    admin.create_topics([NewTopic(other, 1, 1)])[other].result()
    with member(topic, topic.topic, other):
        diagnosed(place(kafka=topic, group=topic.topic), "group.unassigned")


def test_a_consumer_that_does_not_get_on(topic: config.Kafka) -> None:
    """It has the partitions, messages wait, and it commits nothing."""
    producer = Producer(client_config(topic))
    producer.produce(topic.topic, b"{}")
    assert producer.flush(30) == 0
    with member(topic, topic.topic):
        finding = diagnosed(place(kafka=topic, group=topic.topic), "group.stuck")

    assert finding.text.startswith("the lag is 1, and nothing was committed")


def test_the_end_of_a_transaction_is_not_waited_for(topic: config.Kafka) -> None:
    """It has an offset above the committed one, and there is nothing to read."""
    producer = Producer(client_config(topic) | {"transactional.id": topic.topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic.topic, b"{}", partition=0)
    producer.commit_transaction(30)
    with member(topic, topic.topic) as consumer:
        consumer.commit(offsets=[TopicPartition(topic.topic, 0, 1)], asynchronous=False)
        lag = examined(place(kafka=topic, group=topic.topic))["lag"]

    assert (lag.state, lag.text) == ("ok", "the lag is 1")


def test_a_gateway_that_takes_nothing(topic: config.Kafka, tmp_path: Path) -> None:
    """It is ready and knows the sender, and its queue is full: what it says is shown."""
    with gateway(topic, tmp_path / "gateway.log", max_queued_bytes=0) as process:
        assert "queue_full" in diagnosed(place(gateway=process.url), "probe.refused").text
