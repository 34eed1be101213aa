"""Chooses between the two ways to run the stack, Compose or these processes without Docker, and says why."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from native.environment import REPOSITORY
from native.failure import Failure

Runtime = Literal["auto", "native", "compose"]
# As in the Compose file.
PROJECT = "logbrook"
COMPOSE_FILE = REPOSITORY / "compose" / "compose.yaml"


@dataclass(frozen=True)
class Choice:
    """A way to run the stack, and the reason in a few words."""

    runtime: Literal["native", "compose"]
    reason: str


def choose(wanted: Runtime, env_file: Path) -> Choice:
    """Do what is wanted; `auto` uses Compose if an engine answers and the images exist or can be pulled."""
    if wanted != "auto":
        return Choice(wanted, f"RUNTIME={wanted} says so")
    obstacles = (
        (["docker", "info"], 10, "no Docker engine answers"),
        (["docker", "compose", "version"], 10, "docker compose is not installed"),
    )
    for attempt, seconds, obstacle in obstacles:
        if output(attempt, seconds) is None:
            return Choice("native", obstacle)
    try:
        pull(env_file)
    except Failure as failure:
        return Choice("native", failure.what.rstrip("."))
    if output([*command(env_file), "build"], 600) is None:
        return Choice("native", "the service's image can't be built here")
    return Choice("compose", "a Docker engine answers and has the images")


def pull(env_file: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Pull missing images, one by one; `say` is told which. Raises Failure at the first that can't be pulled."""
    services = configuration(env_file)["services"].values()
    for image in sorted({service["image"] for service in services if "build" not in service}):
        if output(["docker", "image", "inspect", image]) is not None:
            continue
        say(f"pulling {image}")
        done = subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["docker pull failed"])[-1]
            raise Failure(
                f"The image {image} can't be pulled: {why}",
                "Check the network, or the registry's rate limit: docker login. Or run without Docker: RUNTIME=native",
            )


def configuration(env_file: Path) -> dict[str, Any]:
    """The stack as Compose reads it. Raises Failure with what Compose says if it can't."""
    words = [*command(env_file), "config", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"docker compose can't read the stack: {done.stderr.strip()}", f"Correct {env_file}.")
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def command(env_file: Path) -> list[str]:
    """docker compose for this stack."""
    return ["docker", "compose", "-f", str(COMPOSE_FILE), "--env-file", str(env_file)]


def compose_runs(env_file: Path) -> bool:
    """Whether containers of the stack are running."""
    return bool(output([*command(env_file), "ps", "-q"])) if env_file.exists() else False


def compose_has_data() -> bool:
    """Whether the stack has volumes, running or not."""
    return bool(output(["docker", "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}"]))


def output(arguments: list[str], timeout_seconds: float = 10) -> str | None:
    """What a command prints; None if it fails or takes longer."""
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=timeout_seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
