"""`up`: everything from nothing to a working stack, showing every step."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from native import environment, jars, ports, stack, status
from native.environment import DEFAULT_STATE, Environment
from native.failure import Failure
from native.processes import tail

# Shared by all stacks of this checkout.
JARS = DEFAULT_STATE / "jars"
_POLL_SECONDS = 0.1
# As long as one of the stack's processes gets to stop.
_LEFT_OVER_SECONDS = 30.0
# The kernel's time of a process's start is that of the boot, in whole seconds, and how long after.
_INEXACT_SECONDS = 2.0
_SAY_AFTER_SECONDS, _SAY_EVERY_SECONDS = 2.0, 5.0


def native(state: Path, console: Console) -> Environment:
    """Start the stack and wait until all of it works. Raises Failure, after stopping whatever was started."""
    settings = environment.load(state)
    running = status.read(state)
    if running is None:
        fetch(console)
        _wait_for_left_over(state, console)
        _need_free_ports(settings)
        _start(state, console)
    else:
        _watch(state, None, console)
        if settings.env_file.stat().st_mtime > running.created_at + _INEXACT_SECONDS:
            changed = f"{settings.env_file} was changed after the start. To apply it: make local-down local-up"
            console.print(f"[yellow]![/] {changed}", highlight=False, soft_wrap=True)
    return settings


def fetch(console: Console) -> None:
    """Fetch what the stack runs, if it is missing, without starting anything. Raises Failure."""
    _step(console, "Kafka and ZooKeeper jars", lambda say: jars.ensure(JARS, say))


def stop(state: Path, console: Console) -> bool:
    """Stop the stack, cleanly and in reverse order. False if it was not running."""
    running = status.read(state)
    if running is None:
        _wait_for_left_over(state, console)
        return False
    running_process = running.process()
    running_process.terminate()

    def wait(say: Callable[[str], None]) -> None:
        while running_process.is_running():
            now = status.last(state)
            stopping = [name for name, each in now.processes.items() if each.state == "stopping"] if now else []
            say(", ".join(stopping))
            time.sleep(_POLL_SECONDS)

    _step(console, "Stop", wait)
    return True


def _wait_for_left_over(state: Path, console: Console) -> None:
    """Wait for processes that lost their supervisor and were asked to stop when it died; then kill the rest."""
    leftover = status.left_over(state)
    deadline = time.monotonic() + _LEFT_OVER_SECONDS

    def wait(say: Callable[[str], None]) -> None:
        while alive := [name for name, process in leftover.items() if status.runs(process)]:
            say(", ".join(alive))
            for name in alive if time.monotonic() > deadline else ():
                with contextlib.suppress(psutil.NoSuchProcess):
                    leftover[name].kill()
            time.sleep(_POLL_SECONDS)

    if leftover:
        _step(console, "Wait for the processes of a run that was killed", wait)


def _need_free_ports(settings: Environment) -> None:
    for name, (port, variable) in settings.ports.variables().items():
        if not ports.is_free(port):
            other = f"{variable}={ports.free(1)[0]}"
            raise Failure(
                f"Port {port}, which {name} is to listen on, is taken by {ports.owner(port)}.",
                f"Stop that process, or use another port: write {other} into {settings.env_file}.",
            )


def _start(state: Path, console: Console) -> None:
    log = stack.log_file(state, "supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "native.supervisor", "--state", str(state), "--jars", str(JARS)]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _watch(state, supervisor, console)
    except BaseException:
        # Ctrl-C leaves nothing behind either.
        if supervisor.poll() is None:
            supervisor.terminate()
            _step(console, "Stop what was started", lambda _: supervisor.wait())
        raise


def _watch(state: Path, supervisor: "subprocess.Popen[bytes] | None", console: Console) -> None:
    """Show how one process after another becomes ready, until all are."""
    shown: set[str] = set()
    began = time.monotonic()
    with console.status("starting") as spinner:
        say = _teller(spinner, console)
        while True:
            now = status.last(state)
            fresh = now is not None and (supervisor is None or now.pid == supervisor.pid)
            if supervisor is not None and supervisor.poll() is not None:
                raise _failure(state, now if fresh else None)
            if supervisor is None and (now is None or not now.is_alive()):
                raise _failure(state, now)
            if now is not None and fresh:
                for name, each in now.processes.items():
                    if each.state in ("ready", "done") and name not in shown:
                        shown.add(name)
                        console.print(f"  [green]✓[/] {name} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)
                if now.state == "ready":
                    return
                say(_waiting_for(now))
            time.sleep(_POLL_SECONDS)


def _waiting_for(now: status.StackStatus) -> str:
    seconds = time.time()
    texts = [
        f"{name} ({each.state}, {seconds - (each.started_at or seconds):.0f} s)"
        for name, each in now.processes.items()
        if each.state in ("starting", "backing off")
    ]
    return ", ".join(texts) or "starting"


def _failure(state: Path, now: status.StackStatus | None) -> Failure:
    if now is not None and now.reason:
        what, _, advice = now.reason.rpartition("\n")
        return Failure(what, advice)
    log = stack.log_file(state, "supervisor")
    return Failure(f"The supervisor ended:\n{tail(log)}", f"All of it: {log}")


def _step(console: Console, title: str, work: Callable[[Callable[[str], None]], object]) -> None:
    """Do something that may take a while, and show its progress."""
    began = time.monotonic()
    with console.status(title) as spinner:
        say = _teller(spinner, console)
        work(lambda detail: say(f"{title}: {detail}" if detail else title))
    console.print(f"  [green]✓[/] {title} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)


def _teller(spinner: Status, console: Console) -> Callable[[str], None]:
    """Shows progress next to the spinner, or as an occasional line where there is none (a log, a pipe)."""
    due = time.monotonic() + _SAY_AFTER_SECONDS

    def say(text: str) -> None:
        nonlocal due
        spinner.update(escape(text))
        if not console.is_terminal and time.monotonic() > due:
            due = time.monotonic() + _SAY_EVERY_SECONDS
            console.print(f"  … {escape(text)}", highlight=False)

    return say
