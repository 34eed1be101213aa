"""The service as a whole: limits, headers, other sites, its own document."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance
from structlog.testing import capture_logs

from logbrook import clickhouse as connection
from logbrook import config
from logbrook.errors import ConfigError
from logbrook.query import catalog, openapi, server
from logbrook.query.engine import Engine
from native import ports
from tests.components import ClickHouseServer, until
from tests.query.conftest import as_reader
from tests.query.door import BASE, Door, serving
from tests.query.test_streams_api import SLOW


def test_a_query_past_its_limits_is_refused_and_others_go_on(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """A query that takes too long is a clear 422; others are answered meanwhile."""
    quick = config.Query(timeout_seconds=5, allow_privileged_user=True)
    with serving(quick, corpus_database) as door:
        statuses: list[int] = []
        slow = threading.Thread(target=lambda: statuses.append(door.sql(SLOW).status_code))
        slow.start()
        others = [door.search("timeout")["cost"]["statements"] for _ in range(5)]
        slow.join()

    assert statuses == [422]
    assert all(others)


def test_a_full_line_is_503_with_a_time_to_come_back(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """More requests than may wait are answered 503 at once, with Retry-After; the others are answered well."""
    narrow = config.Query(max_concurrent_sql=1, max_waiting_requests=2)
    answers: list[tuple[int, str]] = []

    def ask(door: Door) -> None:
        response = door.sql(
            "SELECT count() FROM (SELECT arrayJoin(range(30000)) AS a) x, (SELECT arrayJoin(range(3000)) AS b) y "
            "WHERE a * b = 7"
        )
        answers.append((response.status_code, response.headers.get("retry-after", "")))

    with serving(narrow, as_reader(clickhouse, corpus_database)) as door:
        clients = [threading.Thread(target=ask, args=(door,)) for _ in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    counted = Counter(status for status, _ in answers)
    assert set(counted) == {200, 503}
    assert all(later for status, later in answers if status == 503)


def test_many_clients_at_once_are_all_answered(corpus: Door) -> None:
    """A hundred clients at the same time get their answers: they wait for their turn."""
    statuses: list[int] = []
    clients = [
        threading.Thread(target=lambda n=n: statuses.append(corpus.ask("search", query=f"w{n} OR order").status_code))
        for n in range(100)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert Counter(statuses) == {200: 100}


def test_clickhouse_being_down_is_503() -> None:
    """Without ClickHouse the service runs, says that it is not ready, and answers 503 with a reason."""
    nowhere = config.ClickHouse(port=1, password="x")
    with serving(config.Query(), nowhere) as door:
        assert door.client.get("/healthz").status_code == 200
        assert door.client.get("/readyz").status_code == 503
        response = door.ask("search")

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "clickhouse_unavailable"
    assert response.headers["retry-after"]


def test_missing_tables_are_named(clickhouse: ClickHouseServer) -> None:
    """A database without the tables says what to run."""
    with serving(config.Query(allow_privileged_user=True), clickhouse.settings("default")) as door:
        error = door.ask("search", from_="1h").json()["error"]

    assert error["code"] == "no_schema"
    assert "logbrook migrate" in error["message"]


def test_every_answer_is_locked_down(corpus: Door) -> None:
    """Page, answers and errors carry the policy that allows no foreign and no inline script."""
    for path in ("/", "/app.js", "/v1/search", "/v1/nothing", "/openapi.json"):
        headers = corpus.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_other_sites_and_names_are_refused(corpus: Door) -> None:
    """A page of another site may not ask, and no other host name leads here."""
    assert corpus.client.get("/v1/search", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert corpus.client.get("/v1/search", headers={"Host": "evil.example"}).status_code == 400
    assert "access-control-allow-origin" not in corpus.client.get("/v1/search", headers={"Origin": "http://x"}).headers


def test_metrics_have_no_made_up_labels(corpus: Door) -> None:
    """Requests are counted by declared route, whatever paths are asked for."""
    corpus.search()
    corpus.client.get("/v1/events/1.2.3.4.x")
    corpus.client.get("/some/made/up/path")

    text = corpus.client.get("/metrics").text

    assert 'query_requests_total{route="/v1/search",status="200"}' in text
    assert 'route="/v1/events/{id}"' in text
    assert "made/up" not in text


def test_the_page_asks_nobody_else(corpus: Door) -> None:
    """The page and its files are served, checked for newer versions each time, and name no other host."""
    page = corpus.client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    for name in ("app.js", "style.css", "dom.js", "icon.svg"):
        text = corpus.client.get(f"/{name}").text
        assert "//cdn" not in text
        assert "https://" not in text.replace("http://www.w3.org", "")
    assert "innerHTML" not in "".join(
        corpus.client.get(f"/{name}").text for name in ("dom.js", "table.js", "drawer.js")
    )


def test_the_document_lists_every_route(corpus: Door) -> None:
    """The OpenAPI document that is served is the one that is made from the routes."""
    served = corpus.client.get("/openapi.json").json()

    assert served == openapi.document()
    assert {"/v1/search", "/v1/tail", "/v1/export", "/v1/sql", "/v1/traces/{trace_id}"} <= set(served["paths"])


def test_every_route_and_field_is_in_the_documentation() -> None:
    """docs/query.md names each route of the document, and each field that a query may name."""
    text = (Path(__file__).parents[2] / "docs/query.md").read_text()

    assert not [path for path in openapi.document()["paths"] if f"`GET {path}`" not in text and f"{path}`" not in text]
    assert not [name for name in catalog.COLUMNS if f"`{name}`" not in text and name != "service.name"]
    assert not [name for name in catalog.LEVELS if f"`{name}`" not in text]


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, each in openapi.document()["paths"].items() for method in each if path != "/v1/tail"],
)
def test_any_request_is_answered_as_documented(corpus: Door, path: str, method: str) -> None:
    """Whatever is sent, the answer has a documented status and the documented shape, and is never a 5xx."""
    document = schemathesis.openapi.from_url(f"{corpus.url}/openapi.json")
    [operation] = document.include(path=path, method=method.upper()).get_all_operations()
    assert isinstance(operation, Ok)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.ok().as_strategy())
    def check(case: Any) -> None:
        response = case.call(base_url=corpus.url)
        # A query, a time or a statement has a grammar that no JSON schema tells: 400 is right for many a text.
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        assert response.status_code < 500

    check()


def test_a_user_who_may_do_more_is_refused(clickhouse: ClickHouseServer, corpus_database: config.ClickHouse) -> None:
    """Logged in as the administrator, the service answers nothing but what is wrong, unless a setting accepts it."""
    with serving(config.Query(), corpus_database) as door:
        response = door.ask("search")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "privileged_user"
        assert "LOGBROOK_QUERY_ALLOW_PRIVILEGED_USER" in response.json()["error"]["message"]
        assert door.sql("SELECT 1").status_code == 503
    with serving(config.Query(allow_privileged_user=True), corpus_database) as door:
        assert door.sql("SELECT 1").status_code == 200

    with pytest.raises(ConfigError, match="'default'"):
        server.run(config.Query(), corpus_database)


def test_an_abandoned_statement_counts_until_it_has_ended(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """A client that leaves frees its place once ClickHouse is done: abandoned SQL never piles up, searches go on."""
    narrow = config.Query(max_concurrent_sql=1, wait_seconds=30)
    admin = connection.connect(corpus_database)
    running = "SELECT count() FROM system.processes WHERE query LIKE '%range(100000)%a * b%'"
    running += " AND query NOT LIKE '%system.processes%'"
    most = 0
    with serving(narrow, as_reader(clickhouse, corpus_database)) as door:
        for _ in range(5):
            with contextlib.suppress(httpx.ReadTimeout):
                door.client.post("/v1/sql", json={"sql": SLOW}, timeout=3)
            most = max(most, int(admin.query(running).result_rows[0][0]))
            assert door.ask("search", query="order").status_code == 200
        assert door.sql("SELECT 1").status_code == 200
    admin.close()

    assert most == 1


def test_the_port_opens_though_clickhouse_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ClickHouse that accepts a connection and never answers keeps the service from nothing: requests ask again."""
    monkeypatch.setattr(server, "_ADMIT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = config.ClickHouse(password="", port=silent.getsockname()[1], timeout_seconds=3600)
        server._require_reader(config.Query(), database)


class Scripted(httpx.AsyncBaseTransport):
    """A ClickHouse that answers statements with one error code after the other, and then with success."""

    def __init__(self, codes: list[int | type[httpx.HTTPError]]) -> None:
        self.codes, self.asked = codes, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One answer; KILL QUERY is refused, as to any user who may only read."""
        if b"KILL" in request.content:
            return httpx.Response(500, headers={"X-ClickHouse-Exception-Code": "497"})
        self.asked += 1
        code = self.codes.pop(0) if self.codes else 0
        if isinstance(code, type):
            raise code("scripted")
        return httpx.Response(500 if code else 200, headers={"X-ClickHouse-Exception-Code": str(code)})


@pytest.mark.parametrize(
    ("codes", "asked"),
    [
        ([216, 216], 3),
        # Too many statements, a quota, no answer: nothing is known, and the statement may still run.
        ([202, 216, 201, 216], 5),
        ([httpx.ReadTimeout, 216, httpx.ReadError], 4),
        ([216, httpx.ConnectError, 216], 2),
    ],
)
def test_only_a_sure_answer_ends_a_statement(
    monkeypatch: pytest.MonkeyPatch, codes: list[int | type[httpx.HTTPError]], asked: int
) -> None:
    """An abandoned statement keeps its place until ClickHouse surely has ended it, or is surely not there.

    The codes: QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING 216, TOO_MANY_SIMULTANEOUS_QUERIES 202, QUOTA_EXCEEDED 201 of
    ClickHouse's src/Common/ErrorCodes.cpp; src/Interpreters/ProcessList.cpp (`insert`) looks at the places of all
    before it looks at the id.
    """
    monkeypatch.setattr("logbrook.query.engine._LOOK_AGAIN_SECONDS", 0)

    async def end() -> tuple[int, bool]:
        engine = Engine(config.ClickHouse(password="x"), config.Query())
        script = Scripted(codes)
        engine._client = httpx.AsyncClient(base_url="http://clickhouse", transport=script)
        lane = asyncio.Semaphore(0)
        await engine._end("some-id", lane)
        await engine.close()
        return script.asked, lane.locked()

    assert asyncio.run(end()) == (asked, False)


def test_sql_takes_less_than_searches_may(clickhouse: ClickHouseServer, corpus_database: config.ClickHouse) -> None:
    """A statement of /v1/sql runs with limits of its own, lower than those of the user's profile; a search does not."""
    lower = config.Query(sql_timeout_seconds=4, max_sql_memory_bytes=100_000_000)
    names = ("max_execution_time", "max_memory_usage", "max_threads", "os_threads_nice_value_query")
    asking = "SELECT " + ", ".join(f"Settings['{name}']" for name in names) + " FROM system.processes"
    admin = connection.connect(corpus_database)
    statuses: list[int] = []
    with serving(lower, as_reader(clickhouse, corpus_database)) as door:
        slow = threading.Thread(target=lambda: statuses.append(door.sql(SLOW).status_code))
        slow.start()
        # The guard asks ClickHouse to EXPLAIN the same text first, as the reader and with its settings.
        running = (
            f"{asking} WHERE query LIKE '%range(100000)%a * b%'"
            " AND query NOT LIKE '%processes%' AND query NOT LIKE 'EXPLAIN%'"
        )
        # The same text from another test may still run on the server, with other limits.
        until(lambda: ("4", "100000000", "1", "19") in admin.query(running).result_rows)
        assert door.ask("search", query="order").status_code == 200
        slow.join()
    admin.close()

    assert statuses == [422]


def test_a_user_who_may_not_lower_its_limits_is_served_all_the_same(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """Where a profile fixes its settings, statements of /v1/sql run with those, and the log says so."""
    beyond = config.Query(timeout_seconds=1000, sql_timeout_seconds=1000)
    with capture_logs() as lines, serving(beyond, as_reader(clickhouse, corpus_database)) as door:
        assert door.sql("SELECT count() FROM otel_logs").status_code == 200
        assert door.sql("SELECT count() FROM otel_logs").status_code == 200

    assert len([line for line in lines if "may not lower its limits" in line["event"]]) == 1


def test_a_query_has_so_many_values_at_most(corpus_database: config.ClickHouse) -> None:
    """`in (...)` that finds more than the limit is a clear 422, and not an answer from some of them."""
    with serving(config.Query(max_in_values=6, allow_privileged_user=True), corpus_database) as door:
        assert door.search("service in (level>=error)")["events"]
        response = door.ask("search", query="user.id in (level>=none)", from_=BASE["from"], to=BASE["to"])

    assert (response.status_code, response.json()["error"]["code"]) == (422, "query_past_limits")
    assert "more values for `in (...)` than the limit" in response.json()["error"]["message"]


def test_no_answer_is_larger_than_the_service_can_hold(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """A result past the limit is a clear 422, and is dropped before it is read whole; searches have their own limit."""
    small = config.Query(max_sql_result_bytes=100_000)
    with serving(small, as_reader(clickhouse, corpus_database)) as door:
        response = door.sql("SELECT repeat('x', 10000) FROM (SELECT arrayJoin(range(9000)))")
        assert (response.status_code, response.json()["error"]["code"]) == (422, "query_past_limits")
        assert "more than 100000 bytes" in response.json()["error"]["message"]
        assert door.sql("SELECT repeat('x', 9000)").status_code == 200
        assert door.ask("search", query="order").status_code == 200
    with serving(config.Query(max_result_bytes=1000), as_reader(clickhouse, corpus_database)) as door:
        response = door.ask("search", from_=BASE["from"], to=BASE["to"], limit=100)
        assert "more than 1000 bytes" in response.json()["error"]["message"]


def answers(port: int) -> bool:
    """Whether /healthz answers."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    return False


@contextlib.contextmanager
def unconnected(**variables: str) -> Iterator[int]:
    """The port of a service whose ClickHouse is not there."""
    [port] = ports.free(1)
    environment = os.environ | {"LOGBROOK_CLICKHOUSE_PORT": "1", "LOGBROOK_CLICKHOUSE_PASSWORD": "x"}
    environment |= {"LOGBROOK_QUERY_PORT": str(port)} | variables
    process = subprocess.Popen([sys.executable, "-m", "logbrook", "query"], env=environment)
    try:
        until(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_an_endless_head_is_cut_off() -> None:
    """What is no request in all that a client sends takes no memory: the connection is closed."""
    with unconnected() as port:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as client,
            pytest.raises(OSError, match=r"reset|Broken pipe"),
        ):
            client.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"x" * 2**26)
        assert answers(port)


def test_one_connection_too_many_is_told_so() -> None:
    """Who holds all connections that may be open keeps others away for as long, and no longer."""
    with unconnected(LOGBROOK_QUERY_MAX_CONNECTIONS="1") as port:
        with socket.create_connection(("127.0.0.1", port), 30):
            until(lambda: not answers(port))
            refused = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_connections")
            assert refused.headers["retry-after"] == "1"
        until(lambda: answers(port))
