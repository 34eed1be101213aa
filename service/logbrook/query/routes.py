"""Every route of the API: its parameters, its answer, and the function that makes it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import UNSET, Meta, Struct, field

from logbrook.query import (
    answers,
    counts,
    events,
    hints,
    language,
    lookups,
    patterns,
    search,
    statement,
    status,
    tables,
    timerange,
    values,
    views,
)
from logbrook.query.access import Me
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.refusals import BadRequestError
from logbrook.query.roles import PERMISSIONS
from logbrook.query.selection import Selection, select


def _says(meaning: str, example: str | None = None) -> Meta:
    return Meta(description=meaning, examples=[example] if example else None)


def _most(highest: int, lowest: int = 1, meaning: str = "Maximum number to return.") -> Meta:
    return Meta(description=meaning, ge=lowest, le=highest)


From = Annotated[str, _says("Beginning: RFC 3339, seconds since 1970, or how long ago (15m, 2h, 7d).")]
To = Annotated[str, _says("End, not included; written like `from`.")]
EventId = Annotated[str, _says("`id` of the event.", "1764000000000000000.3.17.0.abc")]


class Nothing(Struct):
    """No parameters."""


class Filter(Struct):
    """Which events, of any time."""

    query: Annotated[
        str, _says("In the query language; everything if it is empty.", 'connection "timed out" level>=warn')
    ] = ""
    service: Annotated[str, _says("Only this service.")] = ""
    severity: Annotated[str, _says("Only this level and higher ones: trace, debug, info, warn, error, fatal.")] = ""

    def within(self, period: timerange.TimeRange) -> Selection:
        """The events of a range. Raises RejectedError."""
        return select(self.query, period, self.service, self.severity)


class Selected(Filter):
    """Which events of a range."""

    from_: From = field(default="1h", name="from")
    to: To = "now"

    def selection(self) -> Selection:
        """The events. Raises RejectedError."""
        return self.within(_period(self))


class Export(Selected):
    """What /v1/export takes."""

    format: Annotated[Literal["ndjson", "csv", "arrow", "parquet"], _says("The format of the events.")] = "ndjson"


class _Range(Struct):
    from_: From = field(default="1h", name="from")
    to: To = "now"


def _period(given: Selected | _Range) -> timerange.TimeRange:
    return timerange.parse_range(given.from_, given.to, time.time_ns())


class _Search(Selected):
    limit: Annotated[int, _most(1000)] = 100
    order: Annotated[Literal["desc", "asc"], _says("By time: `desc` is newest first, `asc` is oldest first.")] = "desc"
    cursor: Annotated[
        str, _says("`cursor` of the previous page: continues after it, with the same query and order.")
    ] = ""
    explain: Annotated[bool, _says("Add ClickHouse's plan and what its indexes prune.")] = False


class _Query(Selected):
    limit: Annotated[int, _most(counts.MAX_GROUPS)] = counts.MAX_GROUPS


class _Histogram(Selected):
    by: Annotated[str, _says("The field to count by: level, service, attr.http.route.")] = "level"
    buckets: Annotated[int, _most(counts.MAX_BUCKETS, 2, "Maximum number of buckets.")] = 60


class _Values(Selected):
    field: Annotated[str, _says("The field: level, service, attr.http.route.", "service")] = ""
    prefix: Annotated[str, _says("Only values that begin with this, ignoring case.")] = ""
    contains: Annotated[str, _says("Only values that contain this, ignoring case.")] = ""
    limit: Annotated[int, _most(1000)] = 20


class _Facets(Selected):
    fields: Annotated[str, _says("Names, comma-separated; default: service, level, and useful attributes.")] = ""
    limit: Annotated[int, _most(100)] = 10


class _Event(Struct):
    id: EventId


class _Context(Struct):
    id: EventId = ""
    before: Annotated[int, _most(500, 0, "Maximum number of events before it.")] = 20
    after: Annotated[int, _most(500, 0, "Maximum number of events after it.")] = 20


class _Trace(Struct):
    trace_id: Annotated[str, _says("Hexadecimal digits, with or without dashes.")]
    limit: Annotated[int, _most(10_000)] = 1000


class _Stats(Selected):
    limit: Annotated[int, _most(1000)] = 50


class _Patterns(Selected):
    limit: Annotated[int, _most(200)] = 50


class Sql(Struct, forbid_unknown_fields=True):
    """The body of /v1/sql."""

    sql: str


class _View(Struct):
    # Characters that are safe in a path and unambiguous in a title.
    name: Annotated[
        str,
        Meta(description="Its name.", examples=["checkout errors"], pattern=r"^[\w(][\w .:()+-]{0,99}$(?!\n)"),
    ]


class _Change(_View):
    version: Annotated[int, _most(2**31, 0, "The version that is changed; 0 for a new view.")] = 0


class NewView(answers.View, forbid_unknown_fields=True):
    """The body of a PUT to /v1/views/{name}."""


@dataclass(frozen=True)
class Route:
    """A route that answers with one JSON document, as `handle` declares it.

    `handle` takes what it asks (the engine, for example), a struct of the URL's parameters, and maybe one of the body.
    """

    path: str
    summary: str
    handle: Callable[..., Awaitable[answers.Answer]]
    method: str = "GET"
    statuses: tuple[int, ...] = ()
    needs: str = ""

    @property
    def permission(self) -> str:
        """What a role must allow. Only what comes from the engine is filtered; all else needs `everything`."""
        return self.needs or {Engine: "", Me: "", views.Views: "views"}.get(self.declared[0], "everything")

    @cached_property
    def declared(self) -> tuple[type[Any], type[Struct], type[answers.Answer]]:
        """What `handle` asks, a struct of its parameters, and one of its answer."""
        asked, parameters, *_, answer = get_type_hints(self.handle).values()
        return asked, parameters, answer

    @cached_property
    def body(self) -> type[Struct] | None:
        """The struct of the body, if there is one."""
        _, _, *body, _ = get_type_hints(self.handle).values()
        return body[0] if body else None


async def _search(engine: Engine, given: _Search) -> answers.SearchAnswer:
    wanted, after = given.selection(), None
    if given.cursor:
        after, start = events.from_cursor(given.cursor)
        end = max(wanted.period.end, after.nanoseconds + 1, start + 1)
        wanted = given.within(timerange.TimeRange(start, end))
    explained: list[str] | None = [] if given.explain else None
    spent = Spent()
    look = search.Look(engine, wanted, spent, after, oldest_first=given.order == "asc", explained=explained)
    page = await search.page(look, given.limit)
    last = events.position(page.events[-1].id, "cursor") if page.more else None
    _, end = language.split(given.query)
    found_hints = hints.of_query(given.query[:end], wanted.node)
    if end < len(given.query):
        found_hints.append("These are the events that the filter finds; /v1/query runs the stages after the first `|`.")
    if not page.events and not given.cursor:
        found_hints += await hints.of_nothing(engine, wanted, spent)
    return answers.SearchAnswer(
        events=page.events,
        hints=found_hints,
        cursor=events.cursor(last, wanted.period.start) if last else None,
        from_=timerange.rfc3339(wanted.period.start),
        to=timerange.rfc3339(wanted.period.end),
        cost=await engine.cost(spent),
        explain=UNSET if explained is None else explained,
    )


async def _query(engine: Engine, given: _Query) -> answers.QueryAnswer:
    return await tables.table(engine, given.selection(), given.query, given.limit)


async def _histogram(engine: Engine, given: _Histogram) -> answers.HistogramAnswer:
    return await counts.histogram(engine, given.selection(), _name(given.by, "by"), given.buckets)


async def _fields(engine: Engine, given: _Range) -> answers.FieldsAnswer:
    return await values.fields(engine, _period(given))


async def _values(engine: Engine, given: _Values) -> answers.ValuesAnswer:
    name = _name(given.field, "field")
    return await values.values(
        engine, given.selection(), values.Wanted(name, given.limit, given.prefix[:256], given.contains[:256])
    )


async def _facets(engine: Engine, given: _Facets) -> answers.FacetsAnswer:
    names = [_name(name.strip(), "fields") for name in given.fields.split(",") if name.strip()]
    if len(names) > 10:
        raise BadRequestError("bad_parameter", "fields: at most 10 names", parameter="fields")
    return await values.facets(engine, given.selection(), names, given.limit)


def _name(name: str, parameter: str) -> str:
    """The name of a field. Raises RejectedError if it can't be one."""
    if not name or len(name) > 256 or not name.isprintable():
        message = f"{parameter}: expected the name of a field, such as service or attr.user.id"
        raise BadRequestError("bad_parameter", message, parameter=parameter)
    return name


