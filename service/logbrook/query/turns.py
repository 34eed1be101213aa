"""Admission control: a few requests run at a time, some wait, and the rest get 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from logbrook.errors import UnavailableError


class Turns:
    """At most `running` at a time and `waiting` in line, nobody for longer than `wait_seconds`."""

    def __init__(self, running: int, waiting: int, wait_seconds: float) -> None:
        self._turns = asyncio.Semaphore(running)
        self._waiting, self._most_waiting, self._wait_seconds = 0, waiting, wait_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises UnavailableError (503) if the line is too long or too slow."""
        if self._turns.locked() and self._waiting >= self._most_waiting:
            raise UnavailableError("too_many_requests", "too many requests are already waiting", 2)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise UnavailableError("too_busy", "other requests took too long; try again", 2) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
