"""`logbrook query`: the API and the explorer in one process. Nothing here writes to ClickHouse."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from logbrook import config, metrics
from logbrook.connection import Connection
from logbrook.errors import ConfigError, LogbrookError, RejectedError, UnavailableError
from logbrook.query import language, openapi, parameters, routes, streams
from logbrook.query.access import Access, Audit, Me
from logbrook.query.answers import Answer
from logbrook.query.completeness import Completeness
from logbrook.query.engine import PRIVILEGED, Engine, Statement
from logbrook.query.http import Guard, Handler, Stream, error_answer, json_answer, unless_left
from logbrook.query.refusals import BadRequestError
from logbrook.query.status import Evaluator, Prometheus
from logbrook.query.timerange import TimeRange
from logbrook.query.turns import Turns
from logbrook.query.views import Store, Views

log = structlog.get_logger()

EXPLORER = Path(__file__).parent / "explorer"
SQL = "/v1/sql"
_MAX_BODY_BYTES = 100_000
_EXPECTED = {"POST": '{"sql": "SELECT ..."}', "PUT": '{"query": "level>=error", "from": "1h", "note": "..."}'}
_TELL_AGAIN_SECONDS = 60.0
# The longest that the port stays closed while ClickHouse is asked what its user may do; each request asks again.
_ADMIT_SECONDS = 5.0
_LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]
# Pieces, their media type, and headers.
_Begun = tuple[AsyncIterator[bytes], str, dict[str, str]]


class Api:
    """The handlers of all routes, and what they share."""

    def __init__(self, query: config.Query, clickhouse: config.ClickHouse) -> None:
        if query.trace_url and not re.match(r"https?://.*\{trace_id\}", query.trace_url):
            variable = config.variable(config.Query, "trace_url")
            raise ConfigError(f"{variable}: expected an address such as https://jaeger.example.org/trace/{{trace_id}}")
        self.engine = Engine(clickhouse, query)
        self.prometheus, self.evaluator = Prometheus(query.prometheus_url), Evaluator(query.alerts_url)
        self.completeness, self.views = Completeness(self.engine), Store(clickhouse, query)
        self.access = Access(query)
        self.turns = Turns(query.max_concurrent_requests, query.max_waiting_requests, query.wait_seconds)
        self.sql_turns = Turns(query.max_concurrent_sql, query.max_waiting_requests, query.wait_seconds)
        self.streams = Turns(query.max_streams, 0, query.wait_seconds)

    def handler(self, route: routes.Route) -> Handler:
        """The handler of one route."""

        async def handle(request: Request) -> Response:
            audit, cost = Audit(request), None
            try:
                engine = await self._engine(audit, request, route.path, route.permission)
                given = await _given(request, route)
                if route.method == "POST":
                    audit.asked = msgspec.to_builtins(given[-1])
                asked = {
                    Engine: engine,
                    Views: Views(self.views, audit.caller.author),
                    Prometheus: self.prometheus,
                    Evaluator: self.evaluator,
                    Me: Me(audit.caller.author, audit.role),
                }[route.declared[0]]
                work = self._in_turn(route, asked, given)
                # A change is completed even if the client leaves.
                reads = route.method in ("GET", "POST")
                answer = await (unless_left(request.receive, work) if reads else work)
                response, cost = json_answer(answer), getattr(answer, "cost", None)
            except Exception as error:
                response = error_answer(error, statement_is_theirs=route.path == SQL)
            if route.declared[0] in {Engine, Views}:
                audit.write(response.status_code, cost)
            return response

        return handle

    async def _engine(self, audit: Audit, request: Request, path: str, permission: str) -> Engine:
        """The engine with only the events that the caller may see. Raises RejectedError."""
        audit.caller = await self.access.caller(request, path)
        audit.role = self.access.role(audit.caller, permission)
        return self.engine.seeing(audit.role.condition)

    async def _in_turn(self, route: routes.Route, asked: object, given: list[msgspec.Struct]) -> Answer:
        async with (self.sql_turns if route.path == SQL else self.turns).turn():
            known = await self.completeness.known()
            answer: Answer = await route.handle(asked, *given)
        for name, value in known.items():
            setattr(answer, name, value)
        return answer

    def streaming(self, begin: Callable[[Engine, Request], Awaitable[_Begun]], path: str, needs: str = "") -> Handler:
        """The handler of a route that streams what `begin` returns to callers with the permission `needs`."""

        async def handle(request: Request) -> Response:
            audit = Audit(request)
            try:
                source, media_type, headers = await begin(await self._engine(audit, request, path, needs), request)
                pieces = self._held(source)
                # What fails before the first piece still gets a status of its own.
                first = await unless_left(request.receive, anext(pieces, b""))
            except Exception as error:
                response = error_answer(error)
                audit.write(response.status_code)
                return response
            return Stream(
                first, pieces, media_type, headers, lambda sent_bytes: audit.write(200, sent_bytes=sent_bytes)
            )

        return handle

    async def tail(self, engine: Engine, request: Request) -> _Begun:
        """GET /v1/tail."""
        given = parameters.read(routes.Filter, request.query_params.multi_items())
        # What is to come has no range for `in (...)`.
        language.split(given.query, None)
        node = given.within(TimeRange(0, 1)).node
        since = await streams.since(engine, request.headers.get("last-event-id"))
        return streams.tail(engine, self.completeness, node, since), "text/event-stream", {}

    async def export(self, engine: Engine, request: Request) -> _Begun:
        """GET /v1/export."""
        given = parameters.read(routes.Export, request.query_params.multi_items())
        source = streams.export(engine, given.selection(), given.format)
        known = await self.completeness.known()
        headers = {
            "Content-Disposition": f'attachment; filename="logs.{given.format}"',
            "Complete-Until": known["complete_until"] or "unknown",
        }
        return source, streams.FORMATS[given.format].media_type, headers

    async def _held(self, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async with self.streams.turn():
            with metrics.query_streams_open.track_inprogress():
                async for piece in source:
                    yield piece

    async def tell_until_ready(self) -> None:
        """Say in the log what requests wait for, once and then every minute, until ClickHouse has the table."""
        told = False
        while True:
            try:
                await self.engine.rows(Statement("SELECT 1 FROM otel_logs LIMIT 0"))
            except LogbrookError as error:
                log.warning("waiting for ClickHouse: requests are answered 503", reason=str(error))
                told = True
            else:
                if told:
                    log.info("ClickHouse is available now")
                return
            await asyncio.sleep(_TELL_AGAIN_SECONDS)

    async def ready(self, _request: Request) -> Response:
        """GET /readyz: whether ClickHouse answers and has the table."""
        try:
            await self.engine.rows(Statement("SELECT 1 FROM otel_logs LIMIT 0"))
        except LogbrookError as error:
            return error_answer(error)
        return Response("ready\n", media_type="text/plain")


async def _given(request: Request, route: routes.Route) -> list[msgspec.Struct]:
    """The values of a request's parameters, and of its body if it has one. Raises RejectedError."""
    in_url = [*request.query_params.multi_items(), *request.path_params.items()]
    given = parameters.read(route.declared[1], in_url)
    if route.body is None:
        return [given]
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise RejectedError(415, "not_json", f"expected Content-Type: application/json and {_EXPECTED[route.method]}")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise RejectedError(413, "body_too_large", f"the body has more than {_MAX_BODY_BYTES} bytes")
    try:
        return [given, msgspec.json.decode(body, type=route.body)]
    except ValueError as error:
        raise BadRequestError("bad_body", f"expected {_EXPECTED[route.method]}: {error}") from None


