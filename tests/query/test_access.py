"""Who may ask, what they then see on every route there is, and what is written down about it."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from starlette.requests import Request
from starlette.routing import BaseRoute
from structlog.testing import capture_logs

from logbrook import config, rereading, tokens
from logbrook.doctor import probe
from logbrook.doctor.diagnosis import Wrong
from logbrook.doctor.place import find
from logbrook.errors import ConfigError, RejectedError
from logbrook.query import server
from logbrook.query.access import Access
from logbrook.query.events import Position
from tests.components import ClickHouseServer, migrated, until
from tests.query import door
from tests.query.conftest import as_reader, drop
from tests.query.door import BASE, NOW_NS, Door, event
from tests.query.test_matching import PATIENT, QUERIES, expected
from tests.query.test_streams_api import messages

CLIENTS = ExitStack()
ALL, SHOP, BARE, NOBODY = (tokens.issue(name) for name in ("all", "shop", "bare", "nobody"))
TOKENS = ",".join(each.entry for each in (ALL, SHOP, BARE, NOBODY))
ROLES = """
roles:
  - {name: everything, who: ["token:all", boss@example.org], sql: true, export: true, views: true}
  - name: shop
    who: ["token:shop", "*@shop.example.org", "group:shop"]
    query: service:(shop-* OR cart)
    export: true
  - {name: bare, who: ["token:bare"]}
"""
# What they share is what could tell of the others: time, trace, host, and the names of some attributes.
SEEN = [
    event(
        offset,
        f"paid order {offset}",
        ServiceName=("shop-web", "shop-db", "cart")[offset % 3],
        TraceId="5" * 32,
        LogAttributes={"http.route": f"/pay/{offset % 2}", "user.id": str(offset % 4)},
        ResourceAttributes={"host.name": "web-1"},
        IngestedAt="4000000000",
    )
    for offset in range(0, 60, 2)
]
HIDDEN = [
    event(
        offset,
        f"paid SALARY {offset}",
        ServiceName=("bank", "shop", "Cart")[offset % 3],
        SeverityNumber=17,
        TraceId="5" * 32,
        LogAttributes={"http.route": "/salaries", "account.id": f"DE{offset}"},
        ResourceAttributes={"host.name": "web-1", "bank.vault": "7"},
        IngestedAt="4000000000",
    )
    for offset in range(1, 60, 2)
]


def identity(row: dict[str, Any]) -> str:
    """The id of an event."""
    offset = row["KafkaOffset"]
    return Position(NOW_NS + offset * 10**9, "tests", row["KafkaPartition"], offset, 0).text()


def answer(client: Door, path: str, **parameters: Any) -> Any:
    """Status and content of an answer, but for what it cost, and for how large all is together."""
    response = client.ask(path, **parameters)
    if not response.headers["content-type"].startswith("application/json"):
        return response.status_code, response.text
    content = response.json()
    for name in ("cost", "table_rows", "table_bytes"):
        content.pop(name, None)
    return response.status_code, content


def first_arrivals(client: Door) -> Any:
    """What a tail has at once: everything here arrives in the far future."""
    with client.client.stream("GET", "/v1/tail") as response:
        return next(data for name, data in messages(response.iter_lines()) if name == "events")


def pages(client: Door) -> Any:
    """All pages of a search."""
    found: list[Any] = []
    cursor = ""
    while not found or cursor:
        _, page = answer(client, "search", **BASE, limit=7, cursor=cursor)
        cursor = page["cursor"]
        found.append(page)
    return found


def several(path: str, *requests: dict[str, Any]) -> Callable[[Door], Any]:
    """The answers of a route to requests about the day of the tests."""
    return lambda client: [answer(client, path, **BASE, **each) for each in requests]


# Of every route: requests whose answers are not the same if there are events that one may not see.
SHOWS: dict[str, Callable[[Door], Any]] = {
    "/v1/search": lambda client: (
        pages(client),
        several(
            "search",
            {"query": "SALARY"},
            {"query": "service:bank"},
            {"query": "bank.vault:7"},
            {"query": "no"},
            {"query": "host.name in (SALARY)"},
            {"query": "-host.name in (SALARY)"},
        )(client),
    ),
    "/v1/query": several(
        "query",
        {"query": "| stats count, uniq(account.id) by service"},
        {"query": "paid | timechart 1h count by account.id"},
        {"query": "| extract /paid (?<what>\\w+)/ | top what"},
        {"query": "SALARY OR order | fields body, account.id"},
    ),
    "/v1/histogram": several("histogram", {}, {"by": "service"}, {"by": "account.id"}, {"query": "paid", "buckets": 9}),
    "/v1/fields": several("fields", {}),
    "/v1/values": several(
        "values", *({"field": each} for each in ("service", "level", "http.route", "account.id", "resource.bank.vault"))
    ),
    "/v1/facets": several("facets", {}, {"query": "paid"}, {"fields": "service,account.id,host.name"}),
    "/v1/events/{id:path}": lambda client: [answer(client, f"events/{identity(row)}") for row in SEEN[:2] + HIDDEN[:2]],
    "/v1/context": lambda client: [answer(client, "context", id=identity(row)) for row in SEEN[:2] + HIDDEN[:2]],
    "/v1/traces/{trace_id}": lambda client: answer(client, f"traces/{'5' * 32}"),
    "/v1/stats": several("stats", {}),
    "/v1/patterns": several("patterns", {}, {"query": "level:error"}),
    "/v1/tail": first_arrivals,
    "/v1/export": several("export", {}, {"format": "csv"}, {"query": "SALARY OR account.id:DE1"}),
}
# Routes about all events alike: a role with a query may not use them.
REFUSED: dict[str, Callable[[Door], httpx.Response]] = {
    "/v1/sql": lambda client: client.sql("SELECT Body FROM otel_logs"),
    "/v1/status": lambda client: client.ask("status"),
    "/v1/alerts": lambda client: client.ask("alerts"),
    "/v1/views": lambda client: client.ask("views"),
    "/v1/views/{name}": lambda client: client.ask("views/x"),
    "PUT /v1/views/{name}": lambda client: client.client.put("/v1/views/x", json={}),
    "DELETE /v1/views/{name}": lambda client: client.client.delete("/v1/views/x"),
}
# Those that know no events.
SILENT = {"/v1/me", "/openapi.json", "/healthz", "/readyz", "/metrics", ""}


def routes() -> list[BaseRoute]:
    """Every route that the service has."""
    application: Any = server.app(config.Query(), config.ClickHouse(password="x"))
    return list(application._app.routes)


def _name(route: BaseRoute) -> str:
    """The path of a route, behind the method if that may change something."""
    changes = getattr(route, "methods", None) or set()
    return " ".join((*sorted(changes & {"PUT", "DELETE"}), str(getattr(route, "path", route))))


PATHS = [_name(route) for route in routes()]


def asking(url: str, token: str = "") -> Door:
    """A client of a service, with a token or without."""
    given = {"Authorization": f"Bearer {token}"} if token else {}
    client = httpx.Client(base_url=url, headers=given, timeout=60, trust_env=False)
    return Door(url, CLIENTS.enter_context(client))


@pytest.fixture(scope="module", autouse=True)
def _closing_clients() -> Iterator[None]:
    yield
    CLIENTS.close()


@pytest.fixture(scope="module")
def roles_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The roles of these tests."""
    file = tmp_path_factory.mktemp("roles") / "roles.yaml"
    file.write_text(ROLES)
    return file


