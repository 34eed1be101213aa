"""Similar lines grouped: bodies that differ only in their numbers, ids, addresses and times."""

from logbrook.query import catalog, counts, events, filters, sampling, timerange
from logbrook.query.answers import Pattern, PatternsAnswer
from logbrook.query.columns import Event
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.selection import Selection

# A word with a digit in it, and what is joined to it by - . : in the same way.
_VARIABLE = "[A-Za-z0-9_]*[0-9][A-Za-z0-9_]*(?:[-.:][A-Za-z0-9_]*[0-9][A-Za-z0-9_]*)*"
_PATTERN_CHARACTERS = 300
_MAX_BUCKETS = 32
_POSITION = ("toUnixTimestamp64Nano(Timestamp)", "KafkaTopicId", "KafkaPartition", "KafkaOffset", "KafkaIndex")
MARK = "<*>"


def pattern_sql(parameters: filters.Parameters) -> str:
    """SQL for the pattern of a body."""
    variable, mark = parameters.text(_VARIABLE), parameters.text(MARK)
    return f"replaceRegexpAll(substringUTF8(Body, 1, {_PATTERN_CHARACTERS}), {variable}, {mark})"


async def patterns(engine: Engine, selection: Selection, limit: int) -> PatternsAnswer:
    """The most frequent patterns among the newest matching events: counts, also over time, severity, and services."""
    spent, parameters = Spent(), filters.Parameters()
    sample = await sampling.sample(engine, selection, spent)
    step = counts.round_step(sample.selection.period, _MAX_BUCKETS)
    period = sample.selection.period.aligned(step)
    bucket, _ = counts.bucket_of(period, step, counted=False)
    columns = (
        f"{pattern_sql(parameters)} AS pattern, SeverityNumber, {events.beginning('ServiceName')} AS service, "
        f"({', '.join(_POSITION)}) AS position, {bucket} AS bucket"
    )
    sql = (
        "SELECT pattern, count() AS events, max(SeverityNumber), arraySort(groupUniqArray(10)(service)), "
        "max(position), sumMap([bucket], [1]), sum(count()) OVER (), min(min(bucket)) OVER () "
        f"FROM ({sample.source(columns, parameters)}) GROUP BY pattern ORDER BY events DESC, pattern LIMIT {limit:d}"
    )
    rows = await engine.rows(Statement(sql, parameters.values), spent)
    counted, oldest = rows[0][6:] if rows else (0, 0)
    # A full sample has nothing before its oldest event, although there were events.
    buckets = range(oldest if counted >= sample.size else 0, (period.end - period.start) // step)
    examples = await _examples(engine, [events.Position(*row[4]) for row in rows], spent)
    found = [
        Pattern(
            pattern=row[0],
            count=row[1],
            share=round(row[1] / counted, 6),
            severity=catalog.level_name(row[2]),
            services=row[3],
            counts=_filled(buckets, *row[5]),
            example=examples[events.Position(*row[4]).text()],
        )
        for row in rows
        if events.Position(*row[4]).text() in examples
    ]
    return PatternsAnswer(
        patterns=found,
        step_seconds=step / timerange.SECOND,
        buckets=[timerange.rfc3339(period.start + index * step) for index in buckets],
        events_counted=counted,
        exact=sample.is_exact(counted),
        cost=await engine.cost(spent),
    )


def _filled(buckets: range, present: list[int], events_in: list[int]) -> list[int]:
    """The count of each bucket, from those that have any."""
    known = dict(zip(present, events_in, strict=True))
    return [known.get(index, 0) for index in buckets]


async def _examples(engine: Engine, positions: list[events.Position], spent: Spent) -> dict[str, Event]:
    """The events at these positions, by their ids."""
    if not positions:
        return {}
    parameters = filters.Parameters()
    wanted = " OR ".join(f"({position.identity(parameters)})" for position in positions)
    times = [position.nanoseconds for position in positions]
    period = timerange.TimeRange(min(times), max(times) + 1).condition()
    rest = (
        f"FROM otel_logs WHERE {period} AND Timestamp IN "
        f"({', '.join(timerange.literal(each) for each in sorted(set(times)))}) AND ({wanted})"
    )
    return {found.id: found for found in await events.listed(engine, rest, parameters, spent)}
