"""Answers that go on: exports of all matches, the live tail, and clients that leave."""

import asyncio
import csv
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pyarrow
import pytest
from pyarrow import parquet

from logbrook import clickhouse, config
from logbrook.query import streams
from logbrook.query.engine import Engine, Statement
from tests.components import until
from tests.query.door import BASE, Door, event, moment, store

DAY = {"from": BASE["from"], "to": BASE["to"]}
MEDIA_TYPES = {"arrow": "arrow.stream", "parquet": "parquet"}
SLOW = (
    "SELECT count() FROM (SELECT arrayJoin(range(100000)) AS a) x, (SELECT arrayJoin(range(100000)) AS b) y, "
    "(SELECT arrayJoin(range(100)) AS c) z WHERE a * b * c = 7"
)


def messages(lines: Iterator[str]) -> Iterator[tuple[str, object]]:
    """The messages of a stream of server-sent events: name and data."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def test_an_export_has_all_matches(service: Door, database: config.ClickHouse) -> None:
    """NDJSON has every match once, newest first, with its attributes, however they are spread over time."""
    store(database, [event(n, "line", Timestamp=moment(-n * 7), LogAttributes={"n": str(n)}) for n in range(3000)])
    store(database, [event(9999, "other")])

    text = service.client.get("/v1/export", params={**DAY, "query": "line"}).text

    events = [json.loads(line) for line in text.splitlines()]
    assert [each["attributes"]["n"] for each in events] == [str(n) for n in range(3000)]
    assert events[0]["timestamp"] == "2025-11-24T16:00:00.000000000Z"


@pytest.mark.parametrize("query", ["seldom found", "seldom", "service:archive", ""])
def test_an_export_of_years_costs_by_what_it_finds(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Three matches in ten years take a few statements, and none is lost, wherever in the range it is."""
    every_hour = [event(n, "usual", Timestamp=moment(-n * 3600)) for n in range(5000)]
    days = (0.01, 900, 3000)
    rare = [
        event(9000 + n, "seldom found", ServiceName="archive", Timestamp=moment(-86400 * day))
        for n, day in enumerate(days)
    ]
    store(database, every_hour + rare)
    sent: list[Statement] = []
    send = Engine._send

    def counted(engine: Engine, statement: Statement, *arguments: str | None) -> Any:
        sent.append(statement)
        return send(engine, statement, *arguments)

    monkeypatch.setattr(Engine, "_send", counted)

    lines = service.client.get("/v1/export", params={"from": "2015-11-25", "to": "2025-11-25", "query": query}).text

    found = [json.loads(line)["offset"] for line in lines.splitlines()]
    assert [offset for offset in found if offset >= 9000] == [9000, 9001, 9002]
    assert len(found) == (5003 if not query else 3)
    assert len(sent) < 30


def test_an_export_of_nothing_has_its_head(service: Door, database: config.ClickHouse) -> None:
    """A CSV without matches is a line with the names, an NDJSON nothing."""
    store(database, [event(1)])

    nothing = {**DAY, "query": "no such"}
    assert len(service.client.get("/v1/export", params=nothing | {"format": "csv"}).text.splitlines()) == 1
    assert not service.client.get("/v1/export", params=nothing).text


def test_a_csv_is_safe_to_open(service: Door, database: config.ClickHouse) -> None:
    """CSV has one head, quotes what needs it, and no cell that a spreadsheet takes for a formula."""
    bodies = ["=1+1", "+SUM(A1)", "@x", "-2", 'a "quoted", text', "two\nlines", "\tTAB"]
    store(database, [event(n, body, ServiceName="=cmd") for n, body in enumerate(bodies)])

    response = service.client.get("/v1/export", params={**DAY, "format": "csv"})

    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["body"] for row in rows] == [
        "'\tTAB",
        "two\nlines",
        'a "quoted", text',
        "'-2",
        "'@x",
        "'+SUM(A1)",
        "'=1+1",
    ]
    assert {row["service"] for row in rows} == {"'=cmd"}
    assert "attachment" in response.headers["content-disposition"]


