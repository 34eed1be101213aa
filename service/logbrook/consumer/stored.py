"""A batch on its way into ClickHouse: what is left out of it, and what is counted once it is stored."""

import time
from dataclasses import dataclass

import structlog

from logbrook import metrics
from logbrook.consumer.batch import Batch
from logbrook.consumer.inlet import Inlet
from logbrook.consumer.pieces import Pieces

log = structlog.get_logger()


@dataclass(frozen=True)
class Stored:
    """What an insert did: `fresh` is `batch` without the messages that had already been stored."""

    batch: Batch
    fresh: Batch
    skipped: dict[str, int]
    started_at_seconds: int
    seconds: float

    def count(self, now_seconds: float) -> None:
        """Into the metrics; `now_seconds` is ClickHouse's time."""
        metrics.consumer_messages_total.inc(len(self.fresh.rows))
        metrics.consumer_bytes_total.inc(self.fresh.size_bytes)
        for reason, count in self.skipped.items():
            metrics.consumer_skipped_messages_total.labels(reason).inc(count)
        metrics.consumer_batch_messages.observe(len(self.fresh.rows))
        metrics.consumer_insert_seconds.observe(self.seconds)
        metrics.consumer_batch_age_seconds.observe(time.monotonic() - self.batch.opened_at)
        if made_at := self.fresh.first_made_at():
            metrics.consumer_freshness_seconds.observe(max(0.0, now_seconds - made_at))
        log.debug("stored", messages=len(self.fresh.rows), seconds=round(self.seconds, 3), skipped=self.skipped)


def store(inlet: Inlet, batch: Batch, pieces: Pieces, now_seconds: int) -> Stored:
    """Insert what is new in a batch: neither stored already nor sent before under the same key.

    Raises ClickHouseError or UnavailableError if it is not certain that all of it is stored.
    """
    started_at = time.monotonic()
    wanted = batch.without(inlet.stored)
    fresh = wanted.without_coordinates(inlet.repeated(wanted))
    pieces.insert(inlet, fresh)
    skipped = {"stored": len(batch.rows) - len(wanted.rows), "repeated key": len(wanted.rows) - len(fresh.rows)}
    return Stored(batch, fresh, skipped, now_seconds, time.monotonic() - started_at)
