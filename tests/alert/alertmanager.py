"""A real Alertmanager that tells a webhook at once, and what the webhook was told."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from native import ports
from native.clickhouse import answers
from native.processes import Service
from tests.components import running

INSTALL = "apt-get install prometheus-alertmanager"
_CONFIGURATION = """\
route: {receiver: webhook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}
receivers:
  - name: webhook
    webhook_configs: [{url: "RECEIVER", send_resolved: true}]
"""


@dataclass
class Receiver:
    """Who is woken up: every notification, in order, and what each logged in with. Each is answered with `status`."""

    url: str = ""
    status: int = 200
    told: list[dict[str, Any]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """The alerts in all notifications that have this status: firing or resolved."""
        return [alert for each in list(self.told) for alert in each["alerts"] if alert["status"] == status]


@contextmanager
def alertmanager(directory: Path, configuration: str = _CONFIGURATION) -> Iterator[Receiver]:
    """An Alertmanager for the time of the block, which finds the receiver at RECEIVER. Skips, by name, where none is
    installed."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip(f"Alertmanager is not installed: {INSTALL}")
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.logins.append(self.headers["authorization"])
            receiver.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    [port] = ports.free(1)
    directory.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{server.server_port}/"
    (directory / "alertmanager.yml").write_text(configuration.replace("RECEIVER", address))
    command = [
        program,
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    service = Service("alertmanager", command, partial(answers, port, "/-/ready"), port)
    try:
        with running(service, directory / "alertmanager.log"):
            receiver.url = f"http://127.0.0.1:{port}"
            yield receiver
    finally:
        server.shutdown()
        server.server_close()
