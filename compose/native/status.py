"""What the supervisor knows about its processes, in a file that the command line reads."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

# The kernel counts from its own start: if the clock is set in between, the same process seems to have begun earlier or
# later.
_SAME_START_SECONDS = 5.0


@dataclass
class ProcessStatus:
    """One process of the stack."""

    # waiting, starting, ready, done, backing off, failed, stopping, stopped
    state: str = "waiting"
    pid: int | None = None
    started_at: float | None = None
    restarts: int = 0
    # Why it is not ready, if so.
    reason: str = ""
    # How it ended, the last time it had to be restarted.
    last_end: str = ""


@dataclass
class StackStatus:
    """The supervisor and its processes."""

    pid: int
    # Distinguishes this process from a later one with the same pid.
    created_at: float
    # starting, ready, failed, stopping
    state: str = "starting"
    reason: str = ""
    processes: dict[str, ProcessStatus] = field(default_factory=dict)

    def process(self) -> psutil.Process:
        """The supervisor's process. Raises psutil.NoSuchProcess if it has ended."""
        process = psutil.Process(self.pid)
        if process.create_time() != self.created_at:
            raise psutil.NoSuchProcess(self.pid)
        return process

    def is_alive(self) -> bool:
        """Whether exactly that supervisor is still running."""
        try:
            return bool(self.process().status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def mine() -> StackStatus:
    """A status for this process."""
    return StackStatus(os.getpid(), psutil.Process().create_time())


def write(state: Path, status: StackStatus) -> None:
    """Replace the file atomically: a reader sees the old one or the new one."""
    path = _path(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(status)))
    temporary.replace(path)


def read(state: Path) -> StackStatus | None:
    """The status of the supervisor that is running; None if there is none."""
    status = last(state)
    return status if status is not None and status.is_alive() else None


def last(state: Path) -> StackStatus | None:
    """The status that the last supervisor wrote, whether it is still running or not."""
    try:
        values = json.loads(_path(state).read_text())
    except FileNotFoundError:
        return None
    processes = {name: ProcessStatus(**each) for name, each in values.pop("processes").items()}
    return StackStatus(**values, processes=processes)


def left_over(state: Path) -> dict[str, psutil.Process]:
    """Processes, by name, that are still running although their stack's supervisor is gone."""
    dead = last(state)
    if dead is None or dead.is_alive():
        return {}
    found = {}
    for name, each in dead.processes.items():
        if each.pid is None or each.started_at is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(each.pid)
            # A pid alone proves nothing: another process may have it by now.
            if abs(process.create_time() - each.started_at) < _SAME_START_SECONDS and runs(process):
                found[name] = process
    return found


def runs(process: psutil.Process) -> bool:
    """Whether it is still alive; a zombie is not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _path(state: Path) -> Path:
    return state / "run" / "status.json"
