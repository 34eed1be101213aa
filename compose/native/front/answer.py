"""The answer to one request: status, ClickHouse's headers, and the result, whole or piece by piece."""

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from native.front import blocks, formats
from native.front.engine import Outcome
from native.front.errors import EngineError
from native.front.statement import Statement

Send = Callable[[Any], Awaitable[None]]
_TEXT = "text/plain; charset=UTF-8"


class Answer:
    """One answer in progress. `version` is the engine's, for the text of errors."""

    def __init__(self, send: Send, version: str) -> None:
        self._send, self._version = send, version
        self.headers: dict[str, str] = {}
        self._started_ns = time.monotonic_ns()
        self._mark = secrets.token_hex(8)
        self._compressed = False
        self._in_blocks: str | None = None

    async def text(self, text: str, status: int = 200, content_type: str = _TEXT) -> None:
        """Answer with a text."""
        await self._start(status, {"content-type": content_type, "content-length": str(len(text.encode()))})
        await self._send({"type": "http.response.body", "body": text.encode()})

    async def error(self, error: EngineError) -> None:
        """Answer with an error."""
        self.headers["x-clickhouse-exception-code"] = str(error.code)
        if error.status == 401:
            self.headers["www-authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await self.text(error.text(self._version), error.status)

    async def whole(self, statement: Statement, outcome: Outcome, piped: bytes) -> None:
        """Answer with the whole result, and what it took."""
        result = piped + outcome.result
        if statement.in_blocks is not None:
            result = blocks.compressed(result, statement.in_blocks)
        summary = {
            "read_rows": outcome.read_rows,
            "read_bytes": outcome.read_bytes,
            "written_rows": outcome.written_rows,
            "written_bytes": outcome.written_bytes,
            "total_rows_to_read": outcome.read_rows,
            "result_rows": outcome.written_rows or outcome.result_rows,
            "result_bytes": len(result),
            "elapsed_ns": time.monotonic_ns() - self._started_ns,
        }
        texts = {name: str(value) for name, value in summary.items()}
        self.headers["x-clickhouse-summary"] = json.dumps(texts, separators=(",", ":"))
        labels = self._labels(statement, compressed=bool(piped), empty=not result)
        await self._start(200, {**labels, "content-length": str(len(result))})
        await self._send({"type": "http.response.body", "body": result})

    async def begin(self, statement: Statement) -> None:
        """Send the head of an answer whose end is not known yet."""
        labels = self._labels(statement, compressed=True)
        self._compressed = "content-encoding" in labels
        self._in_blocks = statement.in_blocks
        await self._start(200, {**labels, "x-clickhouse-exception-tag": self._mark})

    async def piece(self, piece: bytes) -> None:
        """Send more of the result; waits while the client is slow."""
        if not piece:
            return
        if self._in_blocks is not None:
            piece = blocks.compressed(piece, self._in_blocks)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """The result is complete."""
        await self._send({"type": "http.response.body", "body": b""})

    async def broken(self, error: EngineError) -> None:
        """The result ends in an error: say so after it, as a server does, and then close the connection."""
        if not self._compressed:
            text = error.text(self._version)
            mark = self._mark
            await self.piece(
                f"\r\n__exception__\r\n{mark}\r\n{text}{len(text.encode())} {mark}\r\n__exception__\r\n".encode()
            )

    def _labels(self, statement: Statement, *, compressed: bool, empty: bool = False) -> dict[str, str]:
        # The label of a format says that there is a result, even if it is empty.
        if statement.insert is not None or (empty and not statement.has_result):
            return {"content-type": _TEXT}
        format_ = statement.result_format
        labels = {"content-type": formats.content_type(format_), "x-clickhouse-format": format_}
        if compressed and statement.compression is not None:
            labels["content-encoding"] = statement.compression
        return labels

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        both = {**self.headers, **headers}
        raw = [(name.encode("latin-1"), _printable(value)) for name, value in both.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


def _printable(value: str) -> bytes:
    """A header's value: what comes from the client can't end a line."""
    if not value.isprintable():
        value = "".join(letter if letter.isprintable() else "?" for letter in value)
    return value.encode("latin-1", "replace")
