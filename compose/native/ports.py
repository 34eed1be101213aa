"""Free ports, and who is using those that are not free."""

import itertools
import random
import socket

import psutil

HOST = "127.0.0.1"


def free(count: int) -> list[int]:
    """Ports that nothing listens on right now.

    They are below the range from which the kernel takes ports for outgoing connections (32768 and up on Linux): one of
    those might be taken before the process that should listen on it has started.
    """
    candidates = random.sample(range(15_000, 32_000), 500)
    return list(itertools.islice(filter(is_free, candidates), count))


def is_free(port: int) -> bool:
    """Whether a process could listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def owner(port: int) -> str:
    """Which process listens on it, as far as we are allowed to know."""
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"
