"""The long run: hundreds of seeded faults, 0 missing, 0 double. Part of `make faults`, not of `make test`."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Counts, Outcome, Progress
from tests.faults.mixture import Mixture
from tests.faults.stack import Place, running

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


def test_mixture(tmp_path: Path, seed: int, progress: Progress, counts: Counts) -> None:
    """20 turns of faults of every kind on everything at once, a full disk and wrong clocks among them (I1-I6).

    Nobody does anything by hand, and nobody who is asked calls stuck work healthy.
    """
    disk = tmp_path / "clickhouse"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(disk)]
    small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not small:
        progress("no disk is filled up: mounting a small tmpfs needs root")
    try:
        with running(tmp_path) as stack:
            place = stack.place("mixture")
            try:
                mixture = Mixture(place, seed, progress, 40, disk=disk if small else None)
                clean(mixture.run(number(20)), counts)
            finally:
                for process in place.processes:
                    print(f"--- {process.name}\n{process.log[-3000:]}")
                place.kill()
    finally:
        if small:
            subprocess.run(["umount", "-l", str(disk)], check=True)
