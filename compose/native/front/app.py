"""The front itself: an ASGI application that answers as a ClickHouse server does."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from native.front import body, metrics, pipe, reading, request
from native.front.answer import Answer, Send
from native.front.disk import Disk
from native.front.engine import Engine, Outcome
from native.front.errors import EngineError
from native.front.request import Request, Users
from native.front.sessions import Session, Sessions
from native.front.statement import Statement

_LOG = logging.getLogger("native.front")
# As in compose/clickhouse/server.xml: reading statements never take the slots that inserts need.
MAX_STATEMENTS = 100
MAX_READS = 80
# Like a server: a result that fits is answered with its real status, even if it fails at the end.
BUFFER_BYTES = 2**20
# Like a server: http_headers_progress_interval_ms.
_PROGRESS_SECONDS = 0.1
_KILL_AGAIN_SECONDS = 1.0


class BrokenResultError(Exception):
    """A result broke off in the middle: raised so that the server closes the connection without finishing it."""


class Front:
    """Answers requests until `close`."""

    def __init__(self, engine: Engine, users: Users, spool: Path, disk: Disk) -> None:
        """`spool` is a directory for bodies too big for memory."""
        self._engine, self._users, self._spool, self._disk = engine, users, spool, disk
        self._threads = ThreadPoolExecutor(MAX_STATEMENTS, "statement")
        self._killers = ThreadPoolExecutor(4, "kill")
        self._sessions = Sessions(engine.connect)
        # Whether each reads.
        self._running: dict[str, bool] = {}
        self._host = socket.gethostname()

    async def __call__(self, scope: Any, receive: body.Receive, send: Send) -> None:
        """One request."""
        answer = Answer(send, self._engine.version)
        path, get = scope["path"], scope["method"] in ("GET", "HEAD")
        if path in ("/ping", "/replicas_status") or (path == "/" and get and not scope["query_string"]):
            await answer.text("Ok.\n")
        elif path == "/metrics":
            text = await asyncio.get_running_loop().run_in_executor(self._threads, metrics.text, self._engine)
            await answer.text(text, content_type=metrics.CONTENT_TYPE)
        elif path != "/":
            await answer.text(f"There is no handle {path}\n\nUse / or /ping.\n", 404)
        elif not get and scope["method"] != "POST":
            await answer.text(f"The method {scope['method']} is not supported\n", 501)
        else:
            await self._query(scope, receive, answer)

    async def expire_sessions(self) -> None:
        """Run until cancelled."""
        await self._sessions.expire()

    def close(self) -> None:
        """End running statements, then the sessions. The engine stays open."""
        for query_id in list(self._running):
            self._engine.kill(query_id)
        self._threads.shutdown()
        self._killers.shutdown()
        self._sessions.close()

    async def _query(self, scope: Any, receive: body.Receive, answer: Answer) -> None:
        answer.headers |= {
            "x-clickhouse-server-display-name": self._host,
            "x-clickhouse-timezone": self._engine.timezone,
        }
        try:
            with contextlib.ExitStack() as stack:
                asked = request.parse(scope["method"], scope["query_string"], scope["headers"], self._users)
                answer.headers["x-clickhouse-query-id"] = asked.query_id
                statement = await reading.read(asked, receive, self._spool, stack)
                stack.enter_context(self._admit(statement))
                session = self._session(asked, statement)
                if session is not None:
                    stack.callback(self._sessions.release, session)
                await self._run(statement, session, receive, answer, asked.flag("wait_end_of_query"))
        except EngineError as error:
            _log(answer, error)
            await answer.error(error)
        except body.ClientLeftError:
            return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            full = EngineError(243, f"No space left for the body of the request: {error.strerror}", "NOT_ENOUGH_SPACE")
            _log(answer, full)
            await answer.error(full)

    @contextlib.contextmanager
    def _admit(self, statement: Statement) -> Any:
        query_id = statement.query_id
        if query_id in self._running:
            raise EngineError(216, f"Query with id = {query_id} is already running.")
        if len(self._running) >= MAX_STATEMENTS:
            raise EngineError(202, f"Too many simultaneous queries. Maximum: {MAX_STATEMENTS}")
        if statement.reads and sum(self._running.values()) >= MAX_READS:
            raise EngineError(202, f"Too many simultaneous select queries. Maximum: {MAX_READS}")
        self._running[query_id] = statement.reads
        try:
            yield
        finally:
            del self._running[query_id]

    def _session(self, asked: Request, statement: Statement) -> Session | None:
        """The session to run in, locked; None to run in a separate connection."""
        name = asked.url.get("session_id")
        # Who may not change anything here has nothing to keep.
        if not name or statement.rights:
            return None
        return self._sessions.take(asked.user, name, request.session_seconds(asked), asked.flag("session_check"))

    def _execute(self, statement: Statement, session: Session | None, end: int) -> Outcome:
        """Run the statement (in a thread); the pipe's end is closed when it is done."""
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, end)
            if session is None:
                connection = self._engine.connect()
                stack.callback(connection.close)
            else:
                connection = session.connection
                stack.callback(session.restore)
            statement.prepare(connection, session)
            began = self._disk.admit() if statement.writes else None
            outcome = statement.run(connection, end, self._engine.connect)
            if began is not None:
                self._disk.check(began)
            return outcome

    async def _run(
        self, statement: Statement, session: Session | None, receive: body.Receive, answer: Answer, wait: bool
    ) -> None:
        """Run it and send its result; no matter what happens, it has ended when this returns."""
        loop = asyncio.get_running_loop()
        reading_end, writing_end = pipe.create()
        done = loop.run_in_executor(self._threads, self._execute, statement, session, writing_end)
        leaving = asyncio.create_task(self._kill_when_left(receive, statement))
        try:
            await self._send(statement, pipe.read(reading_end), done, answer, wait)
        finally:
            leaving.cancel()
            if not done.done():
                await asyncio.shield(loop.run_in_executor(self._killers, self._engine.kill, statement.query_id))
            async for _ in pipe.read(reading_end):
                pass
            os.close(reading_end)
            with contextlib.suppress(EngineError):
                await done

    async def _send(
        self,
        statement: Statement,
        pieces: AsyncIterator[bytes],
        done: "asyncio.Future[Outcome]",
        answer: Answer,
        wait: bool,
    ) -> None:
        beginning = asyncio.ensure_future(pipe.up_to(BUFFER_BYTES, pieces))
        try:
            early = statement.shows_progress and not wait
            if early:
                # A server sends its progress in headers, and thus its status, long before the result.
                early = not (await asyncio.wait({beginning}, timeout=_PROGRESS_SECONDS))[0]
            if not early and len(await beginning) < BUFFER_BYTES:
                await answer.whole(statement, await done, beginning.result())
                return
            if early:
                await answer.begin(statement)
            first = await beginning
        finally:
            beginning.cancel()
        with contextlib.ExitStack() as stack:
            if wait:
                spool = stack.enter_context(body.Spool(self._spool, 0))
                async for piece in pieces:
                    spool.write(piece)
                await done
                pieces = spool.read()
            if not early:
                await answer.begin(statement)
            await answer.piece(first)
            async for piece in pieces:
                await answer.piece(piece)
        try:
            await answer.piece((await done).result)
        except EngineError as error:
            _log(answer, error)
            await answer.broken(error)
            raise BrokenResultError(str(error)) from None
        await answer.end()

    async def _kill_when_left(self, receive: body.Receive, statement: Statement) -> None:
        """End the statement when its client leaves; an INSERT that arrived whole goes on, as on a server."""
        while (await receive())["type"] != "http.disconnect":
            pass
        # Repeatedly: it may not have begun yet.
        while statement.insert is None:
            await asyncio.get_running_loop().run_in_executor(self._killers, self._engine.kill, statement.query_id)
            await asyncio.sleep(_KILL_AGAIN_SECONDS)


def _log(answer: Answer, error: EngineError) -> None:
    """One line, without the statement, which may contain what nobody should read in a log."""
    _LOG.warning(
        "%s failed with %d %s", answer.headers.get("x-clickhouse-query-id", "A request"), error.code, error.name
    )
