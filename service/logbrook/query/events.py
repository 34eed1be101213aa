"""Events in a list: the rows that are selected, what identifies an event, and where a page ended."""

import base64
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from logbrook.query import catalog, timerange
from logbrook.query.columns import COLUMNS, Column, Event
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.filters import Parameters
from logbrook.query.refusals import BadRequestError, LargeResultError

# The order of every list of events: by time, then by identity.
_ORDER = ("Timestamp", "KafkaTopicId", "KafkaPartition", "KafkaOffset", "KafkaIndex")
NEWEST_FIRST = ", ".join(f"{column} DESC" for column in _ORDER)
OLDEST_FIRST = ", ".join(_ORDER)
# A UUID in base64: librdkafka writes it with + and /, Kafka itself with - and _.
_TOPIC_ID = re.compile(r"[\w+/=-]{0,64}", re.ASCII)


# How much of an event a list has: the first attributes of each map, of each map so many characters together, and the
# first characters of each name and value. A hundred events stay below the limit of a result, however they are written.
_LISTED_ATTRIBUTES, _LISTED_TOGETHER, _LISTED_NAME, _LISTED_VALUE = 100, 16_384, 256, 1024
# Lists up to this size, nearly all, have only their bodies cut: what cuts all else takes ClickHouse longer to plan than
# most searches take (docs/decisions/search-indexes.md).
_SMALL = 2**20


async def listed(engine: Engine, rest: str, parameters: Parameters, spent: Spent) -> list[Event]:
    """The events of a list; `rest` is its statement from FROM on."""
    characters = engine.query.max_body_characters
    small = Statement(f"SELECT {columns(characters, only_bodies=True)} {rest}", parameters.values, most_bytes=_SMALL)
    try:
        rows = await engine.rows(small, spent)
    except LargeResultError:
        rows = await engine.rows(Statement(f"SELECT {columns(characters)} {rest}", parameters.values), spent)
    return [from_row(row) for row in rows]


def columns(body_characters: int | None, *, only_bodies: bool = False) -> str:
    """What to select for `from_row`; with `body_characters`, long texts and attributes are cut, as lists have them."""
    if body_characters is None:
        return ", ".join([*(_whole(each) for each in COLUMNS), "KafkaTopicId", "false"])
    cut = {each for each in COLUMNS if (each.sql == "Body" if only_bodies else each.kind in ("map", "text"))}
    selected = (_cut(each, body_characters) if each in cut else _whole(each) for each in COLUMNS)
    is_cut = " OR ".join(_is_cut(each, body_characters) for each in COLUMNS if each in cut)
    return ", ".join([*selected, "KafkaTopicId", is_cut])


def beginning(sql: str, characters: int = _LISTED_VALUE) -> str:
    """As much of a text as a list has: one sender's longest must not fill an answer for everybody."""
    return f"substringUTF8({sql}, 1, {characters:d})"


def _whole(column: Column) -> str:
    return f"toUnixTimestamp64Nano({column.sql})" if column.kind == "time" else column.sql


def _cut(column: Column, body_characters: int) -> str:
    if column.kind == "map":
        keys, values = (
            f"arraySlice(map{what}({column.sql}), 1, {_fitting(column.sql)})" for what in ("Keys", "Values")
        )
        return (
            f"mapFromArrays(arrayMap(x -> {beginning('x', _LISTED_NAME)}, {keys}), "
            f"arrayMap(x -> {beginning('x')}, {values}))"
        )
    return beginning(column.sql, body_characters if column.sql == "Body" else _LISTED_VALUE)


def _fitting(column: str) -> str:
    """How many attributes of a map fit into a list."""
    sizes = (
        f"arrayMap((k, v) -> least(lengthUTF8(k), {_LISTED_NAME}) + least(lengthUTF8(v), {_LISTED_VALUE}), "
        f"mapKeys({column}), mapValues({column}))"
    )
    return f"least({_LISTED_ATTRIBUTES}, arrayCount(x -> x <= {_LISTED_TOGETHER}, arrayCumSum({sizes})))"


