"""The HTTP connection that gateway, query API, and the ClickHouse front share."""

import socket
import threading
import time
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


@pytest.mark.parametrize("kind", [connection.Connection, _Connection])
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_head_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, kind: type[connection.Connection], sent: bytes
) -> None:
    """A client that sends nothing, or a part of its head, is disconnected when its time is over."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_SECONDS", 0.3)
    [port] = ports.free(1)
    server = uvicorn.Server(
        uvicorn.Config(nothing, host="127.0.0.1", port=port, http=kind, ws="none", lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            began = time.monotonic()
            client.sendall(sent)
            assert client.recv(1) == b""
            assert time.monotonic() - began < 5
    finally:
        server.should_exit = True
        thread.join(30)
