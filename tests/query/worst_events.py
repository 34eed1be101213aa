"""The memory that the query API takes for the largest events: `python -m tests.query.worst_events`.

A hundred events of 880 KB (what a message of Kafka lets in) are searched for, exported and fetched one by one; the
peak of the process is printed for each. docs/query.md has the table.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from bench.query import api, server
from logbrook import clickhouse
from tests.query.door import event, store

EVENTS, EVENT_BYTES = 100, 880_000
SHAPES: dict[str, dict[str, object]] = {
    "one attribute": {"LogAttributes": {"a": "x" * EVENT_BYTES}},
    "860 attributes of 1 KB": {"LogAttributes": {f"attribute.{n}": "x" * 1010 for n in range(860)}},
    "20,000 short attributes": {"LogAttributes": {f"attribute.number.{n:05}": "x" * 21 for n in range(20_000)}},
    "one body": {"Body": "x" * EVENT_BYTES},
    "one service name": {"ServiceName": "x" * EVENT_BYTES},
}


def measure(door: httpx.Client, shape: str) -> None:
    """Ask for everything in turn and print a line for each request."""
    process = next(each for each in psutil.Process().children() if "logbrook" in each.cmdline())
    day = {"from": "2025-11-24", "to": "2025-11-25"}
    # The first answer takes memory that stays.
    [one] = door.get("/v1/search", params={**day, "limit": "1"}).json()["events"]
    requests: dict[str, Callable[[], httpx.Response]] = {
        "search, limit=100": lambda: door.get("/v1/search", params={**day, "limit": "100"}),
        "one event": lambda: door.get("/v1/events/" + one["id"]),
        "export": lambda: door.get("/v1/export", params=day),
        "SELECT *": lambda: door.post("/v1/sql", json={"sql": "SELECT * FROM otel_logs"}),
    }
    for name, ask in requests.items():
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        before, answer = process.memory_info().rss, ask()
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**10
        print(
            f"{shape:<28}{name:<20}{answer.status_code:>6}{len(answer.content) / 2**20:>14.1f}"
            f"{before / 2**20:>14.0f}{peak:>12.0f}"
        )


def main() -> None:
    """Print the table."""
    with (
        tempfile.TemporaryDirectory(prefix="worst-events-", ignore_cleanup_errors=True) as directory,
        server(Path(directory), "worst") as (settings, reader),
    ):
        admin = clickhouse.connect(settings)
        print(f"{'each event':<28}{'request':<20}{'status':>6}{'answer, MiB':>14}{'before, MiB':>14}{'peak, MiB':>12}")
        for shape, fields in SHAPES.items():
            admin.command("TRUNCATE TABLE otel_logs")
            for first in range(0, EVENTS, 10):
                store(settings, [event(n) | fields for n in range(first, first + 10)])
            with api(reader) as door:
                measure(door, shape)
        admin.close()


if __name__ == "__main__":
    main()
