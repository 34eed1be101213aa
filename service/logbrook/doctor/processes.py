"""What this machine knows about a stack's own processes, from the native stack's supervisor or from Docker.

The supervisor's file is compose/native/status.py's. Docker's fields are State, RestartCount and Config.Labels of
ContainerInspect (moby/moby, api/swagger.yaml); the labels are Compose's (docker/compose, pkg/api/labels.go).
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from logbrook.doctor.diagnosis import NotCheckedError, Wrong
from logbrook.doctor.place import Place

# In the order in which they need each other: the first one that is not running is to blame.
_PIPELINE = ("zookeeper", "kafka", "clickhouse", "migrate", "gateway", "consumer", "query")
_DOCKER_SECONDS = 5
PROJECT = "logbrook"  # as in compose/compose.yaml


@dataclass(frozen=True)
class Process:
    """One process, however the stack is run."""

    name: str
    state: str
    ended: str
    """How it last ended, if it did."""
    restarts: int
    last_line: str
    command: str
    """The command that shows all of its log."""
    hung: bool = False
    """Whether it was restarted last because it did not answer."""

    @property
    def killed(self) -> bool:
        """Whether it was killed from outside: status 137 is SIGKILL."""
        return any(sign in self.ended for sign in ("SIGKILL", "out of memory", "status 137"))

    @property
    def runs(self) -> bool:
        """Whether it does what it should, as far as its supervisor knows. A restarting one may be running right now."""
        return self.state in ("ready", "done", "healthy") or (self.state == "running" and not self.restarts)

    def __str__(self) -> str:
        often = f", restarted {self.restarts} times" if self.restarts else ""
        return f"{self.name} is {self.state}{often}{f', ended with {self.ended}' if self.ended else ''}"


def stack(place: Place) -> str:
    """Are all processes of the stack on this machine running?"""
    native = [each for state in (place.stack / ".local", place.stack) for each in _native(state)]
    # A native stack that was stopped may have been replaced by the same stack in containers.
    stopped = all(each.state == "stopped" for each in native)
    known = (stopped and list(_containers())) or native
    if not known:
        raise NotCheckedError("nothing here supervises a stack's processes")
    known.sort(key=lambda each: (*_PIPELINE, each.name).index(each.name))
    place.processes = {each.name: each for each in known}
    if all(each.state == "stopped" for each in known):
        raise Wrong("stack.stopped", stack=place.stack, count=len(known))
    # A stack that failed to start has stopped all the others.
    broken = [each for each in known if each.state == "failed"] or [each for each in known if not each.runs]
    if not broken:
        return f"{len(known)} processes are running"
    first = broken[0]
    code = "process.killed" if first.killed else "process.down" if first.name in _PIPELINE else "process.beside"
    code = "zookeeper.down" if first.name == "zookeeper" else code
    line, command = first.last_line or "(none)", first.command
    raise Wrong(code, process=first, line=line, command=command, said=f"{first}; its last line ({command}): {line}")


def _native(state: Path) -> Iterator[Process]:
    if not (state / "run" / "status.json").exists():
        return
    supervisor = json.loads((state / "run" / "status.json").read_text())
    gone = not Path(f"/proc/{supervisor['pid']}").exists()
    for name, known in supervisor["processes"].items():
        shown = "stopped" if gone and known["state"] != "failed" else known["state"]
        ended, log = known["reason"].partition("ended with ")[2], state / "logs" / f"{name}.log"
        last = _last(log.read_text(errors="replace")) if known["reason"] and log.exists() else ""
        hung = "did not answer" in known.get("last_end", "")
        yield Process(name, shown, ended, known["restarts"], last, f"make local-logs NAME={name}", hung)


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
        last = "" if shown == "healthy" else _last(_docker("logs", "--tail", "50", container))
        if shown == "unhealthy" and (checks := state["Health"].get("Log")):
            # What the check itself said: a program that is missing in the container says nothing anywhere else.
            last = _last(checks[-1]["Output"]) or last
        name = each["Config"]["Labels"]["com.docker.compose.service"]
        yield Process(name, shown, ended, each["RestartCount"], last, f"docker logs {container}")


def _docker(*arguments: str) -> str:
    """What the command prints on both streams; empty without Docker."""
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
    at = max((index for index, line in enumerate(lines) if line.startswith("Traceback (")), default=0)
    if at and all(line.startswith(" ") for line in lines[at + 1 :]):
        # Its last line, which says what is wrong, has not been written yet: the run before ended with the same.
        lines = lines[:at]
    return lines[-1].strip()[:300] if lines else ""
