"""What all answers have in common: JSON, errors, headers, and no work for a client that has left."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logbrook import metrics
from logbrook.errors import LogbrookError, RejectedError, UnavailableError
from logbrook.query.answers import ErrorAnswer, ErrorBody
from logbrook.query.refusals import StatementError

log = structlog.get_logger()
Answer = TypeVar("Answer")

CLIENT_LEFT = 499
_NO_SCHEMA = {16, 47, 60, 81}  # unknown column, identifier, table, database

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ClientLeftError(LogbrookError):
    """Nobody waits for the answer anymore."""


def json_answer(answer: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON that no cache keeps."""
    content = msgspec.json.encode(answer)
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def error_answer(error: Exception, *, statement_is_theirs: bool = False) -> Response:
    """The answer to a request that failed; what callers need not know goes to the log instead."""
    if isinstance(error, ClientLeftError):
        return Response(status_code=CLIENT_LEFT)
    if isinstance(error, StatementError) and not statement_is_theirs:
        if error.clickhouse_code in _NO_SCHEMA:
            error = UnavailableError("no_schema", "the tables are missing or old: run `logbrook migrate`", 10)
        else:
            log.error("ClickHouse refused a statement of ours", code=error.clickhouse_code, error=str(error))
            return _problem(500, "internal", "the query failed; the server's log says why")
    if isinstance(error, RejectedError):
        metrics.query_rejected_total.labels(error.code).inc()
        return _problem(error.status, error.code, str(error), **error.place)
    if isinstance(error, UnavailableError):
        metrics.query_rejected_total.labels(error.code).inc()
        answer = _problem(error.status, error.code, str(error))
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
        return answer
    log.error("a request failed", exc_info=error)
    return _problem(500, "internal", "something went wrong; the server's log says what")


def _problem(status: int, code: str, message: str, **place: Any) -> Response:
    return json_answer(ErrorAnswer(error=ErrorBody(code=code, message=message, **place)), status)


async def unless_left(receive: Receive, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, which is cancelled when the client closes the connection: then ClientLeftError.

    The request's body must have been read.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        metrics.query_cancelled_total.inc()
        raise ClientLeftError("the client closed the connection")
    finally:
        left.cancel()
        task.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Stream(Response):
    """An answer that goes on until its source ends or its client leaves; `ended` is told how many bytes were sent."""

    def __init__(
        self,
        first: bytes,
        rest: AsyncIterator[bytes],
        media_type: str,
        headers: dict[str, str],
        ended: Callable[[int], None],
    ) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers}, media_type)
        del self.headers["content-length"]
        self._first, self._rest, self._ended = first, rest, ended
        self._sent_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first piece, then the rest as it comes."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await unless_left(receive, self._send(send))
        except ClientLeftError:
            return
        finally:
            self._ended(self._sent_bytes)
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        await self._send_piece(send, self._first)
        async for piece in self._rest:
            await self._send_piece(send, piece)

    async def _send_piece(self, send: Send, piece: bytes) -> None:
        self._sent_bytes += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def _is_foreign(scope: Scope) -> bool:
    """Whether a page of another site sent the request or, if it changes something, a page of another origin.

    Over HTTPS and to this machine, browsers say so in Sec-Fetch-Site; elsewhere they send Origin, except with GET and
    HEAD: https://w3c.github.io/webappsec-fetch-metadata/ and
    https://fetch.spec.whatwg.org/#append-a-request-origin-header (2026-11-29). Programs send neither.
    """
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if scope["method"] in ("GET", "HEAD", "POST"):
        return site == "cross-site"
    own = f"//{headers.get('host')}"
    return site != "same-origin" if site else not headers.get("origin", own).endswith(own)


class Guard:
    """The outermost layer: security headers and metrics for every answer, and no requests from other sites' pages."""

    def __init__(self, app: ASGIApp, known_path: Callable[[Scope], str]) -> None:
        self._app, self._known_path = app, known_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on unless a page of another site sent it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        route = self._known_path(scope)

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        with metrics.query_requests_in_flight.track_inprogress():
            if scope["path"].startswith("/v1/") and _is_foreign(scope):
                refused = RejectedError(403, "cross_site", "requests from pages of other sites are refused")
                await error_answer(refused)(scope, receive, secured)
            else:
                await self._app(scope, receive, secured)
        metrics.query_requests_total.labels(route, str(status)).inc()
        metrics.query_request_seconds.labels(route).observe(time.perf_counter() - started)


_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

Handler = Callable[[Request], Awaitable[Response]]
