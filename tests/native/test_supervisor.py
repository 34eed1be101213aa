"""The supervisor: order, restarts, failures and the way down, on processes that are shell scripts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from native import status, up
from native.status import StackStatus
from tests.components import until

# Says that it is ready, and then does nothing until it is told to stop.
WORKS = 'echo "$0 up" ; touch "$STATE/{name}.ready" ; exec sleep 1000'
Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a supervisor over the processes given as dicts; stops it at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*services: dict[str, Any]) -> subprocess.Popen[bytes]:
        for each in services:
            each.setdefault("script", WORKS)
            each["script"] = each["script"].replace("{name}", each["name"])
        command = [sys.executable, "-m", "tests.native.tiny_stack", str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": "compose:service:."}
        supervisor = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
        assert supervisor.stdin is not None
        supervisor.stdin.write(json.dumps(services).encode())
        supervisor.stdin.close()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.terminate()
        supervisor.wait(60)


@pytest.fixture
def now(tmp_path: Path) -> Callable[[], StackStatus]:
    """The status as the supervisor last wrote it."""

    def read() -> StackStatus:
        found = status.last(tmp_path)
        assert found is not None
        return found

    return read


def states(tmp_path: Path) -> dict[str, str]:
    """The state of each process, empty before there is a status."""
    found = status.last(tmp_path)
    return {name: each.state for name, each in found.processes.items()} if found else {}


def all_ready(tmp_path: Path) -> bool:
    """Whether the way up is done."""
    found = status.last(tmp_path)
    return found is not None and found.state == "ready"


def test_each_starts_after_those_that_it_needs(run: Run, tmp_path: Path) -> None:
    """A process is started when what it needs is ready, or has done its work, not before."""
    run(
        {"name": "a", "script": "exec sleep 1000"},
        {"name": "b", "script": "echo done", "needs": ["a"], "once": True},
        {"name": "c", "needs": ["b"]},
    )
    until(lambda: states(tmp_path).get("a") == "starting")
    assert states(tmp_path) == {"a": "starting", "b": "waiting", "c": "waiting"}
    (tmp_path / "a.ready").touch()
    until(lambda: all_ready(tmp_path))
    assert states(tmp_path) == {"a": "ready", "b": "done", "c": "ready"}


def test_what_dies_is_started_again(run: Run, tmp_path: Path, now: Callable[[], StackStatus]) -> None:
    """A killed process comes back with a new pid; the others do not notice."""
    run({"name": "a"}, {"name": "b", "needs": ["a"]})
    until(lambda: all_ready(tmp_path))
    before = now().processes
    assert before["a"].pid is not None
    os.kill(before["a"].pid, signal.SIGKILL)
    until(lambda: now().processes["a"].restarts == 1 and now().processes["a"].state == "ready")
    after = now().processes
    assert after["a"].pid != before["a"].pid
    assert after["b"] == before["b"]


def test_one_that_dies_again_and_again_is_given_more_time(
    run: Run, tmp_path: Path, now: Callable[[], StackStatus]
) -> None:
    """It is tried again, later and later, and its status says what happened."""
    run({"name": "a", "script": 'touch "$STATE/a.ready"; sleep 0.3; exit 7'})
    until(lambda: all_ready(tmp_path))
    until(lambda: now().processes["a"].restarts >= 2 and now().processes["a"].state == "backing off")
    assert now().processes["a"].reason == "ended with status 7"


def test_a_failure_on_the_way_up_stops_everything(run: Run, tmp_path: Path, now: Callable[[], StackStatus]) -> None:
    """The last lines of its log and the log's place are in the reason; nothing is left running."""
    supervisor = run(
        {"name": "a"},
        {"name": "b", "script": "echo no such thing >&2; exit 3", "needs": ["a"]},
        {"name": "c", "needs": ["b"]},
    )
    assert supervisor.wait(60) == 1
    found = now()
    assert found.state == "failed"
    assert "b ended with status 3" in found.reason
    assert "no such thing" in found.reason
    assert str(tmp_path / "logs" / "b.log") in found.reason
    assert {name: each.state for name, each in found.processes.items()} == {
        "a": "stopped",
        "b": "failed",
        "c": "stopped",
    }
    assert not _sleeping(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{}, {"once": True}, {"script": 'trap "" TERM; while true; do sleep 0.05; done'}],
    ids=["hangs", "does not end", "is deaf"],
)
def test_one_that_never_gets_ready_fails(
    run: Run, tmp_path: Path, now: Callable[[], StackStatus], changes: dict[str, Any]
) -> None:
    """There is an end to waiting, also for one that is to do its work and end, and for one that can't be stopped."""
    supervisor = run({"name": "a", "script": "exec sleep 1000", "ready_seconds": 0.5, "stop_seconds": 60, **changes})
    assert supervisor.wait(30) == 1
    assert "a is not ready after" in now().reason


def test_some_get_more_than_one_attempt(run: Run, tmp_path: Path, now: Callable[[], StackStatus]) -> None:
    """A broker that comes back too early is tried again on the way up."""
    script = 'mkdir "$STATE/once" && exit 1; touch "$STATE/a.ready"; exec sleep 1000'
    run({"name": "a", "script": script, "attempts": 2})
    until(lambda: all_ready(tmp_path))
    assert now().processes["a"].restarts == 1


