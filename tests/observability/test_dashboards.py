"""Grafana's dashboards without a Grafana: in step with their code, and every query run where it would run."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import __main__ as grafana
from grafana import panels
from tests.components import REPOSITORY
from tests.compose.compose_file import services
from tests.observability.conftest import Watched
from tests.observability.test_rules import ALERTS

FOLDER = REPOSITORY / "compose" / "grafana"
DOCUMENTS = {name: json.loads((FOLDER / "dashboards" / f"{name}.json").read_text()) for name in grafana.BOARDS}
PANELS = [(name, each) for name, board in DOCUMENTS.items() for each in board["panels"] if each["type"] != "row"]
TARGETS = [(f"{name}: {panel['title']}", target) for name, panel in PANELS for target in panel["targets"]]
SQL = [(title, target["rawSql"]) for title, target in TARGETS if "rawSql" in target]
PROMQL = [(title, target["expr"]) for title, target in TARGETS if "expr" in target]
# Served by programs that the native stack does not have, or counted only when something went wrong.
ELSEWHERE, IF_WRONG = ("node_", "alertmanager_"), {"consumer_insert_failures_total"}

Choice = dict[str, str | list[str]]
EVERYTHING: Choice = {"service": "$__all", "level": "0", "search": "", "price": "0.10", "ratio": "5"}
ONE: Choice = EVERYTHING | {"service": ["checkout", "it's"], "level": "9", "search": "ORDER"}


@pytest.mark.parametrize("name", grafana.BOARDS)
def test_a_dashboard_is_in_step_with_its_code(name: str) -> None:
    """What `make dashboards` would write is what is checked in, and the SDK reads it as the same dashboard."""
    text = (FOLDER / "dashboards" / f"{name}.json").read_text()
    register_default_plugins()

    assert text == grafana.document(name), "run `make dashboards`"
    read = Dashboard.from_json(json.loads(text))
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == json.loads(text)


def test_the_page_of_panels_is_in_step() -> None:
    """docs/dashboards.md has every panel with what it shows and what is normal."""
    assert (REPOSITORY / "docs" / "dashboards.md").read_text() == grafana.page(), "run `make dashboards`"


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_every_panel_says_what_is_normal(name: str, panel: dict[str, Any]) -> None:
    """Its description has two parts: what it shows, and what one would see on a good day."""
    shows, _, normal = panel["description"].partition("\n\n**Normal:** ")

    assert len(shows) > 5
    assert len(normal) > 1
    assert panel["targets"], name


@pytest.mark.parametrize("name", grafana.BOARDS)
def test_no_panel_lies_over_another(name: str) -> None:
    """Every field of the grid belongs to one panel at most."""
    fields = [
        (x, y)
        for place in (each["gridPos"] for each in DOCUMENTS[name]["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(fields) == len(set(fields))
    assert max(x for x, _ in fields) < 24


def test_what_is_provisioned_fits_together() -> None:
    """Data sources have the names that panels use; image, SDK and plugin have the versions that these are made for."""
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/datasources.yaml").read_text())["datasources"]
    service = services()["grafana"]
    pinned = (REPOSITORY / "tests/requirements.in").read_text()

    assert {(each["type"], each["uid"]) for each in sources} == {
        (each["datasource"]["type"], each["datasource"]["uid"]) for _, each in PANELS
    }
    # Grafana brings dashboards of an older schema up to its own when it loads them, never back.
    [made_for] = re.findall(r"^grafana-foundation-sdk==\d+!(\d+)", pinned, re.MULTILINE)
    assert int(made_for) <= int(service["image"].partition("@")[0].rpartition(":")[2].split(".")[0])
    assert service["environment"]["GF_PLUGINS_PREINSTALL"] == f"grafana-clickhouse-datasource@{panels.PLUGIN}"
    passwords = [each["secureJsonData"]["password"] for each in sources if "secureJsonData" in each]
    assert {each.removeprefix("$") for each in passwords} <= set(service["environment"])
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].removeprefix("/etc/grafana/")
    assert (FOLDER / home).exists()


@pytest.mark.parametrize("choice", [EVERYTHING, ONE], ids=["everything", "one service"])
@pytest.mark.parametrize(("title", "sql"), SQL, ids=[title for title, _ in SQL])
def test_every_sql_panel_has_data(stack: Watched, title: str, sql: str, choice: Choice) -> None:
    """As the user that Grafana logs in as, with the macros and variables filled in as the data source does."""
    answer = httpx.post(
        f"http://127.0.0.1:{stack.settings.ports.clickhouse}/",
        params={"database": "otel", "default_format": "JSON"},
        content=expand(sql, choice),
        headers={"X-ClickHouse-User": "reader", "X-ClickHouse-Key": stack.settings.reader_password},
        timeout=60,
    )

    assert answer.status_code == 200, f"{title}: {answer.text}"
    assert answer.json()["rows"] > 0


@pytest.mark.parametrize("name", ["service"])
def test_the_variables_have_values(stack: Watched, name: str) -> None:
    """What a variable offers comes from a query as well."""
    [variable] = [each for each in DOCUMENTS["logs"]["templating"]["list"] if each["name"] == name]

    test_every_sql_panel_has_data(stack, name, variable["query"], EVERYTHING)


@pytest.mark.parametrize(("title", "promql"), PROMQL, ids=[title for title, _ in PROMQL])
def test_every_promql_panel_has_data(stack: Watched, title: str, promql: str) -> None:
    """Prometheus understands it and has series for it; what only Compose has must at least be understood."""
    found = stack.query(promql.replace("$__rate_interval", "1m").replace("$__range", "30m"))

    assert found or any(each in promql for each in ELSEWHERE), title


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_what_an_alert_looks_at_is_there(stack: Watched, alert: dict[str, Any]) -> None:
    """An alert on a metric that nobody serves would never fire."""
    bare = re.sub(r'"[^"]*"', "", alert["expr"])
    prefixes = "alertmanager|consumer|gateway|audit|kafka|process|node|ClickHouse"
    names = set(re.findall(rf"\b(?:up|(?:{prefixes})[_:\w]+)", bare))

    assert names
    for name in names - IF_WRONG:
        assert stack.query(name) or name.startswith(ELSEWHERE), name


# The data source's macros (its documentation lists them) and Grafana's formats of variables, as far as panels use them.


def expand(sql: str, choice: Choice) -> str:
    """The statement that the data source would send for the last hour."""
    sql = _macro(sql, "conditionalAll", lambda inside: _conditional(inside, choice))
    sql = re.sub(r"\$\{(\w+)(?::(\w+))?\}", lambda found: _formatted(choice[found[1]], found[2]), sql)
    sql = re.sub(r"\$(?!__)(\w+)", lambda found: _formatted(choice[found[1]], None), sql)
    sql = _macro(sql, "timeFilter", lambda column: f"{column} >= now() - 3600 AND {column} <= now() + 60")
    sql = _macro(sql, "timeInterval", lambda column: f"toStartOfInterval(toDateTime({column}), INTERVAL 60 second)")
    assert "$" not in sql, sql
    return sql


def _macro(sql: str, name: str, meaning: Callable[[str], str]) -> str:
    """Replace each $__name(...), to the bracket that belongs to it."""
    while (start := sql.find(f"$__{name}(")) >= 0:
        first = start + len(f"$__{name}(")
        end, depth = first, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        sql = sql[:start] + meaning(sql[first : end - 1]) + sql[end:]
    return sql


def _conditional(inside: str, choice: Choice) -> str:
    """The condition, unless all values of its variable are chosen."""
    condition, _, variable = inside.rpartition(",")
    return "1=1" if choice[variable.strip().removeprefix("$")] == "$__all" else condition


def _formatted(value: str | list[str], how: str | None) -> str:
    values = [value] if isinstance(value, str) else value
    if how == "singlequote":
        return ",".join("'" + each.replace("'", "\\'") + "'" for each in values)
    if how == "sqlstring":
        return ",".join("'" + each.replace("'", "''") + "'" for each in values)
    return ",".join(values)
