"""Every route of the API: its parameters, what it answers, and the function that does it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from logbrook.errors import RejectedError
from logbrook.query import answers, counts, events, lookups, patterns, search, statement, status, timerange, values
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.parameters import Parameter
from logbrook.query.selection import Selection, select

Values = dict[str, Any]

_QUERY = Parameter(
    "query", "", "Query language; nothing matches everything.", example='connection "timed out" level>=warn'
)
_FROM = Parameter("from", "1h", "Beginning: RFC 3339, seconds since 1970, or how long ago (15m, 2h, 7d).")
_TO = Parameter("to", "now", "End, not included; written like `from`.")
_SERVICE = Parameter("service", "", "Only this service.")
_SEVERITY = Parameter("severity", "", "Only this level and graver ones: trace, debug, info, warn, error, fatal.")
_SELECTION = (_QUERY, _FROM, _TO, _SERVICE, _SEVERITY)


def _limit(default: int, highest: int) -> Parameter:
    return Parameter("limit", default, "Most of them in the answer.", lowest=1, highest=highest)


def selection(given: Values, node_only: bool = False) -> Selection:
    """The events that a request is about. Raises RejectedError."""
    now = time.time_ns()
    period = timerange.TimeRange(now, now + 1) if node_only else _period(given, now)
    return select(given["query"], period, given.get("service", ""), given.get("severity", ""))


def _period(given: Values, now: int | None = None) -> timerange.TimeRange:
    return timerange.parse_range(given["from"], given["to"], time.time_ns() if now is None else now)


@dataclass(frozen=True)
class Route:
    """A route that answers with one JSON document."""

    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    answer: type[msgspec.Struct]
    handle: Callable[[Engine, Values], Awaitable[msgspec.Struct]]
    method: str = "GET"
    statuses: tuple[int, ...] = ()


async def _search(engine: Engine, given: Values) -> answers.SearchAnswer:
    wanted, after = selection(given), None
    if given["cursor"]:
        after, start = events.from_cursor(given["cursor"])
        end = max(wanted.period.end, after.nanoseconds + 1, start + 1)
        wanted = Selection(wanted.node, timerange.TimeRange(start, end))
    explained: list[str] | None = [] if given["explain"] else None
    spent = Spent()
    page = await search.page(search.Look(engine, wanted, spent, after, explained=explained), given["limit"])
    last = events.row_position(page.rows[-1]) if page.more else None
    return answers.SearchAnswer(
        events=[events.from_row(row) for row in page.rows],
        cursor=events.cursor(last, wanted.period.start) if last else None,
        from_=timerange.rfc3339(wanted.period.start),
        to=timerange.rfc3339(wanted.period.end),
        cost=await engine.cost(spent),
        explain=msgspec.UNSET if explained is None else explained,
    )


async def _histogram(engine: Engine, given: Values) -> answers.HistogramAnswer:
    return await counts.histogram(engine, selection(given), _name(given["by"], "by"), given["buckets"])


async def _fields(engine: Engine, given: Values) -> answers.FieldsAnswer:
    return await values.fields(engine, _period(given))


async def _values(engine: Engine, given: Values) -> answers.ValuesAnswer:
    name = _name(given["field"], "field")
    return await values.values(engine, selection(given), values.Wanted(name, given["prefix"][:256], given["limit"]))


async def _facets(engine: Engine, given: Values) -> answers.FacetsAnswer:
    names = [_name(name.strip(), "fields") for name in given["fields"].split(",") if name.strip()]
    if len(names) > 10:
        raise RejectedError(400, "bad_parameter", "fields: at most 10 names", parameter="fields")
    return await values.facets(engine, selection(given), names, given["limit"])


def _name(name: str, parameter: str) -> str:
    """The name of a field. Raises RejectedError if it can't be one."""
    if not name or len(name) > 256 or not name.isprintable():
        raise RejectedError(
            400, "bad_parameter", f"{parameter}: expected the name of a field, such as service or attr.user.id",
            parameter=parameter,
        )  # fmt: skip
    return name


async def _event(engine: Engine, given: Values) -> answers.EventAnswer:
    return await lookups.event(engine, given["id"])


async def _context(engine: Engine, given: Values) -> answers.ContextAnswer:
    return await lookups.context(engine, given["id"], given["before"], given["after"])


async def _trace(engine: Engine, given: Values) -> answers.TraceAnswer:
    return await lookups.trace(engine, given["trace_id"], given["limit"])


async def _stats(engine: Engine, given: Values) -> answers.StatsAnswer:
    return await counts.stats(engine, _period(given), given["limit"])


