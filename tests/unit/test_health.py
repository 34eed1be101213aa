"""The health port of processes that serve nothing else."""

import contextlib
import socket
from collections.abc import Iterator

import httpx
import pytest

from logbrook import health
from native import ports


@pytest.fixture
def port() -> Iterator[int]:
    """A health port that is served."""
    [port] = ports.free(1)
    server = health.serve("127.0.0.1", port, lambda: None, lambda: "not yet")
    yield port
    server.shutdown()
    server.server_close()


def test_an_idle_connection_keeps_nobody_waiting(port: int) -> None:
    """Connections that send nothing, or half a request, hold up no probe."""
    with contextlib.ExitStack() as stack:
        for text in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(text)

        alive = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60, trust_env=False)
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60, trust_env=False)

    assert (alive.status_code, alive.text) == (200, "ok\n")
    assert (ready.status_code, ready.text) == (503, "not yet\n")


def test_an_idle_connection_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, without a word in the log."""
    monkeypatch.setattr(health._Quiet, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        assert idle.recv(1) == b""