@pytest.fixture(scope="module")
def settings(roles_file: Path) -> config.Query:
    """A service that asks who one is."""
    return config.Query(roles=str(roles_file), tokens=TOKENS, tail_poll_seconds=0.05)


@contextmanager
def over(clickhouse: ClickHouseServer, settings: config.Query, rows: list[dict[str, Any]]) -> Iterator[str]:
    """The address of a service over a database with just these events."""
    database = migrated(clickhouse.settings(f"access_{uuid.uuid4().hex[:12]}"))
    door.store(database, rows)
    with door.serving(settings, as_reader(clickhouse, database)) as served:
        yield served.url
    drop(database)


@pytest.fixture(scope="module")
def both(clickhouse: ClickHouseServer, settings: config.Query) -> Iterator[str]:
    """A service over all events."""
    with over(clickhouse, settings, SEEN + HIDDEN) as url:
        yield url


@pytest.fixture(scope="module")
def alone(clickhouse: ClickHouseServer, settings: config.Query) -> Iterator[str]:
    """A service over the events that the shop may see."""
    with over(clickhouse, settings, SEEN) as url:
        yield url


@pytest.mark.parametrize("path", PATHS)
def test_no_route_tells_of_events_that_a_role_may_not_see(both: str, alone: str, path: str) -> None:
    """Its answers are those of a service that has only what the role may see; to others they are different.

    A new route fails here until it says above what it shows.
    """
    if path in SILENT:
        assert "bank" not in asking(both).client.get(path or "/").text
    elif path in REFUSED:
        refused = REFUSED[path](asking(both, SHOP.token))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
        assert REFUSED[path](asking(both, ALL.token)).status_code != 403
    else:
        seen = SHOWS[path](asking(both, SHOP.token))
        assert seen == SHOWS[path](asking(alone, ALL.token))
        assert seen != SHOWS[path](asking(both, ALL.token))


