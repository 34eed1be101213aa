"""Statements to ClickHouse over HTTP: limited, counted, and cancelled when nobody waits for them anymore."""

import asyncio
import contextlib
import copy
import itertools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx
import orjson
import structlog

from logbrook import config, metrics
from logbrook.clickhouse import ACCESS_DENIED
from logbrook.errors import ClickHouseUnavailableError, UnavailableError
from logbrook.query.answers import Cost
from logbrook.query.refusals import LargeResultError, StatementError, from_clickhouse

log = structlog.get_logger()
# It logs every statement with its values at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

PRIVILEGED = (
    "the login to ClickHouse is {user!r}, a user that may do more than read otel_logs. Set"
    " LOGBROOK_CLICKHOUSE_USERNAME and LOGBROOK_CLICKHOUSE_PASSWORD to the user `reader` (docs/query.md), or accept the"
    " risk with LOGBROOK_QUERY_ALLOW_PRIVILEGED_USER=true"
)
_TABLE_BYTES = "SELECT total_bytes FROM system.tables WHERE database = currentDatabase() AND name = 'otel_logs'"
_LOOK_AGAIN_SECONDS = 0.5
_RECENT_SECONDS = 15.0
_MOST_RECENT = 64
_CLOSE_SECONDS = 5.0
# Linux's lowest priority. ClickHouse sets it if it may (CAP_SYS_NICE), and else does nothing.
_LOWEST_PRIORITY = 19
_UNKNOWN_IDENTIFIER = 47


@dataclass
class Spent:
    """The cost of one request, added up over its statements."""

    elapsed_seconds: float = 0.0
    rows_read: int = 0
    bytes_read: int = 0
    statements: int = 0

    def add(self, statistics: Mapping[str, Any]) -> None:
        """Add what ClickHouse says about a statement."""
        self.elapsed_seconds += statistics["elapsed"]
        self.rows_read += statistics["rows_read"]
        self.bytes_read += statistics["bytes_read"]
        self.statements += 1


@dataclass
class Statement:
    """SQL without FORMAT, the values bound to it, and settings in addition to the engine's limits."""

    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str | int] = field(default_factory=dict)
    lane: Literal["search", "sql", "stream"] = "search"
    """What it counts as: each lane has its own number of statements that may run at a time."""
    most_bytes: int | None = None
    """A result that is larger, as JSON, is refused: a limit lower than that of all statements."""


@dataclass
class _Learned:
    """What is known about ClickHouse and its user, shared by all engines that `seeing` makes."""

    sql_limits: dict[str, str]
    readonly: bool | None = None
    filters: bool = False
    denied_size: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    recent: dict[tuple[object, ...], tuple[float, list[list[Any]]]] = field(default_factory=dict)


