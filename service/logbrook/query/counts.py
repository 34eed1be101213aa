"""Counting events: histograms and what the services send, from the counts by minute where those suffice."""

import asyncio
from typing import Any

from logbrook.query import catalog, filters, search, timerange
from logbrook.query.answers import HistogramAnswer, Series, ServiceStats, StatsAnswer
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.events import beginning
from logbrook.query.selection import COUNTED, Selection
from logbrook.query.syntax import Field, Place
from logbrook.query.timerange import SECOND, TimeRange

_STEPS_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
    7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000, 315360000,
)  # fmt: skip
MAX_BUCKETS = 500
MAX_SERIES = 10
# It is repeated for each bucket.
_SERIES_NAME = 256
# Only the most frequent are counted: a sender could name any number of services.
MAX_GROUPS = 10_000
OTHER = "(other)"


async def histogram(engine: Engine, selection: Selection, by: str, buckets: int) -> HistogramAnswer:
    """Counts over time by severity, service or any field, in at most `buckets` steps of a round length."""
    spent = Spent()
    step = round_step(selection.period, buckets)
    period = selection.period.aligned(step)
    grouped_by_level = by in catalog.LEVEL_NAMES
    parameters = filters.Parameters()
    field = Field(Place.COLUMN, "SeverityNumber") if grouped_by_level else catalog.field(by)
    group = filters.value_sql(field, parameters)
    bucket, where = bucket_of(period, step, counted=selection.is_counted() and field.name in COUNTED)
    sql = (
        f"SELECT {bucket} AS bucket, {group} AS value, count() FROM otel_logs "
        f"WHERE {where} AND ({filters.condition(selection.node, parameters)}) GROUP BY bucket, value"
    )
    if not grouped_by_level:
        sql = _frequent_values(sql)
    rows = await engine.rows(Statement(sql, parameters.values), spent)
    size = (period.end - period.start) // step
    series = _series(rows, size, by_level=grouped_by_level)
    return HistogramAnswer(
        by=by,
        step_seconds=step / SECOND,
        buckets=[timerange.rfc3339(period.start + index * step) for index in range(size)],
        series=series,
        total=sum(each.total for each in series),
        cost=await engine.cost(spent),
    )


def _frequent_values(sql: str) -> str:
    """The same counts with all but the most frequent values lumped together, so that the result stays small."""
    listed = beginning("toString(value)", _SERIES_NAME)
    return (
        f"WITH counts AS ({sql.replace('count() FROM', 'count() AS events FROM', 1)}), frequent AS "
        f"(SELECT value FROM counts GROUP BY value ORDER BY sum(events) DESC LIMIT {MAX_SERIES:d}) "
        f"SELECT bucket, if(value IN (SELECT value FROM frequent), {listed}, '{OTHER}') AS series, sum(events) "
        "FROM counts GROUP BY bucket, series"
    )


def round_step(period: TimeRange, buckets: int) -> int:
    """The shortest round step, in nanoseconds, that needs no more buckets than that."""
    for seconds in _STEPS_SECONDS:
        step = int(seconds * SECOND)
        aligned = period.aligned(step)
        if (aligned.end - aligned.start) // step <= max(buckets, 2):
            return step
    return int(_STEPS_SECONDS[-1] * SECOND)


def bucket_of(period: TimeRange, step: int, *, counted: bool) -> tuple[str, str]:
    """SQL for the number of an event's bucket, and for the range; in whole minutes if the counts by minute suffice."""
    if counted and step % (60 * SECOND) == 0 and period.is_bucketed():
        start = period.start // SECOND
        bucket = f"intDiv(toUnixTimestamp(toStartOfMinute(Timestamp)) - {start:d}, {step // SECOND:d})"
        return bucket, search.minutes(period)
    # In seconds where that is exact: centuries in nanoseconds do not fit into 64 bits.
    unit, name = (SECOND, "Second") if step % SECOND == 0 else (1, "Nano")
    bucket = f"intDiv(toUnixTimestamp64{name}(Timestamp) - {period.start // unit:d}, {step // unit:d})"
    # Whole steps may go beyond what a time can be.
    return bucket, TimeRange(timerange.clamp(period.start), timerange.clamp(period.end)).condition()


def _series(rows: list[list[Any]], size: int, *, by_level: bool) -> list[Series]:
    counts: dict[str, list[int]] = {}
    for bucket, value, events in rows:
        name = catalog.level_name(value) if by_level else str(value)
        series = counts.setdefault(name, [0] * size)
        if 0 <= bucket < size:
            series[bucket] += events
    found = [Series(name=name, total=sum(each), counts=each) for name, each in counts.items()]
    if by_level:
        return sorted(found, key=lambda each: catalog.LEVELS[each.name])
    return sorted(found, key=lambda each: (each.name == OTHER, -each.total, each.name))


async def stats(engine: Engine, selection: Selection, limit: int) -> StatsAnswer:
    """What each service sent of a selection, how much of it was errors, how fresh it is; and the table's size."""
    spent, parameters, period = Spent(), filters.Parameters(), selection.period
    lowest, highest = timerange.BUCKET_RANGE
    start = min(max(period.start, lowest), highest - 60 * SECOND)
    minute = TimeRange(start, max(min(period.end, highest), start + 1)).aligned(60 * SECOND)
    sql = (
        f"SELECT {beginning('ServiceName')}, SeverityNumber, count() AS n, sum(length(Body)), "
        "toUnixTimestamp64Milli(max(IngestedAt)) "
        f"FROM otel_logs WHERE {search.minutes(minute)} AND ({filters.condition(selection.node, parameters)}) "
        f"GROUP BY ServiceName, SeverityNumber ORDER BY n DESC LIMIT {MAX_GROUPS:d}"
    )
    rows, [[age_seconds]], table_bytes = await asyncio.gather(
        engine.rows(Statement(sql, parameters.values), spent),
        engine.rows(Statement(_NEWEST_AGE), spent),
        engine.table_bytes(),
    )
    seconds = (minute.end - minute.start) / SECOND
    services = _services(rows, seconds)
    return StatsAnswer(
        services=services[:limit],
        events=sum(each.events for each in services),
        errors=sum(each.errors for each in services),
        freshness_seconds=age_seconds,
        table_rows=await engine.table_rows(),
        table_bytes=table_bytes,
        cost=await engine.cost(spent),
    )


# The newest arrival is known from the parts' own metadata; nothing is read.
_NEWEST_AGE = (
    "SELECT if(count() = 0, NULL, greatest(dateDiff('millisecond', max(IngestedAt), now64(3)), 0) / 1000)"
    " FROM otel_logs"
)


def _services(rows: list[list[Any]], seconds: float) -> list[ServiceStats]:
    services: dict[str, list[int]] = {}
    for service, severity, events, body_bytes, newest in rows:
        total = services.setdefault(service, [0, 0, 0, 0])
        total[0] += events
        total[1] += events if severity >= catalog.LEVELS["error"] else 0
        total[2] += body_bytes
        total[3] = max(total[3], newest)
    found = [
        ServiceStats(
            service=service,
            events=events,
            errors=errors,
            error_rate=round(errors / events, 6),
            events_per_second=round(events / seconds, 3),
            body_bytes=body_bytes,
            last_ingested_at=timerange.rfc3339(newest * 10**6),
        )
        for service, (events, errors, body_bytes, newest) in services.items()
    ]
    return sorted(found, key=lambda each: (-each.errors, -each.events, each.service))
