"""An HTTP server that answers what a test tells it to, and remembers what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """What was received."""

    path: str
    key: str
    kind: str
    token: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to answer. Status 0 closes the connection instead."""

    status: int = 200
    retry_after: str = ""


Script = Callable[[int, Request], Answer]
"""The answer to a request, by how often its key came before."""


@dataclass
class ScriptedGateway:
    """The running server: its URL, and the requests that it was sent."""

    url: str
    requests: list[Request] = field(default_factory=list)


def always(status: int) -> Script:
    """The same answer to everything."""
    return lambda _times, _request: Answer(status)


@contextmanager
def scripted_gateway(script: Script) -> Iterator[ScriptedGateway]:
    """A server on a free port for the time of the block."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Remember and answer."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(
                path=self.path,
                key=self.headers["Idempotency-Key"],
                kind=self.headers["Content-Type"],
                token=self.headers.get("Authorization", ""),
                body=body,
            )
            with lock:
                times = sum(each.key == request.key for each in gateway.requests)
                gateway.requests.append(request)
            answer = script(times, request)
            if answer.status == 0:
                self.close_connection = True
                return
            text = json.dumps({"error": {"code": "scripted"}}).encode()
            self.send_response(answer.status)
            if answer.retry_after:
                self.send_header("Retry-After", answer.retry_after)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway = ScriptedGateway(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
