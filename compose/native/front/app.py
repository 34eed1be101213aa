"""The front itself: an ASGI application that answers as a ClickHouse server does."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from native.front import body, formats, request, sql
from native.front.engine import Connection, Engine, Outcome
from native.front.errors import EngineError
from native.front.request import Request, Users
from native.front.sessions import Session, Sessions
from native.front.statement import Statement, result_format

Send = Callable[[Any], Awaitable[None]]
MAX_STATEMENTS = 100
# As a server: what fits in here is answered with its real status, also when it fails at the end.
BUFFER_BYTES = 2**20
_PIPE_BYTES = 2**20
_TEXT = "text/plain; charset=UTF-8"
_ENGINE_CODECS = {"zstd": "zstd", "lz4": "lz4", "gzip": "gzip", "deflate": "deflate"}


class Front:
    """Answers requests until `close`."""

    def __init__(self, engine: Engine, users: Users, spool: Path) -> None:
        """`spool` takes bodies too big for memory."""
        self._engine, self._users, self._spool = engine, users, spool
        self._threads = ThreadPoolExecutor(MAX_STATEMENTS, "statement")
        self._killers = ThreadPoolExecutor(4, "kill")
        self._sessions = Sessions(engine.connect)
        self._running: set[str] = set()

    async def __call__(self, scope: Any, receive: body.Receive, send: Send) -> None:
        """One request."""
        path, query = scope["path"], scope["query_string"]
        if (
            path == "/ping"
            or (path == "/" and not query and scope["method"] in ("GET", "HEAD"))
            or path == "/replicas_status"
        ):
            await self._text(send, "Ok.\n")
        elif path == "/":
            await self._statement(scope, receive, send)
        else:
            await self._text(send, f"There is no handle {path}\n\nUse / or /ping.\n", 404)

    async def expire_sessions(self) -> None:
        """Run until cancelled."""
        await self._sessions.expire()

    def close(self) -> None:
        """End what runs, then the sessions. The engine is still open."""
        for query_id in list(self._running):
            self._engine.kill(query_id)
        self._threads.shutdown()
        self._killers.shutdown()
        self._sessions.close()

    async def _text(self, send: Send, text: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        await _start(
            send, status, {"content-type": _TEXT, "content-length": str(len(text.encode())), **(headers or {})}
        )
        await send({"type": "http.response.body", "body": text.encode()})

    async def _statement(self, scope: Any, receive: body.Receive, send: Send) -> None:
        headers = {
            "x-clickhouse-server-display-name": socket.gethostname(),
            "x-clickhouse-timezone": self._engine.timezone,
        }
        try:
            asked = request.parse(scope["method"], scope["query_string"], scope["headers"], self._users)
            headers["x-clickhouse-query-id"] = asked.query_id
            await self._answer(asked, receive, send, headers)
        except body.ClientLeftError:
            return
        except EngineError as error:
            headers["x-clickhouse-exception-code"] = str(error.code)
            if error.status == 401:
                headers["www-authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
            await self._text(send, error.text(self._engine.version), error.status, headers)

    async def _answer(self, asked: Request, receive: body.Receive, send: Send, headers: dict[str, str]) -> None:
        if asked.flag("compress") or asked.flag("decompress"):
            raise EngineError(48, "compress and decompress are not supported: use Accept-Encoding and Content-Encoding")
        with contextlib.ExitStack() as stack:
            statement = await self._read(asked, receive, stack)
            if asked.query_id in self._running:
                raise EngineError(216, f"Query with id = {asked.query_id} is already running.")
            if len(self._running) >= MAX_STATEMENTS:
                raise EngineError(202, f"Too many simultaneous queries. Maximum: {MAX_STATEMENTS}")
            self._running.add(asked.query_id)
            stack.callback(self._running.discard, asked.query_id)
            await self._run(asked, statement, receive, send, headers)

    async def _read(self, asked: Request, receive: body.Receive, stack: contextlib.ExitStack) -> Statement:
        """The statement, its data spooled."""
        codec = asked.headers.get("content-encoding", "").strip().lower() or None
        length = int(asked.headers.get("content-length") or 0)
        text = asked.url.get("query", "").encode("utf-8", "surrogateescape")
        source = body.chunks(receive) if asked.method == "POST" else _nothing()
        insert = sql.insert(text)
        if insert is not None and not text[insert.data_at :].strip() and (codec is None or codec in body.ENGINE_CODECS):
            # All of the body is data: the engine itself inflates it.
            rest, engine_codec = b"", body.ENGINE_CODECS[codec] if codec else "none"
        else:
            source, engine_codec = body.inflated(source, codec), "none"
            text, complete = await _head(text, source)
            insert = sql.insert(text)
            if insert is None:
                if not complete:
                    raise EngineError(62, f"Syntax error: Max query size exceeded ({body.MAX_STATEMENT_BYTES} bytes)")
                return self._made(asked, text)
            rest = text[insert.data_at :]
        spool = stack.enter_context(body.Spool(self._spool, length))
        spool.write(rest)
        async for chunk in source:
            spool.write(chunk)
        return self._made(asked, text[: insert.data_at], insert, (str(spool.path), engine_codec))

    def _made(
        self, asked: Request, text: bytes, insert: sql.Insert | None = None, data: tuple[str, str] | None = None
    ) -> Statement:
        settings = dict(asked.settings)
        compression = None
        if settings.get("enable_http_compression", "0") not in ("0", "false"):
            accepted = [each.split(";")[0].strip() for each in asked.headers.get("accept-encoding", "").split(",")]
            compression = next((codec for codec in _ENGINE_CODECS if codec in accepted), None)
        return Statement(
            text, asked.query_id, asked.default_format, asked.parameters, settings, asked.database,
            asked.readonly or not asked.may_write, compression, insert, data,
        )  # fmt: skip

    def _execute(self, asked: Request, statement: Statement, session: Session | None, pipe: int) -> Outcome:
        """In a thread: run the statement; the pipe's end is closed when it is done."""
        connection: Connection | None = None
        try:
            connection = self._engine.connect() if session is None else session.connection
            statement.prepare(connection)
            return statement.run(connection, pipe)
        finally:
            os.close(pipe)
            if session is None and connection is not None:
                connection.close()

    async def _run(
        self, asked: Request, statement: Statement, receive: body.Receive, send: Send, headers: dict[str, str]
    ) -> None:
        session = None
        if name := asked.url.get("session_id"):
            session = self._sessions.take(asked.user, name, request.session_seconds(asked), asked.flag("session_check"))
        loop = asyncio.get_running_loop()
        started = time.monotonic_ns()
        pipe, end = _pipe()
        done = loop.run_in_executor(self._threads, self._execute, asked, statement, session, end)
        leaving = asyncio.create_task(self._kill_when_left(receive, asked.query_id, statement.insert is None))
        try:
            pieces = _read_pipe(pipe)
            first = await _up_to(BUFFER_BYTES, pieces)
            if len(first) < BUFFER_BYTES:
                outcome = await done
                first += outcome.result
                compressed = statement.compression if not outcome.result and first else None
                await self._whole(
                    send, statement, outcome, bytes(first), time.monotonic_ns() - started, headers, compressed
                )
            else:
                await self._stream(send, statement, bytes(first), pieces, done, headers)
        finally:
            leaving.cancel()
            if not done.done():
                await asyncio.shield(loop.run_in_executor(self._killers, self._engine.kill, asked.query_id))
                async for _ in _read_pipe(pipe):
                    pass
                with contextlib.suppress(EngineError):
                    await done
            os.close(pipe)
            if session is not None:
                self._sessions.release(session)

    async def _whole(
        self,
        send: Send,
        statement: Statement,
        outcome: Outcome,
        result: bytes,
        elapsed_ns: int,
        headers: dict[str, str],
        compressed: str | None,
    ) -> None:
        """Answer with all of the result at once."""
        summary = {
            "read_rows": outcome.read_rows,
            "read_bytes": outcome.read_bytes,
            "written_rows": outcome.written_rows,
            "written_bytes": outcome.written_bytes,
            "total_rows_to_read": outcome.read_rows,
            "result_rows": outcome.written_rows or outcome.result_rows,
            "result_bytes": len(result),
            "elapsed_ns": elapsed_ns,
        }
        headers["x-clickhouse-summary"] = json.dumps(
            {name: str(value) for name, value in summary.items()}, separators=(",", ":")
        )
        await _start(send, 200, {**headers, **_labels(statement, compressed), "content-length": str(len(result))})
        await send({"type": "http.response.body", "body": result})

    async def _stream(
        self,
        send: Send,
        statement: Statement,
        first: bytes,
        pieces: AsyncIterator[bytes],
        done: "asyncio.Future[Outcome]",
        headers: dict[str, str],
    ) -> None:
        """Answer piece by piece; an error at the end is written after the result, as a server does."""
        mark = secrets.token_hex(8)
        labels = _labels(statement, statement.compression)
        await _start(send, 200, {**headers, **labels, "x-clickhouse-exception-tag": mark})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        try:
            await done
        except EngineError as error:
            if statement.compression is None:
                text = error.text(self._engine.version)
                end = f"\r\n__exception__\r\n{mark}\r\n{text}{len(text.encode())} {mark}\r\n__exception__\r\n"
                await send({"type": "http.response.body", "body": end.encode(), "more_body": True})
            # The missing last chunk tells every client that this is not all.
            raise BrokenResultError(str(error)) from error
        await send({"type": "http.response.body", "body": b""})

    async def _kill_when_left(self, receive: body.Receive, query_id: str, readonly: bool) -> None:
        """End the statement when its client closes the connection; an INSERT that is complete goes on, as on a server."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if readonly:
            await asyncio.get_running_loop().run_in_executor(self._killers, self._engine.kill, query_id)


class BrokenResultError(Exception):
    """A result that broke off in the middle: raised to make the server close the connection."""


def _labels(statement: Statement, compressed: str | None) -> dict[str, str]:
    if statement.insert is not None:
        return {"content-type": _TEXT}
    format_ = result_format(statement.text, statement.default_format)
    labels = {"content-type": formats.content_type(format_), "x-clickhouse-format": format_}
    return labels | ({"content-encoding": compressed} if compressed else {})


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _nothing() -> AsyncIterator[bytes]:
    for piece in ():
        yield piece


async def _head(text: bytes, source: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The statement's text as far as the limit lets it be long, and whether that was all of the body."""
    pieces, size = ([text, b"\n"], len(text) + 1) if text else ([], 0)
    while size <= body.MAX_STATEMENT_BYTES:
        piece = await anext(source, None)
        if piece is None:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


def _pipe() -> tuple[int, int]:
    """A pipe whose reading end does not block, as large as allowed."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return reading, writing


async def _read_pipe(pipe: int) -> AsyncIterator[bytes]:
    """What is written into the pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            piece = os.read(pipe, _PIPE_BYTES)
        except BlockingIOError:
            ready = asyncio.Event()
            loop.add_reader(pipe, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(pipe)
            continue
        if not piece:
            return
        yield piece


async def _up_to(size: int, pieces: AsyncIterator[bytes]) -> bytearray:
    """The first `size` bytes or somewhat more; less only if there is no more."""
    found = bytearray()
    while len(found) < size:
        piece = await anext(pieces, None)
        if piece is None:
            break
        found += piece
    return found
