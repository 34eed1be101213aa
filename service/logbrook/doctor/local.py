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

from logbrook.doctor.diagnosis import Answer, Diagnosis, NotCheckedError
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
STOPPED = Diagnosis("stack.stopped", "The stack on this machine does not run.", "Start it: `make local-up`.")
BESIDE = Diagnosis(
    "process.beside",
    "A process beside the pipeline does not run: one that ships the stack's own logs, audits, or watches.",
    "Events are taken and stored. Read its last lines: the first error there is the reason.",
    "warning",
)
# In the order in which they need each other: the first that does not run is the one to blame.
_PIPELINE = ("zookeeper", "kafka", "clickhouse", "migrate", "gateway", "consumer", "query")
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
        """Whether it does what it should, as far as its keeper knows. One at its fifth start may run just now."""
        return self.state in ("ready", "done", "healthy") or (self.state == "running" and not self.restarts)

    def __str__(self) -> str:
        often = f", restarted {self.restarts} times" if self.restarts else ""
        return f"{self.name} is {self.state}{often}{f', ended with {self.ended}' if self.ended else ''}"


def stack(place: Place) -> Answer:
    """Whether all processes of the stack on this machine run."""
    known = sorted(processes(place), key=lambda each: (*_PIPELINE, each.name).index(each.name))
    if not known:
        raise NotCheckedError("nobody here keeps the processes of a stack")
    if all(each.state == "stopped" for each in known):
        return STOPPED.found(f"{place.stack}: {len(known)} processes are stopped")
    # A stack that failed at its start has stopped all the others.
    broken = [each for each in known if each.state == "failed"] or [each for each in known if not each.runs]
    if not broken:
        return f"{len(known)} processes run"
    first = broken[0]
    kind = KILLED if first.killed else DOWN if first.name in _PIPELINE else BESIDE
    kind = ZOOKEEPER if first.name == "zookeeper" else kind
    return kind.found(
        f"{first}; its last line: {first.last_line or '(none)'}", f"{kind.remedy} All of it: {first.look}"
    )


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
    supervisor = json.loads((state / "run" / "status.json").read_text())
    gone = not Path(f"/proc/{supervisor['pid']}").exists()
    for name, known in supervisor["processes"].items():
        shown = "stopped" if gone and known["state"] != "failed" else known["state"]
        ended, log = known["reason"].partition("ended with ")[2], state / "logs" / f"{name}.log"
        last = _last(log.read_text(errors="replace")) if known["reason"] and log.exists() else ""
        look = f"make local-logs NAME={name}"
        yield Process(name, shown, ended, "SIGKILL" in ended, known["restarts"], last, look)


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
