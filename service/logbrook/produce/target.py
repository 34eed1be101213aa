"""What all destinations share: a batch of events, the tally, and the wish to stop."""

import threading
from dataclasses import dataclass, field
from typing import Protocol

JSON = "application/x-ndjson"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Batch:
    """One message or request: its bytes, the number of events in them, and how it is to be read.

    A repeated `key` is stored once; it needs a `partition`. Batches of one `partition` stay in order in Kafka.
    """

    payload: bytes
    events: int
    kind: str = JSON
    key: str | None = None
    partition: int | None = None


@dataclass
class Tally:
    """What became of the events that were handed over. Safe to use from several threads."""

    handed_over: int = 0
    acknowledged: int = 0
    acknowledged_bytes: int = 0
    refused: int = 0
    first_error: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def hand_over(self, events: int) -> None:
        """Count events that were given to the target."""
        with self._lock:
            self.handed_over += events

    def acknowledge(self, events: int, size: int) -> None:
        """Count events that the target said it has stored, and their bytes."""
        with self._lock:
            self.acknowledged += events
            self.acknowledged_bytes += size

    def refuse(self, events: int, error: str) -> None:
        """Count events that the target will not store; the first reason is kept."""
        with self._lock:
            self.refused += events
            self.first_error = self.first_error or error

    @property
    def waiting(self) -> int:
        """Events handed over about which nothing is known yet."""
        with self._lock:
            return self.handed_over - self.acknowledged - self.refused

    @property
    def failed(self) -> int:
        """Events handed over that were not acknowledged."""
        with self._lock:
            return self.handed_over - self.acknowledged


@dataclass
class Stop:
    """How urgently the user wants to stop: 0 not at all, 1 after what is under way, 2 at once."""

    signal: int = 0
    level: int = 0

    def request(self, signal: int) -> None:
        """Raise the urgency; the first signal decides the exit status. Safe in a signal handler."""
        self.signal = self.signal or signal
        self.level += 1


class StoppedError(Exception):
    """The user stopped while the target was not taking more; the batch was not handed over."""


class Target(Protocol):
    """Where batches go."""

    tally: Tally

    def send(self, batch: Batch) -> None:
        """Hand a batch over; wait while the target is full. Raises StoppedError or a LogbrookError."""

    def wait(self) -> None:
        """Wait a moment for answers."""

    def close(self) -> None:
        """Release connections and threads."""
