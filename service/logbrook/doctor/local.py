"""What this machine says of a stack's own processes: the native stack's supervisor, or Docker.

The supervisor's file is compose/native/status.py's. Docker's fields are State, RestartCount and Config.Labels of
ContainerInspect (moby/moby, api/swagger.yaml); the labels are Compose's (docker/compose, pkg/api/labels.go).
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from logbrook.doctor.diagnosis import Diagnosis, Found
from logbrook.doctor.place import Place

DOWN = Diagnosis(
    "process.down",
    "A process of the stack on this machine does not run, or ends again and again.",
    "Read its last lines: the first error there is the reason.",
)
KILLED = Diagnosis(
    "process.killed",
    "A process was killed from outside, in most cases by the kernel for its memory.",
    "Give it more memory, or let it take less: ClickHouse's own limit must stay below its container's.",
)
ZOOKEEPER = Diagnosis(
    "zookeeper.down",
    "ZooKeeper does not answer. Kafka does not start before it does, and can't elect or create anything without it.",
    "Start ZooKeeper first; its log says why it ended. Kafka follows by itself where something restarts it.",
)
# Whoever needs another is not the one to blame.
_NEEDS = {"kafka": ("zookeeper",), "gateway": ("zookeeper", "kafka"), "consumer": ("zookeeper", "kafka", "clickhouse")}
_DOCKER_SECONDS = 5
PROJECT = "logbrook"  # as in compose/compose.yaml


@dataclass(frozen=True)
class Process:
    """One process, whichever way the stack runs."""

    name: str
    state: str
    ended: str
    """How it ended last, if it did."""
    killed: bool
    restarts: int
    last_line: str
    look: str
    """The command that shows all of its log."""

    @property
    def runs(self) -> bool:
        """Whether it does what it should, as far as its keeper knows."""
        return self.state in ("ready", "done", "running", "healthy")

    def __str__(self) -> str:
        often = f", restarted {self.restarts} times" if self.restarts else ""
        return f"{self.name} is {self.state}{often}{f', ended with {self.ended}' if self.ended else ''}"


def why(place: Place, name: str, *, accepts: bool = False) -> Found | None:
    """Why the process `name` does not work, if this machine knows. `accepts`: something has its port, nevertheless."""
    known = {process.name: process for process in processes(place)}
    for each in (*_NEEDS.get(name, ()), name):
        process = known.get(each)
        # One that is at its fifth start may run just now.
        again = process is not None and process.restarts and each == name and not accepts
        if process is not None and (again or not process.runs):
            text = f"{process}; its last line: {process.last_line or '(none)'}"
            kind = ZOOKEEPER if each == "zookeeper" else KILLED if process.killed else DOWN
            return kind.found(text, f"{kind.remedy} All of it: {process.look}")
    return None


def processes(place: Place) -> list[Process]:
    """Those of the stack on this machine; none if it runs elsewhere."""
    if place.stack is None:
        return []
    if "processes" not in place.learned:
        native = [each for state in (place.stack / ".local", place.stack) for each in _native(state)]
        # One that was stopped may have been followed by the same stack in containers.
        stopped = all(each.state == "stopped" for each in native)
        place.learned["processes"] = (stopped and list(_containers())) or native
    return cast(list[Process], place.learned["processes"])


def _native(state: Path) -> Iterator[Process]:
    if not (state / "run" / "status.json").exists():
        return
    for name, known in json.loads((state / "run" / "status.json").read_text())["processes"].items():
        ended, log = known["reason"].removeprefix("ended with "), state / "logs" / f"{name}.log"
        last = _last(log.read_text(errors="replace")) if ended and log.exists() else ""
        look = f"make local-logs NAME={name}"
        yield Process(name, known["state"], ended, "SIGKILL" in ended, known["restarts"], last, look)


def _containers() -> Iterator[Process]:
    listed = _docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    for each in json.loads(_docker("inspect", *listed) or "[]") if listed else []:
        state, container = each["State"], each["Name"].lstrip("/")
        code, oom, shown = state["ExitCode"], state["OOMKilled"], state["Status"]
        ended = f"status {code}" + (", out of memory" if oom else "") if code or oom else ""
        if shown == "running":
            shown = state.get("Health", {}).get("Status", shown)
        elif shown == "exited" and not code:
            shown = "done"
        last = "" if shown == "healthy" else _last(_docker("logs", "--tail", "5", container))
        name = each["Config"]["Labels"]["com.docker.compose.service"]
        yield Process(name, shown, ended, oom or code == 137, each["RestartCount"], last, f"docker logs {container}")


def _docker(*arguments: str) -> str:
    """What it prints on both streams; nothing without Docker."""
    command = ["docker", *arguments]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_DOCKER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
