"""Single events and what belongs to them: the whole event, the lines around it, its trace."""

import asyncio
import dataclasses

from logbrook.query import events, filters, search, timerange
from logbrook.query.answers import ContextAnswer, EventAnswer, TraceAnswer
from logbrook.query.columns import Event
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.refusals import BadRequestError, NotThereError
from logbrook.query.selection import Selection
from logbrook.query.syntax import All, Equals, Field, Node, Place
from logbrook.query.timerange import TimeRange

_NEAR = (5 * 60 * timerange.SECOND, 3600 * timerange.SECOND)
_FAR = 7 * 86400 * timerange.SECOND
_MAX_TRACE_ID = 64
# Retention deletes whole days of arrival. Without a role's filter, it is known from the parts' own metadata.
_KEPT_SINCE = "SELECT toUnixTimestamp(toStartOfDay(min(IngestedAt))) FROM otel_logs"
# The attributes of a resource that tell one source from another, if it has them.
_SOURCE_KEYS = ("service.instance.id", "k8s.pod.uid", "k8s.pod.name", "container.id", "host.id", "host.name")


async def event(engine: Engine, event_id: str) -> EventAnswer:
    """One event with its whole body. Raises RejectedError if it does not exist, `expired` if it is no longer kept."""
    spent = Spent()
    found = await _event(engine, event_id, spent)
    return EventAnswer(event=found, cost=await engine.cost(spent))


async def _event(engine: Engine, event_id: str, spent: Spent) -> Event:
    position = events.position(event_id, "id")
    parameters = filters.Parameters()
    near = TimeRange(position.nanoseconds, position.nanoseconds + 1).condition()
    sql = f"SELECT {events.columns(None)} FROM otel_logs WHERE {near} AND {position.identity(parameters)} LIMIT 1"
    rows = await engine.rows(Statement(sql, parameters.values), spent)
    if not rows:
        kept_since = (await engine.seeing("").rows(Statement(_KEPT_SINCE), spent))[0][0] * timerange.SECOND
        if kept_since > max(position.nanoseconds, 0):
            raise NotThereError(
                "expired",
                f"the event of {timerange.rfc3339(position.nanoseconds)} is no longer stored: only events that arrived "
                f"since {timerange.rfc3339(kept_since)} are kept. Search for a newer one like it, or restore a backup",
            )
        raise NotThereError("no_such_event", "there is no such event")
    return events.from_row(rows[0])


async def context(engine: Engine, event_id: str, before: int, after: int) -> ContextAnswer:
    """What the same source logged around one event: same service and same instance, pod, container or host."""
    spent = Spent()
    found = await _event(engine, event_id, spent)
    at, source = events.position(found.id, "id"), _same_source(found)
    selection = Selection(source, TimeRange(at.nanoseconds, at.nanoseconds + 1))
    older, newer = await asyncio.gather(
        _around(search.Look(engine, selection, spent, after=at), before),
        _around(search.Look(engine, selection, spent, after=at, oldest_first=True), after),
    )
    return ContextAnswer(before=older[::-1], event=found, after=newer, cost=await engine.cost(spent))


def _same_source(found: Event) -> Node:
    parts: list[Node] = [Equals(Field(Place.COLUMN, "ServiceName"), found.service)]
    parts += [Equals(Field(Place.RESOURCE, key), found.resource[key]) for key in _SOURCE_KEYS if key in found.resource]
    return All(tuple(parts))


async def _around(look: search.Look, limit: int) -> list[Event]:
    """The nearest events on one side: the minutes next to the event first, as they nearly always suffice."""
    for distance in _NEAR:
        found = await look.read(_beside(look, distance), limit)
        if len(found) >= limit:
            return found
    wide = dataclasses.replace(look, selection=Selection(look.selection.node, _beside(look, _FAR)))
    return (await search.page(wide, limit)).events


def _beside(look: search.Look, distance: int) -> TimeRange:
    at = look.selection.period
    start, end = (at.start, at.end + distance) if look.oldest_first else (at.start - distance, at.end)
    return TimeRange(timerange.clamp(start), timerange.clamp(end))


async def trace(engine: Engine, trace_id: str, limit: int) -> TraceAnswer:
    """The events of a trace in order of time, whenever they were."""
    wanted = trace_id.replace("-", "").lower()
    if not wanted or len(wanted) > _MAX_TRACE_ID or not wanted.isalnum():
        raise BadRequestError("bad_trace_id", "trace_id: expected hexadecimal digits", parameter="trace_id")
    spent, parameters = Spent(), filters.Parameters()
    rest = (
        f"FROM otel_logs WHERE TraceId = {parameters.text(wanted)} ORDER BY {events.OLDEST_FIRST} LIMIT {limit + 1:d}"
    )
    rows = await events.listed(engine, rest, parameters, spent)
    found = rows[:limit]
    times = [events.position(each.id, "id").nanoseconds for each in found]
    return TraceAnswer(
        trace_id=wanted,
        events=found,
        services=sorted({each.service for each in found}),
        started_at=found[0].timestamp if found else None,
        duration_ms=(times[-1] - times[0]) / 10**6 if found else 0.0,
        complete=len(rows) <= limit,
        url=engine.query.trace_url.replace("{trace_id}", wanted),
        cost=await engine.cost(spent),
    )
