"""What a rebalance in the middle of a fetch leaves behind, played by hand: it is too rare to wait for."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer, TopicPartition

from logbrook import config
from logbrook.consumer.member import Member
from logbrook.kafka import producer_config
from tests.faults.processes import until
from tests.faults.stack import Place


class Scripted:
    """A real consumer whose next fetch serves a rebalance after it has collected its messages."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.meanwhile: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def consume(self, most: int, seconds: float) -> list[Any]:
        """What the real one has, then the callbacks, as librdkafka may do within one call."""
        messages: list[Any] = self.real.consume(most, seconds)
        if messages and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return messages


def member(place: Place) -> tuple[Member, Scripted]:
    """A member that owns all partitions and whose consumer is scripted."""
    settings = config.Consumer(group=place.group, session_timeout_seconds=6)
    joined = Member(settings, place.kafka, lambda: None, lambda _: None)
    scripted = Scripted(joined._consumer)
    setattr(joined, "_consumer", scripted)  # noqa: B010 - it is no Consumer to mypy
    until(lambda: joined.fetch(1) == [] and len(joined.owned) == 8, 30, "the group is formed")
    return joined, scripted


def send(place: Place, messages: int) -> None:
    """Messages into partition 0, acknowledged."""
    producer = Producer(producer_config(place.kafka, 30))
    for number in range(messages):
        producer.produce(place.kafka.topic, str(number).encode(), partition=0)
    assert producer.flush(30) == 0


def offsets(joined: Member, number: int) -> list[int]:
    """The next so many offsets that are fetched, in their order."""
    found = list[int]()

    def enough() -> bool:
        found.extend(message.offset() for message in joined.fetch(100))
        return len(found) >= number

    until(enough, 120, f"{number} messages are fetched", poll_seconds=0)
    return found


def test_collected_before_a_revocation(place: Place) -> None:
    """Messages that were collected before their partition went away are not returned after it."""
    joined, scripted = member(place)
    zero = [TopicPartition(place.kafka.topic, 0)]

    def revoke() -> None:
        scripted.real.incremental_unassign(zero)
        joined._revoked(scripted.real, zero)

    scripted.meanwhile = revoke
    send(place, 20)
    until(lambda: (joined.fetch(100), scripted.meanwhile)[1] is None, 30, "the revocation happens")
    assert joined.fetch(100) == []
    assert joined.owned == set(range(1, 8))
    joined.close()


def test_collected_before_the_partition_came_back(place: Place) -> None:
    """A partition that went away and came back within one fetch is read from its committed offset, without a gap."""
    joined, scripted = member(place)
    zero = [TopicPartition(place.kafka.topic, 0)]
    send(place, 20)
    assert offsets(joined, 20) == list(range(20))

    def back() -> None:
        scripted.real.incremental_unassign(zero)
        joined._revoked(scripted.real, zero)
        joined._assigned(scripted.real, zero)

    scripted.meanwhile = back
    send(place, 20)
    # What was collected begins at 20; nothing is committed, so the partition begins at 0 again.
    assert offsets(joined, 40) == list(range(40))
    joined.close()


def test_assigned_without_being_lost(place: Place) -> None:
    """A partition that is assigned although it never was lost starts over: what was held of it is forgotten first."""
    joined, scripted = member(place)
    owned = list[set[int]]()
    setattr(joined, "_changed", lambda _: owned.append(set(joined.owned)))  # noqa: B010 - mypy: a method
    zero = [TopicPartition(place.kafka.topic, 0)]
    send(place, 20)
    assert offsets(joined, 20) == list(range(20))
    scripted.real.incremental_unassign(zero)
    joined._assigned(scripted.real, zero)
    assert owned == [set(range(1, 8)), set(range(8))]
    assert offsets(joined, 20) == list(range(20))
    joined.close()


def test_gap_in_kafka(place: Place) -> None:
    """Offsets that Kafka has no longer are passed over: the end of a transaction is one."""
    producer = Producer(producer_config(place.kafka, 30) | {"transactional.id": place.kafka.topic})
    producer.init_transactions(30)
    for number in range(3):
        producer.begin_transaction()
        producer.produce(place.kafka.topic, str(number).encode(), partition=0)
        producer.commit_transaction(30)
    settings = config.Consumer(group=place.group, session_timeout_seconds=6)
    joined = Member(settings, place.kafka, lambda: None, lambda _: None)
    assert offsets(joined, 3) == [0, 2, 4]
    joined.close()