def test_the_way_down_is_the_way_up_backwards(run: Run, tmp_path: Path, now: Callable[[], StackStatus]) -> None:
    """Each is asked to stop, has time to, and is gone before what it needs is stopped."""
    script = (
        'trap "echo {name} >> $STATE/order; exit" TERM; touch "$STATE/{name}.ready"; while true; do sleep 0.05; done'
    )
    supervisor = run(*({"name": name, "script": script} for name in ("a", "b", "c")))
    until(lambda: all_ready(tmp_path))
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    assert (tmp_path / "order").read_text().split() == ["c", "b", "a"]
    assert now().state == "stopped"
    assert set(states(tmp_path).values()) == {"stopped"}


def test_one_that_does_not_want_to_stop_is_killed(run: Run, tmp_path: Path) -> None:
    """Neither deafness nor a pause keeps the stack from stopping."""
    deaf = 'trap "" TERM; touch "$STATE/a.ready"; while true; do sleep 0.05; done'
    supervisor = run({"name": "a", "script": deaf, "stop_seconds": 0.5}, {"name": "b"})
    until(lambda: all_ready(tmp_path))
    [paused] = [each for each in psutil.Process(supervisor.pid).children() if "sleep" in each.name()]
    paused.suspend()
    supervisor.terminate()
    assert supervisor.wait(60) == 0


def test_a_killed_supervisor_takes_its_processes_along(run: Run, tmp_path: Path) -> None:
    """Nothing runs on without anybody who looks after it."""
    supervisor = run({"name": "a"}, {"name": "b"})
    until(lambda: all_ready(tmp_path))
    children = psutil.Process(supervisor.pid).children()
    assert len(children) == 2
    supervisor.kill()
    supervisor.wait()
    until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
    assert status.read(tmp_path) is None


def test_one_that_hangs_is_started_again(run: Run, tmp_path: Path, now: Callable[[], StackStatus]) -> None:
    """A process that does not answer its health check is restarted, and its status says why in one line."""
    script = 'touch "$STATE/a.ready" "$STATE/a.alive"; exec sleep 1000'
    run({"name": "a", "script": script, "silent_seconds": 1}, {"name": "b"})
    until(lambda: all_ready(tmp_path))
    before = now().processes["a"].pid
    (tmp_path / "a.ready").unlink()
    (tmp_path / "a.alive").unlink()
    until(lambda: "did not answer for" in now().processes["a"].reason)
    assert "\n" not in now().processes["a"].reason
    until(lambda: now().processes["a"].state == "ready")
    after = now().processes
    assert (after["a"].restarts, after["b"].restarts) == (1, 0)
    assert after["a"].pid != before
    assert after["a"].reason == ""
    assert after["a"].last_end.startswith("did not answer for")


def test_what_a_killed_supervisor_leaves_is_waited_for(run: Run, tmp_path: Path) -> None:
    """The next start waits for processes that take their time to stop, rather than finding their ports taken."""
    script = 'trap "sleep 1; exit" TERM; touch "$STATE/a.ready"; while true; do sleep 0.05; done'
    supervisor = run({"name": "a", "script": script})
    until(lambda: all_ready(tmp_path))
    assert status.left_over(tmp_path) == {}
    supervisor.kill()
    supervisor.wait()
    [process] = status.left_over(tmp_path).values()
    assert not up.stop(tmp_path, Console(quiet=True))
    assert not status.runs(process)
    assert status.left_over(tmp_path) == {}


def test_what_is_left_over_and_deaf_is_killed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused process hears no request to stop; it does not keep the stack from starting."""
    monkeypatch.setattr(up, "_LEFT_OVER_SECONDS", 0.2)
    supervisor = run({"name": "a"})
    until(lambda: all_ready(tmp_path))
    [process] = psutil.Process(supervisor.pid).children()
    process.suspend()
    until(lambda: bool(process.status() == psutil.STATUS_STOPPED))
    supervisor.kill()
    supervisor.wait()
    assert set(status.left_over(tmp_path)) == {"a"}
    up.stop(tmp_path, Console(quiet=True))
    assert not status.runs(process)


def test_a_log_stays_bounded(run: Run, tmp_path: Path) -> None:
    """A talkative process fills no disk: its log is moved aside at 16 MiB, and goes on."""
    script = 'touch "$STATE/a.ready"; while true; do head -c 1000000 /dev/zero | tr "\\0" x; echo; sleep 0.01; done'
    run({"name": "a", "script": script})
    old, log = tmp_path / "logs" / "a.log.1", tmp_path / "logs" / "a.log"
    until(lambda: old.exists() and 0 < log.stat().st_size < 16 * 2**20)
    assert old.stat().st_size >= 16 * 2**20


def test_a_stranger_with_the_same_pid_is_not_the_supervisor(tmp_path: Path) -> None:
    """A pid alone is no proof: it may have been given to another process since."""
    mine = status.mine()
    status.write(tmp_path, mine)
    assert status.read(tmp_path) is not None
    mine.created_at -= 1
    status.write(tmp_path, mine)
    assert status.read(tmp_path) is None


def _sleeping(tmp_path: Path) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "sleep" and process.environ().get("STATE") == str(tmp_path):
                marked.append(process)
        except psutil.Error:
            continue
    return marked
