"""The real engine on the repository's own stacks: what a deploy does, and what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi_gcp as gcp
import pytest
from pulumi.automation import CommandError

from infra import destroy
from infra.__main__ import program
from tests.infra.engine import CANARY, Engine, engine, without_refresh

# A deploy takes seconds here, and much longer on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(900)

# What a first preview can't know: ids and addresses that Google gives, and the image that is not built yet.
UNKNOWN_AT_FIRST = {
    "member",
    "network",
    "secret",
    "source",
    "subnetwork",
    "version",
    "image",
    "email",
    "serviceAccount",
    "targetServiceAccounts[]",
    "host",
    "filter",
    "logbrook-bundle",
    "parameter",
    "secretData",
    "serviceAccountEmail",
    "serviceAccountId",
    "value",
    "name",
}


@pytest.fixture(scope="module", autouse=True)
def unchanged_image() -> Iterator[None]:
    """The image's tag is fixed: somebody may edit service/ while this runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
        yield


@pytest.fixture(scope="module")
def deployed(unchanged_image: None, pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The dev stack with its autoscaler, deployed once; tests leave it deployed and without pending changes."""
    autoscaled = {"logbrook:autoscaler": "true", "logbrook:consumerMax": "8"}
    with engine(pulumi_cli, tmp_path_factory.mktemp("dev"), config=autoscaled) as dev:
        dev.up()
        yield dev


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_from_nothing_to_everything_and_back(
    pulumi_cli: Path, tmp_path: Path, stack: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A preview creates nothing and passes the oracles; a deploy creates what it said; a second one changes nothing.

    Disks with data are not destroyed. After `protectData: false` and a deploy, everything goes, the subnet last.
    """
    with engine(pulumi_cli, tmp_path, stack) as fresh:
        promised = fresh.preview()
        assert fresh.cloud.problems == []
        assert not fresh.cloud.live
        assert set(promised) == {"create"}
        last = {(name, path): path.rpartition(".")[2] for name, path in fresh.cloud.unknown}
        unexpected = [place for place, field in last.items() if field not in UNKNOWN_AT_FIRST]
        assert unexpected == []
        assert fresh.up() == promised
        assert set(fresh.up()) == {"same"}
        assert fresh.cloud.happened("update") == fresh.cloud.happened("delete") == []
        fresh.cloud.world.holds_addresses = False
        with pytest.raises(CommandError, match="protect"):
            fresh.stack.destroy()
        left = {each.urn.rpartition("::")[2] for each in fresh.cloud.live.values()}
        assert left >= {"kafka-disk", "clickhouse-disk"}
        fresh.set(protectData="false")
        fresh.up()
        if stack == "dev":
            fresh.stack.destroy()
        else:
            _destroy_patiently(fresh, monkeypatch, capfd)
        assert fresh.cloud.live == {}


def _destroy_patiently(prod: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`make destroy` where Google gives the subnet's addresses back after the second try."""
    for name, value in prod.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(prod.directory)
    prod.cloud.world.holds_addresses = True
    waited: list[float] = []

    def wait(seconds: float) -> None:
        assert destroy.held_by_addresses(destroy.left("prod"))
        waited.append(seconds)
        prod.cloud.world.holds_addresses = len(waited) < 2

    assert destroy.destroy("prod", ["--yes"], wait) == 0
    assert waited == [destroy.RETRY_SECONDS] * 2
    assert "Cloud Run holds addresses in its subnet for one to two hours" in capfd.readouterr().out


def test_another_machine_type_is_an_update(deployed: Engine) -> None:
    """The VM is stopped, resized and started: nothing is made anew, least of all a disk."""
    deployed.cloud.events.clear()
    deployed.set(machineType="e2-standard-2")
    changes = deployed.up()
    assert changes["update"] == 1
    assert set(changes) <= {"same", "update"}
    assert deployed.cloud.events == [("update", "node")]
    machine = deployed.cloud.one("Instance").properties
    assert machine["machineType"] == "e2-standard-2"
    assert machine["allowStoppingForUpdate"] is True
    # The containers' limits follow the machine.
    assert (
        "LOGBROOK_CLICKHOUSE_MEMORY=4360m"
        in json.loads(machine["metadata"]["logbrook-bundle"])["files"]["logbrook.env"]
    )


def test_a_new_image_keeps_the_scaled_count(deployed: Engine) -> None:
    """While the autoscaler has set 7, a deploy of another image sends 7 again, and not what the program says."""
    pool = deployed.cloud.one("WorkerPool")
    pool.properties["scaling"]["manualInstanceCount"] = 7
    deployed.cloud.events.clear()
    deployed.set(image="us-central1-docker.pkg.dev/p/r/service@sha256:" + "1" * 64)
    deployed.up()
    assert ("update", "pool") in deployed.cloud.events
    assert deployed.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] == 7
    assert set(deployed.preview()) == {"same"}


def test_without_refresh_the_count_would_be_lost(pulumi_cli: Path, tmp_path: Path) -> None:
    """The trap that `options: refresh: always` is for: without it, the same deploy sends one instance."""
    config = {"logbrook:autoscaler": "true"}
    with engine(pulumi_cli, tmp_path, change_project=without_refresh, config=config) as dev:
        dev.up()
        dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] = 7
        dev.set(image="us-central1-docker.pkg.dev/p/r/service@sha256:" + "1" * 64)
        dev.up()
        assert dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] == 1


