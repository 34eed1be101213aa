"""How soon an acknowledged event is found: `python -m bench.freshness`, or `make bench-freshness`.

    python -m bench.freshness [--seconds 30] [--shares 0.3 0.6 0.9] [--flush-after 0.5] [--json]

Its own ZooKeeper, Kafka, ClickHouse, gateway, consumer, and query API first take as much as they can, then 1,000
events/s, then these shares of the most. Meanwhile a probe is sent ten times a second, and a search for the newest
hundred runs four times a second: a probe's time is from the gateway's answer to the end of the first search that has
it, so up to a quarter of a second of it is the wait for that search. Searches and load share this machine's cores with
everything that is measured.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import httpx

from bench import gateway, pipeline, query
from logbrook import clickhouse, config

SERVICE = "freshness-probe"
PROBE_EVERY_SECONDS, SEARCH_EVERY_SECONDS = 0.1, 0.25
# How long the load runs before the first probe, and how long the last probes are searched for.
SETTLE_SECONDS, PATIENCE_SECONDS = 5.0, 60.0
_STORED = "SELECT count() FROM otel_logs"
# Each part has a block number of its own in its partition, whatever becomes of it.
_INSERTED = (
    "SELECT sum(newest) FROM (SELECT max(max_block_number) AS newest FROM system.parts "
    "WHERE table = 'otel_logs' AND database = currentDatabase() AND active GROUP BY partition)"
)


@dataclass(frozen=True)
class Freshness:
    """One row: milliseconds, over all probes, and the parts that ClickHouse got per second."""

    events_per_second: float
    probes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    parts_per_second: float


@contextmanager
def produced(room: pipeline.Room, gateway_port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A producer of events that sends them through the gateway, for the time of the block."""
    environment = room.environment | {"LOGBROOK_GATEWAY_URL": f"http://127.0.0.1:{gateway_port}"}
    producer = subprocess.Popen(
        [sys.executable, "-m", "logbrook", "produce", "--to", "gateway", "--json", *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield producer
    finally:
        producer.terminate()
        producer.wait(30)


def probe(sender: httpx.Client, acknowledged: dict[str, float], seconds: float) -> None:
    """Send probes, and note when each was acknowledged."""
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        number = str(len(acknowledged))
        now = datetime.now(UTC).isoformat()
        resource = {"service.name": SERVICE}
        event = {"timestamp": now, "body": "probe", "attributes": {"probe": number}, "resource": resource}
        sender.post("/ingest", json=event).raise_for_status()
        acknowledged[number] = time.monotonic()
        time.sleep(max(0.0, began + PROBE_EVERY_SECONDS - time.monotonic()))


def found(api: httpx.Client, acknowledged: dict[str, float], sending: threading.Thread) -> dict[str, float]:
    """Search until all that was sent was found; by probe, when that was."""
    first: dict[str, float] = {}
    deadline = None
    while sending.is_alive() or len(first) < len(acknowledged):
        if not sending.is_alive():
            deadline = deadline or time.monotonic() + PATIENCE_SECONDS
            assert time.monotonic() < deadline, f"{len(acknowledged) - len(first)} probes were not found"
        began = time.monotonic()
        # All of them only at the end, in case some are overdue.
        limit = 100 if sending.is_alive() else 1000
        asked = {"query": f"service:{SERVICE}", "from": "5m", "to": "now", "limit": str(limit)}
        events = api.get("/v1/search", params=asked).raise_for_status().json()["events"]
        ended = time.monotonic()
        for event in events:
            first.setdefault(event["attributes"]["probe"], ended)
        time.sleep(max(0.0, began + SEARCH_EVERY_SECONDS - time.monotonic()))
    return first


@contextmanager
def working(stack: pipeline.Stack, **consumer: str) -> Iterator[tuple[pipeline.Room, int]]:
    """A gateway and a consumer with new tables and a new topic, and the gateway's port, for the time of the block."""
    room = pipeline.new_room(stack)
    with (
        gateway.serving("gateway", room.kafka, stack.directory / "gateway.log") as (port, _),
        pipeline.consuming(stack, room, pipeline.ours(room), **consumer),
    ):
        yield room, port
    pipeline.drop(room)


def most(stack: pipeline.Stack, count: int) -> float:
    """The events per second that come through while the producer sends as fast as it can."""
    with working(stack) as (room, port):
        began = time.monotonic()
        with produced(room, port, "--count", str(count)) as producer:
            while producer.poll() is None or scalar(room, _STORED) < count:
                time.sleep(0.1)
        return count / (time.monotonic() - began)


def scalar(room: pipeline.Room, sql: str) -> int:
    """The one number of a result."""
    client = clickhouse.connect(room.clickhouse)
    [[number]] = client.query(sql).result_rows
    client.close()
    return int(number)


def measure(stack: pipeline.Stack, rate: float, seconds: float, flush_after: float) -> Freshness:
    """Freshness at so many events per second."""
    with ExitStack() as processes:
        flush = {"LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS": str(flush_after)}
        room, port = processes.enter_context(working(stack, **flush))
        api = processes.enter_context(query.api(room.clickhouse, {"LOGBROOK_LOG_LEVEL": "ERROR"}))
        sender = processes.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        # A tenth of a second's events in a request, as a shipper sends them.
        size = str(max(1, min(500, int(rate / 10))))
        load = processes.enter_context(produced(room, port, "--rate", str(rate), "--events-per-message", size))
        time.sleep(SETTLE_SECONDS)
        parts, began = scalar(room, _INSERTED), time.monotonic()
        acknowledged: dict[str, float] = {}
        sending = threading.Thread(target=probe, args=(sender, acknowledged, seconds))
        sending.start()
        first = found(api, acknowledged, sending)
        assert load.poll() is None, "the producer has ended"
        per_second = (scalar(room, _INSERTED) - parts) / (time.monotonic() - began)
    waited = [(first[number] - at) * 1000 for number, at in acknowledged.items()]
    p50_ms, p95_ms, p99_ms = (query.percentile(waited, share) for share in (0.5, 0.95, 0.99))
    return Freshness(rate, len(waited), p50_ms, p95_ms, p99_ms, per_second)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long probes are sent at each rate")
    parser.add_argument("--count", type=int, default=500_000, help="events with which the most is measured")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.3, 0.6, 0.9], help="of the most")
    default = config.Consumer.flush_after_seconds
    parser.add_argument("--flush-after", type=float, default=default, help="the consumer's flush_after_seconds")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    rows = []
    with pipeline.own_stack() as stack:
        top = most(stack, given.count)
        if not given.json:
            print(f"the most: {top:,.0f} events/s\n\n| Events/s | Probes | P50, ms | P95, ms | P99, ms | Parts/s |")
            print("|---:|---:|---:|---:|---:|---:|", flush=True)
        for rate in (1000, *(round(share * top) for share in given.shares)):
            row = measure(stack, rate, given.seconds, given.flush_after)
            rows.append(asdict(row))
            if not given.json:
                figures = f"{row.p50_ms:,.0f} | {row.p95_ms:,.0f} | {row.p99_ms:,.0f} | {row.parts_per_second:.1f}"
                print(f"| {row.events_per_second:,.0f} | {row.probes} | {figures} |", flush=True)
    if given.json:
        print(json.dumps({"most_events_per_second": round(top), "rows": rows}))


if __name__ == "__main__":
    main()
