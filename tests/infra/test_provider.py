"""The real provider as an oracle: its own plugin, under the real engine, on every shape of the stack.

Google is the stand-in of google.py, which holds each request against Google's discovery documents. `make test-provider`
fetches the plugin and runs this; elsewhere it is skipped by name.
"""

import os
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.node_state import ready
from tests.infra import runbooks
from tests.infra.computed import Json
from tests.infra.engine import DeployError, Engine, engine
from tests.infra.google import Google
from tests.infra.recording import Server

pytestmark = [pytest.mark.provider, pytest.mark.timeout(1800)]

MANAGED = {"backend": "managed", "clickhouseHost": "abc.clickhouse.example", "clickhouseCluster": "default"}
EVERYTHING = {
    "alertEmail": "oncall@example.org",
    "autoscaler": "true",
    "billingAccount": "012345-6789AB-CDEF01",
    "cloudLoggingFilter": "severity>=INFO",
    "gatewayDomain": "logs.example.com",
    "gatewayGrpc": "true",
    "minutesWithoutData": "30",
    "queryUsers": '["user:reader@example.org"]',
    "sshUsers": '["user:admin@example.org"]',
}
SHAPES = {"dev": ("dev", {}), "prod": ("prod", {}), "everything": ("prod", EVERYTHING), "managed": ("prod", MANAGED)}
# By shape, the changes that a year of operation brings. Each is one update in place; nothing is recreated.
CHANGES = (
    {"machineType": "e2-standard-8"},
    {"clickhouseDiskGib": "400"},
    {"kafkaRetentionHours": "96", "retentionDays": "45"},
)


@pytest.fixture(scope="module")
def plugin() -> Path:
    """The plugin of the SDK's version: LOGBROOK_GCP_PLUGIN, or where `pulumi plugin install` puts it."""
    home = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))
    installed = home / "plugins" / f"resource-gcp-v{version('pulumi-gcp')}" / "pulumi-resource-gcp"
    found = Path(os.environ.get("LOGBROOK_GCP_PLUGIN") or installed)
    if not found.is_file():
        pytest.skip(f"no GCP plugin at {found}: `make test-provider` fetches it")
    return found.resolve()


@pytest.fixture(params=sorted(SHAPES))
def deployed(
    request: pytest.FixtureRequest, plugin: Path, pulumi_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Engine, Google]]:
    """A stack of this shape, deployed with the plugin into a project that has two APIs enabled."""
    monkeypatch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
    stack, changes = SHAPES[request.param]
    with Server(Google(guest=_serving)) as server:
        environ = server.endpoints() | {
            "GOOGLE_OAUTH_ACCESS_TOKEN": "made-up",
            "PULUMI_GCP_SKIP_REGION_VALIDATION": "true",
            "NO_PROXY": "127.0.0.1",
        }
        config = {f"logbrook:{key}": value for key, value in changes.items()}
        with engine(pulumi_cli, tmp_path, stack, config=config, environ=environ, plugin=plugin) as made:
            made.up()
            with runbooks.gcloud_on_path(made, partial(runbooks.gcloud, server.google)):
                yield made, server.google


def _serving(instance: Json) -> str:
    """The data node has applied the bundle that it was given last."""
    items = {each["key"]: each["value"] for each in instance["metadata"]["items"]}
    return ready(items["logbrook-bundle"])


def done(stack: Engine, google: Google, command: str) -> None:
    """Run a runbook's command; a deploy after it writes nothing."""
    ran = runbooks.make(stack, command)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    before = len(google.writes())
    assert set(stack.up()) == {"same"}, command
    assert google.writes()[before:] == [], command
    assert google.problems == []


def test_a_life_with_the_real_provider(deployed: tuple[Engine, Google]) -> None:
    """Deployed, deployed again, changed and destroyed: Google's schemas have every request, and nothing is left.

    A second deploy writes nothing, after the first one, after each change, and after the node was renewed.
    """
    stack, google = deployed
    assert google.problems == []
    for change in ({}, *CHANGES):
        stack.set(**change)
        counts = stack.up() if change else {}
        assert set(counts) <= {"same", "update"}, change
        before = len(google.writes())
        assert set(stack.up()) == {"same"}, change
        assert google.writes()[before:] == [], change
    if any("/instances/" in key for key in google.resources):
        done(stack, google, "make renew-node")
    with pytest.raises(DeployError, match="protect"):
        stack.destroy()
    stack.set(protectData="false")
    stack.up()
    stack.destroy()
    assert google.problems == []
    assert google.resources == {}


@pytest.mark.parametrize("deployed", ["prod"], indirect=True)
def test_the_runbooks_with_the_real_provider(deployed: tuple[Engine, Google]) -> None:
    """Restored, moved to another zone, out of a lost one, and rolled back, by the commands of docs/operations.md.

    What held data stays, outside of the stack.
    """
    stack, google = deployed
    snapshots = "compute/projects/my-project/global/snapshots"

    def node() -> tuple[str, list[Json]]:
        """The machine's zone, and the data disks that are attached to it."""
        [(key, machine)] = [(key, each) for key, each in google.resources.items() if "/instances/" in key]
        names = [each["source"].partition("/compute/v1/")[2] or each["source"] for each in machine["disks"][1:]]
        return key.split("/")[-3], [google.resources[f"compute/{name}"] for name in names]

    before = {key for key in google.resources if "/disks/logbrook-prod-" in key and not key.endswith("-node")}
    google.resources[f"{snapshots}/of-last-night"] = {"name": "of-last-night", "diskSizeGb": "300", "sourceDisk": ""}
    done(stack, google, "make restore-disk SNAPSHOT=of-last-night")
    _, (kafka, clickhouse, *_) = node()
    assert clickhouse["sourceSnapshot"].endswith("/of-last-night")
    assert "sourceSnapshot" not in kafka
    done(stack, google, "make move-node ZONE=us-central1-b")
    zone, (kafka, clickhouse, *_) = node()
    assert zone == "us-central1-b"
    for disk in (kafka, clickhouse):
        assert disk["sourceSnapshot"].rpartition("/")[2].startswith("logbrook-prod-")
    daily = {"name": "daily", "diskSizeGb": "300", "sourceDisk": clickhouse["selfLink"]}
    google.resources[f"{snapshots}/daily"] = daily
    done(stack, google, "make move-node ZONE=us-central1-f LOST=1")
    zone, (kafka, clickhouse, *_) = node()
    assert zone == "us-central1-f"
    assert clickhouse["sourceSnapshot"].endswith("/daily")
    assert "sourceSnapshot" not in kafka
    assert before < google.resources.keys()
    stack.set(image=f"{runbooks.REPOSITORY}@sha256:" + "1" * 64)
    stack.up()
    done(stack, google, "make rollback")
    gateway = google.resources["run/projects/my-project/locations/us-central1/services/logbrook-prod-gateway"]
    assert gateway["template"]["containers"][0]["image"] == f"{runbooks.REPOSITORY}@sha256:" + "0" * 64
