"""Sessions: a connection that outlives its request, with its temporary tables, settings and current database."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from native.front.engine import Connection
from native.front.errors import EngineError


@dataclass
class Session:
    """A connection kept under a name. One statement at a time."""

    connection: Connection
    seconds: int = 60
    locked: bool = False
    expires_at: float = 0.0
    database: str = "default"


class Sessions:
    """All sessions, by user and id."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._open: dict[tuple[str, str], Session] = {}

    def take(self, user: str, name: str, seconds: int, must_exist: bool) -> Session:
        """The session, new if need be, locked until `release`."""
        session = self._open.get((user, name))
        if session is None:
            if must_exist:
                raise EngineError(372, f"Session {name} not found")
            session = self._open[user, name] = Session(self._connect())
        if session.locked:
            raise EngineError(373, f"Session {name} is locked by a concurrent client")
        session.locked, session.seconds = True, seconds
        return session

    def release(self, session: Session) -> None:
        """Let the next statement have it; it ends `seconds` from now."""
        session.locked, session.expires_at = False, time.monotonic() + session.seconds

    async def expire(self) -> None:
        """End sessions that nobody used for long; runs until cancelled."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for key, session in list(self._open.items()):
                if not session.locked and session.expires_at <= now:
                    del self._open[key]
                    session.connection.close()

    def close(self) -> None:
        """End all."""
        for session in self._open.values():
            session.connection.close()
        self._open.clear()
