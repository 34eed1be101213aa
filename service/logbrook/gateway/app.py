"""The gateway's HTTP: who may send, what is read, and what is answered."""

import asyncio
import ctypes
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers, bodies
from logbrook.gateway.batch import Batch
from logbrook.gateway.complaints import Complaints
from logbrook.gateway.formats import (
    datadog,
    elasticsearch,
    gelf,
    json_document,
    loki,
    loki_protobuf,
    ndjson,
    otlp_json,
    otlp_protobuf,
    pubsub,
    splunk,
    text,
    unknown,
)
from logbrook.gateway.formats.format import Format, Read
from logbrook.gateway.quotas import Quotas
from logbrook.gateway.topic import Topic
from logbrook.tokens import ANONYMOUS, Grant, Tokens, given_token

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]
FORMATS = (
    ndjson.FORMAT,
    json_document.FORMAT,
    text.FORMAT,
    unknown.FORMAT,
    otlp_protobuf.FORMAT,
    otlp_json.FORMAT,
    loki.FORMAT,
    loki_protobuf.FORMAT,
    elasticsearch.FORMAT,
    splunk.FORMAT,
    splunk.RAW,
    splunk.ACKS,
    datadog.FORMAT,
    gelf.FORMAT,
    pubsub.FORMAT,
)
"""All wire formats."""
_BY_TYPE = {
    (path, name): each for each in FORMATS for path in (each.path, *each.also) for name in each.content_types or ("",)
}
_GET = ("GET", "HEAD")
_FIRST_PART = re.compile(r"^/[^/]+(?=/)")
# A body that is longer, inflated, is inflated and taken apart in a thread, so that others are answered meanwhile.
_SHORT_BODY_BYTES = 256 * 1024
_LARGE_BODY_BYTES = 8 * 2**20
# https://man7.org/linux/man-pages/man3/malloc_trim.3.html; other C libraries than glibc have none.
_give_memory_back: Callable[[int], int] = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
# What proxies add to each request that they pass on (RFC 7239), and Google to all requests from outside
# (https://cloud.google.com/functions/docs/reference/headers; functions are Cloud Run services).
_FORWARDED = frozenset(("forwarded", "x-forwarded-for"))
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")


def format_of(path: str, content_type: str) -> Format | None:
    """The format that a route and a content type name."""
    name = content_type.partition(";")[0].strip().lower()
    return _BY_TYPE.get((path, name)) or _BY_TYPE.get((path, ""))


