"""The query service for tests: a real server on a free port over a real database, and events to put into it."""

import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import uvicorn

from logbrook import clickhouse, config
from logbrook.query import server
from native import ports
from tests.components import until

NOW_NS = 1_764_000_000_000_000_000
BASE = {"from": "2025-11-24T00:00:00Z", "to": "2025-11-25T00:00:00Z"}


@dataclass(frozen=True)
class Door:
    """A running query service."""

    url: str
    client: httpx.Client

    def get(self, path: str, **parameters: object) -> Any:
        """The answer of a route that must succeed; `from_` is `from`."""
        response = self.ask(path, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def ask(self, path: str, **parameters: object) -> httpx.Response:
        """The response of a route; the range is the day of the tests unless it says otherwise."""
        named = {name.rstrip("_"): str(value) for name, value in parameters.items()}
        return self.client.get(f"/v1/{path}", params=named)

    def search(self, query: str = "", **parameters: object) -> Any:
        """GET /v1/search over the day of the tests."""
        return self.get("search", **{"query": query, "from_": BASE["from"], "to": BASE["to"], **parameters})

    def sql(self, statement: str) -> httpx.Response:
        """POST /v1/sql."""
        return self.client.post("/v1/sql", json={"sql": statement})


@contextmanager
def serving(settings: config.Query, database: config.ClickHouse) -> Iterator[Door]:
    """The service over a database for the time of a block."""
    [port] = ports.free(1)
    settings = replace(settings, port=port)
    app = server.app(settings, database)
    running = uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=port, log_config=None, proxy_headers=False, timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    until(lambda: running.started)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield Door(url, client)
    finally:
        running.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def moment(seconds: float) -> str:
    """A point in time of the tests' day, as the engine reads it."""
    nanoseconds = NOW_NS + int(seconds * 10**9)
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def event(offset: int, body: str = "hello", **fields: object) -> dict[str, object]:
    """A row of the table; a second later for each offset. Attributes are given as dictionaries."""
    row: dict[str, object] = {
        "Timestamp": moment(offset),
        "Body": body,
        "ServiceName": "checkout",
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "KafkaTopic": "logs",
        "KafkaTopicId": "tests",
        "KafkaPartition": offset % 3,
        "KafkaOffset": offset,
        "KafkaIndex": 0,
        "IngestedAt": f"{time.time():.3f}",
    }
    return row | fields


def store(database: config.ClickHouse, rows: list[dict[str, object]]) -> None:
    """Put rows into the table, as one part."""
    lines = "\n".join(json.dumps(row) for row in rows)
    _client(database, threading.get_ident()).raw_insert("otel_logs", insert_block=lines.encode(), fmt="JSONEachRow")


@functools.cache
def _client(database: config.ClickHouse, _thread: int) -> clickhouse.HttpClient:
    """To connect takes longer than to store a few rows. A client is for one thread."""
    return clickhouse.connect(database)
