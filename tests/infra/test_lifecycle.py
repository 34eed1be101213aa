"""A year of operation of the prod stack: deployed, resized, restored, renewed, moved, rolled back, and deleted.

Each time a second deploy changes nothing.
The commands are the runbooks' own (docs/operations.md): the real Pulumi on the fake cloud, and a stand-in of gcloud.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import destroy
from infra.config import DISKS
from tests.infra import runbooks
from tests.infra.engine import ROOT, DeployError, Engine, engine
from tests.infra.fake_gcp import Cloud
from tests.infra.runbooks import REPOSITORY
from tests.infra.test_engine import check_first_preview

pytestmark = pytest.mark.timeout(900)


def gcloud(cloud: Cloud, words: list[str]) -> str:
    """What gcloud does to the cloud, for the commands that a lifecycle needs; AssertionError for any other."""
    options = dict(re.findall(r"--([a-z-]+)[= ]?(\S*)", " ".join(words)))
    match words[:3]:
        case ["compute", "instances", "update"]:
            assert "--no-deletion-protection" in words
            cloud.one("Instance").properties["deletionProtection"] = False
        case ["compute", "instances", "list"]:
            machine = cloud.one("Instance").properties
            assert options["filter"] == f"name={machine['name']}"
            return str(machine["name"]) if machine["zone"] == options["zones"] else ""
        case ["compute", "instances", "delete"]:
            assert {"--keep-disks=data", "--quiet"} < set(words)
            machine = cloud.one("Instance").properties
            assert machine["zone"] == options["zone"] != cloud.world.lost_zone
            assert not machine["deletionProtection"]
            del cloud.live[f"projects/my-project/zones/{options['zone']}/instances/{words[3]}"]
            cloud.events.append(("delete", "node"))
        case ["compute", "instances", "stop"]:
            assert words[3] == cloud.one("Instance").properties["name"]
        case ["compute", "snapshots", "create"]:
            source = f"projects/my-project/zones/{options['source-disk-zone']}/disks/{options['source-disk']}"
            cloud.snapshots[words[3]] = int(cloud.live[source].properties["size"])
        case ["compute", "snapshots", "describe"]:
            return json.dumps({"diskSizeGb": cloud.snapshots[words[3]]})
        case ["compute", "snapshots", "list"]:
            pattern = options["filter"].removeprefix("sourceDisk~")
            attached = cloud.one("Instance").properties["attachedDisks"]
            assert [key for key in cloud.live if re.search(pattern, key)] == [attached[1]["source"]]
            return "daily-clickhouse"
        case ["run", "revisions", "list"]:
            assert options["service"] == cloud.one("Service", "gateway").properties["name"]
            return runbooks.revisions()
        case _:
            raise AssertionError(words)
    return ""


class Operator:
    """Whoever runs the runbooks' commands on a stack."""

    def __init__(self, stack: Engine) -> None:
        self.engine, self.cloud = stack, stack.cloud

    def make(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one, whatever comes of it."""
        return runbooks.make(self.engine, command)

    def done(self, command: str) -> list[tuple[str, str]]:
        """Run one that succeeds; what it did to the machine and the disks. A deploy after it changes nothing."""
        self.cloud.events.clear()
        ran = self.make(command)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        events = [each for each in self.cloud.events if each[1] in ("node", "kafka-disk", "clickhouse-disk")]
        self.cloud.events.clear()
        assert set(self.engine.up()) == {"same"}
        assert self.cloud.events == []
        self.is_protected()
        return events

    def is_protected(self) -> None:
        """The machine by Google, the disks by Pulumi."""
        assert self.cloud.one("Instance").properties["deletionProtection"] is True
        disks = [each for each in self.engine.resources() if each["type"].endswith(":Disk")]
        assert [each.get("protect") for each in disks] == [True] * len(DISKS)

    def disks(self) -> dict[str, str]:
        """Names of all disks in the cloud, with the snapshot that each was made from."""
        live = [each.properties for each in self.cloud.live.values() if each.token.endswith(":Disk")]
        return {f"{each['zone']}/{each['name']}": each.get("snapshot", "") for each in live}

    def disk(self, number: int) -> dict[str, Any]:
        """The properties of Kafka's (0) or ClickHouse's (1) disk, as the machine has it."""
        return self.cloud.live[self.cloud.one("Instance").properties["attachedDisks"][number]["source"]].properties

    def attached(self) -> list[str]:
        """The names of the machine's disks."""
        return [each["source"].rpartition("/")[2] for each in self.cloud.one("Instance").properties["attachedDisks"]]


@pytest.fixture(scope="module")
def operator(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A prod stack through its year, with somebody who operates it; each test leaves it without pending changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.images.content_tag", lambda *_words: "0123456789abcdef")
        patch.setattr("infra.node_state.POLL_SECONDS", 0.05)
        with (
            engine(pulumi_cli, tmp_path_factory.mktemp("prod"), "prod") as stack,
            runbooks.gcloud_on_path(stack, partial(gcloud, stack.cloud)),
        ):
            yield Operator(stack)


def test_from_nothing_to_everything(operator: Operator) -> None:
    """A deploy creates what the preview said; a second one changes nothing."""
    promised = check_first_preview(operator.engine)
    assert operator.engine.up() == promised
    assert set(operator.engine.up()) == {"same"}
    assert operator.cloud.happened("update") == operator.cloud.happened("delete") == []
    operator.is_protected()


def test_a_disk_that_was_changed_by_hand_stays(operator: Operator) -> None:
    """At night, in the console: one was enlarged, one made from a snapshot under the old one's name.

    No deploy shrinks the first, nor does a smaller key; each says which key to raise. That the second has a source now
    is not a change.
    """
    operator.disk(0)["size"] = 80
    operator.disk(1)["snapshot"] = "of-last-night"
    operator.cloud.events.clear()
    assert set(operator.engine.up()) == {"same"}
    assert operator.disk(0)["size"] == 80
    assert "Set logbrook:kafkaDiskGib to 80" in operator.engine.said
    operator.is_protected()
    del operator.disk(1)["snapshot"]
    operator.engine.set(kafkaDiskGib="100")
    operator.engine.up()
    # The node is told what the stack costs by its configuration: an update of its metadata.
    assert set(operator.cloud.events) == {("update", "kafka-disk"), ("update", "node")}
    assert set(operator.engine.up()) == {"same"}
    operator.engine.set(kafkaDiskGib="60")
    assert set(operator.engine.preview()) == {"same", "update"}
    assert "Set logbrook:kafkaDiskGib to 100" in operator.engine.said
    operator.engine.set(kafkaDiskGib="100")


def test_clickhouse_is_restored_from_a_snapshot(operator: Operator) -> None:
    """A disk from the snapshot takes the old one's place, below a new machine; the old one stays in the cloud."""
    before, (kafka, _, *_) = operator.disks(), operator.attached()
    operator.cloud.snapshots["of-last-night"] = 300
    events = operator.done("make restore-disk SNAPSHOT=of-last-night")
    assert events == [("create", "clickhouse-disk"), ("delete", "node"), ("create", "node")]
    # Larger than configured, as the snapshot's disk was.
    assert (operator.disk(1)["snapshot"], operator.disk(1)["size"]) == ("of-last-night", 300)
    assert operator.disks().keys() > before.keys()
    assert operator.attached()[0] == kafka


def test_a_renewed_node_keeps_its_disks(operator: Operator) -> None:
    """The machine goes and comes, with the same disks; no disk is touched, and none was unprotected."""
    before = operator.disks()
    assert operator.done("make renew-node") == [("delete", "node"), ("create", "node")]
    assert operator.disks() == before


def test_a_snapshot_that_is_not_there_changes_nothing(operator: Operator) -> None:
    """Neither the stack's file nor a protection."""
    before = operator.engine.file.read_text()
    ran = operator.make("make restore-disk SNAPSHOT=of-no-night")
    assert ran.returncode == 1
    assert "there is no snapshot of-no-night" in ran.stderr
    assert operator.engine.file.read_text() == before
    operator.is_protected()


def test_the_key_alone_destroys_nothing(operator: Operator) -> None:
    """Without the command that lifts the protection, a changed key or zone stops the deploy in its preview."""
    operator.cloud.snapshots["another"] = 10
    operator.cloud.events.clear()
    before = operator.engine.file.read_text()
    for key, value in (("logbrook:clickhouseSnapshot", "another"), ("gcp:zone", "us-central1-c")):
        document = yaml.safe_load(before)
        document["config"][key] = value
        operator.engine.file.write_text(yaml.safe_dump(document))
        with pytest.raises(DeployError, match="unable to replace"):
            operator.engine.preview()
        assert operator.cloud.events == []
    operator.engine.file.write_text(before)
    operator.is_protected()


def test_the_node_moves_to_another_zone(operator: Operator) -> None:
    """All data disks, from one moment; those in the old zone stay. Then it moves once more."""
    operator.disk(0)["size"] = 120
    before = operator.disks()
    events = operator.done("make move-node ZONE=us-central1-b")
    assert sorted(events[:2]) == [("create", "clickhouse-disk"), ("create", "kafka-disk")]
    assert events[2:] == [("delete", "node"), ("create", "node")]
    machine = operator.cloud.one("Instance").properties
    assert machine["zone"] == "us-central1-b"
    assert all("/zones/us-central1-b/" in each["source"] for each in machine["attachedDisks"])
    assert all(operator.disk(number)["snapshot"] in operator.cloud.snapshots for number in (0, 1))
    assert operator.disk(0)["size"] == 120
    assert operator.disks().keys() > before.keys()


def test_the_node_leaves_a_lost_zone(operator: Operator) -> None:
    """ClickHouse from its newest snapshot, Kafka empty: a snapshot of Kafka's would be older than what is stored."""
    operator.cloud.snapshots["daily-clickhouse"] = 250
    events = operator.done("make move-node ZONE=us-central1-f LOST=1")
    assert (events[0], events[-1]) == (("delete", "node"), ("create", "node"))
    assert operator.disk(1)["snapshot"] == "daily-clickhouse"
    assert "snapshot" not in operator.disk(0)


def test_a_lost_machine_that_google_keeps_holds_the_address(operator: Operator) -> None:
    """Then nothing is changed, and the command says why; out of the state it would still be in the new one's way."""
    operator.cloud.snapshots["daily-clickhouse"] = 250
    before, machine = operator.engine.file.read_text(), operator.cloud.one("Instance")
    operator.cloud.world.lost_zone = str(machine.properties["zone"])
    operator.cloud.events.clear()
    ran = operator.make("make move-node ZONE=us-central1-a LOST=1")
    assert ran.returncode == 1
    assert f"no other machine gets its address {machine.properties['networkInterfaces'][0]['networkIp']}" in ran.stderr
    assert operator.engine.file.read_text() == before
    assert operator.cloud.events == []
    refusal = operator.cloud.world.create(
        machine.token,
        machine.properties | {"zone": "us-central1-a"},
        "projects/my-project/zones/us-central1-a/instances/logbrook-prod-node",
        {key: (each.token, each.properties) for key, each in operator.cloud.live.items()},
    )
    assert refusal is not None
    assert "IP_IN_USE_BY_ANOTHER_RESOURCE" in refusal[1]
    operator.cloud.world.lost_zone = ""
    operator.engine.up()
    operator.is_protected()


def test_rolling_back(operator: Operator) -> None:
    """The image that ran before the deployed one runs everywhere, on the node too; one that never got ready does not.

    There is a limit to it, and a way forward.
    """
    operator.engine.set(image=f"{REPOSITORY}@sha256:" + "1" * 64)
    operator.engine.up()
    assert operator.done("make rollback") == [("update", "node")]
    before = f"{REPOSITORY}@sha256:" + "0" * 64
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway"), ("Service", "query")):
        assert operator.cloud.one(kind, name).properties["template"]["containers"][0]["image"] == before
    bundle = json.loads(operator.cloud.one("Instance").properties["metadata"]["logbrook-bundle"])
    assert f"LOGBROOK_IMAGE={before}\n" in bundle["files"]["logbrook.env"]
    ran = operator.make("make rollback")
    assert ran.returncode != 0
    assert "ran no image before" in ran.stderr
    operator.engine.set(image=None)


def test_a_second_stack_needs_a_name(operator: Operator, pulumi_cli: Path, tmp_path: Path) -> None:
    """To move to managed Kafka, both run for a while: with a name of its own the second stands beside the first.

    It has no VM, and programs that log in as themselves over TLS.
    """
    first, before = operator.engine, set(operator.cloud.live)
    managed = {"backend": "managed", "clickhouseHost": "abc.clickhouse.example", "autoscaler": "true"}
    config = {f"logbrook:{key}": value for key, value in managed.items()}
    first.up()
    with engine(pulumi_cli, tmp_path, "prod", project=first.project, config=config) as second:
        with pytest.raises(DeployError, match="409"):
            second.up()
        second.set(name="logbrook-next")
        second.up()
        assert second.cloud.problems == []
        assert set(second.up()) == set(first.up()) == {"same"}
        assert not [each for each in second.resources() if each["type"].endswith(":Instance")]
        pools = {
            each.properties["name"]: each.properties
            for each in second.cloud.live.values()
            if each.token.endswith(":WorkerPool")
        }
        assert pools.keys() == {"logbrook-prod-consumer", "logbrook-next-consumer"}
        container = pools["logbrook-next-consumer"]["template"]["containers"][0]
        variables = {each["name"]: each.get("value") for each in container["envs"]}
        assert variables["LOGBROOK_KAFKA_SASL_MECHANISM"] == "OAUTHBEARER"
        assert variables["LOGBROOK_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert "LOGBROOK_KAFKA_SASL_PASSWORD" not in variables
        assert variables["LOGBROOK_CLICKHOUSE_SECURE"] == "true"
    for key in operator.cloud.live.keys() - before:
        del operator.cloud.live[key]


def test_it_ends_on_purpose_alone(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Disks with data are not destroyed. After `protectData: false`, `make destroy` deletes all that is in the stack.

    Google gives the subnet's addresses back after the second try.
    """
    prod, world = operator.engine, operator.cloud.world
    for name, value in prod.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(prod.directory)
    world.holds_addresses = True
    with pytest.raises(DeployError, match="protect"):
        prod.destroy()
    prod.set(protectData="false")
    prod.up()
    ours = {each["id"] for each in prod.resources() if "id" in each}
    waited: list[float] = []

    def wait(seconds: float) -> None:
        assert destroy.held_by_addresses(destroy.left("prod"))
        waited.append(seconds)
        world.holds_addresses = len(waited) < 2

    assert destroy.destroy("prod", ["--yes"], wait) == 0
    assert waited == [destroy.RETRY_SECONDS] * 2
    assert "Cloud Run holds addresses in its subnet for one to two hours" in capfd.readouterr().out
    assert not ours & operator.cloud.live.keys()


def test_the_runbooks_commands_are_these() -> None:
    """Every `make` of the runbooks that is about the node is one that is rehearsed here."""
    text = (ROOT / "docs/operations.md").read_text()
    used = set(re.findall(r"make (renew-node|restore-disk|move-node|rollback)\b", text))
    rehearsed = set(re.findall(r'"make ([a-z-]+)', Path(__file__).read_text()))
    assert used == rehearsed == {"renew-node", "restore-disk", "move-node", "rollback"}
