"""What ClickHouse does for an answer: which index finds it, and how little it reads."""

import pytest

from logbrook import clickhouse, config
from tests.query.door import NOW_NS, Door, event, moment, serving, store

_HOUR = 3600


def fill(database: config.ClickHouse, events: int) -> None:
    """Many events of one service in the hour before the tests' moment, each with a `user` of four, as one part."""
    client = clickhouse.connect(database)
    client.command(
        "INSERT INTO otel_logs (Timestamp, ServiceName, SeverityNumber, Body, LogAttributes, KafkaOffset, IngestedAt) "
        f"SELECT fromUnixTimestamp64Nano({NOW_NS} - intDiv(number * {_HOUR} * 1000000000, {events})), 'checkout', "
        "9, concat('event ', toString(number), ' of ', lower(hex(cityHash64(number)))), "
        "map('user', toString(number % 4)), number, now64(3) "
        f"FROM numbers({events})"
    )
    client.close()


@pytest.mark.parametrize("query", ["attr.user:2", "level>=error", "trace:0af7651916cd43dd"])
def test_a_long_range_is_found_by_binary_search(database: config.ClickHouse, query: str) -> None:
    """Whatever else is asked for, ClickHouse does not compare a day's time with every granule of the table."""
    fill(database, 20_000)

    # The reader may not ask for a plan.
    with serving(config.Query(allow_privileged_user=True), database) as service:
        plan = "\n".join(service.search(query, explain="true")["explain"])

    assert "toStartOfFiveMinutes(Timestamp)" in plan
    assert "binary search" in plan
    assert "generic exclusion search" not in plan


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("event", "by_word"),
        ("-event", "by_word"),
        ("17", "by_number"),
        ("A1B2C3D4E5", "by_id"),
        ('"of 5621f130208a1fd0"', "by_id"),
        ("attr.request:5621f130208A1FD0", "by_id"),
        ("request:5621f130208A1FD0", "by_id"),
        ("attr.user:2", "by_log_term"),
        ("resource.pod:web-1", "by_resource_attribute"),
        ("trace:0af7651916cd43dd", "by_trace"),
        ("trace in (service:none)", "by_trace"),
    ],
)
def test_each_kind_of_word_has_an_index(database: config.ClickHouse, query: str, index: str) -> None:
    """A word, a number, an id, an attribute, and a trace are looked up, in the expression that is indexed."""
    fill(database, 20_000)

    with serving(config.Query(allow_privileged_user=True), database) as service:
        plan = "\n".join(service.search(query, explain="true")["explain"])

    assert f"Name: {index}\n" in plan


def test_an_id_is_found_in_a_few_granules(service: Door, database: config.ClickHouse) -> None:
    """Of a hundred thousand events that each have an id, one filter's are read, and not the rest of the day."""
    fill(database, 100_000)
    client = clickhouse.connect(database)
    wanted = client.query("SELECT lower(hex(cityHash64(54321)))").result_rows[0][0]
    client.close()

    answer = service.search(wanted)

    assert [each["offset"] for each in answer["events"]] == [54321]
    assert answer["cost"]["rows_read"] < 10_000
    assert answer["cost"]["statements"] == 1
    assert service.search(f"request.id:{wanted}")["cost"]["rows_read"] < 50_000
    assert service.search(f"trace in ({wanted})")["cost"]["rows_read"] < 50_000


@pytest.mark.parametrize("path", ["histogram", "stats", "fields"])
def test_counts_are_not_counted_anew(service: Door, database: config.ClickHouse, path: str) -> None:
    """What the counts by minute or by hour tell is read from there: some rows for twenty thousand events."""
    fill(database, 20_000)

    answer = service.get(path, from_="2025-11-24T00:00:00Z", to="2025-11-25T00:00:00Z")

    assert 0 < answer["cost"]["rows_read"] < 1000


def test_few_matches_are_read_by_their_share(service: Door, database: config.ClickHouse) -> None:
    """Of some hundred matches that an index knows of, the newest are read, and not the rest of the day."""
    store(
        database,
        [event(offset, LogAttributes={"user": "rare"}, Timestamp=moment(-offset * 240)) for offset in range(300)],
    )
    fill(database, 100_000)

    answer = service.search("attr.user:rare", limit=10)

    assert [each["offset"] for each in answer["events"]] == list(range(10))
    assert answer["cost"]["rows_read"] < 50_000


@pytest.mark.parametrize("query", ["", "event"])
def test_the_oldest_are_found_as_quickly_as_the_newest(service: Door, database: config.ClickHouse, query: str) -> None:
    """The first page in the order of time reads the beginning of the range, and not all of it."""
    fill(database, 100_000)
    newest = service.search(query, limit=10)

    oldest = service.search(query, limit=10, order="asc")

    assert [each["offset"] for each in oldest["events"]] == list(range(99_999, 99_989, -1))
    assert newest["cost"]["rows_read"] < 100_000
    assert oldest["cost"]["rows_read"] <= 1.5 * newest["cost"]["rows_read"]


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("end", ["newest", "oldest"])
def test_few_matches_are_all_found_however_they_lie(
    service: Door, database: config.ClickHouse, end: str, order: str
) -> None:
    """All at one end of the range, with a few at the other: page after page gives each once, in order."""
    side = 1 if end == "oldest" else -1
    dense = [
        event(offset, LogAttributes={"user": "rare"}, Timestamp=moment(side * offset / 1000)) for offset in range(600)
    ]
    sparse = [
        event(1000 + offset, LogAttributes={"user": "rare"}, Timestamp=moment(-side * offset * 1800))
        for offset in range(15)
    ]
    store(database, dense + sparse)

    seen: list[dict[str, str]] = []
    cursor = ""
    while cursor is not None:
        answer = service.search("attr.user:rare", limit=50, order=order, cursor=cursor)
        seen += answer["events"]
        cursor = answer["cursor"]

    assert len({each["id"] for each in seen}) == len(seen) == 615
    times = [each["timestamp"] for each in seen]
    assert times == sorted(times, reverse=order == "desc")
