"""The fields of events and their most frequent values: for autocomplete, facets, and the field list.

Attributes have no columns of their own. Without a filter their values come from sketches by hour (a projection); with
one, from the newest matching events. Answers say which: `exact`, `events_counted`.
"""

from dataclasses import dataclass
from typing import Any

from logbrook.query import catalog, filters, sampling, search, syntax, timerange
from logbrook.query.answers import Facet, FacetsAnswer, FieldInfo, FieldsAnswer, ValueCount, ValuesAnswer
from logbrook.query.counts import MAX_GROUPS, value_sql
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.events import beginning
from logbrook.query.selection import Selection
from logbrook.query.syntax import Everything, Field, Place
from logbrook.query.timerange import SECOND, TimeRange

_HOUR = 3600 * SECOND
# Shorter ranges are read event by event: the hours around them would say too little about them.
_SKETCHED_FROM = 2 * _HOUR
# As in the projection `by_hour`: values that a sketch keeps for each attribute.
_SKETCH_SIZE = 64
_MAX_FACETS = 12
_FACET_SHARE = 0.02


@dataclass(frozen=True)
class Attribute:
    """What is known of one attribute: how many events have it, and its values, the most frequent first."""

    key: str
    events: int
    values: dict[str, int]  # none too high: a count that may be too high is left out
    complete: bool  # there are no other values


Attributes = dict[str, Attribute]


@dataclass(frozen=True)
class Counted:
    """How many events were counted, and whether those are all that match."""

    events: int
    exact: bool


async def fields(engine: Engine, period: TimeRange) -> FieldsAnswer:
    """The columns, and the attributes that events of this range have."""
    spent = Spent()
    log, resource, _ = await attributes(engine, Selection(Everything(), period), spent)
    found = [FieldInfo(name=name, kind="column", events=0) for name in catalog.SHOWN]
    for kind, prefix, known in (("attribute", "attr", log), ("resource", "resource", resource)):
        ordered = sorted(known.values(), key=lambda each: (-each.events, each.key))
        found += [FieldInfo(name=f"{prefix}.{each.key}", kind=kind, events=each.events) for each in ordered]
    return FieldsAnswer(fields=found, cost=await engine.cost(spent))


async def attributes(engine: Engine, selection: Selection, spent: Spent) -> tuple[Attributes, Attributes, Counted]:
    """All attributes of the event and of the resource."""
    if _is_sketched(selection):
        hours = selection.period.aligned(_HOUR)
        within = timerange.outside_the_key(
            f"toStartOfHour(Timestamp) >= toDateTime({hours.start // SECOND:d})",
            f"toStartOfHour(Timestamp) < toDateTime({hours.end // SECOND:d})",
        )
        [row] = await engine.rows(Statement(f"{_SKETCHES} FROM otel_logs WHERE {within}"), spent)
        return _read_sketches(row[0], row[1]), _read_sketches(row[2], row[3]), Counted(0, exact=True)
    parameters = filters.Parameters()
    sample = await sampling.sample(engine, selection, spent)
    inner = sample.source("LogAttributes, ResourceAttributes", parameters)
    [row] = await engine.rows(Statement(f"{_SKETCHES}, count() FROM ({inner})", parameters.values), spent)
    counted = Counted(row[4], exact=sample.is_exact(row[4]))
    return _read_sketches(row[0], row[1]), _read_sketches(row[2], row[3]), counted


_SKETCHES = "SELECT " + ", ".join(
    f"countMap({column}), approx_top_kMap({_SKETCH_SIZE})({column})"
    for column in ("LogAttributes", "ResourceAttributes")
)


def _read_sketches(counts: dict[str, int], sketches: dict[str, list[dict[str, Any]]]) -> Attributes:
    return {
        key: Attribute(
            key,
            int(events),
            {item["item"]: int(item["count"]) for item in sketches.get(key, []) if not int(item["error"])},
            complete=len(sketches.get(key, [])) < _SKETCH_SIZE,
        )
        for key, events in counts.items()
    }


def _is_sketched(selection: Selection) -> bool:
    """Whether the sketches by hour can answer: no filter, and long enough that the edges do not matter."""
    period, (lowest, highest) = selection.period, timerange.BUCKET_RANGE
    long_enough = period.end - period.start >= _SKETCHED_FROM
    return isinstance(selection.node, Everything) and long_enough and lowest <= period.start and period.end <= highest


@dataclass(frozen=True)
class Wanted:
    """Which values: of which field, how many at most, and how they begin and what they contain, in any case."""

    name: str
    limit: int
    prefix: str = ""
    part: str = ""


async def values(engine: Engine, selection: Selection, wanted: Wanted) -> ValuesAnswer:
    """The values of a field, the most frequent first."""
    spent = Spent()
    found, counted = await _values(engine, selection, wanted, spent)
    return ValuesAnswer(
        field=wanted.name,
        values=found,
        exact=counted.exact,
        events_counted=counted.events,
        cost=await engine.cost(spent),
    )