async def _alive(_request: Request) -> Response:
    return Response("alive\n", media_type="text/plain")


async def _metrics(_request: Request) -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _document(_request: Request) -> Response:
    return Response(orjson.dumps(openapi.document()), media_type="application/json")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    answer = error_answer(RejectedError(error.status_code, code, f"{error.detail}; /openapi.json lists all routes"))
    answer.headers.update(error.headers or {})
    return answer


class _Explorer(StaticFiles):
    """The page's files: always checked for a newer version, so that a new server never meets an old page."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        """A file, or 304."""
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def app(query: config.Query, clickhouse: config.ClickHouse) -> ASGIApp:
    """The ASGI application. ClickHouse may be down: requests are answered 503 until it is there."""
    api = Api(query, clickhouse)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(each) for each in (api.tell_until_ready(), api.access.reread())]
        yield
        for each in tasks:
            each.cancel()
        await api.engine.close()
        await api.prometheus.close()
        await api.evaluator.close()
        await api.views.close()

    # An id may hold a slash.
    served = [
        StarletteRoute(each.path.replace("{id}", "{id:path}"), api.handler(each), methods=[each.method])
        for each in routes.ROUTES
    ]
    served += [
        StarletteRoute("/v1/tail", api.streaming(api.tail, "/v1/tail")),
        StarletteRoute("/v1/export", api.streaming(api.export, "/v1/export", "export")),
        StarletteRoute("/openapi.json", _document),
        StarletteRoute("/healthz", _alive),
        StarletteRoute("/readyz", api.ready),
        StarletteRoute("/metrics", _metrics),
    ]

    def known_path(scope: Scope) -> str:
        """The route's path as declared: bounds what a metric's label can be."""
        path = next((each.path for each in served if each.matches(scope)[0] is not Match.NONE), "other")
        return path.replace("{id:path}", "{id}")

    middleware: list[Middleware] = []
    if hosts := _allowed_hosts(query):
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False))
    starlette = Starlette(
        routes=[*served, Mount("/", _Explorer(directory=EXPLORER, html=True))],
        middleware=middleware,
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    return Guard(starlette, known_path)


def _allowed_hosts(query: config.Query) -> list[str]:
    """The Host headers to answer; on loopback only its own names, so that no other site's name can lead here."""
    if query.allowed_hosts:
        return [name.strip() for name in query.allowed_hosts.split(",") if name.strip()]
    return _LOOPBACK_NAMES if config.is_loopback(query.host) else []


