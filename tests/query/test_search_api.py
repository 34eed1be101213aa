"""Searching over HTTP: pages, ids, neighbors, traces, and what an answer cost."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from logbrook import clickhouse, config
from logbrook.errors import ConfigError
from logbrook.query import server
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import BASE, Door, event, moment, serving, store

TRACE = "0af7651916cd43dd8448eb211c80319c"


def offsets(answer: dict[str, list[dict[str, int]]]) -> list[int]:
    """The offsets of an answer's events, in its order."""
    return [each["offset"] for each in answer["events"]]


def test_newest_come_first_with_all_their_fields(service: Door, database: config.ClickHouse) -> None:
    """Events come newest first, and carry everything that was stored."""
    store(
        database,
        [event(1, "older"), event(2, "newer", LogAttributes={"k": "v"}, ResourceAttributes={"host.name": "a"})],
    )

    answer = service.search()

    assert offsets(answer) == [2, 1]
    newest = answer["events"][0]
    assert newest["body"] == "newer"
    assert newest["timestamp"] == "2025-11-24T16:00:02.000000000Z"
    assert newest["attributes"] == {"k": "v"}
    assert newest["resource"] == {"host.name": "a"}
    assert newest["severity"] == "info"
    assert not newest["truncated"]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_are_stable_while_events_arrive(service: Door, database: config.ClickHouse, order: str) -> None:
    """Page after page gives every event once, whatever arrives in between, also where times are the same."""
    same = [event(offset, Timestamp=moment(offset // 10)) for offset in range(120)]
    store(database, same)

    seen, cursor, pages = [], "", 0
    while True:
        answer = service.search(limit=7, order=order, cursor=cursor)
        seen += offsets(answer)
        pages += 1
        store(database, [event(10_000 + pages, "late")])
        cursor = answer["cursor"]
        if not cursor:
            break

    assert len(seen) == len(set(seen))
    assert set(range(120)) <= set(seen)
    assert pages >= 120 // 7


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("query", ["", "hello OR dense"])
def test_all_events_of_dense_and_sparse_times_are_found(
    service: Door, database: config.ClickHouse, order: str, query: str
) -> None:
    """However events are spread over a range, a walk through all pages finds all of them in order."""
    sparse = [event(offset, Timestamp=moment(-offset * 3600)) for offset in range(20)]
    dense = [event(100 + offset, "dense", Timestamp=moment(offset / 100)) for offset in range(2500)]
    store(database, sparse + dense)

    seen, cursor = [], ""
    while cursor is not None:
        range_and_page = {"from_": "2025-11-20", "to": "2025-11-25", "limit": 1000, "cursor": cursor}
        answer = service.get("search", query=query, order=order, **range_and_page)
        seen += [each["timestamp"] for each in answer["events"]]
        cursor = answer["cursor"]

    assert len(seen) == 2520
    older, newer = (0, 1) if order == "asc" else (1, 0)
    assert all(pair[older] <= pair[newer] for pair in pairwise(seen))


def test_oldest_come_first_on_demand(service: Door, database: config.ClickHouse) -> None:
    """With `order=asc` the first page is the beginning of the range, and what arrives meanwhile is on the last one."""
    store(database, [event(offset, Timestamp=f"{time.time() - 600 + offset:.3f}") for offset in range(4)])

    first = service.get("search", order="asc", limit=2)
    store(database, [event(9, Timestamp=f"{time.time() - 1:.3f}")])
    rest = service.get("search", order="asc", cursor=first["cursor"])

    assert offsets(first) == [0, 1]
    assert offsets(rest) == [2, 3, 9]
    assert rest["cursor"] is None
    assert rest["from"] == first["from"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "WzFd", "WyJ4IiwxXQ", "é"])
def test_an_invented_cursor_is_refused(service: Door, cursor: str) -> None:
    """A cursor that no answer had is 400, and says which parameter is wrong."""
    response = service.ask("search", cursor=cursor)

    assert response.status_code == 400
    assert response.json()["error"]["parameter"] == "cursor"


def test_service_and_severity_narrow_the_query(service: Door, database: config.ClickHouse) -> None:
    """`service` and `severity` filter besides the query."""
    store(
        database,
        [event(1), event(2, SeverityNumber=17), event(3, ServiceName="cart", SeverityNumber=21), event(4, "x")],
    )

    assert offsets(service.search(service="checkout")) == [4, 2, 1]
    assert offsets(service.search(severity="error")) == [3, 2]
    assert offsets(service.search("hello", service="checkout", severity="warn")) == [2]


def test_long_bodies_are_cut_in_lists_and_whole_alone(service: Door, database: config.ClickHouse) -> None:
    """A list has the beginning of a long body and says so; the event itself has all of it."""
    body = "ü" * 20_000
    store(database, [event(1, body)])

    listed = service.search()["events"][0]
    alone = service.get(f"events/{listed['id']}")["event"]

    assert listed["truncated"]
    assert listed["body"] == "ü" * 16_384
    assert listed["body_bytes"] == 40_000
    assert alone["body"] == body
    assert not alone["truncated"]


def test_long_attributes_are_cut_in_lists_and_whole_alone(service: Door, database: config.ClickHouse) -> None:
    """A list of the largest events is small: values and names are cut, and only the first attributes are there."""
    monster = {f"k{number:04d}": "v" * 100 for number in range(1000)}
    store(database, [event(1, LogAttributes=monster), event(2, LogAttributes={"long": "ü" * 900_000, "n" * 5000: "x"})])
    store(database, [event(3, LogAttributes={"a": "b"})])

    listed = {each["offset"]: each for each in service.search()["events"]}
    alone = service.get(f"events/{listed[2]['id']}")["event"]

    assert [listed[offset]["truncated"] for offset in (1, 2, 3)] == [True, True, False]
    assert len(listed[1]["attributes"]) == 100
    assert listed[2]["attributes"] == {"long": "ü" * 1024, "n" * 256: "x"}
    assert listed[3]["attributes"] == {"a": "b"}
    assert alone["attributes"] == {"long": "ü" * 900_000, "n" * 5000: "x"}
    assert not alone["truncated"]


def test_long_attributes_are_whole_in_a_small_list(service: Door, database: config.ClickHouse) -> None:
    """A list of less than a mebibyte has all of its attributes: only bodies are cut there."""
    long = {"stack": "ü" * 5000, **{f"k{number:03d}": "v" for number in range(200)}}
    store(database, [event(1, "x" * 20_000, LogAttributes=long)])

    [listed] = service.search()["events"]

    assert listed["attributes"] == long
    assert (len(listed["body"]), listed["truncated"]) == (16_384, True)


@pytest.mark.parametrize("column", ["ServiceName", "EventName", "LogAttributes"])
def test_the_largest_events_of_one_sender_hide_nothing(service: Door, database: config.ClickHouse, column: str) -> None:
    """A hundred events of the largest size, in any text, each byte six in JSON: everybody still gets answers."""
    many = {f"k{number:03d}": "\x01" * 1010 for number in range(430)}
    texts = {column: "\x01" * 880_000}
    monster = {column: many, "ResourceAttributes": many} if column == "LogAttributes" else texts
    store(database, [event(0) | monster])
    copied = "SELECT each.* REPLACE (number AS KafkaOffset) FROM otel_logs AS each CROSS JOIN numbers(1, 99) AS others"
    clickhouse.connect(database).command(f"INSERT INTO otel_logs {copied}")

    listed = service.search(limit=100)["events"]
    around = service.get("context", id=listed[50]["id"])
    arrived = {"Last-Event-ID": str(int((time.time() - 59) * 1000))}
    with service.client.stream("GET", "/v1/tail", headers=arrived) as response:
        told = next(line for line in response.iter_lines() if line in ("event: events", "event: problem"))

    assert len(listed) == 100
    assert all(each["truncated"] for each in listed)
    assert around["before"]
    assert told == "event: events"
    day = {"from_": BASE["from"], "to": BASE["to"]}
    asked = {"facets": {}, "values": {"field": "event"}, "stats": {}, "patterns": {}, "histogram": {"by": "service"}}
    for name, parameters in asked.items():
        assert service.get(name, **day, **parameters)


def test_an_unknown_event_is_404(service: Door) -> None:
    """An id of no event is 404, text that is not an id is 400."""
    assert service.ask("events/1764000000000000000.1.2.0.tests").status_code == 404
    assert service.ask("context", id="1764000000000000000.1.2.0.tests").status_code == 404
    assert service.ask("events/nonsense").status_code == 400
    assert service.ask("context", id="1.2.3").status_code == 400


def test_an_event_that_retention_deleted_has_expired(service: Door, database: config.ClickHouse) -> None:
    """If an id's time is before the first day of arrivals that is stored, the 404 says both; else the id is unknown."""
    now = time.time()
    store(database, [event(0, IngestedAt=f"{now - 3 * 86400:.3f}"), event(1)])

    for days, code in ((5, "expired"), (2, "no_such_event"), (-1, "no_such_event")):
        at = datetime.fromtimestamp(now - days * 86400, UTC)
        name = f"{int(at.timestamp())}000000000.1.2.0.tests"
        for response in (service.ask(f"events/{name}"), service.ask("context", id=name)):
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (404, code)
            if code == "expired":
                assert f"{at:%Y-%m-%dT%H:%M:%S}.0" in error["message"]
                assert f"since {at + timedelta(days=2):%Y-%m-%d}T" in error["message"]


def test_context_is_of_the_same_source(service: Door, database: config.ClickHouse) -> None:
    """The lines around an event are those of its service and host, nearest first on both sides, far ones too."""
    mine = {"host.name": "web-1"}
    store(
        database,
        [event(offset, ResourceAttributes=mine) for offset in range(10)]
        + [event(100 + offset, ResourceAttributes={"host.name": "web-2"}) for offset in range(10)]
        + [event(50, ResourceAttributes=mine, Timestamp=moment(-86400))]
        + [event(60, ServiceName="cart", ResourceAttributes=mine, Timestamp=moment(5))],
    )
    middle = next(each for each in service.search()["events"] if each["offset"] == 5)

    around = service.get("context", id=middle["id"], before=7, after=3)

    assert [each["offset"] for each in around["before"]] == [50, 0, 1, 2, 3, 4]
    assert around["event"]["offset"] == 5
    assert [each["offset"] for each in around["after"]] == [6, 7, 8]


def test_a_trace_is_found_without_a_range(service: Door, database: config.ClickHouse) -> None:
    """All events of a trace come in order of time, whenever they were, for its id with or without dashes."""
    store(
        database,
        [
            event(1, TraceId=TRACE, Timestamp=moment(0.5), ServiceName="cart"),
            event(2, TraceId=TRACE, Timestamp=moment(-10_000_000)),
            event(3, TraceId="f" * 32),
        ],
    )

    answer = service.get("traces/0AF76519-16cd-43dd-8448-eb211c80319c")

    assert offsets(answer) == [2, 1]
    assert answer["url"] == ""
    assert answer["services"] == ["cart", "checkout"]
    assert answer["duration_ms"] == 10_000_000_500
    assert answer["complete"]
    assert not service.get(f"traces/{TRACE}", limit=1)["complete"]
    assert service.ask("traces/nothing-like-it!").status_code == 400


def test_a_trace_says_where_its_spans_are(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """Its answer has the configured address with its id; an address without a place for it is refused at the start."""
    settings = config.Query(trace_url="https://jaeger.example.org/trace/{trace_id}?x=1")
    with serving(settings, as_reader(clickhouse, database)) as service:
        answer = service.get("traces/0AF76519-16cd-43dd-8448-eb211c80319c")

    assert answer["url"] == f"https://jaeger.example.org/trace/{TRACE}?x=1"
    for wrong in ("https://jaeger.example.org/", "javascript:alert({trace_id})"):
        with pytest.raises(ConfigError, match="LOGBROOK_QUERY_TRACE_URL: expected an address such as https://"):
            server.app(config.Query(trace_url=wrong), database)


def test_every_answer_says_what_it_cost(service: Door, database: config.ClickHouse) -> None:
    """Rows and bytes read, time and whether an index pruned come with every answer."""
    store(database, [event(n, TraceId=f"{n:032x}", Timestamp=moment(-n / 2)) for n in range(50_000)])

    everything = service.search("resource.none:>1")["cost"]
    trace = service.get(f"traces/{77:032x}")["cost"]

    assert everything["table_rows"] == 50_000
    assert everything["rows_read"] >= 50_000
    assert not everything["pruned"]
    assert trace["pruned"]
    assert 0 < trace["rows_read"] < 50_000
    assert trace["elapsed_ms"] > 0
    assert trace["statements"] == 1


def test_what_was_counted_a_moment_ago_is_not_counted_again(service: Door, database: config.ClickHouse) -> None:
    """The next page, and the same search again, take one statement; events that arrived in the meantime are found."""
    store(database, [event(n, Timestamp=moment(-600 - 10 * n)) for n in range(400)])
    asked = {"query": "service:checkout", "from_": BASE["from"], "to": "2025-11-24T15:55:00Z"}

    first = service.get("search", **asked, limit=100)
    next_page = service.get("search", **asked, limit=100, cursor=first["cursor"])
    store(database, [event(1000, Timestamp=moment(-400)), event(1001, Timestamp=moment(-1605))])
    again = service.get("search", **asked, limit=200)

    assert first["cost"]["statements"] == 2
    assert offsets(next_page) == list(range(100, 200))
    assert next_page["cost"]["statements"] == 1
    assert offsets(again) == [1000, *range(101), 1001, *range(101, 198)]
    assert again["cost"]["statements"] == 1


def test_old_and_future_times_are_found(service: Door, database: config.ClickHouse) -> None:
    """Events of 1960 and 2200, where the sorting key's bucket says nothing true, are found all the same."""
    store(
        database,
        [event(1, Timestamp="1960-01-01 00:00:00.000000001"), event(2, Timestamp="2200-01-01 00:00:00"), event(3)],
    )

    assert offsets(service.get("search", from_="1900-01-01", to="2250-01-01")) == [2, 3, 1]
    assert offsets(service.get("search", from_="1960-01-01", to="1960-01-02")) == [1]
    assert service.get("histogram", from_="1900-01-01", to="2250-01-01")["total"] == 3
    assert service.get("histogram", from_="0001-01-01", to="9999-01-01")["total"] == 3


def test_relative_ranges_end_now(service: Door, database: config.ClickHouse) -> None:
    """Without a range the last hour is searched; times may be written in several ways."""
    store(database, [event(1, Timestamp=moment(0))])

    assert offsets(service.get("search")) == []
    assert offsets(service.get("search", from_="1764000000", to="1764000002.5")) == [1]
    assert offsets(service.get("search", from_="1764000000000", to="2025-11-24T17:00:02+01:00")) == [1]
    assert offsets(service.get("search", from_="1000w")) == [1]


@pytest.mark.parametrize(
    ("parameters", "code", "parameter"),
    [
        ({"from_": "yesterday"}, "bad_time", "from"),
        ({"from_": "1h", "to": "2h"}, "bad_range", "from"),
        ({"limit": 0}, "bad_parameter", "limit"),
        ({"limit": "ten"}, "bad_parameter", "limit"),
        ({"limit": 1001}, "bad_parameter", "limit"),
        ({"severity": "loud"}, "bad_severity", "severity"),
        ({"color": "red"}, "unknown_parameter", "color"),
        ({"explain": "maybe"}, "bad_parameter", "explain"),
        ({"order": "up"}, "bad_parameter", "order"),
    ],
)
def test_bad_parameters_are_named(service: Door, parameters: dict[str, object], code: str, parameter: str) -> None:
    """A parameter that does not fit is 400 with its name and what was expected."""
    response = service.ask("search", **parameters)

    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["parameter"]) == (code, parameter)


def test_the_query_says_where_it_is_wrong(service: Door) -> None:
    """A query that can't be understood is 400 with the place and what was expected there."""
    error = service.ask("search", query="service:cart (a OR").json()["error"]

    assert error["position"] == 18
    assert "a word" in error["expected"]
