"""A TCP proxy on loopback that breaks connections in named ways, so many times."""

import contextlib
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType

_CHUNK = 65536


class Fault(Enum):
    """What happens to a connection."""

    LOSE_REPLY = auto()
    """The request is forwarded as a whole, and its reply read; then the client sees a reset."""
    RESET_IN_BODY = auto()
    """The client sees a reset after the first half of the request; the server sees the half, then the end."""
    DELAY_REPLY = auto()
    """The reply comes `seconds` late."""
    DELAY_REQUEST = auto()
    """The request's last bytes reach the server `seconds` late: long after its client gave up."""
    BLACK_HOLE = auto()
    """Everything is swallowed, nothing answered, for `seconds`."""
    REFUSE = auto()
    """The connection is reset at once."""


@dataclass
class _Armed:
    fault: Fault
    times: int
    marker: bytes
    seconds: float


class Proxy:
    """Forwards a port to another; `arm` decides what goes wrong from then on."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.requests: dict[bytes, int] = {}
        """How often each `watch`ed marker was seen at the beginning of a request."""
        self.done = 0
        """Faults that have happened."""
        self._armed: _Armed | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._drop_all()

    def arm(
        self, fault: Fault, *, times: int = 1, marker: bytes = b"", seconds: float = 0.0, for_seconds: float = 0.0
    ) -> None:
        """From now on, the next `times` requests that hold `marker` in their first bytes meet the fault.

        Returns after `for_seconds`.
        """
        with self._lock:
            self._armed = _Armed(fault, times, marker, seconds)
        if fault is Fault.REFUSE:
            self._drop_all()
        time.sleep(for_seconds)

    def disarm(self) -> None:
        """Heal: the next request goes through."""
        with self._lock:
            self._armed = None

    def watch(self, marker: bytes) -> None:
        """Count the requests that hold the marker."""
        self.requests[marker] = 0

    def _drop_all(self) -> None:
        with self._lock:
            connections = list(self._open)
        for each in connections:
            _reset(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._take(b"", Fault.REFUSE):
                _reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _take(self, head: bytes, *only: Fault) -> _Armed | None:
        """The fault for a request that begins so, if one is armed."""
        with self._lock:
            armed = self._armed
            if armed is None or armed.times <= 0 or (only and armed.fault not in only) or armed.marker not in head:
                return None
            armed.times -= 1
            self.done += 1
            return _Armed(armed.fault, 1, armed.marker, armed.seconds)

    def _serve(self, client: socket.socket) -> None:
        server = None
        with self._lock:
            self._open.add(client)
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            server.settimeout(None)
            while self._exchange(client, server):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            for each in (client, server):
                if each is not None:
                    _reset(each)

    def _exchange(self, client: socket.socket, server: socket.socket) -> bool:
        """One HTTP request and its answer; False when the connection is over."""
        head = client.recv(_CHUNK)
        if not head:
            return False
        for marker in self.requests:
            self.requests[marker] += marker in head
        fault = self._take(head)
        if fault is None:
            server.sendall(head)
            return self._both_ways(client, server)
        return self._fail(fault, head, client, server)

    def _both_ways(self, client: socket.socket, server: socket.socket) -> bool:
        """Forward until the server has answered and the client says something new, or either ends."""
        answered = False
        while True:
            for ready in _readable(client, server):
                if ready is client and answered:
                    return True
                data = ready.recv(_CHUNK)
                if not data:
                    return False
                answered = answered or ready is server
                (server if ready is client else client).sendall(data)

    def _fail(self, fault: _Armed, head: bytes, client: socket.socket, server: socket.socket) -> bool:
        kind = fault.fault
        if kind is Fault.BLACK_HOLE:
            time.sleep(fault.seconds)
            return False
        if kind is Fault.REFUSE:
            return False
        request = _whole(head, client)
        if kind is Fault.RESET_IN_BODY:
            server.sendall(request[: len(request) // 2])
            return False
        if kind is Fault.DELAY_REQUEST:
            server.sendall(request[:-1])
            time.sleep(fault.seconds)
            server.sendall(request[-1:])
            with contextlib.suppress(OSError):
                server.recv(_CHUNK)
            return False
        server.sendall(request)
        reply = server.recv(_CHUNK)
        if kind is Fault.DELAY_REPLY:
            time.sleep(fault.seconds)
            client.sendall(reply)
            return self._both_ways(client, server)
        return False


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    try:
        ready, _, _ = select.select(sockets, [], [])
    except ValueError as error:
        # Closed meanwhile: a socket has no number then.
        raise OSError("closed") from error
    return list(ready)


def _whole(head: bytes, client: socket.socket) -> bytes:
    """A request to its end, by its Content-Length or its chunks."""
    data = bytearray(head)
    while b"\r\n\r\n" not in data:
        data += client.recv(_CHUNK) or b"\r\n\r\n"
    start = data.index(b"\r\n\r\n") + 4
    lower = bytes(data[:start]).lower()
    if b"transfer-encoding: chunked" in lower:
        while not data.endswith(b"0\r\n\r\n"):
            data += client.recv(_CHUNK) or b"0\r\n\r\n"
        return bytes(data)
    length = 0
    for line in lower.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(data) < start + length:
        more = client.recv(_CHUNK)
        if not more:
            break
        data += more
    return bytes(data)


def _reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
