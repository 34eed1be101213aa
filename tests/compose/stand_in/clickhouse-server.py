#!/opt/venv/bin/python
"""Serve chdb's engine where clickhouse-server would listen, whatever the command line says."""

import os
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from native.front import __main__ as front


class Metrics(BaseHTTPRequestHandler):
    """The front has its metrics on the port of everything else; the server's configuration names one for them."""

    def do_GET(self) -> None:
        """Hand on what the front says."""
        with urllib.request.urlopen("http://127.0.0.1:8123/metrics", timeout=10) as answer:
            text = answer.read()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=UTF-8")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line each."""


if __name__ == "__main__":
    os.environ["CLICKHOUSE_PASSWORD"] = os.environ["LOGBROOK_CLICKHOUSE_PASSWORD"]
    # The front refuses all addresses but loopback. A container's own addresses are as private: Compose publishes them
    # on the host's loopback.
    front._loopback = str  # type: ignore[assignment]
    sys.argv[1:] = ["--data", "/var/lib/clickhouse/chdb", "--host", "0.0.0.0", "--port", "8123"]
    threading.Thread(target=ThreadingHTTPServer(("", 9363), Metrics).serve_forever, daemon=True).start()
    front.main()
