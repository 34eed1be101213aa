"""The API's answers as types: they are encoded as they are, and the OpenAPI document is generated from them."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from logbrook.query.columns import Event


class Cost(Struct, kw_only=True):
    """What an answer cost ClickHouse."""

    elapsed_ms: float  # in ClickHouse, all statements together
    rows_read: int
    bytes_read: int
    statements: int
    table_rows: int  # in the whole table
    pruned: bool  # fewer rows were read than the table has


class Answer(Struct, kw_only=True):
    """What every answer says about itself: whether it has all that Kafka had taken (docs/query.md)."""

    complete_until: str | None = None  # it has all that arrived by then, by ClickHouse's clock; null: never known
    behind_seconds: float | None = None  # how long ago that was
    pending_messages: int | None = None  # in Kafka and still to be stored; null: not known now
    unknown_since: str | None = None  # since when nobody has reported how far a partition is stored


class SearchAnswer(Answer, kw_only=True, rename={"from_": "from"}):
    """Events, the newest first, or the oldest if so asked."""

    events: list[Event]
    hints: list[str]  # how the query is read where other tools differ, or why nothing was found
    cursor: str | None  # for the next page; null on the last one
    from_: str
    to: str
    cost: Cost
    explain: list[str] | UnsetType = UNSET  # ClickHouse's plan with its indexes, if `explain` was asked for


class EventAnswer(Answer, kw_only=True):
    """One event with its whole body."""

    event: Event
    cost: Cost


class ContextAnswer(Answer, kw_only=True):
    """What the same source logged around one event, each list in order of time."""

    before: list[Event]
    event: Event
    after: list[Event]
    cost: Cost


class TraceAnswer(Answer, kw_only=True):
    """The events of one trace in order of time."""

    trace_id: str
    events: list[Event]
    services: list[str]
    started_at: str | None
    duration_ms: float
    complete: bool  # false: there are more events than the limit
    url: str  # of its spans in another program; empty if none is configured
    cost: Cost


class Series(Struct, kw_only=True):
    """One series of a histogram: a count for each bucket."""

    name: str
    total: int
    counts: list[int]


class HistogramAnswer(Answer, kw_only=True):
    """Counts over time. The first and last bucket count their whole step, including what is outside `from` and `to`."""

    by: str
    step_seconds: float
    buckets: list[str]  # when they begin
    series: list[Series]
    total: int
    cost: Cost


class FieldInfo(Struct, kw_only=True):
    """A field that a query can name."""

    name: str
    kind: str  # column, attribute or resource
    events: int  # how many have it; 0 if that was not counted


class FieldsAnswer(Answer, kw_only=True):
    """The fields of a time range."""

    fields: list[FieldInfo]
    cost: Cost


class ValueCount(Struct, kw_only=True):
    """A value and how many events have it."""

    value: str
    count: int


class ValuesAnswer(Answer, kw_only=True):
    """The values of a field, the most frequent first."""

    field: str
    values: list[ValueCount]
    exact: bool  # false: counted from the newest events only
    events_counted: int  # the matching events that were looked at; 0: not known
    cost: Cost


class Facet(Struct, kw_only=True):
    """The values of one field."""

    field: str
    values: list[ValueCount]


class FacetsAnswer(Answer, kw_only=True):
    """The values of several fields among the matching events."""

    facets: list[Facet]
    exact: bool
    events_counted: int
    cost: Cost


class ServiceStats(Struct, kw_only=True):
    """What one service sent in the range."""

    service: str
    events: int
    errors: int  # error and fatal
    error_rate: float
    events_per_second: float
    body_bytes: int
    last_ingested_at: str


class StatsAnswer(Answer, kw_only=True):
    """The services, the busiest first, and the table as a whole."""

    services: list[ServiceStats]
    events: int
    errors: int
    freshness_seconds: float | None  # since the newest arrival; null if nothing ever arrived
    table_rows: int
    table_bytes: int | None  # on disk, compressed; null if ClickHouse does not tell this user
    cost: Cost


class Pattern(Struct, kw_only=True):
    """Lines that differ only in their numbers and ids."""

    pattern: str
    count: int
    share: float
    severity: str  # the highest
    services: list[str]
    counts: list[int]  # for each bucket of the answer
    example: Event


class PatternsAnswer(Answer, kw_only=True):
    """Similar lines grouped, the most frequent first."""

    patterns: list[Pattern]
    step_seconds: float
    buckets: list[str]  # when they begin: at most 32, over the part of the range that was counted
    events_counted: int  # the newest matching ones
    exact: bool  # all matching events were counted
    cost: Cost


class View(Struct, kw_only=True, omit_defaults=True, rename={"from_": "from", "as_": "as"}):
    """What a saved view shows, as in the explorer's URL; a field that is left out has the explorer's default."""

    query: Annotated[str, Meta(max_length=4096)] = ""  # as long as a query may be
    from_: Annotated[str, Meta(max_length=64)] = "1h"
    to: Annotated[str, Meta(max_length=64)] = "now"
    by: Annotated[str, Meta(max_length=256)] = "level"
    view: Annotated[str, Meta(max_length=32)] = "events"
    as_: Annotated[str, Meta(max_length=32)] = ""  # how counts are shown
    columns: Annotated[str, Meta(max_length=8192)] = ""  # name or name:pixels, percent-encoded, comma-separated
    compare: Literal["", "before", "day", "week"] = ""  # with the range before, or the same a day or a week earlier
    sort: Annotated[str, Meta(max_length=64)] = ""  # a column of the list or table; with -, the largest first
    scale: Literal["", "log"] = ""  # of the charts
    wrap: Literal["", "1", "2"] = ""  # long texts; with 2, also all attributes below them
    dense: Literal["", "1"] = ""
    note: Annotated[str, Meta(max_length=4096)] = ""


class SavedView(Struct, kw_only=True):
    """One version of a saved view."""

    name: str
    version: int  # from 1, one more for each change
    saved_at: str
    saved_by: str
    owner: str  # who saved it first, and may delete it
    deleted: bool
    view: View


class ViewsAnswer(Answer, kw_only=True):
    """All saved views, by name."""

    views: list[SavedView]


class ViewAnswer(Answer, kw_only=True):
    """One saved view."""

    saved: SavedView
    history: list[SavedView]  # the last 100 versions, this one included, the newest first


class MeAnswer(Answer, kw_only=True):
    """Who asks, and what their role permits."""

    name: str  # under which their views are saved; empty if neither the service nor Logbrook-User gives one
    role: str  # empty without a file of roles
    permissions: list[str]  # of sql, export, views, and everything, which /v1/status and /v1/alerts need


class SqlColumn(Struct, kw_only=True):
    """A column of a result."""

    name: str
    type: str


class SqlAnswer(Answer, kw_only=True):
    """The result of one SELECT."""

    columns: list[SqlColumn]
    rows: list[list[Any]]
    truncated: bool  # there were more rows than the limit
    statement: str  # what was run
    cost: Cost


class QueryColumn(Struct, kw_only=True):
    """A column of the result."""

    name: str
    kind: str  # text, number, or time


class QueryAnswer(Answer, kw_only=True, rename={"from_": "from"}):
    """The result of a query with stages. A missing text is empty; a missing number is null."""

    columns: list[QueryColumn]
    rows: list[list[Any]]
    truncated: bool  # there are more rows
    step_seconds: float | None  # of a timechart; null without one
    hints: list[str]  # what was cut, how the query is read where other tools differ, or which fields are not there
    from_: str  # what was counted: whole steps of a timechart, whole minutes where the counts by minute answer
    to: str
    sql: str  # what was run
    cost: Cost


class Figure(Struct, kw_only=True):
    """One number about the platform."""

    name: str
    unit: str
    meaning: str
    value: float | None  # null: there is no data yet


class Alert(Struct, kw_only=True):
    """An alert whose condition holds."""

    name: str
    severity: str
    firing: bool  # false: it has not held for long enough
    since: str
    summary: str
    description: str
    runbook: str  # the page and heading of the documentation that say what to do


class Process(Struct, kw_only=True):
    """A process that Prometheus watches."""

    name: str
    address: str
    up: bool


class StatusAnswer(Answer, kw_only=True):
    """The state of the platform itself."""

    figures: list[Figure]
    alerts: list[Alert]
    processes: list[Process]


class RuleState(Struct, kw_only=True):
    """A rule of `logbrook alert`, and how far it is."""

    name: str
    query: str
    condition: str
    severity: str
    matches: int | None  # of its query, in the last window; null: not evaluated since the start
    evaluated_until: str | None


class RuleAlert(Struct, kw_only=True):
    """An alert of a rule: for one group, if the rule has groups."""

    rule: str
    group: dict[str, str]
    severity: str
    firing: bool  # false: it has not held for long enough
    since: str
    description: str
    link: str


class RuleChange(Struct, kw_only=True):
    """What happened to an alert."""

    at: str
    rule: str
    group: dict[str, str]
    what: str  # fired, or resolved
    link: str


class AlertsAnswer(Answer, kw_only=True):
    """The rules on what logs say, what holds, and what happened, the latest first."""

    rules: list[RuleState]
    firing: list[RuleAlert]
    history: list[RuleChange]


class ErrorBody(Struct, kw_only=True, omit_defaults=True):
    """What went wrong and what to do about it."""

    code: str
    message: str
    position: int | UnsetType = UNSET  # the character of the query, from 0
    expected: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class ErrorAnswer(Struct, kw_only=True):
    """Every answer of 400 and above."""

    error: ErrorBody