async def _patterns(engine: Engine, given: Values) -> answers.PatternsAnswer:
    return await patterns.patterns(engine, selection(given), given["limit"])


async def _status(engine: Engine, _given: Values) -> answers.StatusAnswer:
    return await status.status(engine.prometheus)


async def _sql(engine: Engine, given: Values) -> answers.SqlAnswer:
    rows_limit = engine.query.max_result_rows
    sql = await statement.check(given["sql"], engine.clickhouse.database, rows_limit, engine.text)
    spent = Spent()
    result = await engine.result(Statement(sql, lane="sql"), spent)
    return answers.SqlAnswer(
        columns=[answers.SqlColumn(name=each["name"], type=each["type"]) for each in result["meta"]],
        rows=result["data"][:rows_limit],
        truncated=len(result["data"]) > rows_limit,
        statement=sql,
        cost=await engine.cost(spent),
    )


ROUTES = (
    Route(
        "/v1/search",
        "Events, the newest first, page by page; pages stay the same while new events arrive.",
        (
            *_SELECTION,
            _limit(100, 1000),
            Parameter("cursor", "", "`cursor` of the page before: goes on behind it, with the same query."),
            Parameter("explain", False, "Add ClickHouse's plan and what its indexes prune."),
        ),
        answers.SearchAnswer,
        _search,
    ),
    Route(
        "/v1/histogram",
        "Counts over time, by level, service or any other field.",
        (
            *_SELECTION,
            Parameter("by", "level", "The field to count by: level, service, attr.http.route."),
            Parameter("buckets", 60, "Most buckets.", lowest=2, highest=counts.MAX_BUCKETS),
        ),
        answers.HistogramAnswer,
        _histogram,
    ),
    Route(
        "/v1/fields",
        "The fields that a query may name.",
        (_FROM, _TO),
        answers.FieldsAnswer,
        _fields,
    ),
    Route(
        "/v1/values",
        "The most frequent values of a field, for autocomplete.",
        (
            Parameter("field", "", "The field: level, service, attr.http.route.", example="service"),
            Parameter("prefix", "", "Only values that begin so, in any case."),
            *_SELECTION,
            _limit(20, 1000),
        ),
        answers.ValuesAnswer,
        _values,
    ),
    Route(
        "/v1/facets",
        "The most frequent values of several fields among the matching events.",
        (
            *_SELECTION,
            Parameter("fields", "", "Names, comma-separated; without: service, level and the attributes worth it."),
            _limit(10, 100),
        ),
        answers.FacetsAnswer,
        _facets,
    ),
    Route(
        "/v1/events/{id}",
        "One event with its whole body.",
        (Parameter("id", "", "`id` of the event.", in_path=True),),
        answers.EventAnswer,
        _event,
        statuses=(404,),
    ),
    Route(
        "/v1/context",
        "The lines around one event, of the same service and the same instance, pod, container or host.",
        (
            Parameter("id", "", "`id` of the event.", example="1764000000000000000.3.17.0.abc"),
            Parameter("before", 20, "Most events before it.", lowest=0, highest=500),
            Parameter("after", 20, "Most events after it.", lowest=0, highest=500),
        ),
        answers.ContextAnswer,
        _context,
        statuses=(404,),
    ),
    Route(
        "/v1/traces/{trace_id}",
        "All events of a trace in order of time.",
        (
            Parameter("trace_id", "", "Hexadecimal digits, with or without dashes.", in_path=True),
            _limit(1000, 10_000),
        ),
        answers.TraceAnswer,
        _trace,
    ),
    Route(
        "/v1/stats",
        "The services with the most errors, their rates and sizes; freshness and size of the table.",
        (_FROM, _TO, _limit(50, 1000)),
        answers.StatsAnswer,
        _stats,
    ),
    Route(
        "/v1/patterns",
        "Similar lines grouped.",
        (*_SELECTION, _limit(50, 200)),
        answers.PatternsAnswer,
        _patterns,
    ),
    Route(
        "/v1/status",
        "How the platform itself is: figures, alerts, and which processes answer. Needs Prometheus.",
        (),
        answers.StatusAnswer,
        _status,
        statuses=(404,),
    ),
    Route(
        "/v1/sql",
        "One read-only SELECT on otel_logs. The body is the statement as text.",
        (),
        answers.SqlAnswer,
        _sql,
        method="POST",
        statuses=(413,),
    ),
)

TAIL = (_QUERY, _SERVICE, _SEVERITY)
EXPORT = (*_SELECTION, Parameter("format", "ndjson", "How to write the events.", choices=("ndjson", "csv")))