async def _event(engine: Engine, given: _Event) -> answers.EventAnswer:
    return await lookups.event(engine, given.id)


async def _context(engine: Engine, given: _Context) -> answers.ContextAnswer:
    return await lookups.context(engine, given.id, given.before, given.after)


async def _trace(engine: Engine, given: _Trace) -> answers.TraceAnswer:
    return await lookups.trace(engine, given.trace_id, given.limit)


async def _stats(engine: Engine, given: _Stats) -> answers.StatsAnswer:
    return await counts.stats(engine, given.selection(), given.limit)


async def _patterns(engine: Engine, given: _Patterns) -> answers.PatternsAnswer:
    return await patterns.patterns(engine, given.selection(), given.limit)


async def _status(prometheus: status.Prometheus, _given: Nothing) -> answers.StatusAnswer:
    return await status.status(prometheus)


async def _alerts(evaluator: status.Evaluator, _given: Nothing) -> answers.AlertsAnswer:
    return await evaluator.alerts()


async def _me(me: Me, _given: Nothing) -> answers.MeAnswer:
    permissions = [each for each in (*PERMISSIONS, "everything") if me.role.allows(each)]
    return answers.MeAnswer(name=me.name, role=me.role.name, permissions=permissions)


async def _views(saved: views.Views, _given: Nothing) -> answers.ViewsAnswer:
    return await saved.all()


