"""Grafana on GCP: the local stack's dashboards and data sources, for those who may look, and for nobody else."""

import pytest
import yaml

from infra import grafana
from infra.__main__ import program
from infra.config import load
from infra.errors import StackError
from infra.policy import Declared, violations
from tests.infra.engine import ROOT
from tests.infra.recorded import record, stack_config

ON = {"grafana": "true", "queryUsers": "group:team@example.com"}


@pytest.fixture(scope="module")
def found() -> list[Declared]:
    """The prod stack with Grafana."""
    return record(program, stack_config("prod", **ON))


def _service(found: list[Declared]) -> dict[str, object]:
    [service] = [each.inputs for each in found if each.kind == "Service" and each.name == "grafana"]
    return service


def test_it_shows_the_same_dashboards(found: list[Declared]) -> None:
    """Each file as it is in Compose; the data sources have the same uids, and this stack's addresses."""
    files = {each.inputs["name"]: each.inputs["content"] for each in found if each.kind == "BucketObject"}
    folder = ROOT / "compose/grafana"
    for path in [*folder.glob("dashboards/*.json"), *folder.glob("provisioning/dashboards/*")]:
        assert files[str(path.relative_to(folder))] == path.read_text()
    local = yaml.safe_load((folder / "provisioning/datasources/datasources.yaml").read_text())["datasources"]
    sources = yaml.safe_load(files["provisioning/datasources/datasources.yaml"])["datasources"]
    assert [(each["uid"], each["type"]) for each in sources] == [(each["uid"], each["type"]) for each in local]
    clickhouse, prometheus = sources
    assert (clickhouse["jsonData"]["host"], clickhouse["jsonData"]["port"]) == ("10.10.0.10", 8123)
    assert clickhouse["jsonData"]["username"] == "reader"
    assert clickhouse["secureJsonData"] == {"password": "$CLICKHOUSE_READONLY_PASSWORD"}
    assert prometheus["url"] == f"http://localhost:{grafana.FRONTEND_PORT}"


def test_google_asks_who_comes(found: list[Declared]) -> None:
    """IAP is on, IAP alone may call the service, and the members of `queryUsers` alone pass."""
    service = _service(found)
    assert service["iapEnabled"] is True
    assert not service.get("invokerIamDisabled")
    let_in = {
        each.inputs["role"]: each.inputs["member"] for each in found if "grafana" in each.name and "role" in each.inputs
    }
    assert let_in["roles/iap.httpsResourceAccessor"] == "group:team@example.com"
    assert let_in["roles/run.invoker"].startswith("serviceAccount:service-")
    assert violations(found, prod=True) == []


def test_it_may_read_metrics_events_and_its_files(found: list[Declared]) -> None:
    """And nothing else: the reader's password, Monitoring, one bucket, the images."""
    rights = {each.inputs["role"] for each in found if "-grafana@" in str(each.inputs.get("member"))}
    assert rights == {
        "roles/secretmanager.secretAccessor",
        "roles/artifactregistry.reader",
        "roles/monitoring.viewer",
        "roles/storage.objectViewer",
    }
    secrets = {
        each.inputs["secretId"]
        for each in found
        if each.name.startswith("grafana-reads-") and "secretId" in each.inputs
    }
    assert secrets == {"logbrook-prod-clickhouse-reader-password"}


def test_it_is_off_until_it_is_asked_for() -> None:
    """Without the key there is nothing of it; with managed services, whose images come from nowhere, it is refused."""
    assert not [each for each in record(program, stack_config("prod")) if "grafana" in each.name]
    with pytest.raises(StackError, match="only with backend vm"):
        load(
            stack_config("dev", grafana="true", backend="managed", clickhouseHost="c.example"),
            frozenset(stack_config("dev")),
        )
