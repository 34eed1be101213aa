"""Ports that misbehave: one that swallows what is sent to it, one that accepts and is silent, one that speaks TLS."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose SYNs are dropped, as by a firewall: its queue of connections is full, and nobody accepts any."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(64):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.3)
            try:
                filler.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue did not become full")
        yield port


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts connections (the kernel does) and never answers: a listener that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def closing() -> Iterator[int]:
    """A port that accepts and closes at once, as Docker's does for a container in which nothing listens."""
    with _serving(lambda _connection: None) as port:
        yield port


@contextmanager
def tls(directory: Path, name: str = "localhost") -> Iterator[int]:
    """A port that speaks TLS, with a certificate of its own making."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def greet(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    with _serving(greet) as port:
        yield port


@contextmanager
def http(statuses: Mapping[str, int]) -> Iterator[str]:
    """A server that answers these requests so; a status of 0 is no answer. One with a body ends with ` {}`."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            has_body = int(self.headers.get("content-length") or 0) > 0
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status = statuses[f"{self.command} {self.path.partition('?')[0]}{' {}' if has_body else ''}"]
            if not status:
                ended.wait()
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - names that http.server looks for

        def log_message(self, *_arguments: object) -> None:
            pass

    ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            ended.set()
            server.shutdown()


@contextmanager
def _serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
