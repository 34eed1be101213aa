"""Kafka and ZooKeeper killed or stopped, and a topic that changes under the consumer's feet."""

import time

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from logbrook.kafka import client_config
from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, Sender, check, compare
from tests.faults.parts import in_full
from tests.faults.processes import until
from tests.faults.stack import Place
from tests.faults.test_clickhouse import grows

# What a stop of a broker must outlast to be felt: the consumers' session.
_PAUSE_SECONDS = 4.0


def test_broker_killed(place: Place, ledger: Ledger, sender: Sender, progress: Progress) -> None:
    """Kafka killed with -9 and started again: what it acknowledged is stored, once (I1-I6)."""
    place.supervised()
    with sender.sending():
        grows(place)
        place.stack.kafka.restart()
        progress(f"broker killed: {place.stored()} stored")
        grows(place, 60)
    check(ledger, place)


@in_full
@pytest.mark.parametrize("who", ["kafka", "zookeeper"])
def test_paused(who: str, place: Place, ledger: Ledger, sender: Sender) -> None:
    """Kafka or ZooKeeper stopped for longer than any session, then going on (I1-I6)."""
    place.supervised()
    process = getattr(place.stack, who)
    with sender.sending():
        grows(place)
        process.pause()
        try:
            time.sleep(_PAUSE_SECONDS)
        finally:
            process.resume()
        grows(place, 60)
    check(ledger, place)


def test_topic_created_anew(place: Place, ledger: Ledger, sender: Sender, seed: int) -> None:
    """A topic that was deleted and recreated counts from 0 again: its events are others (I1, I2)."""
    consumer = place.supervised()
    sender.send(300)
    check(ledger, place)
    admin = AdminClient(client_config(place.kafka))
    admin.delete_topics([place.kafka.topic])[place.kafka.topic].result()
    until(lambda: place.kafka.topic not in admin.list_topics(timeout=10).topics, 120, "the topic is gone")
    until(lambda: _created(admin, place), 30, "the topic is recreated")
    again = Sender(ledger, place.kafka, seed + 1)
    again.send(300)
    until(lambda: not compare(ledger, place).missing, 60, "the new topic's events are stored")
    check(ledger, place)
    ids = place.client.query("SELECT uniqExact(KafkaTopicId) FROM otel_logs").result_rows[0][0]
    assert ids == 2, consumer.log[-2000:]


def _created(admin: AdminClient, place: Place) -> bool:
    """Whether the topic could be created: not as long as the old one is being deleted."""
    try:
        admin.create_topics([NewTopic(place.kafka.topic, 8, 1)])[place.kafka.topic].result()
    except KafkaException:
        return False
    return True


@in_full
def test_partitions_added(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Events in partitions that were added later are stored, too; repeated keys stay with their partition (I1, I2)."""
    place.consumer(FAULT_METADATA_SECONDS="1").spawn()
    with sender.sending():
        grows(place)
        admin = AdminClient(client_config(place.kafka))
        admin.create_partitions([NewPartitions(place.kafka.topic, 11)])[place.kafka.topic].result()
        until(lambda: len(place.offsets()) == 11, 30, "the partitions are there")
        for partition in (8, 9, 10):
            Sender(ledger, place.kafka, partition).send(20, 2, partition=partition)
    until(lambda: not compare(ledger, place).missing, 60, "the new partitions are read")
    check(ledger, place)


@in_full
def test_group_set_back(place: Place, ledger: Ledger, sender: Sender) -> None:
    """A group whose offsets were lost reads everything again and stores nothing again (I2)."""
    consumer = place.consumer()
    consumer.spawn()
    sender.send(500)
    check(ledger, place)
    assert consumer.stop() == 0
    admin = AdminClient(client_config(place.kafka))
    admin.delete_consumer_groups([place.group])[place.group].result()
    place.consumer().spawn()
    sender.send(100)
    check(ledger, place)


@in_full
def test_retention_ran_out(place: Place, ledger: Ledger, sender: Sender) -> None:
    """What Kafka threw away before it was read is counted and said; what it still has is stored (I2, I6)."""
    consumer = place.consumer()
    consumer.spawn()
    sender.send(50, 1, partition=0)
    check(ledger, place)
    assert consumer.stop() == 0
    sender.send(100, 1, partition=0)
    admin = AdminClient(client_config(place.kafka))
    up_to = TopicPartition(place.kafka.topic, 0, 120)
    admin.delete_records([up_to])[up_to].result()
    again = place.consumer()
    again.spawn()
    place.drain()
    verdict = compare(ledger, place)
    assert (len(verdict.missing), verdict.double, verdict.stored) == (70, [], 80), verdict
    assert "offsets are missing in Kafka" in again.log
