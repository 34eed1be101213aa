"""How a batch is split into inserts, and what happens to a message that ClickHouse refuses even alone."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import structlog

from logbrook import clickhouse, metrics
from logbrook.clickhouse import ClickHouseError
from logbrook.consumer.batch import Batch, Coordinate
from logbrook.consumer.inlet import Inlet

log = structlog.get_logger()

# Below this, one insert is quick, and two would be one more part to merge.
_SHARED_FROM_BYTES = 8 * 2**20
# This many pieces have the same size, then this many have twice that: few inserts, however small the first ones are.
_OF_ONE_SIZE = 8
# How much evidence it takes before a message that fails alone is stored raw, and how much one failure counts: most if
# others were stored in the same round, since then the server is healthy; less if the answer came too late, which may be
# the network's fault. Before each try a takeover has succeeded, so ClickHouse was up.
_EVIDENCE, _REFUSED_AS_ONLY_ONE, _SILENT_AS_ONLY_ONE, _FAILED_LIKE_ALL = 8, 4, 2, 1
# A message that crashes ClickHouse breaks the connection, but so does anything else that kills ClickHouse. A broken
# connection therefore counts as one failure, at most once per interval: an innocent message is stored well before that.
_BROKEN_COUNTS_EVERY_SECONDS = 60.0
# Errors that say nothing about the messages of an insert: the table is gone or full, the disk is full, the insert was
# killed, the server is busy, stopping or without its Keeper, or we lack a right (github.com/ClickHouse/ClickHouse
# ErrorCodes.cpp).
_OF_THE_SERVER = {
    *(clickhouse.UNKNOWN_TABLE, 81, 164, 192, 193, 202, 203, 209, 210, 218, 225, 236, 242, 243, 252, 285, 286),
    *(305, 319, 394, 439, 473, 497, 516, 999),
}


class Pieces:
    """Inserts batches in pieces that ClickHouse can take: smaller ones after a failure, bigger ones after a success.

    Failed pieces are halved until a message is alone. A message that is refused even alone is stored raw: its text is
    the body of one flagged event. That is an insert through the same inlet as any other, under the same protocol.
    """

    def __init__(self, max_messages: int, parallel: int) -> None:
        self._max_messages, self._parallel = max_messages, parallel
        self._size = max_messages
        self._alone: Counter[Coordinate] = Counter()
        self._broken_at: dict[Coordinate, float] = {}
        self._raw: dict[Coordinate, str] = {}
        self._breaks = 0
        self.narrowing = False
        """Whether the last failure made pieces smaller that held several messages: it is worth trying again at once."""
        self._inserters = ThreadPoolExecutor(parallel, thread_name_prefix="insert")

    def insert(self, inlet: Inlet, fresh: Batch) -> None:
        """Store a batch; returns or raises only when none of its inserts is still in progress.

        Raises ClickHouseError if one failed: the caller takes over again and comes back with what is not stored.
        """
        jobs = self._submit(inlet, fresh)
        failures: list[tuple[list[Coordinate], ClickHouseError]] = []
        stored = 0
        try:
            for job, coordinates in jobs:
                if job.cancelled():
                    continue
                error = job.exception()
                stored += error is None
                if isinstance(error, ClickHouseError):
                    failures.append((coordinates, error))
                    if not refuses_messages(error):
                        # The others would hardly fare better, and each may take as long.
                        for each, _ in jobs:
                            each.cancel()
                elif error is not None:
                    raise error
        finally:
            for job, _ in jobs:
                job.cancel()
            wait_for([job for job, _ in jobs])
        self.narrowing = False
        if any(_is_broken(error) for _, error in failures):
            self._breaks += 1
        for coordinates, error in failures:
            # Whoever restarts ClickHouse breaks an insert, which may be a small one: that says nothing about its size.
            if self._breaks > 1 or not _is_broken(error):
                self._learn(coordinates, error, as_only_one=stored > 0)
        if failures:
            raise failures[0][1]
        self._breaks = 0
        self._size = min(2 * self._size, self._max_messages)
        self._alone.clear()
        self._broken_at.clear()
        self._raw.clear()

    def close(self) -> None:
        """Start nothing more, and wait for nothing."""
        self._inserters.shutdown(wait=False, cancel_futures=True)

    def _submit(self, inlet: Inlet, fresh: Batch) -> list[tuple[Future[None], list[Coordinate]]]:
        usual = fresh.without_coordinates(self._raw)
        jobs = [
            (self._inserters.submit(inlet.insert, usual.rows[start:stop]), usual.coordinates[start:stop])
            for start, stop in self._cut(usual)
        ]
        if len(usual.rows) < len(fresh.rows):
            for row, coordinate in zip(fresh.rows, fresh.coordinates, strict=True):
                if coordinate in self._raw:
                    job = self._inserters.submit(inlet.insert_raw, row, self._raw[coordinate])
                    jobs.append((job, [coordinate]))
        return jobs

    def _cut(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """The pieces of a batch, as indexes: from, up to (without)."""
        count = len(batch.rows)
        shared = -(-count // self._parallel) if batch.size_bytes >= _SHARED_FROM_BYTES else count
        size, start, number = max(1, min(self._size, shared)), 0, 0
        while start < count:
            yield start, min(start + size, count)
            start, number = start + size, number + 1
            if number % _OF_ONE_SIZE == 0:
                size = min(2 * size, self._max_messages)

    def _learn(self, coordinates: list[Coordinate], error: ClickHouseError, *, as_only_one: bool) -> None:
        """Make the next pieces smaller if it may help, and note a message that has failed alone too often."""
        code = clickhouse.error_code(error)
        if code is not None and not refuses_messages(error):
            return
        self._size = min(self._size, max(1, len(coordinates) // 2))
        if len(coordinates) > 1:
            self.narrowing = self.narrowing or code is not None
            return
        [coordinate] = coordinates
        if self._raw.pop(coordinate, None) is not None:
            # It was refused even raw, so this is hardly the message's fault, and it gets another chance.
            del self._alone[coordinate]
            return
        if _is_broken(error):
            now = time.monotonic()
            if now - self._broken_at.get(coordinate, -math.inf) < _BROKEN_COUNTS_EVERY_SECONDS:
                return
            self._broken_at[coordinate] = now
            self._alone[coordinate] += _FAILED_LIKE_ALL
        elif as_only_one:
            self._alone[coordinate] += _SILENT_AS_ONLY_ONE if code is None else _REFUSED_AS_ONLY_ONE
        else:
            self._alone[coordinate] += _FAILED_LIKE_ALL
        if self._alone[coordinate] >= _EVIDENCE:
            self._raw[coordinate] = "stored raw: " + (
                "no answer in time" if code is None else f"ClickHouse error {code}"
            )
            log.error("refused even alone: stored raw", partition=coordinate[0], offset=coordinate[1], code=code)
            metrics.consumer_raw_messages_total.inc()


def _is_broken(error: ClickHouseError) -> bool:
    """Whether the connection ended without an answer, and not for the time limit."""
    return clickhouse.error_code(error) is None and not clickhouse.answered_too_late(error)


def refuses_messages(error: ClickHouseError) -> bool:
    """Whether ClickHouse answered, and its answer may be about what the insert contained."""
    code = clickhouse.error_code(error)
    return code is not None and code not in _OF_THE_SERVER and "No space left" not in str(error)
