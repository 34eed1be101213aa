"""Every answer says until when it is complete, from what the consumers report."""

import json
from typing import Any

import pytest

from logbrook import clickhouse, config
from tests.query.door import BASE, Door, event, store
from tests.query.test_streams_api import messages

_USUAL: dict[str, Any] = {
    "topic": "logs", "id": "a", "partition": 0, "of": 1, "ago": 1.0, "at": -60.0, "stored": 7, "end": 7,
}  # fmt: skip
FIELDS = ("complete_until", "behind_seconds", "pending_messages", "unknown_since")


def report(database: config.ClickHouse, *rows: dict[str, Any]) -> None:
    """What consumers report, in place of all before: by default that partition 0 of 1 was complete a second ago.

    They do so a minute ahead, so that no report grows old while a test runs, unless it says so.
    """
    client = clickhouse.connect(database)
    client.command("TRUNCATE TABLE partition_progress")
    for each in rows:
        usual: dict[str, Any] = {
            "topic": "logs",
            "id": "a",
            "partition": 0,
            "of": 1,
            "ago": 1.0,
            "at": -60.0,
            "stored": 7,
            "end": 7,
        }
        row = usual | each
        client.command(
            "INSERT INTO partition_progress (KafkaTopic, KafkaTopicId, KafkaPartition, PartitionCount, CompleteUntil,"
            f" ReportedAt, StoredOffset, EndOffset) SELECT '{row['topic']}', '{row['id']}', {row['partition']},"
            f" {row['of']}, now64(3) - toIntervalMillisecond({int(row['ago'] * 1000)}),"
            f" now64(3) - toIntervalMillisecond({int(row['at'] * 1000)}), {row['stored']}, {row['end']}"
        )
    client.close()


@pytest.fixture(autouse=True)
def _read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer uses what was read for another."""
    monkeypatch.setattr("logbrook.query.completeness._READ_AGAIN_SECONDS", 0.0)


def told(answer: Any) -> tuple[bool, float | None, int | None, bool]:
    """Whether a time is known, how long ago it is, what is pending, and whether it says since when it is not known."""
    until, behind, pending, since = (answer[name] for name in FIELDS)
    return until is not None, behind, pending, since is not None


def test_every_answer_says_until_when_it_is_complete(service: Door, database: config.ClickHouse) -> None:
    """Searches, counts, lookups and SQL, and the head of an export."""
    store(database, [event(1, TraceId="ab")])
    report(database, {"ago": 4})
    name = service.search()["events"][0]["id"]
    answers = [
        service.search(),
        service.get("histogram", from_=BASE["from"], to=BASE["to"]),
        *(service.get(route) for route in ("fields", "facets", "stats", "patterns", "traces/ab", f"events/{name}")),
        service.get("values", field="service"),
        service.get("context", id=name),
        service.sql("SELECT count() FROM otel_logs").json(),
    ]

    assert {told(each)[0] for each in answers} == {True}
    assert all(told(each)[1] >= 4 for each in answers)  # type: ignore[operator]
    assert {told(each)[2:] for each in answers} == {(0, False)}
    head = service.ask("export", from_=BASE["from"], to=BASE["to"]).headers["complete-until"]
    assert head[:16] == answers[0]["complete_until"][:16] or head > answers[0]["complete_until"]


def test_the_partition_that_is_furthest_behind_counts(service: Door, database: config.ClickHouse) -> None:
    """An answer is complete until the earliest of the partitions' times; what all of them lack is pending."""
    report(database, {"of": 2, "ago": 2, "end": 8}, {"of": 2, "partition": 1, "ago": 60, "end": 9})

    known, behind, pending, since = told(service.search())

    assert (known, pending, since) == (True, 3, False)
    assert behind is not None
    assert behind >= 60


@pytest.mark.parametrize(
    ("rows", "known", "since"),
    [
        pytest.param([], False, False, id="nobody ever reported"),
        pytest.param([{"of": 2}], False, False, id="a partition has no report"),
        pytest.param([{"ago": 20, "at": 10}], True, True, id="the report is old"),
        pytest.param([{"of": 2, "ago": 20, "at": 10}, {"of": 2, "partition": 1}], True, True, id="one of them is old"),
        pytest.param([{"ago": -3600, "at": -3600}], False, False, id="ClickHouse's clock was set back"),
        pytest.param([{"topic": "a", "at": 9}, {"topic": "b"}], True, True, id="one topic of two is silent"),
    ],
)
def test_what_is_not_known_is_not_said(
    service: Door, database: config.ClickHouse, rows: list[dict[str, Any]], known: bool, since: bool
) -> None:
    """Without a report of each partition from the last three seconds nothing is said to be pending, and if there was
    one, since when there is none."""
    report(database, *rows)

    answer = service.search()

    assert told(answer)[0] == known
    assert told(answer)[3] == since
    if rows != [{"ago": -3600, "at": -3600}]:
        assert answer["pending_messages"] is None


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([{"id": "old", "of": 8, "ago": 90, "at": 90}, {"id": "new"}], id="a topic was recreated"),
        pytest.param([{"topic": "old", "ago": 90_000, "at": 90_000}, {}], id="a topic is no longer in use"),
        pytest.param([{"ago": 900, "at": 900, "stored": 1, "end": 9}, {}], id="a former owner reports late"),
    ],
)
def test_what_is_over_does_not_count(service: Door, database: config.ClickHouse, rows: list[dict[str, Any]]) -> None:
    """Reports about what is no more hold nothing back."""
    report(database, *rows)

    assert told(service.search())[0] is True
    assert told(service.search())[3] is False
    assert service.search()["behind_seconds"] < 60


def test_without_the_table_answers_are_answered(service: Door, database: config.ClickHouse) -> None:
    """A service that is newer than the schema searches, and does not know until when it is complete."""
    store(database, [event(1)])
    client = clickhouse.connect(database)
    client.command("RENAME TABLE partition_progress TO elsewhere")

    answer = service.search()
    client.command("RENAME TABLE elsewhere TO partition_progress")

    assert len(answer["events"]) == 1
    assert told(answer) == (False, None, None, False)


def test_a_report_is_read_for_several_answers(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many searches do not ask as many times."""
    report(database, {})
    monkeypatch.setattr("logbrook.query.completeness._READ_AGAIN_SECONDS", 3600.0)
    service.search()
    report(database)

    assert told(service.search())[0] is True


def test_a_tail_says_it_as_it_changes(service: Door, database: config.ClickHouse) -> None:
    """A message `complete` comes first, and again when more is known."""
    report(database, {})
    with service.client.stream("GET", "/v1/tail", timeout=60) as response:
        found = ((name, data) for name, data in messages(response.iter_lines()) if name == "complete")
        _, first = next(found)
        report(database, {"stored": 1, "end": 6, "ago": 0})
        latest = next(data for _, data in found if isinstance(data, dict) and data["pending_messages"] == 5)

    assert isinstance(first, dict)
    assert isinstance(latest, dict)
    assert set(first) == set(FIELDS)
    assert latest["complete_until"] > first["complete_until"]


def test_the_document_has_the_fields(service: Door) -> None:
    """/openapi.json says what each answer has."""
    schemas = json.loads(service.client.get("/openapi.json").text)["components"]["schemas"]

    for name in ("SearchAnswer", "StatsAnswer", "SqlAnswer"):
        assert set(FIELDS) <= set(schemas[name]["properties"])