async def _values(
    engine: Engine, selection: Selection, wanted: Wanted, spent: Spent
) -> tuple[list[ValueCount], Counted]:
    field = catalog.COLUMNS["service"] if wanted.name in catalog.LEVEL_NAMES else catalog.field(wanted.name)
    if wanted.name in catalog.LEVEL_NAMES or field.name == "ServiceName":
        column = "SeverityNumber" if wanted.name in catalog.LEVEL_NAMES else "ServiceName"
        counts, counted = await _column_counts(engine, selection, column, spent)
        return _most_frequent(counts, wanted), counted
    if _is_sketched(selection) and field.place in (Place.LOG, Place.RESOURCE, Place.ANYWHERE):
        log, resource, _ = await attributes(engine, selection, spent)
        places = {Place.LOG: log, Place.RESOURCE: resource}
        known = places.get(field.place, resource | log).get(field.name)
        if known is None:
            return [], Counted(0, exact=True)
        if known.complete:
            return _most_frequent(known.values, wanted), Counted(known.events, exact=True)
    return await _sampled_values(engine, selection, field, wanted, spent)


async def _sampled_values(
    engine: Engine, selection: Selection, field: Field, wanted: Wanted, spent: Spent
) -> tuple[list[ValueCount], Counted]:
    parameters = filters.Parameters()
    value = value_sql(field, parameters)
    sample = await sampling.sample(engine, selection, spent)
    start, part = (parameters.text(syntax.lowered(each)) for each in (wanted.prefix, wanted.part))
    fits = f"value != '' AND startsWith(lower(value), {start}) AND position(lower(value), {part}) > 0"
    sql = (
        f"SELECT {beginning('value')}, count(), sum(count()) OVER () FROM ("
        + sample.source(f"{value} AS value", parameters, fits)
        + f") GROUP BY value ORDER BY count() DESC, value LIMIT {wanted.limit:d}"
    )
    rows = await engine.rows(Statement(sql, parameters.values), spent)
    events = rows[0][2] if rows else 0
    found = [ValueCount(value=row[0], count=row[1]) for row in rows]
    return found, Counted(events, exact=sample.is_exact(events))


async def services(engine: Engine, selection: Selection, spent: Spent) -> list[str]:
    """The services of a selection, the most frequent first."""
    counts, _ = await _column_counts(engine, selection, "ServiceName", spent)
    return sorted(counts, key=lambda each: -counts[each])


async def _column_counts(
    engine: Engine, selection: Selection, column: str, spent: Spent
) -> tuple[dict[str, int], Counted]:
    """Counts by service or level: exact from the counts by minute if the filter and the range allow it."""
    period, (lowest, highest) = selection.period, timerange.BUCKET_RANGE
    parameters = filters.Parameters()
    exact = True
    if selection.is_counted() and lowest <= period.start and period.end <= highest:
        where = search.minutes(period.aligned(60 * SECOND))
    else:
        sample = await sampling.sample(engine, selection, spent)
        exact, where = sample.whole, sample.selection.period.condition()
    condition = filters.condition(selection.node, parameters)
    listed = beginning(column) if column == "ServiceName" else column
    sql = (
        f"SELECT {listed}, count() AS n FROM otel_logs WHERE {where} AND ({condition}) GROUP BY {column} "
        f"ORDER BY n DESC LIMIT {MAX_GROUPS:d}"
    )
    counts: dict[str, int] = {}
    rows = await engine.rows(Statement(sql, parameters.values), spent)
    for value, count in rows:
        name = catalog.level_name(value) if column == "SeverityNumber" else value
        counts[name] = counts.get(name, 0) + count
    return counts, Counted(sum(counts.values()), exact=exact and len(rows) < MAX_GROUPS)


def _most_frequent(counts: dict[str, int], wanted: Wanted) -> list[ValueCount]:
    start, part = wanted.prefix.lower(), wanted.part.lower()
    matching = [
        (value, count) for value, count in counts.items() if value.lower().startswith(start) and part in value.lower()
    ]
    ordered = sorted(matching, key=lambda each: (-each[1], each[0]))[: wanted.limit]
    return [ValueCount(value=value, count=count) for value, count in ordered]


async def facets(engine: Engine, selection: Selection, names: list[str], limit: int) -> FacetsAnswer:
    """The most frequent values of the named fields; of service, level, and useful attributes if none is named."""
    spent = Spent()
    found: list[Facet] = []
    all_counted: list[Counted] = []
    for name in names or ["service", "level"]:
        items, counted = await _values(engine, selection, Wanted(name, limit), spent)
        found.append(Facet(field=name, values=items))
        all_counted.append(counted)
    if not names:
        log, resource, counted = await attributes(engine, selection, spent)
        found += (_worthwhile("attr", log, limit) + _worthwhile("resource", resource, limit))[:_MAX_FACETS]
        all_counted.append(counted)
    return FacetsAnswer(
        facets=found,
        exact=all(each.exact for each in all_counted),
        events_counted=max(each.events for each in all_counted),
        cost=await engine.cost(spent),
    )


def _worthwhile(prefix: str, attributes: Attributes, limit: int) -> list[Facet]:
    """Attributes that many events have and whose values repeat: a facet of request ids helps nobody."""
    most = max((each.events for each in attributes.values()), default=0)
    chosen = [
        each
        for each in attributes.values()
        if each.key != "service.name"
        and each.complete
        and each.events >= most * _FACET_SHARE
        and (each.events > len(each.values) or most < _SKETCH_SIZE)
    ]
    return [
        Facet(field=f"{prefix}.{each.key}", values=_most_frequent(each.values, Wanted(each.key, limit)))
        for each in sorted(chosen, key=lambda each: (-each.events, each.key))
    ]
