"""The rules guard a real deploy: under the real engine, what breaks one is never created."""

from pathlib import Path
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest

from infra.__main__ import main
from infra.enforce import enforce
from tests.infra.engine import DeployError, engine, settings_of

pytestmark = pytest.mark.timeout(900)


def _open_to_the_internet() -> None:
    enforce(settings_of("dev"))
    network = gcp.compute.Network("vpc", auto_create_subnetworks=False)
    gcp.compute.Firewall(
        "open",
        network=network.id,
        allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["9094"])],
        source_ranges=["0.0.0.0/0"],
        target_service_accounts=["node@example"],
        log_config=gcp.compute.FirewallLogConfigArgs(metadata="INCLUDE_ALL_METADATA"),
    )


def _in_clear() -> None:
    enforce(settings_of("dev"))
    secret = pulumi.Output.secret("a-password")
    container = {"image": "i@sha256:0", "envs": [{"name": "KAFKA_PASSWORD", "value": secret}]}
    template: Any = {
        "serviceAccount": "own@example",
        "containers": [container],
        "vpcAccess": {"egress": "PRIVATE_RANGES_ONLY", "networkInterfaces": [{"network": "n"}]},
    }
    gcp.cloudrunv2.WorkerPool("pool", location="l", template=template)


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (_open_to_the_internet, "no_open_ingress: open lets 0.0.0.0/0 in"),
        (_in_clear, "no_clear_secret: pool has KAFKA_PASSWORD in clear"),
    ],
)
def test_a_violation_stops_the_deploy(pulumi_cli: Path, tmp_path: Path, run: object, what: str) -> None:
    """At preview and at `up`, with the rule, the resource and what is wrong; nothing of it is created."""
    with engine(pulumi_cli, tmp_path, run=run) as broken:  # type: ignore[arg-type]
        broken.cloud.world.on |= {"compute": 0.0, "run": 0.0}
        with pytest.raises(DeployError) as preview:
            broken.preview()
        with pytest.raises(DeployError) as deploy:
            broken.up()
        for error in (preview, deploy):
            assert f"refused by the rules of infra/policy.py: {what}" in str(error.value)
        assert not broken.cloud.happened("create") or broken.cloud.happened("create") == ["vpc"]


def test_the_program_of_every_deploy_is_guarded() -> None:
    """What Pulumi runs is what the engine's tests run: the program behind its rules."""
    text = (Path(__file__).parents[2] / "infra/__main__.py").read_text()

    assert text.rstrip().endswith('if __name__ == "__main__":\n    main()')
    assert "enforce" in main.__code__.co_names