class App:
    """The ASGI application."""

    def __init__(self, settings: Gateway, tokens: Tokens, topic: Topic) -> None:
        self._settings, self._tokens, self._topic = settings, tokens, topic
        self._budget = bodies.Budget(settings.max_buffered_bytes)
        self._quotas = Quotas(settings)
        self._complaints = Complaints()
        self._routes: dict[str, tuple[tuple[str, ...], Handler]] = {
            **{path: (each.methods, self._logs) for each in FORMATS for path in (each.path, *each.also)},
            **{path: (_GET, self._asked) for each in FORMATS for path in each.asked},
            **{path: (_GET, self._readyz) for each in FORMATS for path in each.ready},
            "/healthz": (_GET, self._healthz),
            "/readyz": (_GET, self._readyz),
            "/metrics": (_GET, self._metrics),
        }
        self._waiting: set[asyncio.Timeout] = set()
        self._apart = asyncio.Lock()
        # One thread for all: glibc gives each thread a heap, and each would keep what a large body left in it.
        self._splitter = ThreadPoolExecutor(1, "split")
        self.draining = False
        self.in_flight = 0

    def hurry(self) -> None:
        """Answer requests that still wait for their body or their turn with 503: the gateway is about to stop."""
        for waiting in self._waiting:
            waiting.reschedule(asyncio.get_running_loop().time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        started = time.perf_counter()
        self.in_flight += 1
        try:
            response = await self._answer(request)
            self._count(request, response, time.perf_counter() - started)
            await response(scope, receive, send)
        except ClientDisconnect:
            return
        finally:
            self.in_flight -= 1

    def _count(self, request: Request, response: Response, seconds: float) -> None:
        route = self._route(request) or "other"
        metrics.gateway_requests_total.labels(route, str(response.status_code)).inc()
        metrics.gateway_request_seconds.labels(route).observe(seconds)

    async def _answer(self, request: Request) -> Response:
        try:
            response = await self._handler(request)(request)
        except (RejectedError, UnavailableError) as error:
            response = self._refuse(request, error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("a request made the gateway fail", path=request.scope["path"][:100])
            response = self._refuse(request, RejectedError(500, "internal", "The gateway failed; its log says why."))
        if self.draining:
            response.headers["connection"] = "close"
        return response

    def _refuse(self, request: Request, error: RejectedError | UnavailableError) -> Response:
        self.complain(error, request.scope["path"])
        form = format_of(self._route(request), request.headers.get("content-type", ""))
        response = answers.refused(error) if form is None else form.refused(error)
        if error.status == 408 or "expect" in request.headers:
            # The rest of the body may or may not come: where the next request would begin is unknown.
            response.headers["connection"] = "close"
        return response

    def complain(self, error: RejectedError | UnavailableError, path: str) -> None:
        """Count a refusal, and say so in the log now and then."""
        metrics.gateway_rejected_total.labels(error.code).inc()
        self._complaints.add(error, path)

    def _route(self, request: Request) -> str:
        """The path, or the one with a `*` that it fits; nothing if there is none."""
        path = request.scope["path"]
        return next((each for each in (path, _FIRST_PART.sub("/*", path)) if each in self._routes), "")

    def _handler(self, request: Request) -> Handler:
        methods, handler = self._routes.get(self._route(request), ((), None))
        if handler is None:
            known = ", ".join(dict.fromkeys(each.path for each in FORMATS))
            raise RejectedError(404, "no_such_path", f"Logs are taken at {known}.")
        if request.method not in methods:
            allow, sent = ", ".join(methods), request.method[:20]
            raise RejectedError(405, "method_not_allowed", f"This path takes {allow}, not {sent}.", allow=allow)
        return handler

    async def _logs(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response()
        grant = self.admit(request.headers)
        path = self._route(request)
        form = format_of(path, request.headers.get("content-type", ""))
        if form is None:
            known = ", ".join(name for each in FORMATS if each.path == path for name in each.content_types)
            raise RejectedError(415, "unknown_content_type", f"{path} needs one of the Content-Types {known}.")
        grant.check_path(form.path)
        key = _given_key(request)
        read = form.reader(request) if form.reader else form.read

        async def body(lease: bodies.Lease) -> bodies.Body:
            return await self._body(request, lease, form.encoding)

        return form.taken(await self.take(grant, key, body, read))

    async def take(
        self, grant: Grant, key: bytes | None, receive: Callable[[bodies.Lease], Awaitable[bodies.Body]], read: Read
    ) -> Batch:
        """Everything between a request and its answer: read it, send it, and wait until Kafka has it."""
        source = grant.source
        self._quotas.check(grant)
        with bodies.Lease(self._budget) as lease:
            body = await receive(lease)
            if body.is_longer(_SHORT_BODY_BYTES):
                async with self._turn():
                    loop = asyncio.get_running_loop()
                    batch, own_key = await loop.run_in_executor(self._splitter, _split, body, read, self._settings)
            else:
                batch, own_key = _split(body, read, self._settings)
            # From here on the messages are all that is kept, and the topic's queue is what bounds them.
            del body
        key = key or own_key
        if batch.messages:
            size = sum(map(len, batch.messages))
            self._quotas.spend(source, size)
            try:
                await self._topic.send(source, batch, key)
            except BaseException:
                self._quotas.spend(source, -size)
                raise
            metrics.gateway_events_total.labels(source).inc(batch.events)
            metrics.gateway_bytes_total.labels(source).inc(size)
        return batch

    def admit(self, headers: Mapping[str, str]) -> Grant:
        """What the sender of a request may do, decided before a byte of its body is read."""
        if self.draining:
            raise _stopping()
        grant = self._tokens.grant(given_token(headers))
        if grant.source == ANONYMOUS and _is_from_a_page(headers):
            raise RejectedError(403, "web_page", "Without a token nothing is taken from web pages.")
        return grant

    async def _body(self, request: Request, lease: bodies.Lease, implied: str | None) -> bodies.Body:
        settings = self._settings
        encoding = bodies.encoding_of(request.headers.get("content-encoding"), implied)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > settings.max_body_bytes:
            raise bodies.body_too_large(settings.max_body_bytes)
        sent = await self.in_time(bodies.receive(request.stream(), lease, settings.max_body_bytes))
        return bodies.Body(sent, encoding, lease, settings.max_inflated_bytes)

    async def in_time(self, body: Awaitable[bytes]) -> bytes:
        """A body, if it arrives soon enough. Raises RejectedError (408) otherwise."""
        seconds = self._settings.body_timeout_seconds
        try:
            async with self._in_time(seconds):
                return await body
        except TimeoutError:
            raise RejectedError(408, "slow_body", f"The body did not arrive within {seconds:g} seconds.") from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Long bodies are taken apart one after the other: together they would not be faster, but take more memory."""
        try:
            async with self._in_time(self._settings.wait_seconds):
                await self._apart.acquire()
        except TimeoutError:
            raise bodies.too_busy() from None
        try:
            yield
        finally:
            self._apart.release()

    @asynccontextmanager
    async def _in_time(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError if the block takes longer, UnavailableError (503) if the gateway can't wait for it."""
        waiting = asyncio.timeout(seconds)
        self._waiting.add(waiting)
        try:
            async with waiting:
                yield
        except TimeoutError:
            if self.draining:
                raise _stopping() from None
            raise
        finally:
            self._waiting.discard(waiting)

    async def _asked(self, request: Request) -> Response:
        self.admit(request.headers)
        path = self._route(request)
        return next(each.asked[path] for each in FORMATS if path in each.asked)()

    async def _healthz(self, _request: Request) -> Response:
        return answers.json(200, {"status": "alive"})

    async def not_ready(self) -> str | None:
        """Why nothing can be taken now; None if it can."""
        return "The gateway is stopping." if self.draining else await self._topic.not_ready()

    async def _readyz(self, _request: Request) -> Response:
        reason = await self.not_ready()
        if reason is not None:
            raise UnavailableError("not_ready", reason, 1)
        return answers.json(200, {"status": "ready"})

    async def _metrics(self, request: Request) -> Response:
        if not _FORWARDED.isdisjoint(request.headers):
            raise RejectedError(404, "no_such_path", "Metrics are only served directly, not through a proxy.")
        metrics.gateway_requests_in_flight.set(self.in_flight)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _split(body: bodies.Body, read: Read, settings: Gateway) -> tuple[Batch, bytes | None]:
    """A body's messages and, if each event has an id, the key of the request."""
    whole = body.whole()
    if len(whole) > _LARGE_BODY_BYTES:
        # What earlier bodies left between things that are still used: some 70 MB that would stay the process's.
        _give_memory_back(0)
    batch = read(whole, settings)
    return batch, batch.key or (b"body:" + hashlib.sha256(whole).digest() if batch.named else None)


def _is_from_a_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent it for a page: any page can, by a form or a script, and can't read the answer.

    Browsers name the page's origin in every POST (https://fetch.spec.whatwg.org/#append-a-request-origin-header), and
    current ones where it comes from (https://www.w3.org/TR/fetch-metadata/). Pages can't send a token: for that a
    browser first asks with OPTIONS, which is never answered with a permission.
    """
    return "origin" in headers or headers.get("sec-fetch-site", "none") != "none"


def _given_key(request: Request) -> bytes | None:
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise RejectedError(400, "bad_idempotency_key", "An Idempotency-Key has 1 to 256 printable ASCII characters.")
    return b"key:" + given.encode()


def _stopping() -> UnavailableError:
    return UnavailableError("stopping", "This gateway is stopping. Send the request again.", 1)
