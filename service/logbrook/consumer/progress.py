"""Whether the owned partitions make progress: where Kafka says that they end, against what is stored of them."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from logbrook import config, metrics
from logbrook.kafka import end_offsets


@dataclass
class _Partition:
    stored: int
    """Everything below this offset is stored."""
    end: int
    """Where the partition ended when Kafka was last asked."""
    moved_at: float
    """Since when (monotonic) `stored` has not changed, or nothing has been pending."""

    @property
    def waiting(self) -> int:
        return max(0, self.end - self.stored)


class Progress:
    """Checks repeatedly, never blocks, and can be asked from any thread."""

    def __init__(self, kafka: config.Kafka, stalled_after_seconds: float) -> None:
        self._kafka, self._stalled_after_seconds = kafka, stalled_after_seconds
        self._partitions: dict[int, _Partition] = {}
        self._asked: dict[int, Future[Any]] = {}
        self._answered_at = time.monotonic()

    def look(self, stored: Mapping[int, int]) -> None:
        """Take what Kafka has answered by now, and ask again. `stored`: by owned partition, the offset below which
        everything is stored. Paused partitions count like any other: nothing here depends on fetching."""
        now, ends = time.monotonic(), dict(self._answers())
        if ends or not stored:
            self._answered_at = now
        for gone in self._partitions.keys() - stored.keys():
            del self._partitions[gone]
            metrics.consumer_lag_messages.labels(gone).set(0)
            metrics.consumer_stalled_seconds.labels(gone).set(0)
        for partition, offset in stored.items():
            before = self._partitions.get(partition) or _Partition(offset, offset, now)
            here = _Partition(offset, ends.get(partition, before.end), before.moved_at)
            if not here.waiting or here.stored != before.stored:
                here.moved_at = now
            self._partitions[partition] = here
            metrics.consumer_lag_messages.labels(partition).set(here.waiting)
            metrics.consumer_stalled_seconds.labels(partition).set(now - here.moved_at)
        if not self._asked and stored:
            self._asked = end_offsets(self._kafka, stored)

    def _answers(self) -> Iterator[tuple[int, int]]:
        """By partition, where it ends, for the requests that were answered; those that failed are sent again."""
        for partition, answer in list(self._asked.items()):
            if answer.done():
                del self._asked[partition]
                if answer.exception() is None:
                    yield partition, answer.result().offset

    def stalled_seconds(self) -> float:
        """For how long nothing has moved in the partition that has waited longest; 0 if nothing is pending."""
        now = time.monotonic()
        return max((now - each.moved_at for each in list(self._partitions.values()) if each.waiting), default=0.0)

    def complaint(self) -> str | None:
        """What is pending and does not move, if anything; or that Kafka does not say."""
        now = time.monotonic()
        for partition, each in sorted(self._partitions.copy().items()):
            if each.waiting and now - each.moved_at > self._stalled_after_seconds:
                return (
                    f"{each.waiting} messages wait in partition {partition}, "
                    f"and none of them was stored for {now - each.moved_at:.0f} s"
                )
        if self._partitions and now - self._answered_at > self._stalled_after_seconds:
            return f"Kafka has not said for {now - self._answered_at:.0f} s how many messages wait"
        return None
