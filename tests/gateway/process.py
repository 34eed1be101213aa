"""A gateway as a process of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logbrook.config import Kafka
from native import ports

SERVICE = Path(__file__).parents[2] / "service"
DEADLINE_SECONDS = 30


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once `holds`; fails if it does not within 30 s."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


@dataclass
class Process:
    """A running gateway."""

    port: int
    child: subprocess.Popen[bytes]
    log: Path
    grpc_port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)

    def post(self, body: bytes, path: str = "/ingest", **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers (in lower case) and JSON of one request's answer."""
        connection = self.connect()
        try:
            connection.request("POST", path, body, {name.replace("_", "-"): each for name, each in headers.items()})
            return answer_of(connection)
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        connection = self.connect()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """A metric without labels."""
        lines = self.get("/metrics")[1].splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.child.send_signal(number)

    def left(self) -> int:
        """Its exit status, once it is gone."""
        return self.child.wait(DEADLINE_SECONDS)

    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def saying(self, message: str) -> list[dict[str, Any]]:
        """The lines of its log with this message."""
        return [line for line in self.lines() if line["message"] == message]


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer that a connection waits for."""
    response = connection.getresponse()
    content = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, json.loads(content) if content else None


def start(kafka: Kafka, log: Path, **settings: object) -> Process:
    """Start a gateway that takes from everybody, unless the settings give it tokens."""
    [port] = ports.free(1)
    named: dict[str, Any] = {"port": port} | ({} if "tokens" in settings else {"allow_anonymous": "true"}) | settings
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SERVICE),
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LOGBROOK_KAFKA_TOPIC": kafka.topic,
    } | {f"LOGBROOK_GATEWAY_{name.upper()}": str(value) for name, value in named.items()}
    command = [sys.executable, "-m", "logbrook", "gateway"]
    with log.open("ab") as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    return Process(port, child, log, int(named.get("grpc_port", 0)))


@contextmanager
def running(kafka: Kafka, log: Path, **settings: object) -> Iterator[Process]:
    """A gateway that answers, for the time of the block."""
    process = start(kafka, log, **settings)

    def alive() -> bool:
        assert process.child.poll() is None, log.read_text()
        try:
            return process.get("/healthz")[0] == 200
        except OSError:
            return False

    try:
        wait_until(alive, "the start")
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
        process.child.wait()
