"""A first deploy on an empty project, where Google refuses what it really refuses (refused.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi.automation import CommandError

from infra import node_state
from infra.project import apis
from tests.infra.engine import Engine, engine, settings_of
from tests.infra.fake_gcp import Server

# A deploy takes seconds here, and much longer on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image's tag is fixed, and the node is asked often."""
    monkeypatch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
    monkeypatch.setattr(node_state, "POLL_SECONDS", 0.05)


@pytest.fixture
def fresh(pulumi_cli: Path, tmp_path: Path) -> Iterator[Engine]:
    """The dev stack with its autoscaler, in a project where only what `make ready` asks for is on."""
    with engine(pulumi_cli, tmp_path, config={"logbrook:autoscaler": "true"}) as made:
        yield made


def test_one_deploy_is_enough(fresh: Engine) -> None:
    """APIs first, which stay on; then the node; what needs it when it serves. All is made by the provider that waits.

    A deploy that changes node and consumer has the same order: tables first, then who writes into them.
    """
    world = fresh.cloud.world
    fresh.up()
    order = fresh.cloud.happened("create")
    services = {name.partition(".")[0] for name in apis(settings_of("dev"))}
    assert set(order[: len(services)]) == services
    assert all(not fresh.cloud.one("Service", name).properties["disableOnDestroy"] for name in services)
    assert order.index("node") < min(order.index(name) for name in ("pool", "gateway", "query"))
    assert world.polls["logbrook-dev-node"] == 0
    state = fresh.stack.export_stack().deployment
    assert state is not None
    made_with = {
        each["type"]: each["provider"].split("::")[-2] for each in state["resources"] if each["type"].startswith("gcp:")
    }
    assert made_with.pop("gcp:projects/service:Service") == "apis"
    assert set(made_with.values()) == {"cloud"}

    fresh.cloud.events.clear()
    fresh.set(image="us-central1-docker.pkg.dev/p/r/service@sha256:" + "1" * 64)
    fresh.up()
    updates = fresh.cloud.happened("update")
    assert updates.index("node") < updates.index("pool")
    assert world.polls["logbrook-dev-node"] == 0


def test_a_node_that_fails_stops_the_deploy(fresh: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the node says is in the error, with the way to look; no consumer is started."""
    monkeypatch.setattr(node_state, "_MINUTE_SECONDS", 0.01)
    monkeypatch.setattr(fresh.cloud.world, "ask_node", lambda _query: "failed at images: no space left")
    with pytest.raises(CommandError) as error:
        fresh.up()
    assert "it says: failed at images: no space left" in str(error.value)
    assert "logbrook-node status" in str(error.value)
    assert "pool" not in fresh.cloud.happened("create")


def test_where_the_node_cannot_be_heard_the_programs_wait(fresh: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guest attributes are forbidden: the deploy goes through all the same, with a warning."""
    monkeypatch.setattr(node_state, "_MINUTE_SECONDS", 0.01)
    fresh.cloud.world.guest_attributes = False
    fresh.cloud.world.programs_wait = True
    said = fresh.stack.up().stdout
    assert "the data node has said nothing after 30 minutes" in " ".join(said.split())
    assert "pool" in fresh.cloud.happened("create")


def test_a_second_stack_needs_a_name(pulumi_cli: Path, tmp_path: Path) -> None:
    """To move to managed Kafka, both run for a while: with a name of its own the second stands beside the first."""
    managed = {"logbrook:backend": "managed", "logbrook:clickhouseHost": "abc.clickhouse.example"}
    with (
        Server() as project,
        engine(pulumi_cli, tmp_path / "a", "prod", project=project) as first,
        engine(pulumi_cli, tmp_path / "b", "prod", project=project, config=managed) as second,
    ):
        first.up()
        with pytest.raises(CommandError, match="409"):
            second.up()
        second.set(name="logbrook-next")
        second.up()
        assert set(first.up()) == {"same"}
        pools = {each.properties["name"] for each in project.cloud.live.values() if each.token.endswith(":WorkerPool")}
        assert pools == {"logbrook-prod-consumer", "logbrook-next-consumer"}
