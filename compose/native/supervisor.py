"""The small process that starts the stack in order, restarts what dies, and stops it in reverse order on SIGTERM.

`python -m native.supervisor --state DIR` is started by `python -m native up`, in its own session.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from native import environment, jars, processes, stack, status
from native.failure import Failure
from native.processes import Service
from native.status import ProcessStatus

_TICK_SECONDS = 0.05
_MAX_LOG_BYTES = 16 * 2**20
_FIRST_BACK_OFF_SECONDS, _MAX_BACK_OFF_SECONDS = 0.5, 30.0
# A process that dies after running this long counts as having worked.
_STEADY_SECONDS = 60.0
# Each check of a process may itself take a few seconds.
_LOOK_EVERY_SECONDS = 5.0
_FEWEST_SILENT_LOOKS = 3


class Supervised:
    """One process of the stack, across restarts."""

    def __init__(self, service: Service, log: Path, status_: ProcessStatus) -> None:
        self.service, self.log, self.status = service, log, status_
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = self._started = self._retry_at = 0.0
        self._looked_at = self._answered_at = 0.0
        self._silent_looks = 0
        self._back_off = _FIRST_BACK_OFF_SECONDS

    @property
    def works(self) -> bool:
        """Whether the processes that need it may start."""
        return self.status.state in ("ready", "done")

    def step(self, *, may_start: bool, may_retry: bool) -> None:
        """Check it, and do what is due. Raises Failure if it can't work and may not try again."""
        now = time.monotonic()
        if self._process is None:
            due = self.status.state == "waiting" or (self.status.state == "backing off" and now >= self._retry_at)
            if due and may_start:
                self._start(now)
            return
        code = self._process.poll()
        if code is not None:
            self._process = None
            self._ended(code, now, may_retry=may_retry)
        elif self.status.state == "starting":
            if not self.service.once and self.service.ready():
                self.status.state, self.status.reason, self._answered_at = "ready", "", now
                self._silent_looks = 0
            elif now > self._deadline:
                what = f"is not ready after {self.service.ready_seconds:.0f} s"
                if not may_retry:
                    # Killed, not asked to stop: whoever waits must know within a minute.
                    self._process.kill()
                    raise self._failure(what)
                self._restart(what)
        elif self.status.state == "ready" and self.service.alive and now - self._looked_at > self._look_every():
            self._looked_at = now
            if self.service.alive():
                self._answered_at, self._silent_looks, self.status.reason = time.monotonic(), 0, ""
                return
            self._silent_looks += 1
            silent = now - self._answered_at
            # On a machine that is short of time, the looks themselves are far apart.
            if silent > self.service.silent_seconds and self._silent_looks >= _FEWEST_SILENT_LOOKS:
                self._restart(f"did not answer for {silent:.0f} s")
            else:
                self.status.reason = f"does not answer; started again after {self.service.silent_seconds:.0f} s of it"

    def stop(self) -> None:
        """Stop it, and wait until it has exited."""
        if self._process is not None:
            self.status.state = "stopping"
            processes.stop(self.service, self._process)
            self._process = None
        if self.status.state != "failed":
            self.status.state = "stopped"
        self.status.pid = None

    def rotate(self) -> None:
        """Keep its log bounded: the writer appends, so the file itself stays."""
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def _look_every(self) -> float:
        return min(_LOOK_EVERY_SECONDS, self.service.silent_seconds / 3)

    def _restart(self, why: str) -> None:
        """Kill a process that hangs; it is then restarted like one that died."""
        if self._process is not None:
            processes.stop(self.service, self._process)
            self._process = None
        self._back_off_for(f"{why}: ended, to start it again", time.monotonic())

    def _start(self, now: float) -> None:
        self._process = processes.start(self.service, self.log)
        self._started, self._deadline = now, now + self.service.ready_seconds
        # By the kernel's account: on a busy machine, it may take seconds until this line is reached.
        started_at = psutil.Process(self._process.pid).create_time()
        self.status.state, self.status.pid, self.status.started_at = "starting", self._process.pid, started_at

    def _ended(self, code: int, now: float, *, may_retry: bool) -> None:
        self.status.pid = None
        if code == 0 and self.service.once:
            self.status.state = "done"
            return
        if not may_retry and self.status.restarts + 1 >= self.service.attempts:
            raise self._failure(f"ended with {_exit(code)}")
        if now - self._started > _STEADY_SECONDS:
            self._back_off = _FIRST_BACK_OFF_SECONDS
        self._back_off_for(f"ended with {_exit(code)}", now)

    def _back_off_for(self, why: str, now: float) -> None:
        self.status.pid = None
        self.status.state, self.status.restarts = "backing off", self.status.restarts + 1
        self.status.reason = self.status.last_end = why
        self._retry_at = now + self._back_off
        self._back_off = min(2 * self._back_off, _MAX_BACK_OFF_SECONDS)

    def _failure(self, what: str) -> Failure:
        self.status.state, self.status.reason = "failed", what
        return Failure(
            f"{self.service.name} {what}. Its last lines:\n{processes.tail(self.log)}",
            f"All of it: {self.log}. Fix what it says and run make local-up again; or start over: make local-reset.",
        )


class Supervisor:
    """All processes of a stack."""

    def __init__(self, state: Path, services: list[Service]) -> None:
        self._state = state
        self._status = status.mine()
        self._all: dict[str, Supervised] = {}
        for service in services:
            own = self._status.processes[service.name] = ProcessStatus()
            self._all[service.name] = Supervised(service, stack.log_file(state, service.name), own)
        self._stopping = False
        self._written = ""

    def run(self) -> int:
        """Start everything, keep it running until SIGTERM, stop it. Returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        failed = False
        try:
            while not self._stopping:
                self._step()
                time.sleep(_TICK_SECONDS if self._status.state == "starting" else 5 * _TICK_SECONDS)
        except Failure as failure:
            self._status.reason, failed = f"{failure.what}\n{failure.advice}", True
        self._stop(failed=failed)
        return 1 if failed else 0

    def _step(self) -> None:
        # During the first start, an error is for a person to solve; later, it may pass.
        starting = self._status.state == "starting"
        for each in self._all.values():
            may_start = all(self._all[name].works for name in each.service.needs)
            each.step(may_start=may_start or not starting, may_retry=not starting)
            each.rotate()
            self._write()
        if starting and all(each.works for each in self._all.values()):
            self._status.state = "ready"
        self._write()

    def _stop(self, *, failed: bool) -> None:
        self._status.state = "stopping"
        for each in reversed(self._all.values()):
            each.stop()
            self._write()
        self._status.state = "failed" if failed else "stopped"
        self._write()

    def _write(self) -> None:
        now = repr(self._status)
        if now != self._written:
            status.write(self._state, self._status)
            self._written = now

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _exit(code: int) -> str:
    return f"status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def main() -> None:
    """Run the stack of a state directory."""
    parser = argparse.ArgumentParser(prog="python -m native.supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--jars", type=Path, required=True)
    arguments = parser.parse_args()
    state = arguments.state
    (state / "run").mkdir(parents=True, exist_ok=True)
    with (state / "run" / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another supervisor runs the stack in {state}")
        services = stack.services(environment.load(state), jars.ensure(arguments.jars))
        sys.exit(Supervisor(state, services).run())


if __name__ == "__main__":
    main()
