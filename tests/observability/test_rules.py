"""Prometheus' rules: sound, tested by promtool, and each alert leads to a heading that says what to do."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from native import environment, prometheus, stack
from native.environment import Environment
from native.up import JARS
from tests.components import REPOSITORY
from tests.unit.test_docs import anchor

CONFIGURATION = REPOSITORY / "compose" / "prometheus"
GROUPS = yaml.safe_load((CONFIGURATION / "rules.yml").read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
COMPOSE = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())


@pytest.mark.skipif(not shutil.which("promtool"), reason=f"promtool is not installed: {prometheus.INSTALL}")
@pytest.mark.parametrize("command", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")])
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    """The configuration is valid, and each alert fires when it should, and not when it should not."""
    done = subprocess.run(["promtool", *command], cwd=CONFIGURATION, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    """rules_test.yml has a case in which it fires, with all that it says, and most have one in which it does not."""
    cases = yaml.safe_load((CONFIGURATION / "rules_test.yml").read_text())["tests"]
    looks = [look for case in cases for look in case["alert_rule_test"]]

    assert {each["alertname"] for each in looks if each["exp_alerts"]} == {alert["alert"] for alert in ALERTS}
    assert len({each["alertname"] for each in looks if not each["exp_alerts"]}) > len(ALERTS) / 2


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """It leads to a heading of the documentation, under which it is named, critical or not as in the rule."""
    page, _, heading = alert["annotations"]["runbook"].partition("#")
    sections = (REPOSITORY / page).read_text().split("\n### ")[1:]
    text = {anchor(section.splitlines()[0]): section for section in sections}[heading]

    assert {"summary", "description"} < set(alert["annotations"])
    assert f"*{alert['alert']}*" in text
    assert (f"Critical: *{alert['alert']}*" in text) == (alert["labels"]["severity"] == "critical")
    assert len(text.split()) > 30


def test_the_native_stack_is_watched_as_the_other_one(tmp_path: Path) -> None:
    """The same jobs at the same pace by the same rules; the machine itself and Alertmanager are Compose's alone."""
    prometheus.prometheus("prometheus", tmp_path, Environment(tmp_path, {}).ports)
    native = json.loads((tmp_path / "prometheus.yml").read_text())

    assert {each["job_name"] for each in COMPOSE["scrape_configs"]} == {
        *(each["job_name"] for each in native["scrape_configs"]),
        "node",
        "alertmanager",
    }
    assert native["global"] == COMPOSE["global"]
    assert [Path(each).name for each in native["rule_files"]] == COMPOSE["rule_files"]


def test_without_prometheus_the_stack_runs_unwatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program is not installed the others are started all the same, and the query API knows of none."""
    (tmp_path / "java").symlink_to(str(shutil.which("java")))
    monkeypatch.setenv("PATH", str(tmp_path))

    services = {each.name: each for each in stack.services(environment.load(tmp_path), JARS)}

    assert {"kafka", "query", "audit"} < set(services) - {"prometheus"} == set(services)
    assert "LOGBROOK_QUERY_PROMETHEUS_URL" not in services["query"].environment