def test_drift_is_repaired(deployed: Engine) -> None:
    """Somebody opened the firewall by hand and deleted an alert: the next deploy puts both right."""
    rule = deployed.cloud.one("Firewall", "run-to-node")
    wanted = list(rule.properties["sourceRanges"])
    rule.properties["sourceRanges"] = ["0.0.0.0/0"]
    alert = next(key for key, each in deployed.cloud.live.items() if each.urn.endswith("::NodeMemory"))
    del deployed.cloud.live[alert]
    deployed.cloud.events.clear()
    deployed.up()
    assert sorted(deployed.cloud.events) == [("create", "NodeMemory"), ("update", "run-to-node")]
    assert deployed.cloud.one("Firewall", "run-to-node").properties["sourceRanges"] == wanted


def test_secrets_are_in_no_file_in_clear(deployed: Engine) -> None:
    """Each made-up password has a canary in it: it is neither in the state, nor the stack's file, nor the metadata."""
    stored = [each for each in deployed.cloud.live.values() if CANARY in json.dumps(each.properties)]
    assert {each.token for each in stored} == {"gcp:secretmanager/secretVersion:SecretVersion"}
    for path in [*deployed.state.rglob("*"), *deployed.directory.rglob("*")]:
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_outputs_tell_what_to_do(deployed: Engine) -> None:
    """A gateway to send to, a line that sends, tunnels to the node: without a secret in them."""
    outputs = {name: output.value for name, output in deployed.stack.outputs().items()}
    assert outputs["gateway_url"].startswith("https://")
    assert outputs["gateway_url"] in outputs["send_first_event"]
    assert "$LOGBROOK_TOKEN" in outputs["send_first_event"]
    for name in ("open_node", "open_clickhouse", "open_kafka"):
        assert "--tunnel-through-iap" in outputs[name]
    assert CANARY not in json.dumps(outputs)


def test_a_stack_that_does_not_fit_fails_at_preview(deployed: Engine) -> None:
    """The error has the numbers and the next machine type; nothing was touched."""
    deployed.set(machineType="e2-small")
    deployed.cloud.events.clear()
    with pytest.raises(CommandError) as error:
        deployed.preview()
    deployed.set(machineType="e2-standard-2")
    assert "leave ClickHouse 28" in str(error.value)
    assert "Take e2-medium" in str(error.value)
    assert deployed.cloud.events == []


def test_the_oracles_stop_a_deploy(pulumi_cli: Path, tmp_path: Path) -> None:
    """A field that Google does not have fails the preview, as the real provider would make it fail."""

    def misspelt() -> None:
        container: Any = {"image": "i", "comand": ["x"]}
        gcp.cloudrunv2.WorkerPool("pool", location="l", template={"containers": [container]})

    with engine(pulumi_cli, tmp_path, run=misspelt) as broken, pytest.raises(CommandError, match="comand"):
        broken.preview()


def test_managed_backend(pulumi_cli: Path, tmp_path: Path) -> None:
    """The same engine, the same program: no VM, and programs that log in as themselves over TLS."""
    config = {
        "logbrook:backend": "managed",
        "logbrook:clickhouseHost": "abc.clickhouse.example",
        "logbrook:autoscaler": "true",
    }
    with engine(pulumi_cli, tmp_path, "prod", run=program, config=config) as managed:
        managed.up()
        assert managed.cloud.problems == []
        assert not [each for each in managed.cloud.live.values() if each.token.endswith(":Instance")]
        pool = managed.cloud.one("WorkerPool").properties
        variables = {each["name"]: each.get("value") for each in pool["template"]["containers"][0]["envs"]}
        assert variables["LOGBROOK_KAFKA_SASL_MECHANISM"] == "OAUTHBEARER"
        assert variables["LOGBROOK_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert "LOGBROOK_KAFKA_SASL_PASSWORD" not in variables
        assert variables["LOGBROOK_CLICKHOUSE_SECURE"] == "true"
        assert set(managed.up()) == {"same"}
