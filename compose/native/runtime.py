"""Which of the two ways to run the stack: Compose, or these processes without Docker. Says which, and why."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from native.environment import REPOSITORY

Runtime = Literal["auto", "native", "compose"]
# As in the Compose file.
PROJECT = "logbrook"
COMPOSE_FILE = REPOSITORY / "compose" / "compose.yaml"


@dataclass(frozen=True)
class Choice:
    """A way to run, and the reason in a few words."""

    runtime: Literal["native", "compose"]
    reason: str


def choose(wanted: Runtime, env_file: Path) -> Choice:
    """Follow the wish; `auto` takes Compose if an engine answers and the images are there or can be pulled."""
    if wanted != "auto":
        return Choice(wanted, f"RUNTIME={wanted} says so")
    obstacles = (
        (["docker", "info"], 10, "no Docker engine answers"),
        (["docker", "compose", "version"], 10, "docker compose is not installed"),
        ([*command(env_file), "pull", "--ignore-buildable", "--policy", "missing"], 600, "the images can't be pulled"),
        ([*command(env_file), "build"], 600, "the service's image can't be built here"),
    )
    for attempt, seconds, obstacle in obstacles:
        if not _succeeds(attempt, seconds):
            return Choice("native", obstacle)
    return Choice("compose", "a Docker engine answers and has the images")


def command(env_file: Path) -> list[str]:
    """docker compose for this stack."""
    return ["docker", "compose", "-f", str(COMPOSE_FILE), "--env-file", str(env_file)]


def compose_runs(env_file: Path) -> bool:
    """Whether containers of the stack run."""
    return bool(_output([*command(env_file), "ps", "-q"])) if env_file.exists() else False


def compose_has_data() -> bool:
    """Whether there are volumes of the stack, running or not."""
    return bool(_output(["docker", "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}"]))


def _output(arguments: list[str]) -> str:
    """What it prints; nothing if it fails."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _succeeds(arguments: list[str], timeout_seconds: float) -> bool:
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=timeout_seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
