"""The HTTP connection that gateway, query API, and the ClickHouse front share."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from logbrook import connection
from native import ports
from native.front.__main__ import _Connection
from tests.components import until


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An app that is never asked."""
    raise AssertionError


async def answering(scope: Any, _receive: Any, send: Any) -> None:
    """An app that answers without reading, with the names of the request's headers."""
    body = b" ".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """An app that reads before it answers."""
    while (await receive()).get("more_body"):
        pass
    await answering(scope, receive, send)


@contextlib.contextmanager
def serving(app: Any, kind: type[connection.Connection] = connection.Connection) -> Iterator[int]:
    """A server in a thread; its port."""
    [port] = ports.free(1)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, http=kind, ws="none", lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.mark.parametrize("kind", [connection.Connection, _Connection])
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_head_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, kind: type[connection.Connection], sent: bytes
) -> None:
    """A client that sends nothing, or a part of its head, is disconnected when its time is over."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_SECONDS", 0.3)
    with serving(nothing, kind) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        began = time.monotonic()
        client.sendall(sent)
        assert client.recv(1) == b""
        assert time.monotonic() - began < 5


def closed_after(client: socket.socket, piece: bytes, seconds: float = 5) -> int:
    """How many bytes the server takes until it closes the connection."""
    sent, deadline = 0, time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            sent += client.send(piece)
        raise AssertionError(f"still open after {sent} bytes")
    return sent


@pytest.mark.parametrize("app", [answering, reading])
@pytest.mark.parametrize("piece", [b"X: y\r\n", b"X: %b\r\n" % (b"y" * 1000), b"y", b";y"])
def test_what_comes_beside_a_body_is_bounded(app: Any, piece: bytes) -> None:
    """Endless trailers, an endless one, and an endless line of a chunk's size end the connection."""
    beginning = {b"y": b"0\r\nX: ", b";y": b"1;"}.get(piece, b"1\r\na\r\n0\r\n")
    with serving(app) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + beginning)

        # What is on its way in the buffers of both ends counts, too.
        assert closed_after(client, piece * (2**16 // len(piece))) < 32 * 2**20


@pytest.mark.parametrize(
    "body", [b"Content-Length: 1\r\n\r\na", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"]
)
def test_an_offer_to_upgrade_loses_no_body(body: bytes) -> None:
    """Java's HttpClient offers HTTP/2 with its first request: ignored without a body, answered 400 with one."""
    offer = (
        b" / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    )
    with serving(reading) as port:
        for sent, status in ((b"GET" + offer + b"\r\n", b"200"), (b"POST" + offer + body, b"400")):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(sent)
                assert client.recv(4096).startswith(b"HTTP/1.1 " + status)


def test_trailers_are_no_headers() -> None:
    """A trailer is read and dropped: it changes nothing about the request, however it is called."""
    with serving(reading) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n1\r\na\r\n0\r\nC: d\r\n\r\n")

        answer = client.recv(4096)

    assert answer.endswith(b"transfer-encoding a")


def test_a_body_whose_request_is_answered_comes_soon_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it: a sender without a token can't go on forever."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_SECONDS", 0.5)
    with serving(answering) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")

        closed_after(client, b"a" * 1000)


def test_a_connection_outlives_its_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many requests at once nor many chunks in one count as a head."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_SECONDS", 0.5)
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n"
    with serving(reading) as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        for request in (chunked, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3000, chunked):
            client.sendall(request)
            answers = b""
            while answers.count(b"HTTP/1.1 200") < request.count(b"HTTP/1.1"):
                answers += client.recv(2**16)
            time.sleep(0.3)
