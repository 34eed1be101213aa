"""Finding events: the newest first, or the oldest, page by page, in as small a range of time as holds enough of them.

Sorting all matches of a day to show a hundred is what makes a search slow. The counts by minute (a projection, a few
thousand rows) say how far back a hundred of them reach; the search then reads that range alone. Where the counts
can't tell, because the filter looks into the text, the first range says how dense the matches are.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from logbrook.query import events, filters, timerange
from logbrook.query.columns import Event
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.events import Position
from logbrook.query.refusals import StatementError
from logbrook.query.selection import Selection
from logbrook.query.timerange import TimeRange

_MINUTE = 60 * timerange.SECOND
_HOUR = 60 * _MINUTE
# Enough events for a first look if the counts know nothing about the filter.
_FIRST_LOOK_EVENTS = 20_000
# The newest hours are counted minute by minute, older ones in this many steps.
_STEPS = 500
# Within this, the counts cost more than they save.
SHORT = 5 * _MINUTE
_EVERYTHING = 2**62
# Up to this many matches are read by their number alone, with this margin: they are not spread evenly.
_FEW_MATCHES = 1_000
_MARGIN = 1.3


@dataclass(frozen=True)
class Page:
    """Events in their order, and whether there may be more."""

    events: list[Event]
    more: bool


@dataclass
class Look:
    """What one search carries along: where it reads, how, and what it has spent."""

    engine: Engine
    selection: Selection
    spent: Spent
    after: Position | None = None
    oldest_first: bool = False
    explained: list[str] | None = None

    def split(self, period: TimeRange, at: int) -> tuple[TimeRange, TimeRange]:
        """A range in two: what is read first, and what is read next."""
        older, newer = TimeRange(period.start, at), TimeRange(at, period.end)
        return (older, newer) if self.oldest_first else (newer, older)

    async def read(self, period: TimeRange, limit: int) -> list[Event]:
        """The first `limit` events in a part of the range."""
        parameters = filters.Parameters()
        conditions = [Selection(self.selection.node, period).condition(parameters)]
        if self.after is not None:
            conditions.append(self.after.beyond(">" if self.oldest_first else "<", parameters))
        order = events.OLDEST_FIRST if self.oldest_first else events.NEWEST_FIRST
        rest = f"FROM otel_logs WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {limit:d}"
        if self.explained is not None:
            self.explained += await explain(
                self.engine, Statement(f"SELECT {events.columns(None)} {rest}", parameters.values)
            )
        return await events.listed(self.engine, rest, parameters, self.spent)


async def page(look: Look, limit: int) -> Page:
    """The first `limit` events of the selection, behind the position `after` if there is one."""
    found: list[Event] = []
    wanted = limit + 1
    async for period in _periods(look, wanted, found):
        found += await look.read(period, wanted - len(found))
        if len(found) >= wanted:
            break
    return Page(found[:limit], len(found) > limit)


async def _periods(look: Look, wanted: int, found: list[Event]) -> AsyncIterator[TimeRange]:
    """The parts of the range to read, one after the other; `found` grows in between."""
    rest: TimeRange = _behind(look.selection.period, look.after, look.oldest_first)
    if rest.end - rest.start <= SHORT or look.selection.is_rare():
        yield rest
        return
    matches = await _few_matches(look)
    if matches is not None:
        async for period in _shares(look, rest, wanted, matches, found):
            yield period
        return
    target = wanted if look.selection.is_counted() else max(_FIRST_LOOK_EVENTS, wanted)
    first, rest = look.split(rest, _first_segment(rest, look.oldest_first))
    segments = [first, rest]
    for index, segment in enumerate(segments):
        remaining = segment
        _, densities = await _counts(look, segment) if segment.start < segment.end else (0, [])
        while remaining.start < remaining.end:
            before = len(found)
            window, remaining = _window(look, remaining, densities, target)
            if target == _EVERYTHING and index == 0:
                yield (
                    TimeRange(min(window.start, rest.start), max(window.end, rest.end))
                    if rest.start < rest.end
                    else window
                )
                return
            yield window
            rows = len(found) - before
            # Where nothing is counted, nothing is learned about how dense the matches are.
            if densities:
                target = 2 * target * (wanted - len(found)) // rows if rows else _EVERYTHING


async def _shares(
    look: Look, rest: TimeRange, wanted: int, matches: int, found: list[Event]
) -> AsyncIterator[TimeRange]:
    """The parts of a range with few matches: first the share that suffices if they are spread evenly."""
    length = rest.end - rest.start
    share = _MARGIN * wanted / max(matches, 1)
    while rest.start < rest.end:
        size = min(int(share * length) + 1, rest.end - rest.start)
        window, rest = look.split(rest, rest.start + size if look.oldest_first else rest.end - size)
        before = len(found)
        yield window
        rows = len(found) - before
        share = _MARGIN * share * (wanted - len(found)) / rows if rows else 1


async def _few_matches(look: Look) -> int | None:
    """The most events of the whole table that can match, if an index knows that they are few: in milliseconds."""
    part = look.selection.indexed_part()
    if part is None:
        return None
    parameters = filters.Parameters()
    inner = f"SELECT 1 FROM otel_logs WHERE {filters.condition(part, parameters)} LIMIT {_FEW_MATCHES + 1:d}"
    sql = f"SELECT count() FROM ({inner})"
    [[matches]] = await look.engine.recent_rows(Statement(sql, parameters.values), look.spent)
    return int(matches) if int(matches) <= _FEW_MATCHES else None


async def newest(look: Look, size: int) -> TimeRange:
    """The newest part of the range that has `size` events by the counts; all of it if there are no more."""
    rest = look.selection.period
    while True:
        step, densities = await _counts(look, rest)
        window, _ = _window(look, rest, densities, size)
        events_in_it = sum(count for start, count in densities if start >= window.start)
        if step <= _MINUTE or window == rest or events_in_it <= 2 * size:
            return window
        rest = window


async def slices(look: Look, size: int) -> AsyncIterator[TimeRange]:
    """Parts of the range, in order, that have all matches: about `size` in each, unless a minute has more.

    Where the filter looks into the text, each part is counted first: parts without matches are left out, and the next
    one grows. So the cost is that of what is found, and not that of the length of the range.
    """
    period = look.selection.period
    if await _few_matches(look) is not None:
        yield period
        return
    any_yet = False
    async for part in _parts(look, period, size):
        any_yet = True
        yield part
    if not any_yet:
        yield TimeRange(period.end - 1, period.end)


async def _parts(look: Look, period: TimeRange, size: int) -> AsyncIterator[TimeRange]:
    """The parts for `slices`; one with too many matches is taken apart in the same way, half by half."""
    rest, target, counted = period, size, look.selection.is_counted()
    _, densities = await _counts(look, rest)
    while rest.start < rest.end:
        window, rest = _window(look, rest, densities, target)
        if counted:
            found = sum(count for start, count in densities if window.start <= start < window.end)
        else:
            found = await matches(look, window)
            target = min(8 * target, _EVERYTHING) if 8 * found < size else max(size, target * size // found)
        if found > 2 * size and window.end - window.start > _MINUTE:
            for half in look.split(window, (window.start + window.end) // 2):
                async for part in _parts(look, half, size):
                    yield part
        elif found or counted:
            yield window


async def matches(look: Look, period: TimeRange) -> int:
    """How many events of a part of the range match."""
    parameters = filters.Parameters()
    condition = Selection(look.selection.node, period).condition(parameters)
    statement = Statement(f"SELECT count() FROM otel_logs WHERE {condition}", parameters.values)
    return int((await look.engine.rows(statement, look.spent))[0][0])


def _behind(period: TimeRange, after: Position | None, oldest_first: bool) -> TimeRange:
    if after is None:
        return period
    if oldest_first:
        return TimeRange(max(period.start, after.nanoseconds), period.end)
    return TimeRange(period.start, min(period.end, after.nanoseconds + 1))


def _first_segment(period: TimeRange, oldest_first: bool) -> int:
    """Where the part ends that is counted minute by minute."""
    if oldest_first:
        return min(period.end, (period.start // _MINUTE + _STEPS) * _MINUTE)
    return max(period.start, (period.end // _MINUTE - _STEPS) * _MINUTE)


async def _counts(look: Look, period: TimeRange) -> tuple[int, list[tuple[int, int]]]:
    """The length of a step, and (beginning, events) of the steps that have any, by the counted part of the filter."""
    counted = TimeRange(max(period.start, 0), min(period.end, timerange.BUCKET_RANGE[1]))
    if counted.start >= counted.end:
        return 0, []
    # Whole hours: the next page, and the next search of the same kind, then count the same minutes.
    hours = counted.aligned(_HOUR)
    counted = TimeRange(hours.start, min(hours.end, timerange.BUCKET_RANGE[1]))
    step = max(1, -(-(counted.end - counted.start) // (_STEPS * _MINUTE)) - 1)
    parameters = filters.Parameters()
    sql = (
        f"SELECT toUnixTimestamp(toStartOfInterval(toStartOfMinute(Timestamp), INTERVAL {step:d} MINUTE)) AS step, "
        f"count() FROM otel_logs WHERE {minutes(counted)} "
        f"AND ({filters.condition(look.selection.counted_part(), parameters)}) GROUP BY step"
    )
    rows = await look.engine.recent_rows(Statement(sql, parameters.values), look.spent)
    length = step * _MINUTE
    steps = sorted((row[0] * timerange.SECOND, row[1]) for row in rows)
    return length, [(start, _inside(count, start, start + length, counted, period)) for start, count in steps]


def _inside(count: int, start: int, end: int, counted: TimeRange, period: TimeRange) -> int:
    """How much of a step's count is in a range if it is spread evenly: the range begins and ends within a minute."""
    start, end = max(start, counted.start), min(end, counted.end)
    return count * max(min(end, period.end) - max(start, period.start), 0) // (end - start)


