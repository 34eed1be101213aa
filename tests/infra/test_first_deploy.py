"""A first deploy whose data node fails, or can't be heard."""

from pathlib import Path

import pytest

from infra import node_state
from tests.infra.engine import DeployError, engine

pytestmark = pytest.mark.timeout(900)


def test_a_node_that_fails_stops_the_deploy(pulumi_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the node says is in the error, with the way to look; no consumer is started.

    Where guest attributes are forbidden, nothing is heard of it: the deploy goes through, with a warning.
    """
    monkeypatch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
    monkeypatch.setattr(node_state, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(node_state, "_MINUTE_SECONDS", 0.01)
    with engine(pulumi_cli, tmp_path) as fresh:
        with monkeypatch.context() as failing:
            failing.setattr(fresh.cloud.world, "ask_node", lambda _query: "failed at images: no space left")
            with pytest.raises(DeployError) as error:
                fresh.up()
        assert "it says: failed at images: no space left" in str(error.value)
        assert "logbrook-node status" in str(error.value)
        assert "pool" not in fresh.cloud.happened("create")
        fresh.cloud.world.guest_attributes = False
        fresh.cloud.world.programs_wait = True
        fresh.up()
        assert "the data node has said nothing after 30 minutes" in " ".join(fresh.said.split())
        assert "pool" in fresh.cloud.happened("create")
