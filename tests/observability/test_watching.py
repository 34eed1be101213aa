"""The running stack in the eyes of its Prometheus, and of the explorer, which asks it."""

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from native import prometheus
from tests.browser.conftest import browser, chromium
from tests.observability.conftest import Watched
from tests.observability.test_rules import ALERTS

__all__ = ["browser", "chromium"]


def test_every_process_is_watched(stack: Watched) -> None:
    """All of them answer, and no alert fires."""
    targets = stack.prometheus("targets")["activeTargets"]
    names = {each["labels"]["job"] for each in targets}

    assert {each["labels"]["job"]: each["health"] for each in targets} == dict.fromkeys(names, "up")
    assert names >= {"gateway", "consumer", "query", "audit", "kafka", "zookeeper", "clickhouse", "prometheus"}
    assert [each for each in stack.prometheus("alerts")["alerts"] if each["state"] == "firing"] == []


@pytest.mark.parametrize("name", [alert["alert"] for alert in ALERTS])
def test_every_rule_can_be_evaluated(stack: Watched, name: str) -> None:
    """Prometheus has evaluated it on real series, without an error."""
    rules = [rule for group in stack.prometheus("rules")["groups"] for rule in group["rules"]]
    [rule] = [rule for rule in rules if rule["name"] == name]

    # What a minute's figures suggest, such as the end of a disk, may be pending.
    assert rule["health"] == "ok", rule["lastError"]
    assert rule["state"] in ("inactive", "pending")


def test_the_api_tells_how_it_is(stack: Watched) -> None:
    """/v1/status has a value for each figure, no alert that fires, and every process as answering."""
    found = httpx.get(f"{stack.explorer}/v1/status", timeout=30).json()

    assert not [each["name"] for each in found["figures"] if each["value"] is None]
    assert {each["name"]: each["value"] for each in found["figures"]}["missing"] == 0
    assert not [each for each in found["alerts"] if each["firing"]]
    assert [each["name"] for each in found["processes"] if each["up"]] == sorted(
        each["labels"]["job"] for each in stack.prometheus("targets")["activeTargets"]
    )


def test_the_end_of_up_names_prometheus(stack: Watched) -> None:
    """Where it listens is among what `up` prints."""
    assert f"http://127.0.0.1:{stack.settings.ports.prometheus}" in stack.run("up")
    assert prometheus.NAME in stack.run("status")


def test_the_explorer_shows_how_it_is(stack: Watched, browser: Chrome) -> None:
    """The view Health has each figure with its unit, and says that all processes answer."""
    browser.get(f"{stack.explorer}/?view=health")
    WebDriverWait(browser, 60).until(lambda page: "processes answer" in page.page_source)
    script = "return [...document.querySelectorAll('.health .fact')].map((fact) => fact.textContent)"
    shown = browser.execute_script(script)

    assert [each for each in shown if each.endswith("freshness") and " s" in each], shown
    assert [each for each in shown if each == "0 eventsmissing"], shown
    assert len(shown) == len(httpx.get(f"{stack.explorer}/v1/status", timeout=30).json()["figures"])
    assert not [each for each in shown if "\N{EN DASH}" in each or "NaN" in each], shown
