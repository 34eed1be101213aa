"""The Python client against the real API: typed answers, tables, and errors with the API's own messages."""

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pandas
import pytest

from logbrook import config
from logbrook.client import Client, refusal
from logbrook.errors import BusyError, ClickHouseUnavailableError, RejectedError, UnavailableError
from logbrook.query import search, streams
from logbrook.query.http import error_answer
from logbrook.query.timerange import TimeRange
from tests.query.door import Door, event, moment, serving, store

SINCE, UNTIL = "2025-11-24", datetime(2025, 11, 25, tzinfo=UTC)


def test_answers_are_typed(service: Door, database: config.ClickHouse) -> None:
    """Events, counts, patterns, traces, lines around one, and fields come as the API's own types."""
    rows = [event(n, f"order {n} paid", TraceId="ab" * 16, LogAttributes={"k": "v"}) for n in range(5)]
    store(database, [*rows, event(9, "refused", SeverityNumber=17)])
    with Client(service.url) as client:
        page = client.search("order", since=SINCE, until=UNTIL, limit=3)
        rest = client.search("order", since=SINCE, until=UNTIL, limit=3, cursor=page.cursor or "")
        counted = client.histogram(since=SINCE, until=UNTIL)
        [pattern] = client.patterns("order", since=SINCE, until=UNTIL).patterns
        traced = client.trace("ab" * 16)
        around = client.context(page.events[0].id, before=1, after=1)
        names = {each.name for each in client.fields(since=SINCE, until=UNTIL).fields}
        whole = client.event(page.events[0].id).event

    assert [each.body for each in page.events + rest.events] == [f"order {n} paid" for n in (4, 3, 2, 1, 0)]
    assert page.events[0].attributes == {"k": "v"}
    assert {each.name: each.total for each in counted.series} == {"info": 5, "error": 1}
    assert (pattern.pattern, pattern.count) == ("order <*> paid", 5)
    assert len(traced.events) == 5
    assert [each.body for each in around.before + around.after] == ["order 3 paid", "refused"]
    assert "attr.k" in names
    assert whole == page.events[0]


def test_all_matches_become_a_table_and_a_data_frame(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many statements they took: the newest first, with times as times and attributes as dictionaries."""
    monkeypatch.setattr(streams, "_EXPORT_EVENTS", 100)
    store(database, [event(n, "line", Timestamp=moment(-n * 7), LogAttributes={"n": str(n)}) for n in range(1000)])
    with Client(service.url) as client:
        table = client.arrow("line", since=SINCE, until=UNTIL)
        frame = client.pandas("line", since=SINCE, until=UNTIL)
        lines = b"".join(client.export("line", since=SINCE, until=UNTIL)).splitlines()

    assert table.num_rows == len(lines) == 1000
    assert [each["n"] for each in frame.attributes] == [str(n) for n in range(1000)]
    assert frame.timestamp[0] == pandas.Timestamp("2025-11-24T16:00:00Z")
    assert frame.groupby(frame.timestamp.dt.hour).size().sum() == 1000


def test_a_refusal_has_the_apis_message_and_place(service: Door) -> None:
    """A mistake in a query names its place; what does not exist is a 404; an export fails as a search does."""
    with Client(service.url) as client:
        with pytest.raises(RejectedError, match="'loud' is not a level") as refused:
            client.search("level>=loud")
        with pytest.raises(RejectedError, match="'loud' is not a level"):
            client.arrow("level>=loud")
        with pytest.raises(RejectedError) as missing:
            client.event("1764000000000000000.0.1.0.tests")

    assert (refused.value.status, refused.value.code, refused.value.place["position"]) == (400, "query_syntax", 7)
    assert missing.value.code == "no_such_event"


def test_an_export_that_breaks_off_is_an_error(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the matches never pass for all of them, whatever happens to the service in between."""
    store(database, [event(1)])

    async def one_and_no_more(look: search.Look, _size: int) -> AsyncIterator[TimeRange]:
        yield look.selection.period
        raise ClickHouseUnavailableError("gone")

    monkeypatch.setattr(search, "slices", one_and_no_more)

    with Client(service.url) as client, pytest.raises(UnavailableError):
        client.arrow(since=SINCE, until=UNTIL)


def test_what_does_not_answer_is_named() -> None:
    """An address where nobody listens, and a service whose ClickHouse is down."""
    with Client("http://127.0.0.1:1") as client, pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 can't be"):
        client.search()
    nowhere = config.ClickHouse(port=1, password="x")
    with (
        serving(config.Query(), nowhere) as down,
        Client(down.url) as client,
        pytest.raises(UnavailableError) as error,
    ):
        client.search()
    assert (error.value.code, error.value.retry_after_seconds) == ("clickhouse_unavailable", 2)


def test_a_quota_that_is_used_up_says_when_to_come_back() -> None:
    """429 is an error of its own, with the time of Retry-After."""
    told = error_answer(BusyError("quota_exceeded", "the quota of queries is used up", 60))

    error = refusal(httpx.Response(told.status_code, headers=dict(told.headers), content=bytes(told.body)))

    assert isinstance(error, BusyError)
    assert (error.code, str(error), error.retry_after_seconds) == (
        "quota_exceeded",
        "the quota of queries is used up",
        60,
    )


def test_a_page_of_something_else_is_not_an_answer() -> None:
    """A login page, or whatever else listens there, is named as that."""
    for text in ("<html>", '{"error": "not found"}', "[]", '{"error": {"code": "moved"}}'):
        error = refusal(httpx.Response(302, text=text))
        assert str(error) == "the service answered 302: is this the query API?"

    at_noon = {"Retry-After": "Sun, 29 Nov 2026 12:00:00 GMT"}
    busy = refusal(httpx.Response(503, text="<html>", headers=at_noon))
    assert isinstance(busy, UnavailableError)
    assert busy.retry_after_seconds == 1


def test_a_notebook_need_not_install_the_service() -> None:
    """The client loads what it shares with the API, whose packages `logbrook[client]` installs, and nothing else."""
    loads = "import sys, logbrook.client; print(*(name for name in sys.modules if name.startswith('logbrook')))"
    done = subprocess.run([sys.executable, "-c", loads], stdout=subprocess.PIPE, text=True, check=True)

    shared = {"logbrook.errors", "logbrook.query", "logbrook.query.answers", "logbrook.query.columns"}
    assert set(done.stdout.split()) == {"logbrook", "logbrook.client"} | shared
