"""`up` in containers: if one does not start, it is named at once, with its last lines."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from native import runtime
from native.failure import Failure

# After a kill, a broker may find its predecessor still registered for some seconds; it is then started again.
RESTARTS_THAT_ARE_NORMAL = 3
_POLL_SECONDS = 2.0
_SLOW_SECONDS = 45.0
LINES = 10
_FRAME = re.compile(r"\s*(\d+\. .* @ 0x[0-9a-f]+|at [\w.$]+\(.*\))\s*$")


@dataclass(frozen=True)
class Container:
    """What the engine knows about one of the stack's containers."""

    id: str
    service: str
    # created, running, restarting, exited, dead
    state: str
    started_at: str
    exit_code: int
    restarts: int
    out_of_memory: bool
    # starting, healthy, unhealthy, or empty if there is no health check
    health: str
    check: str

    def failure(self, normal_restarts: int = RESTARTS_THAT_ARE_NORMAL) -> str | None:
        """Why it will not start; None as long as it may."""
        if self.out_of_memory:
            return "was killed by the kernel: it needs more memory than its limit"
        if self.state in ("exited", "dead") and self.exit_code:
            return f"exited with code {self.exit_code}"
        if self.restarts > normal_restarts:
            return "keeps exiting"
        if self.state == "running" and self.health == "unhealthy":
            return f"is not healthy: {self.check}" if self.check else "is not healthy"
        return None


def up(env_file: Path, say: Callable[[str], None]) -> None:
    """Start the stack, and return once all of it is healthy.

    Raises Failure, with the last lines of the container's log, as soon as one of them keeps exiting or is not healthy.
    `say` is told about one that takes a long time.
    """
    command = [*runtime.command(env_file), "up", "--detach", "--build", "--wait"]
    slow: set[str] = set()
    began = time.monotonic()
    # How one ended that was stopped or killed before, or is being replaced, says nothing about this start.
    before = {(each.id, each.started_at) for each in containers(env_file)}

    def started() -> list[Container]:
        found = containers(env_file)
        return [each for each in found if each.state == "running" or (each.id, each.started_at) not in before]

    with subprocess.Popen(command) as starting:
        try:
            while starting.poll() is None:
                found = started()
                _raise_if_one_failed(env_file, found, RESTARTS_THAT_ARE_NORMAL)
                for each in found:
                    late = time.monotonic() - began > _SLOW_SECONDS
                    if late and each.health == "starting" and each.service not in slow:
                        slow.add(each.service)
                        say(f"{each.service} is not healthy yet. It says:\n{last_lines(env_file, each.service)}")
                time.sleep(_POLL_SECONDS)
        except BaseException:
            starting.terminate()
            raise
    if starting.returncode:
        _raise_if_one_failed(env_file, started(), 0)
        raise Failure("docker compose up failed: see above.", "Or go without Docker: RUNTIME=native")


def containers(env_file: Path) -> list[Container]:
    """The stack's containers, whatever state they are in."""
    ids = (runtime.output([*runtime.command(env_file), "ps", "--all", "--quiet"]) or "").split()
    return [_container(each) for each in json.loads(runtime.output(["docker", "inspect", *ids]) or "[]")] if ids else []


def last_lines(env_file: Path, service: str) -> str:
    """The end of what a service's container printed."""
    arguments = ["logs", "--no-color", "--no-log-prefix", "--tail", str(20 * LINES), service]
    lines = (runtime.output([*runtime.command(env_file), *arguments]) or "").splitlines()
    # Without the frames of stack traces: the messages are above them.
    return "\n".join([line for line in lines if not _FRAME.match(line)][-LINES:]) or "(nothing)"


def _container(known: dict[str, object]) -> Container:
    state, config = known["State"], known["Config"]
    assert isinstance(state, dict)
    assert isinstance(config, dict)
    health = state.get("Health") or {}
    checks = [each["Output"].strip() for each in health.get("Log") or []]
    return Container(
        str(known["Id"]),
        config["Labels"]["com.docker.compose.service"],
        state["Status"],
        state["StartedAt"],
        state["ExitCode"],
        int(str(known["RestartCount"])),
        bool(state["OOMKilled"]),
        health.get("Status", ""),
        checks[-1] if checks else "",
    )


def _raise_if_one_failed(env_file: Path, found: list[Container], normal_restarts: int) -> None:
    for each in found:
        if why := each.failure(normal_restarts):
            raise Failure(f"{each.service} {why}. Its last lines:\n{last_lines(env_file, each.service)}", _advice(each))


def _advice(container: Container) -> str:
    if container.out_of_memory:
        return f"Give it more: LOGBROOK_{container.service.upper()}_MEMORY in .env (docs/compose.md)."
    return (
        f"Fix what it reports, and run this again. Its whole log: make local-logs NAME={container.service}. "
        "To start from scratch: make local-reset. Or run without Docker: RUNTIME=native"
    )
