"""A process of this machine's stack that does not run is named with its last line, from whoever keeps it."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from logbrook import config
from logbrook.doctor import processes
from logbrook.doctor.place import Place
from native import ports, status
from tests.components import REPOSITORY, until
from tests.doctor import holes
from tests.doctor.examining import diagnosed, examined, place

IMAGES = ("logbrook-stand-in/python", "python:3.11-slim-bookworm")
LOG_LINE = "Poco::FileException: Cannot open /var/log/clickhouse-server/clickhouse-server.log"
OPEN_LOG = "open('/var/log/server.log', 'w')"


def here(stack: Path, **parts: Any) -> Place:
    """A laptop, whose stack has its files there, and whose processes do not listen."""
    free = ports.free(2)
    known = {
        "kafka": config.Kafka(bootstrap_servers=f"127.0.0.1:{free[0]}"),
        "clickhouse": config.ClickHouse(port=free[1], password="secret"),
    }
    found = place(**{name: known[name] for name in parts})
    found.stack = stack
    return found


def supervised(state: Path, *services: dict[str, Any]) -> None:
    """Let the real supervisor run these scripts, until one fails for good."""
    command = [sys.executable, "-m", "tests.native.tiny_stack", str(state)]
    environment = {**os.environ, "PYTHONPATH": "compose:service:."}
    subprocess.run(
        command, input=json.dumps(services).encode(), env=environment, cwd=REPOSITORY, timeout=60, check=False
    )


def test_a_process_that_ends_at_its_start(tmp_path: Path) -> None:
    """Not a refused connection, but the reason: its last line, and the command that shows all of its log."""
    supervised(tmp_path, {"name": "clickhouse", "script": f"echo '{LOG_LINE}'; exit 210"})

    finding = diagnosed(here(tmp_path, clickhouse=True), "process.down")

    assert "clickhouse is failed, ended with status 210" in finding.text
    assert LOG_LINE in finding.text
    assert "make local-logs NAME=clickhouse" in finding.remedy


def test_a_traceback_that_is_still_being_written(tmp_path: Path) -> None:
    """While a process writes why it ends, the reason is that of the run before, not the beginning of a traceback."""
    script = f"""echo '{LOG_LINE}'; echo 'Traceback (most recent call last):'; echo '  File "x.py", line 1'; exit 1"""
    supervised(tmp_path, {"name": "clickhouse", "script": script})

    assert f": {LOG_LINE}" in diagnosed(here(tmp_path, clickhouse=True), "process.down").text


def test_a_process_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL comes from the kernel, when memory runs out: that is what to change."""
    supervised(tmp_path, {"name": "clickhouse", "script": "kill -9 $$"})

    assert "ended with signal SIGKILL" in diagnosed(here(tmp_path, clickhouse=True), "process.killed").text


def test_kafka_before_zookeeper_on_this_machine(tmp_path: Path) -> None:
    """Kafka waits for a ZooKeeper that does not come up: ZooKeeper is named, Kafka is not blamed."""
    services = (
        {"name": "zookeeper", "script": "echo 'No space left on device'; exit 1"},
        {"name": "kafka", "script": "exec sleep 1000", "needs": ["zookeeper"]},
    )
    supervised(tmp_path, *services)

    assert "No space left on device" in diagnosed(here(tmp_path, kafka=True), "zookeeper.down").text


def test_the_first_process_that_failed_is_the_reason(tmp_path: Path) -> None:
    """A start that fails stops all that ran already: none of them is blamed."""
    services = (
        {"name": "zookeeper", "script": 'touch "$STATE/zookeeper.ready"; exec sleep 1000'},
        {"name": "clickhouse", "script": "exit 3", "needs": ["zookeeper"]},
    )
    supervised(tmp_path, *services)

    assert "clickhouse is failed" in diagnosed(here(tmp_path, clickhouse=True), "process.down").text


def test_a_process_beside_the_pipeline(tmp_path: Path) -> None:
    """Without it events are stored all the same: a warning, and everything else is looked at."""
    running = status.mine()
    running.processes = {"query": status.ProcessStatus("ready"), "audit": status.ProcessStatus("backing off")}
    status.write(tmp_path, running)

    finding = examined(here(tmp_path, clickhouse=True))["stack"]

    assert (finding.code, finding.state) == ("process.beside", "warning")


@pytest.mark.parametrize("gone", [False, True])
def test_a_stack_that_was_stopped(gone: bool, tmp_path: Path) -> None:
    """By its supervisor, or with it: one diagnosis, not one for each process."""
    stopped = status.mine()
    names = ("zookeeper", "kafka", "clickhouse")
    stopped.processes = {name: status.ProcessStatus("ready" if gone else "stopped") for name in names}
    stopped.pid = 2**22 + 1 if gone else stopped.pid
    status.write(tmp_path, stopped)

    finding = diagnosed(here(tmp_path, kafka=True, clickhouse=True), "stack.stopped")

    assert "make local-up" in finding.remedy


