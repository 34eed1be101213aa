"""Sessions: a connection that outlives its request, with its temporary tables, settings and current database."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from native.front import sql
from native.front.engine import SERVER_SETTINGS, Connection
from native.front.errors import EngineError


@dataclass
class Session:
    """A connection kept under a name. One statement at a time."""

    connection: Connection
    seconds: int = 60
    locked: bool = True
    expires_at: float = 0.0
    # What a request changed only for itself, with the values to restore (None: the default).
    changed: dict[str, str | None] = field(default_factory=dict)
    database: str | None = None
    # Tables that come and go with a request.
    temporary: list[str] = field(default_factory=list)

    def apply(self, settings: Mapping[str, str], database: str | None) -> None:
        """For one request: its settings and current database."""
        names = b", ".join(sql.literal(name) for name in settings)
        before = self.connection.run(
            b"SELECT name, value, changed FROM system.settings WHERE name IN (" + names + b")", "JSONCompactEachRow"
        ).result
        for line in before.splitlines():
            name, value, changed = json.loads(line)
            self.changed[name] = value if changed else None
        self.connection.set(settings)
        if database is not None:
            self.database = self.connection.run(b"SELECT currentDatabase() FORMAT TabSeparatedRaw").result.decode()[:-1]
            self.connection.use(database)

    def restore(self) -> None:
        """Undo what was done for one request."""
        for name in self.temporary:
            self.connection.run(b"DROP TEMPORARY TABLE IF EXISTS " + sql.identifier(name))
        defaults = [sql.identifier(name) + b" = DEFAULT" for name, value in self.changed.items() if value is None]
        if defaults:
            self.connection.run(b"SET " + b", ".join(defaults))
        self.connection.set({name: value for name, value in self.changed.items() if value is not None})
        if self.database is not None:
            self.connection.use(self.database)
        self.changed, self.database, self.temporary = {}, None, []


class Sessions:
    """All sessions, by user and id."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._open: dict[tuple[str, str], Session] = {}

    def take(self, user: str, name: str, seconds: int, must_exist: bool) -> Session:
        """The session, created if necessary, locked until `release`."""
        session = self._open.get((user, name))
        if session is None:
            if must_exist:
                raise EngineError(372, f"Session {name} not found")
            connection = self._connect()
            connection.set(SERVER_SETTINGS)
            self._open[user, name] = session = Session(connection, seconds)
        elif session.locked:
            raise EngineError(373, f"Session {name} is locked by a concurrent client")
        session.locked, session.seconds = True, seconds
        return session

    def release(self, session: Session) -> None:
        """Release it for the next statement; it ends `seconds` from now."""
        session.locked, session.expires_at = False, time.monotonic() + session.seconds

    async def expire(self) -> None:
        """End sessions that have not been used for a long time; runs until cancelled."""
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
