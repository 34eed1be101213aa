"""The command line over the whole real stack, beside any other: ports and state of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from native import environment, jars, ports, stack
from tests.components import REPOSITORY, until

Native = Callable[..., subprocess.CompletedProcess[str]]
VARIABLES = (
    "LOGBROOK_ZOOKEEPER_PORT",
    "LOGBROOK_KAFKA_PORT",
    "LOGBROOK_CLICKHOUSE_PORT",
    "LOGBROOK_GATEWAY_PORT",
    "LOGBROOK_GATEWAY_GRPC_PORT",
    "LOGBROOK_CONSUMER_HEALTH_PORT",
    "LOGBROOK_QUERY_PORT",
    "LOGBROOK_AUDIT_PORT",
    "LOGBROOK_ALERT_HEALTH_PORT",
    "LOGBROOK_KAFKA_METRICS_PORT",
    "LOGBROOK_ZOOKEEPER_METRICS_PORT",
    "LOGBROOK_PROMETHEUS_PORT",
)


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """Free ports, and nothing of the caller's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROOK_")}
    moved = {name: str(port) for name, port in zip(VARIABLES, ports.free(len(VARIABLES)), strict=True)}
    return {**own, **moved, "PYTHONPATH": str(REPOSITORY / "compose"), "RUNTIME": "native", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Iterator[Path]:
    """The state directory of a stack that is stopped at the end."""
    directory = tmp_path_factory.mktemp("stack")
    yield directory
    subprocess.run([*command("down"), "--state", str(directory)], env=variables, check=False, timeout=200)


def command(*arguments: str) -> list[str]:
    """`python -m native`."""
    return [sys.executable, "-m", "native", *arguments]


@pytest.fixture(scope="module")
def native(state: Path, variables: dict[str, str]) -> Native:
    """Runs the command line to its end."""

    def run(*arguments: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
        line = [*command(arguments[0]), "--state", str(state), *arguments[1:]]
        return subprocess.run(
            line, env=variables, input=answer, capture_output=True, text=True, timeout=200, check=False
        )

    return run


@pytest.fixture(scope="module")
def up(native: Native) -> str:
    """The stack is up; what was printed on the way."""
    done = native("up")
    assert done.returncode == 0, done.stderr
    return done.stderr


def processes(native: Native) -> dict[str, Any]:
    """What `status --json` says, by name."""
    return {each["name"]: each for each in json.loads(native("status", "--json").stdout)}


def count(native: Native) -> int:
    """The events that are stored."""
    text = native("sql", "SELECT count() FROM otel_logs").stdout
    found = re.search(r"│\s*(\d+)\s*│", text)
    assert found, text
    return int(found[1])


def test_what_does_not_come_up_is_named_within_a_minute(tmp_path: Path, variables: dict[str, str]) -> None:
    """`up` ends with its name, the last ten lines of its log, and what to do."""
    java = tmp_path / "bin/java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\ntouch $0.started\nseq -f 'line %g' 12\nexec sleep 1000\n")
    java.chmod(0o755)
    moved = {name: str(port) for name, port in zip(VARIABLES, ports.free(len(VARIABLES)), strict=True)}
    environ = {**variables, **moved, "PATH": f"{java.parent}:{variables['PATH']}"}
    done = subprocess.run(
        [*command("up"), "--state", str(tmp_path / "state")], env=environ, capture_output=True, text=True, check=False
    )
    assert time.time() - (java.parent / "java.started").stat().st_mtime < 60
    assert done.returncode == 1
    last = "\n".join(f"line {number}" for number in range(3, 13))
    assert f"zookeeper is not ready after 50 s. Its last lines:\n{last}\n" in done.stderr
    assert "zookeeper.log. Fix what it says and run make local-up again; or start over: make local-reset" in done.stderr


def test_up_says_why_it_runs_this_way_and_what_runs_where(up: str, variables: dict[str, str]) -> None:
    """The reason in one line, each step, and then addresses, versions and the events that arrived."""
    assert "Running native: RUNTIME=native says so." in up
    for name in (
        "zookeeper",
        "kafka",
        "clickhouse",
        "migrate",
        "gateway",
        "consumer",
        "query",
        "alert",
        "audit",
        "ship",
    ):
        assert f"✓ {name} " in up
    assert (f"127.0.0.1:{variables['LOGBROOK_PROMETHEUS_PORT']}" in up) or "not installed: apt-get install prom" in up
    for variable in VARIABLES[:5]:
        assert f"127.0.0.1:{variables[variable]}" in up
    assert "3.9.1" in up
    arrived = re.search(r"([\d,]+) events have arrived", up)
    assert arrived
    assert int(arrived[1].replace(",", "")) > 0


def test_no_secret_is_shown(up: str, state: Path, native: Native) -> None:
    """Neither on the screen nor in a log or a command line."""
    settings = environment.load(state)
    secrets = [settings.password, settings.reader_password, settings.views_password]
    secrets.append(settings.variables["LOGBROOK_TOKEN"])
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    logs = "".join(path.read_text(errors="replace") for path in (state / "logs").iterdir())
    for secret in secrets:
        assert secret not in up + lines + logs + native("status").stdout


@pytest.mark.usefixtures("up")
def test_up_again_is_harmless(native: Native) -> None:
    """It finds everything running, touches nothing, and says what runs where."""
    before = processes(native)
    again = native("up")
    assert again.returncode == 0, again.stderr
    assert "events have arrived" in again.stderr
    assert "was changed after the start" not in again.stderr
    assert {name: each["pid"] for name, each in processes(native).items()} == {
        name: each["pid"] for name, each in before.items()
    }


@pytest.mark.usefixtures("up")
def test_up_again_does_not_apply_a_change(native: Native, state: Path) -> None:
    """It says so, and what does."""
    file = state / ".env"
    before, soon = file.stat().st_mtime, time.time() + 60
    os.utime(file, (soon, soon))
    again = native("up")
    os.utime(file, (before, before))
    assert "was changed after the start. To apply it: make local-down local-up" in again.stderr


def test_the_printed_curl_line_works(up: str, native: Native) -> None:
    """A newcomer copies it and finds the event; no argument of a process has the token."""
    [line] = [line.strip() for line in up.splitlines() if " | curl -H @- " in line]
    assert "$(" not in line
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["accepted"] == 1
    until(lambda: "hello, Logbrook" in native("sql", "SELECT Body FROM otel_logs WHERE ServiceName = 'me'").stdout)


@pytest.mark.usefixtures("up")
def test_the_stack_ships_its_own_logs(native: Native) -> None:
    """Kafka's, ZooKeeper's and the service's own lines are among the events."""
    bodies = "SELECT countIf(Body LIKE '%kafka.server%') > 0, countIf(Body LIKE '%zookeeper%') > 0 FROM otel_logs"
    until(lambda: re.search(r"│\s*1\s*│\s*1\s*│", native("sql", bodies).stdout) is not None)


@pytest.mark.usefixtures("up")
def test_who_asked_is_an_event_itself(native: Native) -> None:
    """A request to the query API is found in the platform, as an event of the service `logbrook.audit`."""
    address = f"http://127.0.0.1:{processes(native)['query']['port']}"
    assert httpx.get(f"{address}/v1/search", params={"query": "needle"}, trust_env=False).status_code == 200
    found = (
        "SELECT Body, LogAttributes['who'], LogAttributes['asked.query'], LogAttributes['status'] FROM otel_logs "
        "WHERE ServiceName = 'logbrook.audit' AND LogAttributes['path'] = '/v1/search'"
    )
    until(lambda: re.search(r"│ query\s*│ anonymous\s*│ needle\s*│ 200", native("sql", found).stdout) is not None)


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("name", ["gateway", "consumer", "clickhouse"])
def test_what_is_killed_comes_back(native: Native, name: str) -> None:
    """A killed process is started again, and works."""
    before = processes(native)[name]["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: processes(native)[name]["pid"] not in (None, before), 120)
    until(lambda: native("status").returncode == 0, 120)
    assert processes(native)[name]["restarts"] == 1


@pytest.mark.usefixtures("up")
def test_status_tells_what_is_not_well(native: Native) -> None:
    """One that hangs is shown as such with what will be done about it, and the exit status is 1."""
    pid = processes(native)["gateway"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = native("status")
        assert (shown.returncode, "not answering" in shown.stdout) == (1, True)
        until(lambda: "does not answer; started again after 60 s of it" in native("status").stdout, 50)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: native("status").returncode == 0)


@pytest.mark.usefixtures("up")
def test_logs_of_one_and_of_all(native: Native) -> None:
    """Each line is marked with its process; a name that is none is answered with those there are."""
    one = native("logs", "kafka", "-n", "3").stdout.splitlines()
    assert len(one) == 3
    assert all(line.startswith("kafka  ") for line in one)
    every = native("logs").stdout
    assert {line.split()[0] for line in every.splitlines()} >= {"kafka", "zookeeper", "gateway", "consumer"}
    none = native("logs", "kafk")
    assert none.returncode == 1
    assert "kafka" in none.stderr


@pytest.mark.usefixtures("up")
def test_data_survives_down_and_up(native: Native, state: Path) -> None:
    """Down leaves nothing running; up finds every event, and Kafka its topic."""
    before = count(native)
    pids = [each["pid"] for each in processes(native).values() if each["pid"]]
    down = native("down")
    assert down.returncode == 0, down.stderr
    assert not any(Path("/proc", str(pid)).exists() for pid in pids)
    assert native("status").returncode == 1
    again = native("up")
    assert again.returncode == 0, again.stderr
    assert count(native) >= before
    assert '"created": true' not in (state / "logs" / "migrate.log").read_text().splitlines()[-1]


@pytest.mark.usefixtures("up")
def test_up_after_the_supervisor_was_killed(native: Native, state: Path) -> None:
    """The processes that are still stopping are waited for: nobody is told that a port is taken."""
    os.kill(json.loads((state / "run" / "status.json").read_text())["pid"], signal.SIGKILL)
    again = native("up")
    assert again.returncode == 0, again.stderr
    assert "✓ Wait for the processes of a run that was killed" in again.stderr


def test_a_shipper_that_hangs_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its positions show that it moves; one that waits for the gateway does not hang."""
    [*_, ship] = stack.services(environment.load(tmp_path), jars.ensure(REPOSITORY / ".local" / "jars"))
    positions = tmp_path / "data" / "ship" / "positions.json"
    assert ship.alive is not None
    monkeypatch.setattr(stack, "answers", lambda *_: True)
    assert not ship.alive()
    positions.touch()
    assert ship.alive()
    os.utime(positions, (time.time() - 40,) * 2)
    assert not ship.alive()
    monkeypatch.setattr(stack, "answers", lambda *_: False)
    assert ship.alive()


def test_a_port_that_is_taken(tmp_path: Path, variables: dict[str, str]) -> None:
    """The message names the port, who has it, and the variable that moves it; nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        moved = {
            **variables,
            **{name: str(free) for name, free in zip(VARIABLES, ports.free(len(VARIABLES)), strict=True)},
        }
        moved["LOGBROOK_KAFKA_PORT"] = str(port)
        line = [*command("up"), "--state", str(tmp_path)]
        done = subprocess.run(line, env=moved, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert f"Port {port}, which kafka is to listen on, is taken by " in done.stderr.replace("\n", " ")
    assert f"(pid {os.getpid()})" in done.stderr
    assert "LOGBROOK_KAFKA_PORT=" in done.stderr
    assert not (tmp_path / "data").exists()


def test_ctrl_c_on_the_way_up_leaves_nothing(tmp_path: Path, variables: dict[str, str]) -> None:
    """Whoever changes their mind does not have to clean up."""
    moved = {**variables, **{name: str(free) for name, free in zip(VARIABLES, ports.free(len(VARIABLES)), strict=True)}}
    # Where these tests run in the background of a script, they ignore this signal, and their children would, too.
    line = ["env", "--default-signal=INT", *command("up"), "--state", str(tmp_path)]
    process = subprocess.Popen(line, env=moved, stderr=subprocess.PIPE, text=True)
    until(lambda: _state(tmp_path, "zookeeper") in ("starting", "ready"))
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode != 0
    for pid in [status["pid"], *(each["pid"] for each in status["processes"].values() if each["pid"])]:
        assert not Path("/proc", str(pid)).exists()


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_reset_asks_before_it_deletes(tmp_path: Path, variables: dict[str, str], answer: str) -> None:
    """Without a yes, everything stays."""
    data = tmp_path / "data" / "kafka"
    data.mkdir(parents=True)
    line = [*command("reset"), "--state", str(tmp_path)]
    done = subprocess.run(line, env=variables, input=answer, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert str(tmp_path / "data") in done.stderr
    assert data.exists()


@pytest.mark.parametrize(("options", "answer"), [(["--yes"], ""), ([], "y\n")])
def test_reset_deletes_after_a_yes(tmp_path: Path, variables: dict[str, str], options: list[str], answer: str) -> None:
    """Data, logs and passwords are gone; the jars, which anyone can fetch again, are not touched."""
    environment.load(tmp_path)
    (tmp_path / "data").mkdir()
    line = [*command("reset"), "--state", str(tmp_path), *options]
    done = subprocess.run(line, env=variables, input=answer, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_reset_keeps_ports(tmp_path: Path, variables: dict[str, str]) -> None:
    """What a person wrote into .env stays; only what was generated is gone."""
    path = environment.env_file(tmp_path)
    path.write_text("# mine\nLOGBROOK_GATEWAY_PORT=14318\nLOGBROOK_KAFKA_PORT=19092\n")
    environment.load(tmp_path)
    line = [*command("reset"), "--state", str(tmp_path), "--yes"]
    subprocess.run(line, env=variables, capture_output=True, text=True, timeout=60, check=True)
    assert path.read_text() == "# mine\nLOGBROOK_GATEWAY_PORT=14318\nLOGBROOK_KAFKA_PORT=19092\n"


def test_make_lists_its_targets() -> None:
    """`make` alone shows each target with a line on what it does."""
    make = shutil.which("make")
    assert make
    listed = subprocess.run([make], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for target in ("local-up", "local-down", "local-status", "local-logs", "local-reset", "test", "lint", "produce"):
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), target


def _state(state: Path, name: str) -> str | None:
    path = state / "run" / "status.json"
    return json.loads(path.read_text())["processes"][name]["state"] if path.exists() else None
