"""Processes of a stack that can be killed, stopped and started again, on the same data and ports."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float, what: str, poll_seconds: float = 0.1) -> None:
    """Wait for a condition; AssertionError names what did not happen in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(poll_seconds)


def answers(port: int) -> bool:
    """Whether something on a loopback port accepts a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Process:
    """One program of a stack. Its output goes to `<directory>/<name>.log`."""

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    ready_seconds: float = 60.0
    child: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def log(self) -> str:
        """All that it has printed, over all of its lives."""
        path = self.directory / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it lives (a stopped one does)."""
        return self.child is not None and self.child.poll() is None

    @property
    def rss_bytes(self) -> int:
        """Its resident memory, anonymous and file-backed."""
        assert self.child is not None
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def spawn(self) -> None:
        """Start it, without waiting until it is ready."""
        assert not self.running, f"{self.name} runs already"
        self.starts += 1
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env={**_inherited(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.spawn()
        self.wait()

    def wait(self) -> None:
        """Wait until it is ready; one that ends at once is started again, as a supervisor would do."""
        deadline = time.monotonic() + self.ready_seconds
        while not self.ready():
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log[-3000:]}"
            time.sleep(0.1)
            if not self.running:
                time.sleep(0.5)
                self.spawn()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started."""
        assert self.child is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.running:
            assert self.child is not None
            self.signal(signal.SIGKILL)
            self.child.wait()

    def stop(self, seconds: float = 15.0) -> int:
        """Ask it to end, kill it if it does not in time, and return its exit status."""
        assert self.child is not None
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return int(self.child.returncode)

    def pause(self) -> None:
        """Stop it in its tracks: it keeps its connections and answers nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()


def _inherited() -> dict[str, str]:
    """What a program needs of our environment: never settings of ours that may be set there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGBROOK_", "CLICKHOUSE_"))}
    path = os.pathsep.join(str(REPOSITORY / each) for each in ("service", "compose", ""))
    return kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
