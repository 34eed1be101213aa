"""The real engine on the repository's own dev stack, from its first deploy to its end. Prod's is in test_lifecycle."""

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pulumi_gcp as gcp
import pytest
from pulumi.runtime import Settings
from pulumi.runtime.proto import resource_pb2, resource_pb2_grpc

from infra import node_state
from infra.project import apis
from tests.infra.engine import CANARY, DeployError, Engine, engine, settings_of, without_refresh

# A deploy takes seconds here, and much longer on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(900)

# What a first preview can't know: ids and addresses that Google gives, and the image that is not built yet.
UNKNOWN_AT_FIRST = {
    "member",
    "network",
    "secret",
    "source",
    "subnet",
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
    "uri",
    "value",
    "name",
}


@pytest.fixture(scope="module")
def dev(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The dev stack with its autoscaler and rules of alerts, in a project where only what `make ready` asks for is on.

    Each test leaves it without pending changes for the next.
    """
    with pytest.MonkeyPatch.context() as patch:
        # The image's tag is fixed: somebody may edit service/ while this runs.
        patch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
        patch.setattr(node_state, "POLL_SECONDS", 0.05)
        config = {"logbrook:autoscaler": "true", "logbrook:consumerMax": "8"}
        config["logbrook:alertRules"] = "compose/alerts.yaml"
        with engine(pulumi_cli, tmp_path_factory.mktemp("dev"), config=config) as made:
            yield made


def check_first_preview(fresh: Engine) -> dict[str, int]:
    """What a preview of an empty project promises: it creates nothing, and the oracles have nothing against it."""
    promised = fresh.preview()
    assert fresh.cloud.problems == []
    assert not fresh.cloud.live
    assert set(promised) == {"create"}
    unexpected = [place for place in fresh.cloud.unknown if place[1].rpartition(".")[2] not in UNKNOWN_AT_FIRST]
    assert unexpected == []
    return promised


def test_one_deploy_is_enough(dev: Engine) -> None:
    """A deploy creates what the preview said; a second one changes nothing.

    APIs come first, and stay on; then the node; what needs it when it serves. All is made by the provider that waits.
    """
    promised, world = check_first_preview(dev), dev.cloud.world
    assert dev.up() == promised
    order = dev.cloud.happened("create")
    services = {name.partition(".")[0] for name in apis(settings_of("dev"))}
    assert set(order[: len(services)]) == services
    assert all(not dev.cloud.one("Service", name).properties["disableOnDestroy"] for name in services)
    assert order.index("node") < min(order.index(name) for name in ("pool", "gateway", "query"))
    assert world.polls["logbrook-dev-node"] == 0
    made_with = {
        each["type"]: each["provider"].split("::")[-2] for each in dev.resources() if each["type"].startswith("gcp:")
    }
    assert made_with.pop("gcp:projects/service:Service") == "apis"
    assert set(made_with.values()) == {"cloud"}
    assert set(dev.up()) == {"same"}
    assert dev.cloud.happened("update") == dev.cloud.happened("delete") == []


def test_another_machine_type_is_an_update(dev: Engine) -> None:
    """The VM is stopped, resized and started: nothing is made anew, least of all a disk."""
    dev.cloud.events.clear()
    dev.set(machineType="e2-standard-2")
    changes = dev.up()
    assert changes["update"] == 1
    assert set(changes) <= {"same", "update"}
    assert dev.cloud.events == [("update", "node")]
    machine = dev.cloud.one("Instance").properties
    assert machine["machineType"] == "e2-standard-2"
    assert machine["allowStoppingForUpdate"] is True
    # The containers' limits follow the machine.
    assert (
        "LOGBROOK_CLICKHOUSE_MEMORY=4040m"
        in json.loads(machine["metadata"]["logbrook-bundle"])["files"]["logbrook.env"]
    )
    assert set(dev.up()) == {"same"}


def test_a_new_image_keeps_the_scaled_count(dev: Engine) -> None:
    """While the autoscaler has set 7, a deploy of another image sends 7 again, and not what the program says.

    The node comes first: tables, then who writes into them.
    """
    dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] = 7
    dev.cloud.events.clear()
    dev.set(image="us-central1-docker.pkg.dev/p/r/service@sha256:" + "1" * 64)
    dev.up()
    updates = dev.cloud.happened("update")
    assert updates.index("node") < updates.index("pool")
    assert dev.cloud.world.polls["logbrook-dev-node"] == 0
    assert dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] == 7
    assert set(dev.preview()) == {"same"}


def test_without_refresh_the_count_would_be_lost(dev: Engine) -> None:
    """The trap that `options: refresh: always` is for: without it, a deploy sends the count of the last one."""
    dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] = 3
    dev.set(image="us-central1-docker.pkg.dev/p/r/service@sha256:" + "2" * 64)
    project = dev.directory / "Pulumi.yaml"
    text = project.read_text()
    project.write_text(without_refresh(text))
    dev.up()
    project.write_text(text)
    assert dev.cloud.one("WorkerPool").properties["scaling"]["manualInstanceCount"] == 7


def test_drift_is_repaired(dev: Engine) -> None:
    """Somebody opened the firewall by hand and deleted an alert: the next deploy puts both right."""
    rule = dev.cloud.one("Firewall", "run-to-node")
    wanted = list(rule.properties["sourceRanges"])
    rule.properties["sourceRanges"] = ["0.0.0.0/0"]
    alert = next(key for key, each in dev.cloud.live.items() if each.urn.endswith("::NodeMemory"))
    del dev.cloud.live[alert]
    dev.cloud.events.clear()
    dev.up()
    assert sorted(dev.cloud.events) == [("create", "NodeMemory"), ("update", "run-to-node")]
    assert dev.cloud.one("Firewall", "run-to-node").properties["sourceRanges"] == wanted


def test_secrets_are_in_no_file_in_clear(dev: Engine) -> None:
    """Each made-up password has a canary in it: it is neither in the state, nor the stack's file, nor the metadata."""
    stored = [each for each in dev.cloud.live.values() if CANARY in json.dumps(each.properties)]
    assert {each.token for each in stored} == {"gcp:secretmanager/secretVersion:SecretVersion"}
    for path in [*dev.state.rglob("*"), *dev.directory.rglob("*")]:
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_outputs_tell_what_to_do(dev: Engine) -> None:
    """A gateway to send to, a line that sends, tunnels to the node: without a secret in them."""
    outputs = dev.outputs()
    assert outputs["gateway_url"].startswith("https://")
    assert outputs["gateway_url"] in outputs["send_first_event"]
    assert "$LOGBROOK_TOKEN" in outputs["send_first_event"]
    for name in ("open_node", "open_clickhouse"):
        assert "--tunnel-through-iap" in outputs[name]
    assert CANARY not in json.dumps(outputs)


def test_a_stack_that_does_not_fit_fails_at_preview(dev: Engine) -> None:
    """The error has the numbers and the next machine type; nothing was touched."""
    dev.set(machineType="e2-small")
    dev.cloud.events.clear()
    with pytest.raises(DeployError) as error:
        dev.preview()
    dev.set(machineType="e2-standard-2")
    assert "leave ClickHouse 0" in str(error.value)
    assert "Take e2-medium" in str(error.value)
    assert dev.cloud.events == []


def test_every_option_deploys_and_stays(dev: Engine) -> None:
    """Grafana, GitHub, a budget, and every channel; a second deploy changes nothing."""
    dev.set(
        grafana="true",
        queryUsers="group:team@example.com",
        githubRepositoryId="1",
        githubOwnerId="2",
        consumerMetrics="true",
        minutesWithoutData="30",
        cloudLoggingFilter="severity>=INFO",
        gatewayGrpc="true",
        gatewayDomain="logs.example.com",
        gatewayDomainOnly="true",
        queryIap="true",
        queryRoles="tests/infra/roles.yaml",
        alertEmail="ops@example.com",
        alertSlackChannel="#ops",
        alertSlackToken="t" * 24,
        alertPagerduty="true",
        alertPagerdutyKey="k" * 24,
        alertWebhook="https://hooks.example.com/logbrook",
        alertWebhookPassword="p" * 24,
        billingAccount="012345-6789AB-CDEF01",
    )
    dev.up()
    assert dev.cloud.problems == []
    assert set(dev.up()) == {"same"}
    assert dev.outputs()["grpc_url"] == dev.outputs()["gateway_url"] == "https://logs.example.com"
    assert dev.outputs()["explorer_url"].startswith("https://")
    assert "open_explorer" not in dev.outputs()
    assert dev.outputs()["grafana_url"].startswith("https://")
    assert dev.outputs()["github_provider"].endswith("/providers/actions")


def test_a_stack_is_destroyed_on_purpose_alone(dev: Engine) -> None:
    """Disks with data are not destroyed. After `protectData: false` and a deploy, everything goes."""
    dev.cloud.world.holds_addresses = False
    with pytest.raises(DeployError, match="protect"):
        dev.destroy()
    left = {each.urn.rpartition("::")[2] for each in dev.cloud.live.values()}
    assert left >= {"kafka-disk", "clickhouse-disk"}
    dev.set(protectData="false")
    dev.up()
    dev.destroy()
    assert dev.cloud.live == {}


def test_the_managed_shape_deploys_and_stays(pulumi_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy creates what the preview said, and a second one changes nothing.

    The audit is not scheduled before its account may start it.
    """
    monkeypatch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
    config = {"logbrook:backend": "managed", "logbrook:clickhouseHost": "abc.clickhouse.example"}
    with engine(pulumi_cli, tmp_path, "prod", config=config) as fresh:
        promised = check_first_preview(fresh)
        assert fresh.up() == promised
        order = fresh.cloud.happened("create")
        assert order.index("cloudscheduler") < order.index("audit") < order.index("audit-starts-itself")
        assert order.index("audit-starts-itself") < order.index("audit-hourly")
        assert set(fresh.up()) == {"same"}
        assert fresh.cloud.happened("update") == fresh.cloud.happened("delete") == []


def test_the_oracles_stop_a_deploy(pulumi_cli: Path, tmp_path: Path) -> None:
    """A field that Google does not have fails the preview, as the real provider would make it fail."""

    def misspelt() -> None:
        container: Any = {"image": "i", "comand": ["x"]}
        gcp.cloudrunv2.WorkerPool("pool", location="l", template={"containers": [container]})

    with engine(pulumi_cli, tmp_path, run=misspelt) as broken, pytest.raises(DeployError, match="comand"):
        broken.preview()


def test_an_engine_on_a_port_that_another_one_had() -> None:
    """The program reaches it at once, and is not told that the other one is gone."""

    def asked(port: int) -> grpc.StatusCode:
        monitor = Settings("logbrook", "dev", monitor=f"127.0.0.1:{port}").monitor
        assert monitor is not None
        with pytest.raises(grpc.RpcError) as answer:
            monitor.SupportsFeature(resource_pb2.SupportsFeatureRequest(id="secrets"))
        code: grpc.StatusCode = answer.value.code()
        return code

    def started(port: int) -> tuple[grpc.Server, int]:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(resource_pb2_grpc.ResourceMonitorServicer(), server)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        return server, port

    first, port = started(0)
    assert asked(port) is grpc.StatusCode.UNIMPLEMENTED
    first.stop(None).wait()
    assert asked(port) is grpc.StatusCode.UNAVAILABLE
    second, _ = started(port)
    assert asked(port) is grpc.StatusCode.UNIMPLEMENTED
    second.stop(None).wait()
