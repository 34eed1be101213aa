"""Counting over HTTP: histograms, values, facets, fields, statistics and patterns."""

from collections import Counter

import pytest

from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader
from tests.query.door import BASE, Door, event, moment, store

DAY = {"from_": BASE["from"], "to": BASE["to"]}


def mixed(count: int = 600) -> list[dict[str, object]]:
    """Events over ten hours, of three services, every tenth an error."""
    return [
        event(
            offset,
            f"request {offset} took {offset % 50} ms",
            Timestamp=moment(-60 * (count - offset)),
            ServiceName=("cart", "checkout", "auth")[offset % 3],
            SeverityNumber=17 if offset % 10 == 0 else 9,
            LogAttributes={"code": str(200 + offset % 5), "request.id": f"r-{offset}"},
            ResourceAttributes={"host.name": f"web-{offset % 2}"},
        )
        for offset in range(count)
    ]


@pytest.mark.parametrize(
    "query", ["", "level>=error", "service:cart", "request", "attr.code:201", "took -service:auth"]
)
def test_a_histogram_counts_what_a_search_finds(service: Door, database: config.ClickHouse, query: str) -> None:
    """All buckets of all series together are the events that the same search finds."""
    store(database, mixed())
    found = service.search(query, limit=1000)["events"]

    for by in ("level", "service", "attr.code"):
        histogram = service.get("histogram", query=query, by=by, buckets=30, **DAY)
        assert histogram["total"] == len(found)
        assert sum(sum(series["counts"]) for series in histogram["series"]) == len(found)
        assert len(histogram["buckets"]) <= 30
        assert all(len(series["counts"]) == len(histogram["buckets"]) for series in histogram["series"])


def test_a_histogram_of_levels_by_the_minute(service: Door, database: config.ClickHouse) -> None:
    """Each event is counted in the bucket of its time and in the series of its level."""
    store(database, [event(0), event(1, SeverityNumber=19), event(61), event(62, SeverityNumber=0)])

    histogram = service.get("histogram", from_="2025-11-24T16:00:00Z", to="2025-11-24T16:02:00Z", buckets=2)

    assert histogram["step_seconds"] == 60
    assert histogram["buckets"] == ["2025-11-24T16:00:00.000000000Z", "2025-11-24T16:01:00.000000000Z"]
    assert {series["name"]: series["counts"] for series in histogram["series"]} == {
        "none": [0, 1],
        "info": [1, 1],
        "error": [1, 0],
    }


def test_rare_values_of_a_histogram_are_thrown_together(service: Door, database: config.ClickHouse) -> None:
    """A field of many values makes ten series and one for the others, and loses no event."""
    store(database, mixed())

    histogram = service.get("histogram", by="attr.request.id", **DAY)

    assert len(histogram["series"]) == 11
    assert histogram["series"][-1]["name"] == "(other)"
    assert histogram["total"] == 600


@pytest.mark.parametrize("query", ["", "took", "service:cart"])
def test_values_are_counted(service: Door, database: config.ClickHouse, query: str) -> None:
    """The values of columns and attributes come with exact counts, the most frequent first, by their beginning."""
    store(database, mixed())
    found = service.search(query, limit=1000)["events"]

    services = service.get("values", field="service", query=query, **DAY)
    codes = service.get("values", field="attr.code", query=query, **DAY)
    hosts = service.get("values", field="host.name", prefix="WEB-1", query=query, **DAY)

    assert as_counter(services["values"]) == Counter(each["service"] for each in found)
    assert as_counter(codes["values"]) == Counter(each["attributes"]["code"] for each in found)
    assert [each["value"] for each in hosts["values"]] == ["web-1"]
    assert services["exact"]
    assert codes["exact"]


def as_counter(values: list[dict[str, int]]) -> Counter[str]:
    """Values with their counts."""
    return Counter({str(each["value"]): each["count"] for each in values})


