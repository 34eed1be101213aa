"""Which events to look at if there are too many: the newest, as many as a sample needs, with enough that match.

Facets, values and patterns read wide columns. Over a day of millions of events they would take seconds; the newest
hundred thousand tell nearly the same, and the answer says that it is from those.
"""

from dataclasses import dataclass

from logbrook.query import filters, search
from logbrook.query.engine import Engine, Spent
from logbrook.query.search import Look
from logbrook.query.selection import Selection
from logbrook.query.timerange import TimeRange

# How many matches make a useful sample, and how many times its size may be looked at to get them.
_ENOUGH_MATCHES = 1000
_MOST_WIDENING = 20


@dataclass(frozen=True)
class Sample:
    """The part of a selection to look at. `size` is the most events to take of it."""

    selection: Selection
    whole: bool
    size: int

    def source(self, columns: str, parameters: filters.Parameters, extra: str = "1") -> str:
        """SQL of the sample's rows: read backwards along the sorting key, and stopped when there are enough."""
        return (
            f"SELECT {columns} FROM otel_logs WHERE {self.selection.condition(parameters)} AND {extra} "
            f"ORDER BY toStartOfFiveMinutes(Timestamp) DESC LIMIT {self.size:d}"
        )

    def is_exact(self, taken: int) -> bool:
        """Whether so many events taken from it are all there are."""
        return self.whole and taken < self.size


async def sample(engine: Engine, selection: Selection, spent: Spent) -> Sample:
    """The newest part of the selection, as large as a sample needs."""
    size = engine.query.sample_events
    period = await _period(Look(engine, selection, spent), size)
    return Sample(Selection(selection.node, period), period == selection.period, size)


async def _period(look: Look, size: int) -> TimeRange:
    period, selection = look.selection.period, look.selection
    if period.end - period.start <= search.SHORT or selection.is_rare():
        return period
    newest = await search.newest(look, size)
    if newest == period or selection.is_counted():
        return newest
    found = await search.matches(look, newest)
    if found >= _ENOUGH_MATCHES:
        return newest
    wider = await search.newest(look, size * min(_MOST_WIDENING, _ENOUGH_MATCHES // max(found, 1) + 1))
    return wider if wider == period or await search.matches(look, wider) else period
