"""A Compose stack of its own for tests: a random project name, free ports, torn down whatever happens."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from logbrook import tokens
from native import ports
from tests.compose.compose_file import COMPOSE_FILE, ROOT, STAND_IN_FILE, load

LOGS = ROOT / ".local" / "compose-logs"


class Happening(NamedTuple):
    """Something that the engine reported of a container: `start`, `die`, `oom` or `health_status: healthy`."""

    service: str
    what: str
    nanoseconds: int
    exit_code: int | None


class Stack:
    """One project of the Compose file, with an override for the test's purpose."""

    def __init__(
        self, directory: Path, override: dict[str, Any], source: str = "tests", file: Path = COMPOSE_FILE
    ) -> None:
        self.project = f"logbrook-test-{secrets.token_hex(4)}"
        self.password, self.reader_password = secrets.token_hex(16), secrets.token_hex(16)
        self._token, self._ship = tokens.issue(source), tokens.issue("ship")
        self.token = self._token.token
        free = ports.free(7)
        self.kafka_port, self.clickhouse_port, self.gateway_port, self.query_port = free[:4]
        self.prometheus_port, self._grafana_port, self.grpc_port = free[4:]
        (directory / "override.yaml").write_text(yaml.safe_dump(override))
        self.env_file = directory / ".env"
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in self._variables().items()))
        stand_in = [STAND_IN_FILE] if docker("images", "--quiet", "logbrook-stand-in/kafka") else []
        if stand_in and file != COMPOSE_FILE:
            # Only for those that the file has.
            there = yaml.safe_load(file.read_text())["services"]
            images = {name: each for name, each in load(STAND_IN_FILE)["services"].items() if name in there}
            stand_in = [directory / "stand-in.yaml"]
            stand_in[0].write_text(yaml.safe_dump({"services": images}))
        self.files = [file, *stand_in, directory / "override.yaml"]
        self.command = ["compose", "--project-name", self.project, "--env-file", str(self.env_file)]
        # What the file mounts lies beside the original.
        self.command += ["--project-directory", str(COMPOSE_FILE.parent)]
        self.command += [word for file in self.files for word in ("--file", str(file))]
        self._events = directory / "events"

    def _variables(self) -> dict[str, object]:
        return {
            "LOGBROOK_CLICKHOUSE_PASSWORD": self.password,
            "CLICKHOUSE_READONLY_PASSWORD": self.reader_password,
            "CLICKHOUSE_VIEWS_PASSWORD": secrets.token_hex(16),
            "LOGBROOK_KAFKA_PORT": self.kafka_port,
            "LOGBROOK_CLICKHOUSE_PORT": self.clickhouse_port,
            "LOGBROOK_GATEWAY_PORT": self.gateway_port,
            "LOGBROOK_GATEWAY_GRPC_PORT": self.grpc_port,
            "LOGBROOK_QUERY_PORT": self.query_port,
            "LOGBROOK_PROMETHEUS_PORT": self.prometheus_port,
            "LOGBROOK_GRAFANA_PORT": self._grafana_port,
            "LOGBROOK_GATEWAY_TOKENS": f"{self._token.entry},{self._ship.entry}",
            "LOGBROOK_TOKEN": self._ship.token,
            # Each insert takes processor time, and these stacks run beside other tests.
            "LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS": 2,
        }

    def compose(self, *words: str) -> str:
        """Run `docker compose` on this project; its output. Raises AssertionError with what it said."""
        return docker(*self.command, *words)

    def up(self, *words: str) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        self.compose(*self.up_words(*words))

    def up_words(self, *words: str) -> list[str]:
        """The command that starts what is not running, and waits until all of it is healthy."""
        return ["up", "--detach", "--wait", "--wait-timeout", "240", *words]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Write down what the engine reports of this project's containers."""
        command = ["docker", "events", "--format", "{{json .}}"]
        command += ["--filter", f"label=com.docker.compose.project={self.project}"]
        with self._events.open("wb") as file, subprocess.Popen(command, stdout=file) as recorder:
            try:
                yield
            finally:
                recorder.terminate()

    def happenings(self) -> list[Happening]:
        """What was recorded so far of starts, ends and health, in order."""
        found = []
        for line in self._events.read_text().splitlines():
            event = json.loads(line)
            attributes = event["Actor"]["Attributes"]
            if event["Type"] == "container" and event["Action"].startswith(("start", "die", "oom", "health_status")):
                exit_code = attributes.get("exitCode")
                found.append(
                    Happening(
                        attributes["com.docker.compose.service"],
                        event["Action"],
                        event["timeNano"],
                        None if exit_code is None else int(exit_code),
                    )
                )
        return sorted(found, key=lambda happening: happening.nanoseconds)

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers."""
        # `docker compose ps` takes five times as much processor time, which waiting would spend again and again.
        labels = (f"project={self.project}", f"service={service}", "oneoff=False")
        filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
        ids = docker("ps", "--all", "--quiet", *filters).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return found

    def send(self, lines: Sequence[dict[str, Any]]) -> None:
        """Send events to the gateway, which must accept them all."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.gateway_port}/ingest",
            content="\n".join(json.dumps(line) for line in lines),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-ndjson"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == len(lines)

    def query(self, statement: str) -> str:
        """ClickHouse's answer to a statement, without the newline at its end."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.clickhouse_port}/",
            params={"database": "otel"},
            content=statement,
            headers={"X-ClickHouse-User": "logbrook", "X-ClickHouse-Key": self.password},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.text.rstrip("\n")

    def search(self, text: str) -> dict[str, Any]:
        """The query API's answer to a search in the last hour."""
        url = f"http://127.0.0.1:{self.query_port}/v1/search"
        answer = httpx.get(url, params={"query": text}, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def figures(self, promql: str) -> list[dict[str, Any]]:
        """The series that an expression has in Prometheus now."""
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query"
        answer = httpx.get(url, params={"query": promql}, timeout=30)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def alert(self, alert: dict[str, Any]) -> None:
        """Send an alert to Alertmanager, as Prometheus does."""
        text = json.dumps([alert])
        url = "http://127.0.0.1:9093/api/v2/alerts"
        header = "--header=Content-Type: application/json"
        self.compose("exec", "-T", "alertmanager", "wget", "-q", "-O", "-", header, f"--post-data={text}", url)

    def keep_logs(self) -> Path:
        """Write down what the containers said; the file."""
        LOGS.mkdir(parents=True, exist_ok=True)
        path = LOGS / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{self.project}.log"
        path.write_text(self.compose("ps", "--all") + self.compose("logs", "--no-color", "--timestamps"))
        return path


@contextmanager
def running(
    directory: Path, override: dict[str, Any], request: pytest.FixtureRequest, file: Path = COMPOSE_FILE
) -> Iterator[Stack]:
    """A stack that is started by the test and taken away with its volumes at the end."""
    stack = Stack(directory, override, file=file)
    failed_before = request.session.testsfailed
    try:
        with stack.recording():
            yield stack
    except BaseException:
        print(f"logs of the containers: {stack.keep_logs()}")
        raise
    else:
        if request.session.testsfailed > failed_before:
            print(f"logs of the containers: {stack.keep_logs()}")
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def docker(*words: str) -> str:
    """Run the docker command line without our own settings in its environment; what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LOGBROOK_", "COMPOSE_"))}
    done = subprocess.run(["docker", *words], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def why_not() -> str | None:
    """Why no stack can run here; None if one can."""
    for words, missing in ((("compose", "version"), "docker compose"), (("info",), "a Docker engine")):
        try:
            docker(*words)
        except FileNotFoundError:
            return "no docker command"
        except AssertionError as error:
            return f"no {missing}: {str(error).strip().splitlines()[-1]}"
    return None


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition; fail with `what` if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