def test_values_of_many_are_found_by_their_beginning(service: Door, database: config.ClickHouse) -> None:
    """Each value that is listed is one that events have, also of an attribute with very many."""
    store(database, mixed())

    answer = service.get("values", field="attr.request.id", prefix="r-59", limit=100, **DAY)

    assert {each["value"] for each in answer["values"]} == {"r-59", *(f"r-59{digit}" for digit in range(10))}
    assert {each["count"] for each in answer["values"]} == {1}


@pytest.mark.parametrize("query", ["", "took"])
def test_facets_are_those_worth_it(service: Door, database: config.ClickHouse, query: str) -> None:
    """Service, level and attributes whose values repeat become facets; ids do not."""
    store(database, mixed())

    facets = {each["field"]: as_counter(each["values"]) for each in service.get("facets", query=query, **DAY)["facets"]}

    assert facets["service"] == {"cart": 200, "checkout": 200, "auth": 200}
    assert facets["level"] == {"info": 540, "error": 60}
    assert facets["attr.code"]["200"] == 120
    assert facets["resource.host.name"]["web-1"] == 300
    assert "attr.request.id" not in facets


def test_named_facets(service: Door, database: config.ClickHouse) -> None:
    """Facets may be asked for by name."""
    store(database, mixed(30))

    answer = service.get("facets", fields="attr.code, host.name", **DAY)

    assert [each["field"] for each in answer["facets"]] == ["attr.code", "host.name"]
    assert answer["facets"][1]["values"][0]["count"] == 15
    assert service.ask("facets", fields=",".join("abcdefghijkl")).status_code == 400


def test_fields_are_listed(service: Door, database: config.ClickHouse) -> None:
    """All fields that a query may name are listed, attributes with how many events have them."""
    store(database, mixed(30))

    fields = {each["name"]: each["events"] for each in service.get("fields", **DAY)["fields"]}

    assert fields["attr.code"] == 30
    assert fields["attr.request.id"] == 30
    assert fields["resource.host.name"] == 30
    assert {"service", "level", "body", "trace_id"} <= set(fields)


def test_ids_in_names_stop_nobody(service: Door, database: config.ClickHouse) -> None:
    """With a hundred thousand names, the common ones are listed and become facets; the rest is bounded."""
    names = ({f"user.{offset * 1000 + number}": "1" for number in range(1000)} for offset in range(100))
    store(database, [event(offset, LogAttributes={"code": "200", **each}) for offset, each in enumerate(names)])

    fields = {each["name"]: each["events"] for each in service.get("fields", **DAY)["fields"]}
    facets = {each["field"]: each["values"] for each in service.get("facets", **DAY)["facets"]}
    codes = service.get("values", field="attr.code", **DAY)["values"]

    assert fields["attr.code"] == 100
    assert len(fields) < 2100
    assert facets["attr.code"] == codes == [{"value": "200", "count": 100}]


def test_monstrous_names_and_values_stop_nobody(service: Door, database: config.ClickHouse) -> None:
    """Names and values of a megabyte are left out or cut: together they would be more than an answer may have."""
    long = [
        {f"{offset}{'x' * 880_000}": "1", "text": f"{offset}{'y' * 880_000}", "code": "200"} for offset in range(80)
    ]
    store(database, [event(offset, LogAttributes=attributes) for offset, attributes in enumerate(long)])

    fields = {each["name"]: each["events"] for each in service.get("fields", **DAY)["fields"]}
    facets = {each["field"]: each["values"] for each in service.get("facets", **DAY)["facets"]}
    texts = service.get("values", field="attr.text", **DAY)["values"]

    assert (fields["attr.code"], fields["attr.text"]) == (80, 80)
    assert max(map(len, fields)) < 300
    assert facets["attr.code"] == [{"value": "200", "count": 80}]
    assert max(len(each["value"]) for each in texts) < 2000


