"""The ClickHouse front as a process."""

import http.client
import sys
from pathlib import Path

from native.processes import Service

HOST = "127.0.0.1"
# A busy machine is not a hung process: only one that does not answer for this long counts as silent.
ALIVE_TIMEOUT_SECONDS = 10.0
_COMPOSE = Path(__file__).parent.parent


def clickhouse(
    directory: Path, port: int, password: str, reader_password: str = "", views_password: str = ""
) -> Service:
    """The front with its tables in `directory`. A limited user without a password can't log in."""
    command = [sys.executable, "-m", "native.front", "--data", str(directory), "--port", str(port)]
    environment = {
        "PYTHONPATH": str(_COMPOSE),
        "CLICKHOUSE_PASSWORD": password,
        "CLICKHOUSE_READONLY_PASSWORD": reader_password,
        "CLICKHOUSE_VIEWS_PASSWORD": views_password,
    }
    return Service(
        "clickhouse",
        command,
        lambda: answers(port, "/ping"),
        port,
        environment,
        stop_seconds=30,
        alive=lambda: answers(port, "/ping", ALIVE_TIMEOUT_SECONDS),
    )


def answers(port: int, path: str, timeout_seconds: float = 2) -> bool:
    """Whether a GET of this path on this machine returns 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