def minutes(period: TimeRange) -> str:
    """SQL for the whole minutes of a range, in the form that the projection answers."""
    seconds = TimeRange(period.start // timerange.SECOND, period.end // timerange.SECOND)
    inside = timerange.outside_the_key(
        f"toStartOfMinute(Timestamp) >= toDateTime({seconds.start:d})",
        f"toStartOfMinute(Timestamp) < toDateTime({seconds.end:d})",
    )
    return f"{timerange.buckets(seconds)} AND {inside}"


def _window(look: Look, rest: TimeRange, densities: list[tuple[int, int]], wanted: int) -> tuple[TimeRange, TimeRange]:
    """The part of `rest` to read next, with about `wanted` events by the counts, and what is left after it."""
    total = 0
    indexes = range(len(densities)) if look.oldest_first else range(len(densities) - 1, -1, -1)
    for index in indexes:
        beginning, count = densities[index]
        end = densities[index + 1][0] if index + 1 < len(densities) else rest.end
        if end <= rest.start or beginning >= rest.end:
            continue
        total += count
        edge = end if look.oldest_first else beginning
        if total >= wanted and rest.start < edge < rest.end:
            return look.split(rest, edge)
    return look.split(rest, rest.end if look.oldest_first else rest.start)


async def explain(engine: Engine, statement: Statement) -> list[str]:
    """ClickHouse's plan of a statement, with what each index prunes; or why there is none."""
    try:
        rows = await engine.rows(Statement(f"EXPLAIN indexes = 1 {statement.sql}", statement.parameters))
    except StatementError as error:
        return [str(error)]
    return [str(row[0]) for row in rows]