async def _view(saved: views.Views, given: _View) -> answers.ViewAnswer:
    return await saved.one(given.name)


async def _save_view(saved: views.Views, given: _Change, body: NewView) -> answers.ViewAnswer:
    return await saved.save(given.name, given.version, body)


async def _delete_view(saved: views.Views, given: _Change) -> answers.ViewAnswer:
    return await saved.delete(given.name, given.version)


async def _sql(engine: Engine, _given: Nothing, body: Sql) -> answers.SqlAnswer:
    rows_limit = engine.query.max_result_rows
    sql = await statement.check(body.sql, engine.clickhouse.database, rows_limit, engine.text)
    spent = Spent()
    result = await engine.result(Statement(sql, lane="sql"), spent)
    return answers.SqlAnswer(
        columns=[answers.SqlColumn(name=each["name"], type=each["type"]) for each in result["meta"]],
        rows=result["data"][:rows_limit],
        truncated=len(result["data"]) > rows_limit,
        statement=sql,
        cost=await engine.cost(spent),
    )


_NAMED = "The header Logbrook-User names you, unless the request is authenticated."
ROUTES = (
    Route("/v1/search", "Events, newest or oldest first; pages stay the same while new events arrive.", _search),
    Route("/v1/query", "The result of a query with stages: counts, aggregates, tables.", _query),
    Route("/v1/histogram", "Counts over time, by level, service, or any other field.", _histogram),
    Route("/v1/fields", "The fields that a query may name.", _fields),
    Route("/v1/values", "The most frequent values of a field, for autocomplete.", _values),
    Route("/v1/facets", "The most frequent values of several fields among the matching events.", _facets),
    Route("/v1/events/{id}", "One event with its whole body.", _event, statuses=(404,)),
    Route("/v1/context", "What the same source logged around one event.", _context, statuses=(404,)),
    Route("/v1/traces/{trace_id}", "All events of a trace in chronological order.", _trace),
    Route("/v1/stats", "Services with their errors, rates, and sizes; freshness and size of the table.", _stats),
    Route("/v1/patterns", "Similar lines, grouped.", _patterns),
    Route("/v1/status", "The state of the platform itself. Needs Prometheus.", _status, statuses=(404,)),
    Route("/v1/alerts", "Alerts on what logs say. Needs `logbrook alert`.", _alerts, statuses=(404,)),
    Route("/v1/me", "Who asks, as the service knows them, and what their role permits.", _me),
    Route("/v1/views", "Saved views.", _views, statuses=(404,)),
    Route("/v1/views/{name}", "One saved view and its history.", _view, statuses=(404,)),
    Route("/v1/views/{name}", f"Save a view. {_NAMED}", _save_view, method="PUT", statuses=(404, 409, 413)),
    Route("/v1/views/{name}", f"Delete your own view. {_NAMED}", _delete_view, method="DELETE", statuses=(404, 409)),
    Route("/v1/sql", "One read-only SELECT on otel_logs.", _sql, method="POST", statuses=(413,), needs="sql"),
)