def _is_cut(column: Column, body_characters: int) -> str:
    if column.kind == "text":
        return f"length({column.sql}) > length({_cut(column, body_characters)})"
    return (
        f"length({column.sql}) > {_fitting(column.sql)} OR "
        f"arrayExists((k, v) -> lengthUTF8(k) > {_LISTED_NAME} OR lengthUTF8(v) > {_LISTED_VALUE}, "
        f"mapKeys({column.sql}), mapValues({column.sql}))"
    )


@dataclass(frozen=True)
class Position:
    """An event's place in the order of all events, which also identifies it."""

    nanoseconds: int
    topic_id: str
    partition: int
    offset: int
    index: int

    def text(self) -> str:
        """The id of the event."""
        return f"{self.nanoseconds}.{self.partition}.{self.offset}.{self.index}.{self.topic_id}"

    def identity(self, parameters: Parameters) -> str:
        """SQL for this one event."""
        topic = parameters.text(self.topic_id)
        return (
            f"Timestamp = {timerange.literal(self.nanoseconds)} AND KafkaTopicId = {topic} "
            f"AND KafkaPartition = {self.partition:d} AND KafkaOffset = {self.offset:d} AND KafkaIndex = {self.index:d}"
        )

    def beyond(self, comparison: str, parameters: Parameters) -> str:
        """SQL for the events before (<) or after (>) this one."""
        values = (
            f"{timerange.literal(self.nanoseconds)}, {parameters.text(self.topic_id)}, "
            f"{self.partition:d}, {self.offset:d}, {self.index:d}"
        )
        return f"({', '.join(_ORDER)}) {comparison} ({values})"


def position(text: str, name: str) -> Position:
    """The position that an id or a cursor stands for. Raises RejectedError that names the parameter."""
    # An unencoded + of a URL arrives as a space.
    pieces = text.replace(" ", "+").split(".", 4)
    try:
        nanoseconds, partition, offset, index = (int(piece) for piece in pieces[:4])
        topic_id = pieces[4]
    except (ValueError, IndexError):
        raise _bad_position(name) from None
    fits = (
        timerange.LOWEST <= nanoseconds <= timerange.HIGHEST
        and abs(partition) < 2**31
        and abs(offset) < 2**63
        and 0 <= index < 2**32
    )
    if not fits or not _TOPIC_ID.fullmatch(topic_id):
        raise _bad_position(name)
    return Position(nanoseconds, topic_id, partition, offset, index)


def _bad_position(name: str) -> BadRequestError:
    return BadRequestError("bad_position", f"{name}: not what an answer of this API had there", parameter=name)


class _Cursor(msgspec.Struct, array_like=True):
    """What the next page needs: where this one ended, and the start that relative times meant."""

    position: str
    start: int


def cursor(last: Position, start: int) -> str:
    """The cursor behind `last`."""
    packed = msgspec.json.encode(_Cursor(last.text(), start))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_cursor(text: str) -> tuple[Position, int]:
    """Where a page ended, and where the range starts. Raises RejectedError."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(packed, type=_Cursor)
    except (ValueError, msgspec.MsgspecError):
        raise _bad_position("cursor") from None
    return position(found.position, "cursor"), timerange.clamp(found.start)


def from_row(row: list[Any]) -> Event:
    """The event of a selected row."""
    values = dict(zip((*(each.name for each in COLUMNS), "topic_id", "truncated"), row, strict=True))
    where = Position(
        values["timestamp"], values.pop("topic_id"), values["partition"], values["offset"], values["index"]
    )
    made = {each.name: timerange.rfc3339(values[each.name]) for each in COLUMNS if each.kind == "time"}
    made |= {"id": where.text(), "severity": catalog.level_name(values["severity_number"])}
    return Event(**values | made | {"truncated": bool(values["truncated"])})
