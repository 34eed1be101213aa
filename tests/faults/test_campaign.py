"""The long run: hundreds of seeded faults, 0 missing, 0 double. Part of `make faults`, not of `make test`."""

import os

import pytest

from tests.faults.campaign import Campaign, Counts, Outcome, Progress
from tests.faults.stack import Place

pytestmark = pytest.mark.timeout(3600)
# A part of the counts, to try the campaign itself: FAULTS_SHARE=0.05.
SHARE = float(os.environ.get("FAULTS_SHARE", "1"))


def number(full: int) -> int:
    """How many faults to inject."""
    return max(1, round(full * SHARE))


def clean(outcome: Outcome, counts: Counts) -> None:
    """Into the table; nothing may be missing or double."""
    counts.append(outcome)
    assert (outcome.missing, outcome.double) == (0, 0)


def test_consumer_kills(place: Place, seed: int, progress: Progress, counts: Counts) -> None:
    """200 kills of consumers over all points of the protocol (I1-I6)."""
    clean(Campaign(place, seed, progress).consumer_kills(number(200)), counts)


def test_clickhouse_kills(place: Place, seed: int, progress: Progress, counts: Counts) -> None:
    """50 kills of ClickHouse in the middle of inserts (I1-I6)."""
    clean(Campaign(place, seed, progress).clickhouse_kills(number(50)), counts)


def test_broker_kills(place: Place, seed: int, progress: Progress, counts: Counts) -> None:
    """20 kills of Kafka under load (I1-I6)."""
    clean(Campaign(place, seed, progress).broker_kills(number(20)), counts)


def test_combinations(place: Place, seed: int, progress: Progress, counts: Counts) -> None:
    """20 combinations of two or three faults at a time (I1-I6)."""
    clean(Campaign(place, seed, progress).combinations(number(20)), counts)