class Engine:
    """The one connection pool to ClickHouse of the process. `close` it before its event loop ends."""

    _condition = ""

    def __init__(self, clickhouse: config.ClickHouse, query: config.Query) -> None:
        self.clickhouse, self.query = clickhouse, query
        self._client = connect(clickhouse, query.timeout_seconds + 10)
        self._lanes = {
            "search": asyncio.Semaphore(query.max_concurrent_statements),
            "sql": asyncio.Semaphore(query.max_concurrent_sql),
            "stream": asyncio.Semaphore(query.max_streams),
        }
        self._learned = _Learned(
            {
                "max_execution_time": str(min(query.timeout_seconds, query.sql_timeout_seconds)),
                "max_memory_usage": str(min(query.max_memory_bytes, query.max_sql_memory_bytes)),
                "max_threads": str(query.max_sql_threads),
                "os_threads_nice_value_query": str(_LOWEST_PRIORITY),
            }
        )
        self._kills: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        self._prefix = secrets.token_hex(8)

    def seeing(self, condition: str) -> "Engine":
        """The same engine, restricted to the events that meet an SQL condition; empty: all.

        ClickHouse applies it to every statement: `additional_table_filters` of
        https://clickhouse.com/docs/operations/settings/settings.
        """
        seeing = copy.copy(self)
        seeing._condition = condition
        return seeing

    async def close(self) -> None:
        """Ask ClickHouse to end what nobody waits for, then close all connections."""
        if self._kills:
            await asyncio.wait(self._kills, timeout=_CLOSE_SECONDS)
        for task in self._kills:
            task.cancel()
        await self._client.aclose()

    async def rows(self, statement: Statement, spent: Spent | None = None) -> list[list[Any]]:
        """The rows of a result. Raises RejectedError past a limit, UnavailableError if ClickHouse can't answer now."""
        return (await self.result(statement, spent))["data"]  # type: ignore[no-any-return]

    async def recent_rows(self, statement: Statement, spent: Spent) -> list[list[Any]]:
        """The rows of a result, which may be some seconds old: for what only says where to look."""
        recent, now = self._learned.recent, time.monotonic()
        key = (self._condition, statement.sql, *statement.parameters.items())
        at, rows = recent.get(key, (-_RECENT_SECONDS, []))
        if now - at >= _RECENT_SECONDS:
            rows = await self.rows(statement, spent)
            if len(recent) >= _MOST_RECENT:
                recent.clear()
            recent[key] = now, rows
        return rows

    async def result(self, statement: Statement, spent: Spent | None = None) -> dict[str, Any]:
        """A whole result in ClickHouse's JSONCompact: `meta`, `data`, `statistics`."""
        most = self.query.max_sql_result_bytes if statement.lane == "sql" else self.query.max_result_bytes
        most = min(most, statement.most_bytes or most)
        body = bytearray()
        async with self._send(statement, "JSONCompact") as response:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > most:
                    hint = "choose fewer or shorter columns, or fewer rows"
                    raise LargeResultError(f"the result has more than {most} bytes; {hint}")
        try:
            result = orjson.loads(body)
        except orjson.JSONDecodeError:
            # An error that comes after the first rows is written after them.
            raise from_clickhouse(body.decode(errors="replace")) from None
        if "exception" in result:
            raise from_clickhouse(result["exception"])
        if spent is not None:
            spent.add(result["statistics"])
        metrics.query_rows_read_total.inc(result["statistics"]["rows_read"])
        return result  # type: ignore[no-any-return]

    async def text(self, sql: str, parameters: Mapping[str, str]) -> str:
        """The lines of a result with one column."""
        async with self._send(Statement(sql, parameters), None) as response:
            return (await response.aread()).decode()

    @asynccontextmanager
    async def stream(self, statement: Statement, output_format: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a result as they come, in any of ClickHouse's formats. Leaving early cancels the statement."""
        async with self._send(replace(statement, lane="stream"), output_format) as response:
            yield response.aiter_bytes()

    async def cost(self, spent: Spent) -> Cost:
        """What a request spent, and the size of the table."""
        table_rows = await self.table_rows()
        return Cost(
            elapsed_ms=round(spent.elapsed_seconds * 1000, 3),
            rows_read=spent.rows_read,
            bytes_read=spent.bytes_read,
            statements=spent.statements,
            table_rows=table_rows,
            pruned=spent.rows_read < table_rows,
        )

    async def table_rows(self) -> int:
        """The rows of the table, some seconds old; ClickHouse knows them without reading."""
        [[rows]] = await self.seeing("").recent_rows(Statement("SELECT count() FROM otel_logs"), Spent())
        return int(rows)

    async def table_bytes(self) -> int | None:
        """The size of the table on disk, some seconds old; None for a user who may not read `system.tables`."""
        if self._learned.denied_size:
            return None
        try:
            rows = await self.seeing("").recent_rows(Statement(_TABLE_BYTES), Spent())
        except StatementError as error:
            self._learned.denied_size = error.clickhouse_code == ACCESS_DENIED
            return None
        return int(rows[0][0] or 0) if rows else None

    @asynccontextmanager
    async def _send(self, statement: Statement, output_format: str | None) -> AsyncIterator[httpx.Response]:
        query_id = f"logbrook-{self._prefix}-{next(self._numbers)}"
        url = {"database": self.clickhouse.database, "query_id": query_id}
        url |= await self._limits(statement)
        url["default_format"] = output_format or "TabSeparatedRaw"
        # As fields of a form: the longest texts do not fit into a URL.
        fields = {"query": statement.sql, **{f"param_{name}": text for name, text in statement.parameters.items()}}
        form = {name: (None, text.encode()) for name, text in fields.items()}
        request = self._client.build_request("POST", "/", params=url, files=form)
        # Written at once, and not field by field.
        request.read()
        lane = await self._enter(statement.lane)
        done = False
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    text = (await response.aread()).decode(errors="replace")
                    done = True
                    raise from_clickhouse(text, response.headers.get("X-ClickHouse-Exception-Code"))
                yield response
                done = response.is_stream_consumed
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise UnavailableError("clickhouse_timeout", "ClickHouse did not answer in time") from error
        except httpx.HTTPError as error:
            raise ClickHouseUnavailableError(f"ClickHouse can't be reached: {type(error).__name__}", 2) from error
        finally:
            if done:
                lane.release()
            else:
                task = asyncio.get_running_loop().create_task(self._end(query_id, lane))
                self._kills.add(task)
                task.add_done_callback(self._kills.discard)

    async def _enter(self, name: str) -> asyncio.Semaphore:
        """Wait for room in a lane. Raises UnavailableError if there is none in time."""
        lane = self._lanes[name]
        try:
            async with asyncio.timeout(self.query.wait_seconds):
                await lane.acquire()
        except TimeoutError:
            raise UnavailableError("too_busy", "other statements still run in ClickHouse; try again", 5) from None
        return lane

    async def _end(self, query_id: str, lane: asyncio.Semaphore) -> None:
        """Stop a statement that nobody waits for, and keep its place in the lane until ClickHouse is done with it.

        Closing the connection asks for that, and KILL QUERY makes sure. Some functions check neither until they have
        finished a block.
        """
        kill = f"KILL QUERY WHERE query_id = '{query_id}' ASYNC".encode()
        try:
            with contextlib.suppress(httpx.HTTPError):
                await self._client.post("/", params={"database": self.clickhouse.database}, content=kill, timeout=5)
            while not await self._has_ended(query_id):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            lane.release()

    async def _has_ended(self, query_id: str) -> bool:
        """Whether ClickHouse is certainly done with a statement: its query id can then be used again.

        While it runs, the answer is error 216. Any other error (too many statements, a quota) says nothing about it.
        A server that refuses connections runs nothing.
        """
        try:
            response = await self._client.post("/", params={"query_id": query_id}, content=b"SELECT 1", timeout=5)
        except httpx.ConnectError:
            return True
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    async def _limits(self, statement: Statement) -> dict[str, str]:
        """The settings to send. A user whose profile is read-only brings its own, and may lower some for /v1/sql."""
        learned = self._learned
        if learned.readonly is None:
            async with learned.lock:
                if learned.readonly is None:
                    readonly = await self._admit()
                    if readonly:
                        await self._try_sql_limits()
                    learned.readonly = readonly
        own = learned.sql_limits if statement.lane == "sql" else {}
        if self._condition:
            if not learned.filters:
                await self._require_filters()
            own = {**own, **_filtered(self._condition)}
        if learned.readonly:
            return own
        limits: dict[str, str | float] = {
            "max_execution_time": self.query.timeout_seconds,
            "max_memory_usage": self.query.max_memory_bytes,
            # Not max_rows_to_read: with it, a count from a projection costs the analysis of the whole table.
            "max_bytes_to_read": self.query.max_bytes_read,
            "max_rows_in_set": self.query.max_in_values,
            "max_result_bytes": self.query.max_result_bytes,
            "result_overflow_mode": "throw",
            "cancel_http_readonly_queries_on_client_close": 1,
            **statement.settings,
            **own,
            "readonly": 2,
        }
        return {name: str(value) for name, value in limits.items()}

    async def _try_sql_limits(self) -> None:
        """Drop the limits of /v1/sql if the user's profile does not allow them to be changed."""
        try:
            await self._ask("SELECT 1", self._learned.sql_limits)
        except StatementError as error:
            log.warning(
                "the ClickHouse user may not lower its limits for /v1/sql: let its profile change them (docs/query.md)",
                settings=list(self._learned.sql_limits),
                error=str(error),
            )
            self._learned.sql_limits = {}

    async def _require_filters(self) -> None:
        """Raise UnavailableError unless ClickHouse applies filters: then it refuses one with an unknown column."""
        try:
            await self._ask("SELECT 1 FROM otel_logs LIMIT 0", _filtered("no_such_column"))
        except StatementError as error:
            if error.clickhouse_code == _UNKNOWN_IDENTIFIER:
                self._learned.filters = True
                return
            log.warning("ClickHouse does not apply the filters of roles (docs/access.md)", error=str(error))
        message = "ClickHouse does not apply the filter of your role: see docs/access.md"
        raise UnavailableError("no_filters", message, 60)

    async def may_only_read(self) -> bool:
        """Whether this process is logged in as a user that can read the log table and nothing else.

        It tries instead of asking: the profile is read-only, and neither a system table nor another of ours answers.
        """
        if await self._ask("SELECT getSetting('readonly')") != "1":
            return False
        for elsewhere in ("system.users", "idempotency_keys"):
            try:
                await self._ask(f"SELECT 1 FROM {elsewhere} LIMIT 0")
            except StatementError:
                continue
            return False
        return True

    async def _admit(self) -> bool:
        """Whether the user's profile is read-only. Raises UnavailableError if the user may do more than we accept."""
        if await self.may_only_read():
            return True
        if not self.query.allow_privileged_user:
            raise UnavailableError("privileged_user", PRIVILEGED.format(user=self.clickhouse.username))
        return await self._ask("SELECT getSetting('readonly')") == "1"

    async def _ask(self, sql: str, settings: Mapping[str, str] | None = None) -> str:
        """The only value of a statement that needs no limits."""
        url = {"database": self.clickhouse.database, **(settings or {})}
        return (await post(self._client, url, sql.encode())).decode().strip()


def connect(clickhouse: config.ClickHouse, timeout_seconds: float) -> httpx.AsyncClient:
    """A connection pool to ClickHouse."""
    return httpx.AsyncClient(
        base_url=f"{'https' if clickhouse.secure else 'http'}://{clickhouse.host}:{clickhouse.port}",
        headers={"X-ClickHouse-User": clickhouse.username, "X-ClickHouse-Key": clickhouse.password},
        timeout=httpx.Timeout(timeout_seconds, connect=clickhouse.connect_timeout_seconds),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        trust_env=False,
    )


async def post(client: httpx.AsyncClient, url: Mapping[str, str], content: bytes) -> bytes:
    """ClickHouse's answer to one request. Raises RejectedError, or UnavailableError if it can't answer now."""
    try:
        response = await client.post("/", params=url, content=content)
    except httpx.HTTPError as error:
        raise ClickHouseUnavailableError(f"ClickHouse can't be reached: {type(error).__name__}", 2) from error
    if response.status_code != 200:
        raise from_clickhouse(response.text, response.headers.get("X-ClickHouse-Exception-Code"))
    return response.content


def _filtered(condition: str) -> dict[str, str]:
    """The setting with which ClickHouse reads only the events that meet a condition."""
    text = condition.replace("\\", "\\\\").replace("'", "\\'")
    return {"additional_table_filters": f"{{'otel_logs': '{text}'}}"}
