"""When generated events are due, and which time they carry."""

import time
from collections.abc import Callable

# How far a rate catches up: after a longer delay, missed events are not made up for.
_CATCH_UP_SECONDS = 1.0


class Pace:
    """Spreads events evenly over time."""

    def __init__(self, rate: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._monotonic = rate, monotonic
        self._from, self._given = monotonic(), 0

    def due(self) -> int:
        """How many events are due since the last time that this was asked."""
        now = self._monotonic()
        due = int((now - self._from) * self._rate) - self._given
        most = max(1, int(self._rate * _CATCH_UP_SECONDS))
        if due > most:
            self._from, self._given = now, 0
            return most
        self._given += due
        return due


class NowStamps:
    """Events of this moment: spread over the time since the last ones."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last = now_ns()

    def next(self, size: int) -> tuple[int, int]:
        """Start and step, in ns, of the next `size` events; never in the future."""
        now = self._now_ns()
        step = max(0, now - self._last) // size
        self._last = now
        return now - step * (size - 1), step


class FixedStamps:
    """Events at fixed distances from a start."""

    def __init__(self, start_ns: int, step_ns: int) -> None:
        self._start, self._step = start_ns, step_ns

    def next(self, size: int) -> tuple[int, int]:
        """Start and step, in ns, of the next `size` events."""
        start = self._start
        self._start += size * self._step
        return start, self._step
