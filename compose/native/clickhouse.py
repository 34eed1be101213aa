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
    directory: Path, port: int, password: str, reader_password: str | None = None, views_password: str | None = None
) -> Service:
    """The front with its tables in `directory`."""
    command = [sys.executable, "-m", "native.front", "--data", str(directory), "--port", str(port)]
    secrets = {"CLICKHOUSE_PASSWORD": password}
    if reader_password:
        secrets["CLICKHOUSE_READONLY_PASSWORD"] = reader_password
    if views_password:
        secrets["CLICKHOUSE_VIEWS_PASSWORD"] = views_password
    return Service(
        "clickhouse",
        command,
        lambda: answers(port, "/ping"),
        port,
        {"PYTHONPATH": str(_COMPOSE), **secrets},
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
