"""The OpenTelemetry Collector with the configurations of compose/collector, and the gateway that it sends to."""

import json
import os
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logbrook.config import Gateway as Settings
from logbrook.connection import Connection
from logbrook.tokens import issue
from native import ports
from tests.components import REPOSITORY, until
from tests.gateway import reading
from tests.gateway.door import Door
from tests.tools import build

CONFIGURATIONS = REPOSITORY / "compose" / "collector"
SYNCHRONOUS = ("--feature-gates=stanza.synchronousLogEmitter",)
PROCESSORS = sorted((CONFIGURATIONS / "processors").glob("*.yaml"))
_CLIENT = httpx.Client(timeout=30)
# No figures on a fixed port; what waits, waits for a moment.
QUICK: dict[str, Any] = {
    "exporters": {
        "otlp_http": {
            "sending_queue": {"batch": {"flush_timeout": "100ms"}},
            "retry_on_failure": {"initial_interval": "100ms", "max_interval": "500ms"},
        }
    },
    "service": {"telemetry": {"metrics": {"level": "none"}}},
}


class Gateway:
    """The gateway's application over a collecting topic, on a port of its own; it answers 503 while `away`."""

    def __init__(self) -> None:
        self.away = False
        [self.port] = ports.free(1)
        issued = issue("edge")
        self.token, self._door = issued.token, Door.open(Settings(tokens=issued.entry))
        self._events: list[dict[str, Any]] = []
        self._read = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (Response(status_code=503) if self.away else self._door.app)(scope, receive, send)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events that it has taken."""
        messages = self._door.messages
        self._events += reading.events(messages[self._read :])
        self._read = len(messages)
        return self._events

    @property
    def bodies(self) -> set[str]:
        """What they say."""
        return {event["body"] for event in self.events}

    @contextmanager
    def running(self) -> Iterator["Gateway"]:
        """Listening for the time of the block."""
        server = uvicorn.Server(
            uvicorn.Config(self, port=self.port, http=Connection, ws="none", lifespan="off", log_config=None)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            until(lambda: server.started)
            yield self
        finally:
            server.should_exit = True
            thread.join()


def program() -> Path:
    """The Collector; skips the test where there is none."""
    found = build.find("otelcol")
    if found is None:
        pytest.skip(build.missing("otelcol"))
    return found


def processors_of(file: Path) -> list[str]:
    """The processors of a file, in the order that its first line says."""
    found = re.match(r"# \[([^]]+)\]:", file.read_text())
    assert found, file
    return found[1].split(", ")


def loopback() -> str:
    """An address of this machine that nobody else is likely to have: the ports are those of the files."""
    return ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])


def running(
    directory: Path, gateway: Gateway, *files: Path, overrides: dict[str, Any] | None = None, **variables: str
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """A Collector that sends to a gateway, for the time of the block."""
    return started(
        directory, gateway.port, gateway.token, *files, overrides=overrides, options=SYNCHRONOUS, **variables
    )


@contextmanager
def started(
    directory: Path,
    to: int,
    token: str,
    *files: Path,
    overrides: dict[str, Any] | None = None,
    options: tuple[str, ...] = SYNCHRONOUS,
    **variables: str,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A Collector with these files and `overrides`, for the time of the block; then it is killed.

    Its gateway.yaml is that of compose/collector, unless it is one of the files.
    """
    (directory / "storage").mkdir(exist_ok=True)
    (directory / "overrides.yaml").write_text(yaml.safe_dump(overrides or {}))
    (directory / "quick.yaml").write_text(yaml.safe_dump(QUICK))
    own = [file for file in (CONFIGURATIONS / "gateway.yaml",) if file.name not in {each.name for each in files}]
    every = [*own, *files, directory / "quick.yaml", directory / "overrides.yaml"]
    command = [str(program()), *options, *(f"--config={file}" for file in every)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COLLECTOR", "LOGBROOK"))}
    environment |= {
        "LOGBROOK_GATEWAY_URL": f"http://127.0.0.1:{to}",
        "LOGBROOK_TOKEN": token,
        "COLLECTOR_STORAGE": str(directory / "storage"),
        **variables,
    }
    with (directory / "collector.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ready(directory: Path, process: "subprocess.Popen[bytes]", starts: int = 1) -> None:
    """Wait until it has said so many times that it runs; fail with what it said if it ends."""
    said = directory / "collector.log"

    def runs() -> bool:
        assert process.poll() is None, said.read_text()
        return said.read_text().count("Everything is ready") >= starts

    until(runs)


def post(port: int, records: list[dict[str, Any]]) -> None:
    """Send records to an OTLP receiver, which must take them."""
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    answer = _CLIENT.post(f"http://127.0.0.1:{port}/v1/logs", json=body)
    assert answer.status_code == 200, answer.text


def lines(events: list[dict[str, Any]]) -> str:
    """Events as lines of JSON, with their keys in order."""
    return "".join(json.dumps(event, sort_keys=True, ensure_ascii=False) + "\n" for event in events)
