"""Saved views: shared, versioned, and written by a user who can write nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader
from tests.query.door import Door

ERRORS = {"query": "level>=error", "from": "24h", "note": "what breaks", "columns": "time,attr.user.id:120,message"}


def serving_views(clickhouse: ClickHouseServer, database: config.ClickHouse, **settings: Any) -> Any:
    """The service with saved views, of which there are none."""
    query = config.Query(views_password=clickhouse.views_password, tail_poll_seconds=0.1, **settings)
    return door.serving(query, as_reader(clickhouse, database))


@pytest.fixture
def service(clickhouse: ClickHouseServer, database: config.ClickHouse) -> Iterator[Door]:
    """The service with saved views, of which there are none."""
    with serving_views(clickhouse, database) as served:
        yield served


def change(
    service: Door, name: str, view: object = None, *, by: str = "mia", version: int = 0, headers: Mapping[str, str] = {}
) -> httpx.Response:
    """Save a view, or delete it if there is none to save."""
    return service.client.request(
        "DELETE" if view is None else "PUT",
        f"/v1/views/{quote(name)}",
        params={"version": version},
        headers={"Logbrook-User": quote(by), "Content-Type": "application/json", **headers},
        content=b"" if view is None else json.dumps(view),
    )


def code(response: httpx.Response) -> tuple[int, str]:
    """What an answer refuses with."""
    return response.status_code, response.json()["error"]["code"]


def test_a_view_is_there_for_all(service: Door) -> None:
    """What one saves, others list and open by its name; it holds exactly what was saved, and has an owner."""
    assert change(service, "checkout errors", ERRORS, by="Zoë").status_code == 200

    [listed] = service.get("views")["views"]
    opened = service.get("views/checkout errors")

    assert listed == opened["saved"]
    assert listed["view"] == ERRORS
    assert (listed["name"], listed["owner"], listed["version"]) == ("checkout errors", "Zoë", 1)


def test_changes_are_kept_with_who_and_when(service: Door) -> None:
    """Anyone may change a view; its history has each version as it was, and the owner stays."""
    change(service, "errors", ERRORS, by="mia")
    change(service, "errors", {**ERRORS, "from": "1h"}, by="noa", version=1)

    answer = service.get("views/errors")

    assert [(each["version"], each["saved_by"], each["owner"]) for each in answer["history"]] == [
        (2, "noa", "mia"), (1, "mia", "mia"),
    ]  # fmt: skip
    assert answer["history"][1]["view"] == ERRORS
    assert answer["history"][1]["saved_at"] <= answer["saved"]["saved_at"]


def test_nobody_overwrites_what_they_have_not_seen(service: Door) -> None:
    """Of two who change the same version the second is told by whom and when it was changed; nothing is lost."""
    change(service, "errors", ERRORS)
    assert change(service, "errors", {"query": "a"}, by="noa", version=1).status_code == 200

    late = change(service, "errors", {"query": "b"}, version=1)
    anew = change(service, "errors", {"query": "c"})

    assert code(late) == code(anew) == (409, "changed_meanwhile")
    assert "noa saved version 2" in late.json()["error"]["message"]
    assert service.get("views/errors")["saved"]["view"] == {"query": "a"}


def test_many_at_once_make_one_version_each(service: Door) -> None:
    """Of ten who save the same version at the same time, one does, and the others are told."""
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda number: change(service, "errors", {"query": f"a{number}"}), range(10))]

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert len(service.get("views/errors")["history"]) == 1


def test_only_the_owner_deletes(service: Door) -> None:
    """Others are refused. A deleted view is not there, its name is free, and the next of that name goes on after it."""
    change(service, "errors", ERRORS)
    change(service, "errors", {"query": "a"}, by="noa", version=1)

    assert code(change(service, "errors", by="noa", version=2)) == (403, "not_the_owner")
    assert code(change(service, "errors", version=1)) == (409, "changed_meanwhile")
    assert change(service, "errors", version=2).status_code == 200

    assert service.get("views")["views"] == []
    assert code(service.ask("views/errors")) == (404, "no_such_view")
    assert code(change(service, "errors")) == (404, "no_such_view")
    assert code(change(service, "errors", {"query": "b"}, version=3)) == (409, "changed_meanwhile")
    saved = change(service, "errors", {"query": "b"}, by="noa").json()
    assert (saved["saved"]["owner"], saved["saved"]["version"]) == ("noa", 4)
    assert [each["deleted"] for each in saved["history"]] == [False, True, False, False]


@pytest.mark.parametrize(
    ("name", "view", "headers", "refused"),
    [
        ("errors", {"query": "x" * 4097}, {}, (400, "bad_body")),
        ("errors", {"quary": "x"}, {}, (400, "bad_body")),
        ("errors", {"wrap": "yes"}, {}, (400, "bad_body")),
        ("errors", {"note": "x" * 100_000}, {}, (413, "body_too_large")),
        ("x" * 101, {}, {}, (400, "bad_parameter")),
        ("a/b", {}, {}, (405, "method_not_allowed")),
        ("a\nb", {}, {}, (400, "bad_parameter")),
        ("a\n", {}, {}, (400, "bad_parameter")),
        ("<b>", {}, {}, (400, "bad_parameter")),
        ("errors", {}, {"Logbrook-User": ""}, (400, "no_name")),
        ("errors", {}, {"Logbrook-User": quote("a\nb")}, (400, "no_name")),
        ("errors", {}, {"Logbrook-User": "x" * 101}, (400, "no_name")),
        ("errors", {}, {"Content-Type": "text/plain"}, (415, "not_json")),
    ],
)
def test_what_is_no_view_is_refused(
    service: Door, name: str, view: object, headers: dict[str, str], refused: tuple[int, str]
) -> None:
    """With a reason; and nothing is saved."""
    assert code(change(service, name, view, headers=headers)) == refused
    assert service.get("views")["views"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
)
def test_no_other_page_changes_a_view(service: Door, headers: dict[str, str]) -> None:
    """Of another site, of another port of this host, or of no site: neither saving nor deleting."""
    own = service.url.removeprefix("http:")
    for good in ({"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere"}, {"Origin": f"https:{own}"}):
        version = (service.get("views")["views"] or [{"version": 0}])[0]["version"]
        assert change(service, "errors", ERRORS, version=version, headers=good).status_code == 200

    assert code(change(service, "errors", {"query": "evil"}, version=2, headers=headers)) == (403, "cross_site")
    assert code(change(service, "errors", version=2, headers=headers)) == (403, "cross_site")
    assert service.get("views/errors")["saved"]["version"] == 2


def test_views_have_limits(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """The number of views and the number of changes are limited; the message names the setting."""
    with serving_views(clickhouse, database, max_views=2, max_view_changes=4) as service:
        for name in ("a", "b"):
            assert change(service, name, {}).status_code == 200
        assert code(change(service, "c", {})) == (422, "too_many_views")
        assert change(service, "b", {"query": "x"}, version=1).status_code == 200
        assert change(service, "b", version=2).status_code == 200
        full = change(service, "c", {})

    assert code(full) == (422, "too_many_changes")
    assert "LOGBROOK_QUERY_MAX_VIEW_CHANGES" in full.json()["error"]["message"]


def command(service: Door, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`logbrook views` to its end."""
    line = [sys.executable, "-m", "logbrook", "views", *arguments, "--url", service.url]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_views_go_out_and_come_in_as_yaml(service: Door, tmp_path: Path) -> None:
    """A file has all of them. What is read from it again is saved if it differs, as the one who reads it."""
    file = tmp_path / "views.yaml"
    change(service, "errors", ERRORS)
    change(service, "night", {"query": "a\u202eb", "from": "2026-11-29T00:00:00Z", "wrap": "1"})
    assert command(service).stdout.splitlines() == ["errors  level>=error  (mia)", "night  a\\u{202e}b  (mia)"]
    assert command(service, "--export", str(file)).returncode == 0
    before = {each["name"]: each["view"] for each in service.get("views")["views"]}

    assert "0 views saved, 2 as they were" in command(service, "--import", str(file)).stderr
    change(service, "night", version=1)
    file.write_text(file.read_text().replace("what breaks", "what broke"))
    assert "2 views saved" in command(service, "--import", str(file), "--name", "noa").stderr

    after = {each["name"]: each["view"] for each in service.get("views")["views"]}
    assert after == {**before, "errors": {**before["errors"], "note": "what broke"}}
    assert [(each["saved_by"], each["owner"]) for each in service.get("views")["views"]] == [
        ("noa", "mia"), ("noa", "noa"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["errors", "errors: [a]", "errors: {query: {}}", "a: {", "errors: {quary: x}"])
def test_a_file_that_holds_no_views_is_refused(service: Door, tmp_path: Path, text: str) -> None:
    """With a reason and without a traceback; nothing is saved."""
    (tmp_path / "views.yaml").write_text(text)

    done = command(service, "--import", str(tmp_path / "views.yaml"))

    assert done.returncode == 1
    assert "error" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.get("views")["views"] == []


def test_without_the_second_login_there_are_none(corpus: Door) -> None:
    """Each route says what to set."""
    for answer in (corpus.ask("views"), corpus.ask("views/errors"), change(corpus, "errors", {})):
        assert code(answer) == (404, "no_views")
        assert "LOGBROOK_QUERY_VIEWS_PASSWORD" in answer.json()["error"]["message"]


def test_a_login_that_clickhouse_refuses_is_named(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """With a wrong password of either user, the answer is a 503 that names the user."""
    query, reader = config.Query(views_password="wrong"), as_reader(clickhouse, database)
    with door.serving(query, reader) as service:
        answers = {"views": [service.ask("views"), change(service, "errors", {})]}
    with door.serving(config.Query(), replace(reader, password="wrong")) as service:
        answers["reader"] = [service.ask("search"), service.sql("SELECT 1")]

    for user, refused in answers.items():
        assert [code(each) for each in refused] == [(503, "clickhouse_login")] * 2
        assert all(f"user '{user}'" in each.json()["error"]["message"] for each in refused)


def test_a_reader_is_no_writer(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """With the reader's login in the second place, nothing can be saved: each login has its own rights."""
    query = config.Query(views_username="reader", views_password=clickhouse.reader_password)
    with door.serving(query, as_reader(clickhouse, database)) as service:
        assert change(service, "errors", {}).status_code == 500


def test_a_body_that_is_not_utf_8_is_refused(corpus: Door) -> None:
    """It is a 400 as any other body that is not JSON."""
    given = {"Content-Type": "application/json"}

    assert code(corpus.client.post("/v1/sql", content=b'{"sql": "\xff"}', headers=given)) == (400, "bad_body")
