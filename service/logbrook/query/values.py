"""The fields of events and their most frequent values: for autocomplete, facets, and the field list.

Which attributes there are is counted by the hour (a projection). Their values come from the newest matching events;
answers say whether those are all of them: `exact`, `events_counted`.

Whoever sends events chooses names and values, so everything here is bounded, whatever they are: how many names are
listed, how long names and values are, and how much memory counting them takes.
"""

from dataclasses import dataclass

from logbrook.query import catalog, filters, sampling, search, syntax, timerange
from logbrook.query.answers import Facet, FacetsAnswer, FieldInfo, FieldsAnswer, ValueCount, ValuesAnswer
from logbrook.query.counts import MAX_GROUPS
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.events import beginning
from logbrook.query.selection import Selection
from logbrook.query.syntax import Field
from logbrook.query.timerange import SECOND, TimeRange

_HOUR = 3600 * SECOND
# More are of no use to a person, and names with ids in them can be any number.
MAX_NAMES = 2000
_MAX_NAME_BYTES = 256
_MAX_FACETS = 12
_FACET_SHARE = 0.02
# An attribute is a facet only if it has fewer values; a sketch is exact up to that.
_SKETCH_SIZE = 64
# A name's values are counted in one of so many sketches. Two names rarely meet, and then may both not become facets.
_SKETCHES = 2048


@dataclass(frozen=True)
class Counted:
    """How many events were counted, and whether those are all that match."""

    events: int
    exact: bool


async def fields(engine: Engine, period: TimeRange) -> FieldsAnswer:
    """The columns, and the most frequent attributes that events of these hours have."""
    spent = Spent()
    log, resource = await names(engine, period, spent)
    found = [FieldInfo(name=name, kind="column", events=0) for name in catalog.SHOWN]
    for kind, prefix, counts in (("attribute", "attr", log), ("resource", "resource", resource)):
        found += [FieldInfo(name=f"{prefix}.{name}", kind=kind, events=events) for name, events in counts.items()]
    return FieldsAnswer(fields=found, cost=await engine.cost(spent))


async def names(engine: Engine, period: TimeRange, spent: Spent) -> tuple[dict[str, int], dict[str, int]]:
    """How many events have an attribute of this name, and a resource's: the MAX_NAMES most frequent, in that order."""
    lowest, highest = timerange.BUCKET_RANGE
    hours = TimeRange(max(period.start, lowest), min(period.end, highest)).aligned(_HOUR)
    within = timerange.outside_the_key(
        f"toStartOfHour(Timestamp) >= toDateTime({hours.start // SECOND:d})",
        f"toStartOfHour(Timestamp) < toDateTime({hours.end // SECOND:d})",
    )
    sql = f"SELECT {_names('LogAttributes')}, {_names('ResourceAttributes')} FROM otel_logs WHERE {within}"
    [[log, resource]] = await engine.rows(Statement(sql), spent)
    return {name: int(events) for name, events in log}, {name: int(events) for name, events in resource}


def _names(column: str) -> str:
    """SQL of the names in a map and how many events have them, the most frequent first."""
    short = f"mapFilter((name, events) -> length(name) <= {_MAX_NAME_BYTES:d}, countMap({column}))"
    ordered = f"arraySort(each -> (-each.2, each.1), {short}::Array(Tuple(String, Int64)))"
    return f"arraySlice({ordered}, 1, {MAX_NAMES:d})"


def _sketched(column: str) -> str:
    """SQL of names, their values, and how many events have those, for names whose values are all known."""
    short = f"mapFilter((name, value) -> length(name) <= {_MAX_NAME_BYTES:d}, {column})"
    item = f"concat(name, '\\0', substringUTF8(value, 1, {_MAX_NAME_BYTES:d}))"
    slots = f"mapApply((name, value) -> (toUInt16(cityHash64(name) % {_SKETCHES:d}), {item}), {short})"
    sketches = f"mapValues(approx_top_kMap({_SKETCH_SIZE:d})({slots}))"
    whole = f"arrayFilter(sketch -> length(sketch) < {_SKETCH_SIZE:d}, {sketches})"
    return f"arrayMap(each -> (splitByChar('\\0', each.1, 2), each.2), arrayFlatten({whole}))"


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
    return await _sampled_values(engine, selection, field, wanted, spent)


async def _sampled_values(
    engine: Engine, selection: Selection, field: Field, wanted: Wanted, spent: Spent
) -> tuple[list[ValueCount], Counted]:
    parameters = filters.Parameters()
    value = filters.value_sql(field, parameters)
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
    period, parameters = selection.period, filters.Parameters()
    exact = True
    if selection.is_counted() and period.is_bucketed():
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
        useful, counted = await _useful(engine, selection, limit, spent)
        found += useful
        all_counted.append(counted)
    return FacetsAnswer(
        facets=found,
        exact=all(each.exact for each in all_counted),
        events_counted=max(each.events for each in all_counted),
        cost=await engine.cost(spent),
    )


async def _useful(engine: Engine, selection: Selection, limit: int, spent: Spent) -> tuple[list[Facet], Counted]:
    """Attributes that many events have and whose values repeat: a facet of request ids helps nobody."""
    parameters = filters.Parameters()
    sample = await sampling.sample(engine, selection, spent)
    inner = sample.source("LogAttributes, ResourceAttributes", parameters)
    sql = f"SELECT count(), {_sketched('LogAttributes')}, {_sketched('ResourceAttributes')} FROM ({inner})"
    [[events, *both]] = await engine.rows(Statement(sql, parameters.values), spent)
    found: list[Facet] = []
    for prefix, items in zip(("attr", "resource"), both, strict=True):
        values: dict[str, dict[str, int]] = {}
        for (name, value), count in items:
            values.setdefault(name, {})[value] = int(count)
        known = [(name, sum(each.values()), each) for name, each in values.items() if name != "service.name"]
        found += [
            Facet(field=f"{prefix}.{name}", values=_most_frequent(each, Wanted(name, limit)))
            for name, total, each in sorted(known, key=lambda each: (-each[1], each[0]))
            if total >= events * _FACET_SHARE and (total > len(each) or events < _SKETCH_SIZE)
        ]
    return found[:_MAX_FACETS], Counted(events, exact=sample.is_exact(events))