@pytest.mark.parametrize("path", [each for each in PATHS if "/v1/" in each])
def test_every_route_asks_who_one_is(both: str, path: str) -> None:
    """Without a token, or with a wrong one, no route of the API answers; with one without a role it is 403."""
    method, _, url = path.replace("{id:path}", "x").replace("{trace_id}", "x").replace("{name}", "x").rpartition(" ")
    method = method or ("POST" if path == "/v1/sql" else "GET")

    for client, status in ((asking(both), 401), (asking(both, "lb_wrong"), 401), (asking(both, NOBODY.token), 403)):
        assert client.client.request(method, url).status_code == status


@hypothesis_settings(PATIENT, max_examples=30)
@given(query=QUERIES)
def test_any_query_finds_what_is_also_in_the_role(corpus_seen: Door, query: str) -> None:
    """A query of any shape finds exactly the events that match it, as if there were only those of the role's query."""
    found = {each["offset"] for each in corpus_seen.search(query, limit=1000)["events"]}

    assert found == expected(query, "service:(c* OR auth) -user-3")


@pytest.fixture(scope="module")
def corpus_seen(clickhouse: ClickHouseServer, corpus_database: config.ClickHouse, tmp_path_factory: Any) -> Any:
    """The service over the corpus, of which a role may see a part."""
    file = tmp_path_factory.mktemp("roles") / "roles.yaml"
    file.write_text('roles: [{name: some, who: ["token:shop"], query: "service:(c* OR auth) -user-3"}]')
    with door.serving(config.Query(roles=str(file), tokens=TOKENS), as_reader(clickhouse, corpus_database)) as served:
        yield asking(served.url, SHOP.token)


def test_a_permission_is_only_what_the_role_says(both: str) -> None:
    """Without SQL and export, a role that sees all events still may do neither."""
    bare = asking(both, BARE.token)

    assert bare.search()["events"]
    for response in (bare.sql("SELECT 1"), bare.ask("export")):
        assert (response.status_code, response.json()["error"]["code"]) == (403, "not_allowed")


def test_one_is_told_who_one_is(both: str, corpus: Door) -> None:
    """The name that views are saved under, the role, and what it permits; without settings, everything and no name."""
    told = [client.get("me") for client in (*(asking(both, each.token) for each in (ALL, SHOP, BARE)), corpus)]

    assert [(each["name"], each["role"], each["permissions"]) for each in told] == [
        ("token:all", "everything", ["sql", "export", "views", "everything"]),
        ("token:shop", "shop", ["export"]),
        ("token:bare", "bare", ["everything"]),
        ("", "", ["sql", "export", "views", "everything"]),
    ]


def test_an_event_that_a_role_may_not_see_has_not_expired(clickhouse: ClickHouseServer, settings: config.Query) -> None:
    """What is stored is the same for every role: an id is unknown, and only before the first arrival expired."""
    day, now = 86400, time.time()
    older = event(0, ServiceName="bank", IngestedAt=f"{now - 3 * day:.3f}")
    with over(clickhouse, settings, [older, event(1, ServiceName="cart")]) as url:
        asked = [asking(url, SHOP.token).ask(f"events/{int(now - days * day)}000000000.1.2.0.tests") for days in (2, 5)]

    assert [each.json()["error"]["code"] for each in asked] == ["no_such_event", "expired"]


