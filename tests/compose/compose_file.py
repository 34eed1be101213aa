"""The Compose file as Compose would read it, without Docker: parsed, merged, variables filled in."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "compose" / "compose.yaml"
CLOUD_FILE = ROOT / "compose" / "compose.cloud.yaml"
STAND_IN_FILE = ROOT / "tests" / "compose" / "compose.stand-in.yaml"
# What the file needs to be given; everything else has a default.
REQUIRED = {"LOGBROOK_CLICKHOUSE_PASSWORD": "a-password"}

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:[-?+])(?P<rest>[^}]*)\}")


class MissingVariableError(Exception):
    """A required variable has no value; the text is what Compose would print."""


def fill_in(text: str, environ: Mapping[str, str]) -> str:
    """`text` with each ${NAME:-default}, ${NAME:?message}, and ${NAME:+text} replaced: no other form is used.

    https://docs.docker.com/reference/compose-file/interpolation/
    """

    def value(match: re.Match[str]) -> str:
        given = environ.get(match["name"])
        if match["operator"] == ":+":
            return match["rest"] if given else ""
        if given:
            return given
        if match["operator"] == ":?":
            raise MissingVariableError(f"{match['name']}: {match['rest']}")
        return match["rest"]

    filled = _VARIABLE.sub(value, text)
    assert "${" not in filled, f"a form of variable that this reader doesn't know: {text}"
    return filled


def required(path: Path) -> dict[str, str]:
    """A value for each variable that a file needs to be given."""
    return REQUIRED | {
        match["name"]: "1" for match in _VARIABLE.finditer(path.read_text()) if match["operator"] == ":?"
    }


def load(path: Path = COMPOSE_FILE, environ: Mapping[str, str] = REQUIRED) -> dict[str, Any]:
    """The file with anchors and merges resolved and variables filled in from `environ`."""

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: resolved(each) for key, each in node.items()}
        if isinstance(node, list):
            return [resolved(each) for each in node]
        return fill_in(node, environ) if isinstance(node, str) else node

    document: dict[str, Any] = resolved(yaml.safe_load(path.read_text()))
    return document


def services(environ: Mapping[str, str] = REQUIRED) -> dict[str, dict[str, Any]]:
    """Every service by its name."""
    found: dict[str, dict[str, Any]] = load(environ=environ)["services"]
    return found


def dependencies() -> Iterator[tuple[str, str, str]]:
    """Every edge as (service, what it waits for, the condition)."""
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            yield name, needed, how["condition"]


def mebibytes(size: str) -> int:
    """`512m` or `4g` as Docker and Java read it, in MiB."""
    number, unit = int(size[:-1]), size[-1].lower()
    return number * {"m": 1, "g": 1024}[unit]
