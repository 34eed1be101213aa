"""chDB's engine as the front uses it: one data directory, and a connection for each statement.

A new connection costs 0.2 ms, so settings, temporary tables and the current database of a request end with it.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chdb import _chdb

from native.front import metadata, sql
from native.front.errors import EngineError, from_engine

# What chDB sets differently from a server.
SERVER_SETTINGS = {"implicit_select": "0", "allow_introspection_functions": "0"}
# A running statement carries its query id here: chDB does not accept one from its caller.
_TAG = "front:"
QUERY_ID_SQL = (
    rb"if(startsWith(Settings['log_comment'], 'front:'), "
    rb"extract(Settings['log_comment'], '^front:([^\n]*)'), query_id)"
)


@dataclass(frozen=True)
class Outcome:
    """What a statement returned: its small result, if any, and what the engine counted."""

    result: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0


def tag(query_id: str, comment: str = "") -> str:
    """The log_comment of a statement: its query id, then the client's own comment."""
    return f"{_TAG}{query_id}\n{comment}"


class Connection:
    """One connection, not to be used by two threads at once. Errors are EngineErrors."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def run(
        self, statement: bytes, format_: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run one statement to its end and return its result."""
        try:
            for value in (parameters or {}).values():
                value.encode()
            done = self._raw.query(statement, format_, params=dict(parameters or {}))
        except UnicodeEncodeError:
            raise EngineError(36, "A parameter of the query is not UTF-8") from None
        except (RuntimeError, UnicodeDecodeError) as error:
            raise from_engine(error) from None
        return Outcome(
            bytes(done.bytes()) if done.size() else b"",
            done.storage_rows_read(),
            done.storage_bytes_read(),
            done.rows_read(),
            done.rows_written(),
            done.bytes_written(),
        )

    def blocks(self, statement: bytes, format_: str) -> Iterator[bytes]:
        """Run a SELECT and return its result block by block."""
        try:
            stream = self._raw.send_query(statement, format_)
            while (block := self._raw.streaming_fetch_result(stream)) is not None and block.rows_read():
                yield bytes(block.bytes())
        except (RuntimeError, UnicodeDecodeError) as error:
            raise from_engine(error) from None

    def set(self, settings: Mapping[str, str]) -> None:
        """SET all of them at once."""
        if settings:
            pairs = (sql.identifier(name) + b" = " + sql.literal(value) for name, value in settings.items())
            self.run(b"SET " + b", ".join(pairs))

    def use(self, database: str) -> None:
        """Make it the current database."""
        self.run(b"USE " + sql.identifier(database))

    def classify(self, statement: bytes) -> tuple[str, int]:
        """How the engine's parser classifies it: (READ_ONLY, MUTATING, CONTROL, UNKNOWN..., number of statements)."""
        found = self._raw.classify_query(statement)
        return found["query_class"].name, found["statement_count"]

    def close(self) -> None:
        """Close it; its temporary tables are gone."""
        self._raw.close()


class Engine:
    """The engine over one data directory, which only one process at a time can hold."""

    def __init__(self, data: Path, config_file: Path | None = None) -> None:
        """Open or create the directory. Raises EngineError if another process has it open, or it can't be opened."""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = f"file:{data.resolve()}"
        self._lock = os.open(data / "front.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(76, f"Another process has {data} open", "CANNOT_OPEN_FILE") from None
        metadata.mend(data)
        first = self._path if config_file is None else f"{self._path}?config-file={config_file.resolve()}"
        # Kept until the end: the engine stops with its last connection.
        try:
            self._main = Connection(_chdb.connect(first))  # type: ignore[attr-defined] # it is there: chdb's stub lacks it
        except RuntimeError as error:
            # The engine itself prints the reason.
            raise EngineError(36, f"The engine can't open {data}, for the reason above: {error}") from None
        self._main_lock = threading.Lock()
        self.version, self.timezone = self.ask(b"SELECT version(), timezone()").rstrip(b"\n").decode().split("\t")

    def connect(self) -> Connection:
        """A new connection, with chdb's own defaults: see SERVER_SETTINGS."""
        return Connection(_chdb.connect(self._path))  # type: ignore[attr-defined] # as above

    def ask(self, statement: bytes, format_: str = "TabSeparated") -> bytes:
        """Run one of our own statements."""
        with self._main_lock:
            return self._main.run(statement, format_).result

    def kill(self, query_id: str) -> None:
        """Ask a running statement to end, if there is one. Some go on until they have finished a block."""
        connection = self.connect()
        try:
            connection.run(
                b"KILL QUERY WHERE startsWith(Settings['log_comment'], %s) ASYNC" % sql.literal(tag(query_id))
            )
        finally:
            connection.close()

    def close(self) -> None:
        """Stop the engine. Every other connection must be closed."""
        self._main.close()
        os.close(self._lock)