# What Docker 28.2.2 printed of an Engine 20.10.24 for two containers with `--restart unless-stopped`: one whose program
# ends with 210, one that the kernel had killed in its 32 MiB. Fields that nobody reads are left out.
INSPECTED = [
    {
        "Name": "/logbrook-clickhouse-1",
        "RestartCount": 6,
        "State": {"Status": "restarting", "Running": True, "OOMKilled": False, "ExitCode": 210},
        "Config": {"Labels": {"com.docker.compose.service": "clickhouse"}},
    },
    {
        "Name": "/logbrook-kafka-1",
        "RestartCount": 6,
        "State": {"Status": "running", "Running": True, "OOMKilled": True, "ExitCode": 0},
        "Config": {"Labels": {"com.docker.compose.service": "kafka"}},
    },
]
# What an engine keeps of a health check whose program is not in the image: `Health` of its API's reference, State of
# https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect.
NO_SUCH_PROGRAM = 'OCI runtime exec failed: exec failed: exec: "curl": executable file not found in $PATH: unknown'
UNHEALTHY = {
    "Name": "/logbrook-clickhouse-1",
    "RestartCount": 0,
    "State": {
        "Status": "running",
        "Running": True,
        "OOMKilled": False,
        "ExitCode": 0,
        "Health": {"Status": "unhealthy", "FailingStreak": 3, "Log": [{"ExitCode": -1, "Output": NO_SUCH_PROGRAM}]},
    },
    "Config": {"Labels": {"com.docker.compose.service": "clickhouse"}},
}


@pytest.mark.parametrize(
    ("part", "code", "said"),
    [("clickhouse", "process.down", "ended with status 210"), ("kafka", "process.killed", "out of memory")],
)
def test_a_container_that_starts_again_and_again(
    part: str, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ClickHouse that can't open its log file, as its container shows it; and one that was killed for its memory."""
    fake_docker(tmp_path, monkeypatch, part)

    finding = diagnosed(here(tmp_path, **{part: True}), code)

    assert said in finding.text
    assert LOG_LINE in finding.text
    assert f"docker logs logbrook-{part}-1" in finding.remedy


def test_a_container_whose_check_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the check said is the reason, and not the last line of a program that may well be fine."""
    fake_docker(tmp_path, monkeypatch, "clickhouse", [UNHEALTHY])

    finding = diagnosed(here(tmp_path, clickhouse=True), "process.down")

    assert "clickhouse is unhealthy" in finding.text
    assert NO_SUCH_PROGRAM in finding.text
    assert LOG_LINE not in finding.text


def fake_docker(directory: Path, monkeypatch: pytest.MonkeyPatch, part: str, known: Any = INSPECTED) -> None:
    """A `docker` that says what the real one said of one of them."""
    (directory / "inspected.json").write_text(json.dumps([each for each in known if part in str(each["Name"])]))
    docker = directory / "docker"
    docker.write_text(
        "#!/bin/sh\ncase $1 in ps) echo abc;; inspect) cat $(dirname $0)/inspected.json;;\n"
        f"logs) echo '{LOG_LINE}';; esac\n"
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_a_container_that_docker_accepts_connections_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker has the port while nothing listens behind it: the container's state is the diagnosis."""
    fake_docker(tmp_path, monkeypatch, "clickhouse")
    with holes.closing() as port:
        found = here(tmp_path, clickhouse=True)
        found.clickhouse = config.ClickHouse(port=port, password="secret")
        assert LOG_LINE in diagnosed(found, "process.down").text


@pytest.mark.docker
@pytest.mark.parametrize(
    ("options", "program", "code", "said"),
    [
        ((), f"import sys; sys.exit('{LOG_LINE}')", "process.down", LOG_LINE),
        (("--read-only",), OPEN_LOG, "process.down", "Read-only file system: '/var/log/server.log'"),
        (("--user=12345",), OPEN_LOG, "process.down", "Permission denied: '/var/log/server.log'"),
        (("--memory", "32m"), "bytearray(1 << 30)", "process.killed", ""),
    ],
    ids=["its log file", "a tmpfs is missing", "the wrong user", "too little memory"],
)
def test_the_same_on_a_real_engine(  # noqa: PLR0917 - what differs between the cases
    options: tuple[str, ...], program: str, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real containers: some end by themselves and say why, the last one is really killed by the kernel."""
    image = next((each for each in IMAGES if processes._docker("images", "--quiet", each)), None)
    if image is None:
        pytest.skip(f"neither of {IMAGES} is here")
    project = f"doctor-{uuid.uuid4().hex[:8]}"
    monkeypatch.setattr(processes, "PROJECT", project)
    labels = [f"--label=com.docker.compose.project={project}", "--label=com.docker.compose.service=clickhouse"]
    start = ["docker", "run", "--detach", f"--name={project}", "--restart=unless-stopped", *labels, *options]
    program_of_it = ["--entrypoint=python3", image, "-c", program]
    subprocess.run([*start, *program_of_it], check=True, capture_output=True, timeout=120)
    try:
        until(lambda: any(each.restarts for each in processes._containers()), 60)
        finding = diagnosed(here(tmp_path, clickhouse=True), code)
    finally:
        subprocess.run(["docker", "rm", "--force", project], check=True, capture_output=True, timeout=120)

    assert f"docker logs {project}" in finding.remedy
    assert said in finding.text
    assert (LOG_LINE in finding.text) == (said == LOG_LINE)


@pytest.mark.parametrize("own_end", ["did not answer for 61 s: ended, to start it again", "ended with signal SIGKILL"])
def test_a_restart_of_one_that_hung_is_not_taken_for_a_lack_of_memory(tmp_path: Path, own_end: str) -> None:
    """Only what something else ended may have been killed for its memory; the supervisor ends what does not answer."""
    known = status.mine()
    known.processes["clickhouse"] = status.ProcessStatus("ready", os.getpid(), 0.0, 2, last_end=own_end)
    (tmp_path / "run").mkdir()
    status.write(tmp_path, known)

    [found] = processes._native(tmp_path)

    assert found.hung == own_end.startswith("did not answer")
