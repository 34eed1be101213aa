"""Partitions that change hands while their owners are slow, stopped, or believe to own them still."""

from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, Sender, check
from tests.faults.parts import in_full
from tests.faults.processes import Process, until
from tests.faults.stack import Place


def owns(consumer: Process, times: int = 1) -> bool:
    """Whether a consumer has taken partitions over, so many times."""
    return consumer.log.count("took over") >= times


def test_stopped_before_its_insert(place: Place, ledger: Ledger, sender: Sender) -> None:
    """A consumer stopped past its session with a batch in its hands finds its inlet gone when it wakes (I1-I6)."""
    with sender.sending():
        sleeper = place.consumer(FAULT_AT="before_insert:2:stop")
        sleeper.spawn()
        until(lambda: "fault:" in sleeper.log, 40, "the consumer stops")
        heir = place.consumer()
        heir.spawn()
        until(lambda: owns(heir), 40, "another takes over")
        before = place.stored()
        until(lambda: place.stored() > before, 40, "the new owner stores")
        sleeper.resume()
        until(lambda: '"fenced"' in sleeper.log, 40, "the sleeper is told that it was fenced")
    check(ledger, place)


def test_taken_over_in_the_middle_of_an_insert(place: Place, ledger: Ledger, sender: Sender) -> None:
    """An insert that ClickHouse is still working on is decided before its successor looks what is stored (I1-I6)."""
    sender.send(400)
    sleeper = place.consumer(FAULT_AT="in_insert:1:stop", FAULT_SLOW_INSERT="8")
    sleeper.spawn()
    until(lambda: "fault:" in sleeper.log, 40, "its insert is under way and it stops")
    heir = place.consumer()
    heir.spawn()
    until(lambda: "assigned" in heir.log, 40, "another gets the partitions")
    assert place.insert_queries(), "the insert was over before it could be taken over"
    until(lambda: owns(heir), 40, "another takes over")
    sleeper.resume()
    check(ledger, place)


@in_full
def test_storm(place: Place, ledger: Ledger, sender: Sender, progress: Progress) -> None:
    """From one consumer to four to two, under load: every change of hands is clean (I1-I6)."""
    consumers = [place.consumer() for _ in range(4)]
    with sender.sending():
        for number, consumer in enumerate(consumers):
            consumer.spawn()
            until(lambda: owns(consumer), 60, "the consumer gets a share")  # noqa: B023 - used within the turn
            progress(f"{number + 1} consumers: {place.stored()} stored")
        for consumer in consumers[:2]:
            assert consumer.stop() == 0, consumer.log[-2000:]
        progress(f"2 consumers: {place.stored()} stored")
    check(ledger, place)
    assert "offsets are missing" not in place.logs()


def test_given_up_and_back_while_inserting(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Partitions that leave and come back while their insert still runs are not inserted once more (I1-I6)."""
    sender.send(400)
    slow = place.consumer(FAULT_SLOW_INSERT="8")
    slow.spawn()
    until(place.insert_queries, 40, "an insert is under way")
    guest = place.consumer(FAULT_AT="assigned:1")
    guest.spawn()
    until(lambda: '"revoked"' in slow.log, 40, "partitions leave")
    until(lambda: slow.log.count('"assigned"') >= 2, 40, "partitions come back")
    assert place.insert_queries(), "the insert was over before they came back"
    assert not guest.running
    # So that the lag is 0 only after another insert: what came back would be in it.
    sender.send(50)
    check(ledger, place)


def test_revoked_while_paused(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Partitions that leave a paused consumer and come back to it when it goes on are read on (I1-I6)."""
    consumer = place.consumer(LOGBROOK_CONSUMER_MAX_BATCH_MESSAGES="50")
    consumer.spawn()
    until(lambda: owns(consumer), 120, "the consumer owns all")
    place.client.command("RENAME TABLE otel_logs TO elsewhere")
    sender.send(1000, 1)
    until(lambda: "paused: " in consumer.log, 120, "the consumer is paused")
    guest = place.consumer()
    guest.spawn()
    until(lambda: '"assigned"' in guest.log, 120, "another gets a share")
    place.client.command("RENAME TABLE elsewhere TO otel_logs")
    until(lambda: owns(guest), 120, "another takes over")
    place.drain()
    assert guest.stop() == 0
    until(lambda: consumer.log.count('"assigned"') >= 2, 120, "they come back")
    for partition in range(8):
        sender.send(20, 1, partition=partition)
    check(ledger, place)
