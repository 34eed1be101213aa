"""Processes that this package starts: each has a log file, and none is left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Service:
    """A process to run: how to start it, and how to tell that it works."""

    name: str
    command: Sequence[str]
    # Whether it does its work; called repeatedly, and must not block for more than a few seconds.
    ready: Callable[[], bool]
    port: int | None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Names of the processes that must be ready before it is started.
    needs: tuple[str, ...] = ()
    # Does its work and ends.
    once: bool = False
    # How often to try on the way up before it counts as failed.
    attempts: int = 1
    # Less than a minute, so that a process that does not start is named within one.
    ready_seconds: float = 50.0
    stop_seconds: float = 15.0
    # Whether it is alive, whatever the state of those that it needs; None: there is no way to ask.
    alive: Callable[[], bool] | None = None
    # A process that used to work and has not answered for this long is restarted.
    silent_seconds: float = 60.0


def start(service: Service, log: Path) -> subprocess.Popen[bytes]:
    """Start it; it is asked to stop (SIGTERM) if this process dies first."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # No process gets another one's secrets.
            env={
                **{name: value for name, value in os.environ.items() if "LOGBROOK_" not in name},
                **service.environment,
            },
            # Ctrl-C in the terminal does not reach it: it is stopped in its turn.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls prctl only
        )


def stop(service: Service, process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and kill it after `stop_seconds`."""
    process.terminate()
    # A paused process does not receive it.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    try:
        process.wait(service.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 10) -> str:
    """The last lines of a log file."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
