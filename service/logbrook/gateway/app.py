"""The gateway's HTTP: who may send, what is read, and what is answered."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers, bodies, lines, otlp, otlp_json, otlp_protobuf
from logbrook.gateway.batch import Batch
from logbrook.gateway.complaints import Complaints
from logbrook.gateway.tokens import Tokens
from logbrook.gateway.topic import Topic

Handler = Callable[[Request], Awaitable[Response]]
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")


class App:
    """The ASGI application."""

    def __init__(self, settings: Gateway, tokens: Tokens, topic: Topic) -> None:
        self._settings, self._tokens, self._topic = settings, tokens, topic
        self._budget = bodies.Budget(settings.max_buffered_bytes)
        self._complaints = Complaints()
        self._routes: dict[str, tuple[str, Handler]] = {
            "/ingest": ("POST", self._ingest),
            "/v1/logs": ("POST", self._otlp),
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
            "/metrics": ("GET", self._metrics),
        }
        self.draining = False
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        route = scope["path"] if scope["path"] in self._routes else "other"
        started = time.perf_counter()
        self.in_flight += 1
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        finally:
            self.in_flight -= 1
        metrics.gateway_requests_total.labels(route, str(response.status_code)).inc()
        metrics.gateway_request_seconds.labels(route).observe(time.perf_counter() - started)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        kind = None
        if request.scope["path"] == "/v1/logs":
            kind = answers.otlp_kind(request.headers.get("content-type", ""))
        try:
            response = await self._handler(request)(request)
        except (RejectedError, UnavailableError) as error:
            metrics.gateway_rejected_total.labels(error.code).inc()
            self._complaints.add(error, request.scope["path"])
            response = answers.refused(error, kind)
        if self.draining:
            response.headers["connection"] = "close"
        return response

    def _handler(self, request: Request) -> Handler:
        method, handler = self._routes.get(request.scope["path"], ("", None))
        if handler is None:
            raise RejectedError(404, "no_such_path", "Send logs to /ingest (JSON, text) or /v1/logs (OTLP).")
        sent = request.method
        if sent != method and not (sent == "HEAD" and method == "GET"):
            raise RejectedError(405, "method_not_allowed", f"This path takes {method}, not {sent[:20]}.", allow=method)
        return handler

    async def _ingest(self, request: Request) -> Response:
        source = self._admit(request)
        with bodies.Lease(self._budget) as lease:
            body = await self._body(request, lease)
            batch = lines.read(body, request.headers.get("content-type", ""), self._settings)
            await self._send(source, batch, self._key(request, batch, body))
        return answers.json(200, {"accepted": batch.events})

    async def _otlp(self, request: Request) -> Response:
        source = self._admit(request)
        kind = answers.otlp_kind(request.headers.get("content-type", ""))
        if kind is None:
            raise RejectedError(
                415, "unknown_content_type", "OTLP needs the Content-Type application/x-protobuf or application/json."
            )
        with bodies.Lease(self._budget) as lease:
            body = await self._body(request, lease)
            groups = otlp_protobuf.groups(body) if kind == "protobuf" else otlp_json.groups(body)
            reading = otlp.read(groups, self._settings)
            await self._send(source, reading.batch, self._key(request, reading.batch, body))
        return answers.otlp_taken(kind, reading.rejected, reading.reason)

    def _admit(self, request: Request) -> str:
        """The source of a request that may be worked on, decided before a byte of its body is read."""
        if self.draining:
            raise UnavailableError(503, "stopping", "This gateway is stopping. Send the request again.", 1)
        return self._tokens.source(request.headers.get("authorization"))

    async def _body(self, request: Request, lease: bodies.Lease) -> bytes:
        settings = self._settings
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > settings.max_body_bytes:
            raise bodies.body_too_large(settings.max_body_bytes)
        try:
            async with asyncio.timeout(settings.body_timeout_seconds):
                return await bodies.read(
                    request.stream(),
                    request.headers.get("content-encoding"),
                    lease,
                    max_body_bytes=settings.max_body_bytes,
                    max_inflated_bytes=settings.max_inflated_bytes,
                )
        except TimeoutError:
            raise RejectedError(
                408, "slow_body", f"The body did not arrive within {settings.body_timeout_seconds:g} seconds."
            ) from None

    def _key(self, request: Request, batch: Batch, body: bytes) -> bytes | None:
        """What makes a repeated request known: its own key, or its bytes if each event in it has an id."""
        given = request.headers.get("idempotency-key")
        if given is not None:
            if not _KEY.fullmatch(given):
                raise RejectedError(
                    400, "bad_idempotency_key", "An Idempotency-Key has 1 to 256 printable ASCII characters."
                )
            return b"key:" + given.encode()
        return b"body:" + hashlib.sha256(body).digest() if batch.named else None

    async def _send(self, source: str, batch: Batch, key: bytes | None) -> None:
        if not batch.messages:
            return
        await self._topic.send(source, batch, key)
        metrics.gateway_events_total.labels(source).inc(batch.events)
        metrics.gateway_bytes_total.labels(source).inc(sum(map(len, batch.messages)))

    async def _healthz(self, _request: Request) -> Response:
        return answers.json(200, {"status": "alive"})

    async def _readyz(self, _request: Request) -> Response:
        reason = "The gateway is stopping." if self.draining else await self._topic.not_ready()
        if reason is not None:
            raise UnavailableError(503, "not_ready", reason, 1)
        return answers.json(200, {"status": "ready"})

    async def _metrics(self, _request: Request) -> Response:
        metrics.gateway_requests_in_flight.set(self.in_flight)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