def test_statistics_of_the_services(service: Door, database: config.ClickHouse) -> None:
    """Each service comes with its events, errors, bytes and freshness; those with the most errors first."""
    store(database, [event(1, "12345"), event(2, "1234567890", SeverityNumber=17), event(3, ServiceName="cart")])

    stats = service.get("stats", **DAY)

    first = stats["services"][0]
    assert (first["service"], first["events"], first["errors"], first["error_rate"]) == ("checkout", 2, 1, 0.5)
    assert first["body_bytes"] == 15
    assert stats["events"] == 3
    assert stats["table_rows"] == 3
    assert 0 <= stats["freshness_seconds"] < 3600
    narrow = service.get("stats", query="1234567890", **DAY)["services"]
    assert [(each["service"], each["events"]) for each in narrow] == [("checkout", 1)]


def test_values_are_found_by_a_part(service: Door, database: config.ClickHouse) -> None:
    """`contains` finds a value by any part of it in any case, of columns and of attributes."""
    store(database, [event(1, ServiceName="ux-Java", LogAttributes={"pod": "api-7f"}), event(2, ServiceName="java2go")])

    services = service.get("values", field="service", contains="java", **DAY)["values"]
    pods = service.get("values", field="attr.pod", contains="7F", **DAY)["values"]

    assert {each["value"] for each in services} == {"ux-Java", "java2go"}
    assert [each["value"] for each in pods] == ["api-7f"]


def test_an_empty_table_has_empty_answers(service: Door) -> None:
    """Nothing stored is no error anywhere."""
    assert service.search()["events"] == []
    assert service.get("histogram", **DAY)["total"] == 0
    assert service.get("stats", **DAY)["freshness_seconds"] is None
    assert service.get("patterns", **DAY)["patterns"] == []
    assert service.get("values", field="attr.x", **DAY)["values"] == []
    assert service.get("traces/abc")["events"] == []
    assert [each["values"] for each in service.get("facets", **DAY)["facets"]] == [[], []]


def test_similar_lines_make_a_pattern(service: Door, database: config.ClickHouse) -> None:
    """Lines that differ only in numbers and ids are one pattern, with the highest level and an example."""
    store(
        database,
        [event(offset, f"GET /cart/{offset} from 10.0.0.{offset} took {offset}ms") for offset in range(30)]
        + [event(100, "disk full", SeverityNumber=21), event(101, "disk full", ServiceName="cart")],
    )

    answer = service.get("patterns", **DAY)
    [requests, disk] = answer["patterns"]

    assert requests["pattern"] == "GET /cart/<*> from <*> took <*>"
    assert (requests["count"], requests["severity"]) == (30, "info")
    assert requests["example"]["body"].startswith("GET /cart/")
    assert (disk["pattern"], disk["severity"], disk["services"]) == ("disk full", "fatal", ["cart", "checkout"])
    assert disk["share"] == pytest.approx(2 / 32, abs=1e-5)
    assert (answer["step_seconds"], len(answer["buckets"])) == (3600, 24)
    assert answer["buckets"][16].startswith("2025-11-24T16:00")
    assert requests["counts"] == [30 if bucket == 16 else 0 for bucket in range(24)]


def test_patterns_of_a_full_sample_begin_where_it_begins(
    clickhouse: ClickHouseServer, database: config.ClickHouse
) -> None:
    """Counts over time have no empty steps for events that were not looked at; a short sample has all of its range."""
    store(database, mixed())
    with door.serving(config.Query(sample_events=100), as_reader(clickhouse, database)) as service:
        full = service.get("patterns", query="request", **DAY)
        short = service.get("patterns", query="level:error", **DAY)

    assert (full["exact"], full["events_counted"], sum(full["patterns"][0]["counts"])) == (False, 100, 100)
    assert full["patterns"][0]["counts"][0] > 0
    assert short["exact"]
    assert len(short["buckets"]) == 24
    assert len(short["patterns"][0]["counts"]) == 24
