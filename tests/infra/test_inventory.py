"""What each stack has in the cloud, as a file: a reviewer sees in its diff what a change adds.

After a change that is meant: `UPDATE_INVENTORY=1 make test-infra ARGS='-k inventory'`, and look at the diff.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.__main__ import program
from infra.policy import Declared
from tests.infra.recorded import record, stack_config

DIRECTORY = Path(__file__).parent / "inventory"
STACKS = {
    "dev": stack_config("dev"),
    "prod": stack_config("prod"),
    "prod-managed": stack_config(
        "prod", backend="managed", clickhouseHost="abc.clickhouse.example", clickhouseCluster="default"
    ),
}


def _shown(value: Any) -> Any:
    """Values as they are worth a reviewer's look: texts and secrets by their kind, hashes not at all."""
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    if isinstance(value, str):
        if "canary" in value or re.search("=[0-9a-f]{64}", value):
            return "<secret>"
        if len(value) > 240 or "\n" in value:
            return "<text>"
        return re.sub(r"/service:[0-9a-f]{16}", "/service:<content>", re.sub("@sha256:0+", "@<digest>", value))
    return value


def inventory(resources: list[Declared]) -> str:
    """The resources as YAML, in a stable order."""
    shown = {
        f"{each.token} {each.name}": _shown(each.inputs) | ({"(protected)": True} if each.protect else {})
        for each in resources
    }
    return yaml.safe_dump(shown, sort_keys=False, width=120)


@pytest.mark.parametrize("stack", sorted(STACKS))
def test_inventory(stack: str) -> None:
    """The stack declares what its inventory says."""
    path = DIRECTORY / f"{stack}.yaml"
    now = inventory(record(program, STACKS[stack], stack))
    if os.environ.get("UPDATE_INVENTORY"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(now)
    assert path.exists(), "no inventory: UPDATE_INVENTORY=1 writes it"
    assert now.splitlines() == path.read_text().splitlines(), "UPDATE_INVENTORY=1 rewrites it: then read its diff"


@pytest.mark.parametrize("stack", sorted(STACKS))
def test_no_secret_is_in_the_inventory(stack: str) -> None:
    """The file is in the repository."""
    assert "canary" not in (DIRECTORY / f"{stack}.yaml").read_text()
