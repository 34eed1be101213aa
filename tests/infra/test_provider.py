"""The real provider as an oracle: its own plugin, under the real engine, on every shape of the stack.

Google is the stand-in of google.py, which holds each request against Google's discovery documents. `make test-provider`
fetches the plugin and runs this; elsewhere it is skipped by name.
"""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.lifecycle import _urn
from infra.node_state import ready
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
            yield made, server.google


def _serving(instance: Json) -> str:
    """The data node has applied the bundle that it was given last."""
    items = {each["key"]: each["value"] for each in instance["metadata"]["items"]}
    return ready(items["logbrook-bundle"])


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
    for machine in [each for key, each in google.resources.items() if "/instances/" in key]:
        # What `make renew-node` does: gcloud lifts the protection, and the provider's refresh must see that.
        machine["deletionProtection"] = False
        stack.pulumi("up", "--yes", "--skip-preview", "--replace", _urn(stack.stack, "instance:Instance", "node"))
        before = len(google.writes())
        assert set(stack.up()) == {"same"}
        assert google.writes()[before:] == []
    with pytest.raises(DeployError, match="protect"):
        stack.destroy()
    stack.set(protectData="false")
    stack.up()
    stack.destroy()
    assert google.problems == []
    assert google.resources == {}
