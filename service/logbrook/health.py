"""/healthz, /readyz and /metrics of a process that serves nothing else over HTTP."""

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

Complaint = Callable[[], str | None]


# A probe or a scrape sends its request at once; a connection that sends nothing is closed.
_TIMEOUT_SECONDS = 10


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per connection, so that an idle one does not keep a probe waiting."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke or sent nothing does not deserve a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Quiet(WSGIRequestHandler):
    timeout = _TIMEOUT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Probes and scrapes do not deserve a log line each."""


def serve(
    host: str, port: int, unhealthy: Complaint, unready: Complaint, documents: Mapping[str, Callable[[], bytes]] = {}
) -> WSGIServer:
    """Answer on `host`:`port` from a separate thread: 200, or 503 with the complaint as text. `documents`: more JSON,
    by path."""
    checks = {"/healthz": unhealthy, "/readyz": unready}
    scrape = make_wsgi_app()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return scrape(environ, start_response)  # type: ignore[no-any-return]
        if path in documents:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [documents[path]()]
        if path not in checks:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz, /readyz or /metrics\n"]
        complaint = checks[path]()
        start_response("503 Service Unavailable" if complaint else "200 OK", [("Content-Type", "text/plain")])
        return [(complaint or "ok").encode() + b"\n"]

    server = make_server(host, port, answer, _Server, _Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
