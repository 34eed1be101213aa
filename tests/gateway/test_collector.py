"""The OpenTelemetry Collector with the configuration of docs/gateway.md, killed again and again."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.components import REPOSITORY, until
from tests.tools import build

LINES, KILLS = 6_000, 6


class Gateway(ThreadingHTTPServer):
    """Takes OTLP and keeps the bodies of the records, or answers 503 while `away`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.away, self.bodies = False, set[str]()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.away:
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope in resource.scope_logs:
                    self.server.bodies |= {record.body.string_value for record in scope.log_records}
        self.send_response(503 if self.server.away else 200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway on a free port."""
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_killed_collector_loses_no_line(gateway: Gateway, tmp_path: Path) -> None:
    """Killed at any time, and with the gateway away at times: every line of the file arrives."""
    program = build.find("otelcol")
    if program is None:
        pytest.skip("needs otelcol: python3 tests/tools/build.py otelcol")
    [text] = re.findall(r"```yaml\n(receivers:\n.*?)```", (REPOSITORY / "docs/gateway.md").read_text(), re.DOTALL)
    config = yaml.safe_load(text)
    config["receivers"]["filelog"]["include"] = [str(tmp_path / "app.log")]
    exporter = config["exporters"]["otlphttp"]
    exporter |= {"endpoint": f"http://127.0.0.1:{gateway.server_port}", "compression": "none"}
    exporter["retry_on_failure"] |= {"initial_interval": "100ms", "max_interval": "1s"}
    config["extensions"]["file_storage"]["directory"] = str(tmp_path / "storage")
    config["service"]["telemetry"] = {"metrics": {"level": "none"}}
    (tmp_path / "storage").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [str(program), "--config", str(tmp_path / "config.yaml")]
    environment = {**os.environ, "LOGBROOK_TOKEN": "a-token"}
    lines = [f"line {number}" for number in range(LINES)]

    with (tmp_path / "collector.log").open("wb") as log, (tmp_path / "app.log").open("w") as app:
        for kill in range(KILLS):
            gateway.away = kill % 2 == 1
            with subprocess.Popen(command, stdout=log, stderr=log, env=environment) as collector:
                app.writelines(f"{line}\n" for line in lines[kill * LINES // KILLS : (kill + 1) * LINES // KILLS])
                app.flush()
                before = len(gateway.bodies)
                if not gateway.away:
                    until(lambda: len(gateway.bodies) > before or len(gateway.bodies) >= (kill + 1) * LINES // KILLS)  # noqa: B023
                collector.kill()
        gateway.away = False
        with subprocess.Popen(command, stdout=log, stderr=log, env=environment) as collector:
            until(lambda: len(gateway.bodies) >= LINES)
            collector.terminate()

    assert gateway.bodies == set(lines)