@pytest.mark.parametrize("output_format", ["arrow", "parquet"])
def test_a_typed_export_has_the_same_events(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    """Arrow and Parquet have what NDJSON has, in one stream however many statements it took; times are times."""
    monkeypatch.setattr(streams, "_EXPORT_EVENTS", 100)
    store(database, [event(n, "line", Timestamp=moment(-n * 7), LogAttributes={"n": str(n)}) for n in range(1000)])

    response = service.client.get("/v1/export", params={**DAY, "format": output_format})
    lines = service.client.get("/v1/export", params=DAY).text.splitlines()

    table = table_of(response.content, output_format)
    assert [str(table.schema.field(name).type) for name in ("timestamp", "ingested_at")] == [
        "timestamp[ns, tz=UTC]",
        "timestamp[ms, tz=UTC]",
    ]
    for row, line in zip(table.to_pylist(maps_as_pydicts="strict"), lines, strict=True):
        for name, precision in (("timestamp", "nanoseconds"), ("ingested_at", "milliseconds")):
            row[name] = row[name].isoformat(timespec=precision).replace("+00:00", "Z")
        assert row == json.loads(line)
    assert response.headers["content-type"] == f"application/vnd.apache.{MEDIA_TYPES[output_format]}"


def test_a_typed_export_of_nothing_has_its_columns(service: Door, database: config.ClickHouse) -> None:
    """Without matches there are no rows, but all columns, so that a reader of them doesn't have to ask first."""
    store(database, [event(1)])
    names = list(service.client.get("/v1/export", params=DAY).json())

    for output_format in MEDIA_TYPES:
        nothing = {**DAY, "query": "no such", "format": output_format}
        table = table_of(service.client.get("/v1/export", params=nothing).content, output_format)
        assert (table.num_rows, table.column_names) == (0, names)


def table_of(content: bytes, output_format: str) -> Any:
    """An export as Arrow's own reader has it."""
    source = pyarrow.BufferReader(content)
    if output_format == "parquet":
        return parquet.read_table(source)
    table = pyarrow.ipc.open_stream(source).read_all()
    # One stream, and nothing behind its end.
    assert source.tell() == len(content)
    return table


def test_the_columns_of_an_export_keep_their_places(service: Door, database: config.ClickHouse) -> None:
    """Both formats have the same fields in the same order, on which programs rely; a new one comes last."""
    store(database, [event(1)])

    head = service.client.get("/v1/export", params={**DAY, "format": "csv"}).text.splitlines()[0]
    names = list(service.client.get("/v1/export", params=DAY).json())

    assert head == ",".join(f'"{name}"' for name in names)
    assert names[:19] == [
        "timestamp", "severity_text", "service", "body", "trace_id", "span_id", "event_name", "scope_name", "source",
        "parse_error", "topic", "attributes", "resource", "scope_attributes", "severity_number", "ingested_at",
        "partition", "offset", "index",
    ]  # fmt: skip


def test_a_tail_shows_what_arrives(service: Door, database: config.ClickHouse) -> None:
    """Matching events come as they arrive, once each; the others do not."""
    seen: list[int] = []
    with service.client.stream("GET", "/v1/tail", params={"query": "follow level>=warn"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = (data for name, data in messages(response.iter_lines()) if name == "events")
        for offset in range(3):
            store(database, [event(offset, "follow me", SeverityNumber=13), event(100 + offset, "follow not")])
            data = next(stream)
            assert isinstance(data, list)
            seen += [each["offset"] for each in data]

    assert seen == [0, 1, 2]


def test_a_mistake_is_told_before_a_stream_begins(service: Door) -> None:
    """A stream with a bad query or parameter is 400, not a stream that breaks."""
    assert service.ask("tail", query="(").status_code == 400
    assert service.ask("tail", query="trace_id in (level>=error)").json()["error"]["position"] == 0
    assert service.ask("export", query="(").status_code == 400
    assert service.ask("export", format="xml").status_code == 400
    assert service.ask("tail", from_="1h").status_code == 400


def test_a_client_that_leaves_cancels_its_query(corpus: Door, corpus_database: config.ClickHouse) -> None:
    """The statement of a client that closed its connection ends in ClickHouse long before its time is up."""
    running = "SELECT count() FROM system.processes WHERE query LIKE '%range(100000)%' AND query NOT LIKE '%processes%'"
    client = clickhouse.connect(corpus_database)

    def impatient() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{corpus.url}/v1/sql", json={"sql": SLOW}, timeout=2, trust_env=False)

    leaving = threading.Thread(target=impatient)
    leaving.start()
    until(lambda: client.query(running).result_rows[0][0] > 0)
    leaving.join()
    until(lambda: client.query(running).result_rows[0][0] == 0)
    client.close()


def test_a_client_that_leaves_before_the_first_byte_ends_its_stream(
    service: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long nothing is found, an export ends with its client, and does not keep its place for nobody."""
    begun, ended = threading.Event(), threading.Event()

    async def finds_nothing(*_: object) -> AsyncIterator[bytes]:
        begun.set()
        try:
            await asyncio.sleep(60)
            yield b""
        finally:
            ended.set()

    monkeypatch.setattr(streams, "export", finds_nothing)
    with pytest.raises(httpx.ReadTimeout):
        service.client.get("/v1/export", params=DAY, timeout=2)

    assert begun.is_set()
    assert ended.wait(20)