def test_a_view_is_kept_by_who_is_known(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """Under the name of the token, whatever name its request claims; and nobody else may delete it."""
    other = tokens.issue("other")
    query = config.Query(tokens=f"{ALL.entry},{other.entry}", views_password=clickhouse.views_password)
    with door.serving(query, as_reader(clickhouse, database)) as served:
        claims = {"Logbrook-User": "boss"}
        saved = asking(served.url, ALL.token).client.put("/v1/views/mine", json={}, headers=claims).json()["saved"]
        refused = asking(served.url, other.token).client.delete("/v1/views/mine?version=1", headers=claims)

    assert (saved["owner"], saved["saved_by"]) == ("token:all", "token:all")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_the_owner")


def test_a_token_may_be_for_some_routes_only(clickhouse: ClickHouseServer, corpus_database: config.ClickHouse) -> None:
    """`paths` of a token are the routes as /openapi.json has them."""
    some = tokens.issue("some", ";paths=/v1/search+/v1/events/{id}")
    with door.serving(config.Query(tokens=some.entry), as_reader(clickhouse, corpus_database)) as served:
        client = asking(served.url, some.token)
        [found, *_] = client.search()["events"]

        assert client.get(f"events/{found['id']}")["event"]["id"] == found["id"]
        assert client.ask("fields").status_code == 403


@pytest.mark.parametrize(
    ("proxies", "headers", "status"),
    [
        ("127.0.0.0/8", {"X-Forwarded-Email": "Mia@shop.example.org"}, 200),
        ("10.0.0.1, ::1, 127.0.0.1", {"X-Forwarded-Email": "boss@example.org"}, 200),
        ("127.0.0.1", {"X-Forwarded-Email": "mia@example.org", "X-Forwarded-Groups": "a, shop"}, 200),
        ("127.0.0.1", {"X-Forwarded-Email": "mia@example.org", "X-Forwarded-Groups": "shopper,token:shop"}, 403),
        ("127.0.0.1", {"X-Forwarded-Email": "mia@evil-shop.example.org"}, 403),
        ("127.0.0.1", {"X-Forwarded-Email": "token:all"}, 401),
        ("127.0.0.1", {"X-Forwarded-Email": "group:shop@example.org"}, 401),
        ("127.0.0.1", {"X-Forwarded-User": "boss@example.org"}, 401),
        ("10.0.0.1", {"X-Forwarded-Email": "boss@example.org"}, 401),
        ("10.0.0.1", {"X-Forwarded-Email": "boss@example.org", "X-Forwarded-For": "10.0.0.1"}, 401),
        ("", {"X-Forwarded-Email": "boss@example.org"}, 401),
    ],
)
def test_only_a_trusted_proxy_says_who_one_is(  # noqa: PLR0917 - three are fixtures
    clickhouse: ClickHouseServer,
    corpus_database: config.ClickHouse,
    settings: config.Query,
    proxies: str,
    headers: dict[str, str],
    status: int,
) -> None:
    """By the address of the connection, and by no header that a sender could write."""
    with door.serving(replace(settings, trusted_proxies=proxies), as_reader(clickhouse, corpus_database)) as served:
        assert served.client.get("/v1/fields", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("proxies", "client", "trusted"),
    [
        ("10.0.0.0/8", "::ffff:10.0.0.5", True),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.5", True),
        ("10.0.0.0/8", "::ffff:11.0.0.5", False),
        ("10.0.0.0/8", "::1", False),
    ],
)
def test_a_proxy_may_have_its_ipv4_address_on_an_ipv6_socket(proxies: str, client: str, trusted: bool) -> None:
    """It is written ::ffff:10.0.0.5 there (RFC 4291, 2.5.5.2)."""
    headers = [(b"x-forwarded-email", b"mia@example.org")]
    request = Request({"type": "http", "client": (client, 1), "headers": headers})
    access = Access(config.Query(trusted_proxies=proxies))
    with nullcontext() if trusted else pytest.raises(RejectedError, match="not identified"):
        assert asyncio.run(access.caller(request, "/v1/fields")).name == "mia@example.org"


def test_two_identities_are_none(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse, settings: config.Query
) -> None:
    """A proxy that adds its header to the sender's own is not believed."""
    both_headers = [("X-Forwarded-Email", "boss@example.org"), ("X-Forwarded-Email", "mia@shop.example.org")]
    with door.serving(replace(settings, trusted_proxies="127.0.0.1"), as_reader(clickhouse, corpus_database)) as served:
        assert served.client.get("/v1/fields", headers=both_headers).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"roles": "FILE"}, "callers can't be identified"),
        ({"trusted_proxies": "proxy.example.org"}, "LOGBROOK_QUERY_TRUSTED_PROXIES"),
        ({"tokens": "all"}, "LOGBROOK_QUERY_TOKENS"),
    ],
)
def test_settings_with_which_nobody_could_be_known_are_refused(
    roles_file: Path, wrong: dict[str, str], says: str
) -> None:
    """The service does not start, and names the setting."""
    given = {name: text.replace("FILE", str(roles_file)) for name, text in wrong.items()}
    with pytest.raises(ConfigError, match=says):
        Access(config.Query(**given))  # type: ignore[arg-type]


