"""The consumer killed at every named point of its protocol."""

import random
import time

import pytest

from tests.faults.campaign import Progress
from tests.faults.killing import POINTS
from tests.faults.ledger import Ledger, Sender, check, compare
from tests.faults.parts import in_full
from tests.faults.processes import until
from tests.faults.stack import Place, Stack

# Points that a consumer reaches only when others take partitions away, or when it is told to leave.
_IN_COMPANY = {"revoking", "revoked", "leaving"}
_DAY = 24 * 3600


def test_killed_at_every_point(place: Place, ledger: Ledger, sender: Sender, seed: int, progress: Progress) -> None:
    """A consumer killed with -9 anywhere leaves its successor what it needs: nothing lost, nothing twice (I1-I6)."""
    rng = random.Random(seed)
    points = [point for point in POINTS if point not in _IN_COMPANY]
    rng.shuffle(points)
    with sender.sending():
        for point in points:
            doomed = place.consumer(FAULT_AT=f"{point}:1", FAULT_DELAY_SECONDS=f"{rng.random() * 0.05:.3f}")
            doomed.spawn()
            until(lambda: not doomed.running, 40, f"the consumer reaches {point}")  # noqa: B023 - used within the turn
            assert f"fault: {point}" in doomed.log, doomed.log[-2000:]
            verdict = compare(ledger, place)
            assert verdict.harmless, f"after {point}: {verdict}"
            progress(f"killed at {point}: {verdict.stored} stored, none twice")
        place.consumer().spawn()
    progress(str(check(ledger, place)))


def test_killed_long_after_the_one_before(stack: Stack, ledger: Ledger, seed: int) -> None:
    """What was stored but not committed is found by the second successor, too, however long ago it was stored."""
    # One partition: the look-up is bounded by the oldest commit of all.
    place = stack.place("long_after", partitions=1)
    sender = Sender(ledger, place.kafka, seed)
    first = place.consumer(
        FAULT_AT="before_commit:2",
        LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS="30",
        LOGBROOK_CONSUMER_MAX_BATCH_MESSAGES="400",
    )
    first.spawn()
    # What comes after a pause is inserted at once, however little it is; then a batch is collected until it is full.
    sender.send(1)
    place.drain()
    sender.send(400)
    until(lambda: not first.running, 40, "the first stores a batch of 400 and does not commit it")
    time.sleep(4)
    second = place.consumer(
        FAULT_AT="before_commit:3", FAULT_MARGIN_SECONDS="1", LOGBROOK_CONSUMER_MAX_BATCH_MESSAGES="50"
    )
    second.spawn()
    until(lambda: not second.running, 40, "the second commits a part of it")
    place.consumer(FAULT_MARGIN_SECONDS="1").spawn()
    check(ledger, place)
    place.close()


# Seconds that the clock is ahead, how far the look-up trusts clocks, and how long the heir comes afterwards.
_CLOCKS = {
    "days ahead": (3 * _DAY, _DAY, 0),
    "days behind": (-3 * _DAY, _DAY, 0),
    "ahead until the heir comes": (5, 1, 7),
}


@pytest.mark.parametrize("clock", [pytest.param(each, marks=in_full if "behind" in each else ()) for each in _CLOCKS])
def test_killed_with_a_wrong_clock(clock: str, stack: Stack, ledger: Ledger, seed: int) -> None:
    """A consumer whose clock is wrong commits, stores more and is killed: its heir finds all that it stored (I2)."""
    ahead, margin, later = _CLOCKS[clock]
    # Nothing bounds the look-up as long as one partition has no commit.
    place = stack.place("wrong_clock", partitions=1)
    Sender(ledger, place.kafka, seed).send(400, 1)
    wrong = place.consumer(
        FAULT_AT="before_commit:3",
        FAULT_CLOCK_SECONDS=str(ahead),
        FAULT_MARGIN_SECONDS=str(margin),
        LOGBROOK_CONSUMER_MAX_BATCH_MESSAGES="50",
    )
    wrong.spawn()
    until(lambda: not wrong.running, 40, "it has committed two batches and stored a third")
    time.sleep(later)
    place.consumer(FAULT_MARGIN_SECONDS=str(margin)).spawn()
    check(ledger, place)
    place.close()


@in_full
def test_killed_while_partitions_come_and_go(place: Place, ledger: Ledger, sender: Sender, progress: Progress) -> None:
    """A consumer killed within its revoke callback, or while it leaves, takes nothing with it (I1-I6)."""
    with sender.sending():
        for point in sorted(_IN_COMPANY):
            doomed = place.consumer(FAULT_AT=f"{point}:1")
            doomed.spawn()
            until(lambda: "took over" in doomed.log, 40, "the first consumer owns all")  # noqa: B023
            other = place.consumer()
            if point == "leaving":
                assert doomed.child is not None
                doomed.child.terminate()
            else:
                other.spawn()
            until(lambda: not doomed.running, 40, f"the consumer reaches {point}")  # noqa: B023
            assert f"fault: {point}" in doomed.log, doomed.log[-2000:]
            if other.running:
                other.stop()
            progress(f"killed at {point}: {place.stored()} stored")
        place.consumer().spawn()
    check(ledger, place)
