"""Which events a request is about: its query, its range of time and its filters, parsed once."""

from dataclasses import dataclass

from logbrook.query import catalog, filters, language, syntax
from logbrook.query.refusals import BadRequestError
from logbrook.query.syntax import All, Equals, Node, Severity
from logbrook.query.timerange import TimeRange

# What the projection `by_minute` of tables/0003_search.sql counts by, so that it can answer alone.
COUNTED = {"ServiceName", "SeverityNumber"}


@dataclass(frozen=True)
class Selection:
    """A filter within a range of time."""

    node: Node
    period: TimeRange

    def condition(self, parameters: filters.Parameters) -> str:
        """SQL for exactly these events."""
        return f"{self.period.condition()} AND ({filters.condition(self.node, parameters)})"

    def is_counted(self) -> bool:
        """Whether the counts by minute, service, and severity can answer the filter."""
        return syntax.columns(self.node) <= COUNTED

    def is_rare(self) -> bool:
        """Whether an index is likely to leave so few events that their time does not matter."""
        parts = self.node.parts if isinstance(self.node, All) else (self.node,)
        return any(_is_rare(part) for part in parts)

    def indexed_part(self) -> Node | None:
        """A part of the filter whose matches an index can count without reading the table, if there is one."""
        parts = self.node.parts if isinstance(self.node, All) else (self.node,)
        return next((part for part in parts if filters.is_indexed(part)), None)

    def counted_part(self) -> Node:
        """The part of the filter that the counts can answer: it matches these events and possibly others."""
        if self.is_counted():
            return self.node
        parts = self.node.parts if isinstance(self.node, All) else ()
        counted = tuple(part for part in parts if syntax.columns(part) <= COUNTED)
        return All(counted) if counted else syntax.Everything()


def _is_rare(part: Node) -> bool:
    match part:
        case Equals(field=syntax.Field(name="TraceId")):
            return True
        # An id. If it is frequent anyway, the answer is right but slower.
        case Equals(field=syntax.Field(place=syntax.Place.LOG), value=text) | syntax.Text(text=text):
            return bool(filters.ids(text))
    return False


def select(query: str, period: TimeRange, service: str = "", severity: str = "") -> Selection:
    """The events that match a query's filter, and a service and a lowest severity if they are given."""
    parts: list[Node] = [language.split(query, period.condition())[0]]
    if service:
        parts.append(Equals(catalog.COLUMNS["service"], service))
    if severity:
        level = catalog.level(severity)
        if level is None:
            names = ", ".join(catalog.LEVELS)
            raise BadRequestError(
                "bad_severity", f"severity: {severity[:32]!r} is not one of {names}, or 0 to 24", parameter="severity"
            )
        parts.append(Severity(level[0], catalog.HIGHEST_SEVERITY))
    flat = [piece for part in parts for piece in (part.parts if isinstance(part, All) else (part,))]
    useful = tuple(part for part in flat if not isinstance(part, syntax.Everything))
    if not useful:
        return Selection(syntax.Everything(), period)
    return Selection(useful[0] if len(useful) == 1 else All(useful), period)