def _require_reader(query: config.Query, clickhouse: config.ClickHouse) -> None:
    async def may_only_read() -> bool:
        engine = Engine(clickhouse, query)
        try:
            async with asyncio.timeout(_ADMIT_SECONDS):
                return await engine.may_only_read()
        finally:
            await engine.close()

    try:
        if asyncio.run(may_only_read()):
            return
    except (LogbrookError, TimeoutError) as error:
        log.info(
            "the rights of the ClickHouse user are checked when it answers",
            user=clickhouse.username,
            error=str(error) or "no answer yet",
        )
        return
    if not query.allow_privileged_user:
        raise ConfigError(PRIVILEGED.format(user=clickhouse.username))
    log.warning(
        "the ClickHouse user may do more than read otel_logs, as LOGBROOK_QUERY_ALLOW_PRIVILEGED_USER allows",
        user=clickhouse.username,
    )


def run(query: config.Query, clickhouse: config.ClickHouse) -> None:
    """Serve until SIGTERM.

    Raises UnavailableError if the port is taken, and ConfigError if the ClickHouse user may do more than read. While
    ClickHouse can't be asked, that is answered to the requests instead.
    """
    _require_reader(query, clickhouse)
    if not config.is_loopback(query.host) and Access(query).is_open:
        log.warning(
            "anyone who can reach this address can read all logs: put an authenticating proxy in front of it",
            host=query.host,
        )
    log.info("listening", url=f"http://{query.host}:{query.port}/")
    settings = uvicorn.Config(
        app(query, clickhouse),
        host=query.host,
        port=query.port,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        # The address of a trusted proxy is the connection's own.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=query.max_connections,
        timeout_graceful_shutdown=5,
    )
    try:
        uvicorn.Server(settings).run()
    except SystemExit:
        raise UnavailableError("port_taken", f"can't listen on {query.host}:{query.port}") from None
