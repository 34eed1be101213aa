"""Batches in pieces: whatever an inlet refuses, everything else is stored, once, in few inserts."""

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from logbrook.consumer.batch import Batch, Fetched
from logbrook.consumer.inlet import Inlet
from logbrook.consumer.pieces import Pieces
from tests.consumer.test_batch import Fake

MEMORY, DISK_FULL = 241, 243


@dataclass
class Picky:
    """An inlet that refuses an insert with one of the `poison` messages in it, or every insert while it is `ill`."""

    poison: set[bytes] = field(default_factory=set)
    code: int = MEMORY
    error: ClickHouseError | None = None
    """What it raises instead of a refusal with that code."""
    ill: int = 0
    """So many inserts to come are refused, whatever they hold."""
    stored: Counter[bytes] = field(default_factory=Counter)
    raw: Counter[bytes] = field(default_factory=Counter)
    inserts: int = 0

    def insert(self, rows: Sequence[bytes]) -> None:
        """Like Inlet.insert."""
        self.inserts += 1
        self.ill -= 1
        if self.ill >= 0 or self.poison.intersection(rows):
            raise self.error or refusal(self.code)
        self.stored.update(rows)

    def insert_raw(self, row: bytes, _reason: str) -> None:
        """Like Inlet.insert_raw."""
        self.inserts += 1
        self.raw[row] += 1


def refusal(code: int) -> ClickHouseError:
    """An error as ClickHouse answers it."""
    error = DatabaseError(f"Code: {code}")
    setattr(error, "code", code)  # noqa: B010 - not declared by every version
    return error


def broken() -> ClickHouseError:
    """An error as clickhouse-connect raises it where the connection broke."""
    return _without_answer(ProtocolError())


def late() -> ClickHouseError:
    """The same where the time limit passed."""
    return _without_answer(ReadTimeoutError(cast(ConnectionPool, None), "/", "Read timed out."))


def _without_answer(cause: Exception) -> ClickHouseError:
    error = OperationalError("no answer")
    error.__cause__ = cause
    return error


def batch_of(count: int) -> Batch:
    """A batch of so many different messages."""
    batch = Batch()
    messages: list[Fetched] = [Fake((0, offset), b"%d" % offset) for offset in range(count)]
    batch.add(messages)
    return batch


def store(inlet: Picky, batch: Batch, tries: int) -> int:
    """What the loop does: insert, after a failure leave out what is stored, and try again. The tries it took."""
    pieces = Pieces(100_000, 1)
    for number in range(1, tries + 1):
        known = inlet.stored + inlet.raw
        pairs = zip(batch.rows, batch.coordinates, strict=True)
        fresh = batch.without_coordinates({coordinate for row, coordinate in pairs if row in known})
        try:
            pieces.insert(cast(Inlet, inlet), fresh)
        except ClickHouseError:
            continue
        pieces.close()
        return number
    raise AssertionError(f"not stored within {tries} tries")


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.sets(st.integers(0, 2999), max_size=5))
def test_what_is_refused_alone_is_stored_raw_and_nothing_else(count: int, poisoned: set[int]) -> None:
    """Each message is stored once; those that are refused raw, all others as they are; in few inserts."""
    batch = batch_of(count)
    poison = {row for offset, row in enumerate(batch.rows) if offset in poisoned}
    inlet = Picky(poison)

    store(inlet, batch, tries=60)

    assert inlet.raw == Counter(poison)
    assert inlet.stored == Counter(set(batch.rows) - poison)
    assert inlet.inserts < 150 * (len(poison) + 1)


def test_a_server_that_is_ill_for_a_while_makes_nothing_raw() -> None:
    """Refusals of everything are no evidence against a message, unless they go on for long."""
    batch = batch_of(3)
    inlet = Picky(ill=9)

    store(inlet, batch, tries=20)

    assert (inlet.stored, inlet.raw) == (Counter(batch.rows), Counter())


def test_a_server_that_is_killed_again_and_again_makes_nothing_raw() -> None:
    """Broken connections in quick succession are hardly evidence, also against one message of several."""
    batch = batch_of(3)
    alone, among_others = Picky(ill=100, error=broken()), Picky({batch.rows[1]}, error=broken())

    store(alone, batch_of(1), tries=120)
    with pytest.raises(AssertionError, match="not stored"):
        store(among_others, batch, tries=100)

    assert (alone.stored.total(), alone.raw.total()) == (1, 0)
    assert (among_others.stored.total(), among_others.raw.total()) == (2, 0)


def test_what_crashes_the_server_for_long_is_stored_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message on which the connection breaks for eight minutes, and one without an answer in time, go in raw."""
    minutes = itertools.count(step=61.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(minutes))
    crashing, silent = Picky(ill=12, error=broken()), Picky(ill=12, error=late())

    store(crashing, batch_of(1), tries=20)
    store(silent, batch_of(1), tries=20)

    assert (crashing.stored.total(), crashing.raw.total()) == (0, 1)
    assert (silent.stored.total(), silent.raw.total()) == (0, 1)


def test_a_restart_of_the_server_cuts_nothing() -> None:
    """An insert of one message that a restart breaks does not make many inserts of the backlog after it."""
    pieces, inlet = Pieces(100_000, 1), Picky(ill=1, error=broken())
    with pytest.raises(ClickHouseError):
        pieces.insert(cast(Inlet, inlet), batch_of(1))

    pieces.insert(cast(Inlet, inlet), batch_of(1000))
    pieces.close()

    assert inlet.inserts == 2


def test_the_servers_own_errors_cut_nothing() -> None:
    """While the disk is full a batch waits as it is: when there is room, it is one insert."""
    batch = batch_of(1000)
    inlet = Picky(ill=50, code=DISK_FULL)

    assert store(inlet, batch, tries=60) == 51
    assert inlet.inserts == 51
