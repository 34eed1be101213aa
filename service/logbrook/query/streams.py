"""Answers that keep coming: the live tail and the export of all matches, both in bounded memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from logbrook.errors import LogbrookError
from logbrook.query import events, filters, search, timerange
from logbrook.query.columns import COLUMNS, Column
from logbrook.query.completeness import Completeness
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.refusals import PastLimitsError
from logbrook.query.search import Look
from logbrook.query.selection import Selection
from logbrook.query.syntax import Node

# An insert becomes visible some time after the moment that its rows carry: look back this far, and skip what was seen.
_OVERLAP_SECONDS = 15
_TAIL_EVENTS = 500
_SILENCE_SECONDS = 10.0
# Events in one statement of an export: bounds what ClickHouse sorts at a time. The limit on a statement's time also
# counts how long a slow client takes to read: 10,000 events of 1 KB within 20 s need 4 Mbit/s.
_EXPORT_EVENTS = 10_000
_FORMULA = "^[=+@\\t\\r-]"
_ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True)
class Format:
    """A format of exports: ClickHouse's name for it, its media type, and whether it has a type for times."""

    clickhouse: str
    media_type: str
    typed: bool = False


FORMATS = {
    "ndjson": Format("JSONEachRow", "application/x-ndjson"),
    "csv": Format("CSVWithNames", "text/csv"),
    "arrow": Format("ArrowStream", "application/vnd.apache.arrow.stream", typed=True),
    "parquet": Format("Parquet", "application/vnd.apache.parquet", typed=True),
}


async def tail(engine: Engine, completeness: Completeness, node: Node, since_ms: int) -> AsyncIterator[bytes]:
    """Server-sent events: `events` with a JSON array of what arrived, oldest first; `skipped` with how many were not
    sent because more arrived than anybody can read; `complete` with the fields of Answer when they change; a comment
    in silence. The id resumes where a client left.
    """
    told: dict[str, Any] = {}
    seen: dict[str, int] = {}
    newest, silent_since, most = since_ms, time.monotonic(), _TAIL_EVENTS
    yield b": connected\n\n"
    while True:
        known = await completeness.known()
        try:
            rows = await engine.rows(_arrivals(engine, node, max(since_ms, newest - _OVERLAP_SECONDS * 1000), most))
        except PastLimitsError as error:
            # Fewer of the largest events, rather than none.
            if most > 1:
                most //= 4
                continue
            yield _message("problem", {"message": str(error)})
            rows = []
        except LogbrookError as error:
            yield _message("problem", {"message": str(error)})
            rows = []
        arrived = [found for row in rows if (found := events.from_row(row)).id not in seen]
        if arrived:
            seen |= {each.id: timerange.parse(each.ingested_at, 0, "ingested_at") // 10**6 for each in arrived}
            newest = max(newest, *(seen[each.id] for each in arrived))
            seen = {name: at for name, at in seen.items() if at >= newest - 2 * _OVERLAP_SECONDS * 1000}
            if len(rows) == most:
                yield _message("skipped", {"at_least": len(rows)})
            silent_since, most = time.monotonic(), _TAIL_EVENTS
            yield _message("events", arrived[::-1], newest)
        elif time.monotonic() - silent_since > _SILENCE_SECONDS:
            silent_since = time.monotonic()
            yield b": nothing new\n\n"
        if known != told:
            told = known
            yield _message("complete", known)
        await asyncio.sleep(engine.query.tail_poll_seconds)


def _arrivals(engine: Engine, node: Node, since_ms: int, most: int) -> Statement:
    """The newest arrivals since a moment, the latest first."""
    parameters = filters.Parameters()
    sql = (
        f"SELECT {events.columns(engine.query.max_body_characters)} FROM otel_logs "
        f"WHERE IngestedAt > fromUnixTimestamp64Milli({since_ms:d}) AND ({filters.condition(node, parameters)}) "
        f"ORDER BY IngestedAt DESC, {events.NEWEST_FIRST} LIMIT {most:d}"
    )
    return Statement(sql, parameters.values)


def _message(name: str, data: object, identity: int | None = None) -> bytes:
    head = f"event: {name}\n" + (f"id: {identity}\n" if identity is not None else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


async def export(engine: Engine, selection: Selection, output_format: str) -> AsyncIterator[bytes]:
    """All matches, newest first, in one of FORMATS: one time range after the other, each as ClickHouse writes it.

    Parquet is one statement and must stay within its limits: the file ends with an index of all its rows.
    """
    look = Look(engine, selection, Spent())
    periods = _whole(selection.period) if output_format == "parquet" else search.slices(look, _EXPORT_EVENTS)
    first = True
    async for period in periods:
        statement = _export_statement(Selection(selection.node, period), output_format)
        name = "CSV" if output_format == "csv" and not first else FORMATS[output_format].clickhouse
        async with engine.stream(statement, name) as chunks:
            async for chunk in _batches(chunks, first=first) if output_format == "arrow" else chunks:
                yield chunk
        first = False
    if output_format == "arrow":
        yield _ARROW_END


async def _whole(period: timerange.TimeRange) -> AsyncIterator[timerange.TimeRange]:
    yield period


async def _batches(chunks: AsyncIterator[bytes], *, first: bool) -> AsyncIterator[bytes]:
    """An Arrow stream without its end and, unless it is the first, without its schema, so that several can be joined.

    A stream begins with the schema's message, which has no body: four bytes FF, the size of what follows, and that
    (https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format). ClickHouse writes each with
    Arrow's own writer (src/Processors/Formats/Impl/ArrowBlockOutputFormat.cpp), and text without dictionaries.
    """
    held, skipped = b"", first
    async for chunk in chunks:
        held += chunk
        if not skipped and len(held) >= 8 and len(held) >= (begins := 8 + int.from_bytes(held[4:8], "little")):
            held, skipped = held[begins:], True
        if skipped and len(held) > len(_ARROW_END):
            yield held[: -len(_ARROW_END)]
            held = held[-len(_ARROW_END) :]


def _export_statement(selection: Selection, output_format: str) -> Statement:
    parameters = filters.Parameters()
    condition = selection.condition(parameters)
    exported = sorted((each for each in COLUMNS if each.exported), key=lambda each: each.exported)
    columns = ", ".join(f"{_exported(each, output_format)} AS {each.name}" for each in exported)
    sql = f"SELECT {columns} FROM otel_logs WHERE {condition} ORDER BY {events.NEWEST_FIRST}"
    return Statement(sql, parameters.values, {"max_result_bytes": 0})


def _exported(column: Column, output_format: str) -> str:
    sql = "toValidUTF8(Body)" if column.sql == "Body" else column.sql
    if column.kind == "time":
        time = f"toTimeZone({sql}, 'UTC')"
        return time if FORMATS[output_format].typed else f"concat(replaceOne(toString({time}), ' ', 'T'), 'Z')"
    if output_format == "csv" and column.kind == "map":
        return f"toJSONString({sql})"
    if output_format == "csv" and column.kind == "text":
        # No spreadsheet takes such a text for a formula.
        return f"if(match({sql}, '{_FORMULA}'), concat('''', {sql}), {sql})"
    return sql


async def since(engine: Engine, last_event_id: str | None) -> int:
    """Where a tail begins, in ms by ClickHouse's clock: where the client left, up to a minute ago, or now."""
    now_ms = int((await engine.rows(Statement("SELECT toUnixTimestamp64Milli(now64(3))")))[0][0])
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit():
        return max(min(int(last_event_id), now_ms), now_ms - 60_000)
    return now_ms - 1000