def test_an_empty_file_of_tokens_lets_in_nobody(
    clickhouse: ClickHouseServer,
    corpus_database: config.ClickHouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All were retired; those that are added are good without a restart."""
    file = tmp_path / "tokens"
    file.write_text("")
    monkeypatch.setenv("LOGBROOK_QUERY_TOKENS_FILE", str(file))
    monkeypatch.setattr(rereading, "REREAD_SECONDS", 0.05)
    with door.serving(config.Query(), as_reader(clickhouse, corpus_database)) as served:
        client = asking(served.url, SHOP.token)
        assert client.ask("fields").status_code == 401

        file.write_text(SHOP.entry)
        until(lambda: client.ask("fields").status_code == 200)


def test_changed_roles_need_no_restart(
    clickhouse: ClickHouseServer, corpus_database: config.ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is taken out is refused soon; a file with mistakes, or without a role at all, changes nothing."""
    file = tmp_path / "roles.yaml"
    file.write_text('roles: [{name: some, who: ["token:shop", "token:bare"]}]')
    monkeypatch.setattr(rereading, "REREAD_SECONDS", 0.05)
    settings = config.Query(roles=str(file), tokens=TOKENS)
    with door.serving(settings, as_reader(clickhouse, corpus_database)) as served, capture_logs() as logs:
        shop, bare = asking(served.url, SHOP.token), asking(served.url, BARE.token)
        for broken in ("roles: [{name: some}]", ""):
            file.write_text(broken)
            until(lambda: any("can't be read again" in each["event"] for each in logs))
            assert shop.ask("fields").status_code == 200
            logs.clear()

        file.write_text('roles: [{name: some, who: ["token:shop"]}]')
        until(lambda: bare.ask("fields").status_code == 403)
        assert shop.ask("fields").status_code == 200


def test_a_clickhouse_that_can_not_filter_shows_nothing(
    both: str, monkeypatch: pytest.MonkeyPatch, clickhouse: ClickHouseServer, corpus_database: config.ClickHouse,
    settings: config.Query,
) -> None:  # fmt: skip
    """If it refuses the setting, or takes it and does nothing with it, roles with a query get 503, others answers."""
    for ignored in ({"additional_table_filters": "nonsense"}, {}):
        monkeypatch.setattr("logbrook.query.engine._filtered", lambda _condition, ignored=ignored: ignored)
        with door.serving(settings, as_reader(clickhouse, corpus_database)) as served:
            refused = asking(served.url, SHOP.token).ask("search")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_filters")
            assert asking(served.url, ALL.token).search()["events"]


def test_the_terminal_asks_with_a_token(both: str) -> None:
    """`logbrook search` sends LOGBROOK_QUERY_TOKEN, and shows what the API says without one."""
    command = [sys.executable, "-m", "logbrook", "search", "paid", "--since", BASE["from"], "--json", "--url", both]

    def search(token: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"LOGBROOK_QUERY_TOKEN": token}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    services = {json.loads(line)["service"] for line in search(SHOP.token).stdout.splitlines()}
    assert services == {"shop-web", "shop-db", "cart"}
    assert "you are not identified" in search("").stderr


def test_the_doctor_asks_with_a_token(both: str) -> None:
    """It looks for its event with LOGBROOK_QUERY_TOKEN; without one, the API's refusal is what is wrong."""
    place = find({"LOGBROOK_QUERY_URL": both, "LOGBROOK_QUERY_TOKEN": SHOP.token}, Path("/"))

    assert probe._found(place, "needle") is None
    place.query_token = ""
    with pytest.raises(Wrong):
        probe._found(place, "needle")


def test_every_request_for_events_leaves_a_line(both: str) -> None:
    """Who, in which role, what, how it ended, how long it took, and what it cost."""
    with capture_logs() as logs:
        asking(both, SHOP.token).search("paid", limit=3)
        asking(both, ALL.token).sql("SELECT count() FROM otel_logs")
        asking(both, BARE.token).ask("export")
        asking(both, SHOP.token).ask("export", **BASE)
        asking(both).ask("search")
        asking(both, SHOP.token).ask("status")
        until(lambda: sum(each.get("sent_bytes", 0) for each in logs) > 0)

    lines = [each for each in logs if each.get("service") == "logbrook.audit"]
    assert [(each["event"], each["who"], each["role"], each["path"], each["status"]) for each in lines] == [
        ("query", "token:shop", "shop", "/v1/search", 200),
        ("query", "token:all", "everything", "/v1/sql", 200),
        ("query", "token:bare", "", "/v1/export", 403),
        ("query", "token:shop", "shop", "/v1/export", 200),
    ]
    assert lines[0]["asked"] == {"query": "paid", "limit": "3", **BASE}
    assert lines[1]["asked"] == {"sql": "SELECT count() FROM otel_logs"}
    assert lines[0]["rows_read"] > 0
    assert lines[0]["bytes_read"] > 0
    assert all(each["duration_ms"] > 0 for each in lines)
