"""uvicorn's HTTP connection, with limits on what a client can hold before its request has begun."""

import asyncio
import time
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Far more than any client needs for its request line and headers.
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_SECONDS = 20.0
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
# How long a client whose connection is one too many may take to read why.
_TURNED_AWAY_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 60.0
_TOO_MANY = (
    b'{"error":{"code":"too_many_connections","message":"Too many connections are open. Try again in a moment."}}'
)
_TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_TOO_MANY), _TOO_MANY)
)

log = structlog.get_logger()


class Connection(HttpToolsProtocol):
    """Closed if a request's head is larger than 64 KiB or takes longer than 20 s to arrive.

    So is one that sends as much around a body (chunk headers and trailers, which are dropped), or that keeps sending a
    body for 20 s after its request has been answered.

    If as many are open as uvicorn's `limit_concurrency` allows, an additional one gets a 503 and is closed; uvicorn
    itself would also return 503 to those that are open.
    """

    max_head_bytes = MAX_HEAD_BYTES
    _told = float("-inf")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._max_connections, self.limit_concurrency = self.limit_concurrency, None
        self._is_turned_away = False
        self._in_head, self._progressed, self._head_bytes = False, False, 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: it has to send something."""
        super().connection_made(transport)
        if self._max_connections is not None and len(self.connections) > self._max_connections:
            self._turn_away()
        else:
            self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client disconnected."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, then check whether it was only another part of a head, or of nothing."""
        if self._is_turned_away:
            return
        self._progressed = False
        super().data_received(data)
        if self._in_head or not self._progressed:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._end_head()
        self._begin_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Trailers are dropped, whatever their names."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete. Answered 400 if its body would be lost: httptools skips that of an offer to upgrade."""
        self._end_head()
        if self.parser.should_upgrade() and any(
            name in _BODY_HEADERS and value != b"0" for name, value in self.headers
        ):
            raise httptools.HttpParserError("an offer to upgrade the protocol in a request with a body")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._progressed, self._head_bytes = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._end_head()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered. The rest of its body, if there is one, only has to come soon."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._refuse_head)

    def _turn_away(self) -> None:
        self._is_turned_away = True
        self.connections.discard(self)
        self.transport.write(_TURNED_AWAY)
        self.transport.write_eof()
        # If it were closed at once with an unread request, it would be reset, and the answer might be lost.
        self.loop.call_later(_TURNED_AWAY_SECONDS, self.transport.close)
        if time.monotonic() > Connection._told + _TELL_AGAIN_SECONDS:
            Connection._told = time.monotonic()
            log.warning("too many connections", limit=self._max_connections)

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._refuse_head)

    def _end_head(self) -> None:
        self._in_head, self._progressed = False, True
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
