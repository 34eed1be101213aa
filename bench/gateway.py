"""How much the gateway takes, next to the most that its HTTP server could, and next to a naive gateway.

    python -m bench.gateway [--seconds 5] [--connections 64] [--bootstrap HOST:PORT]

With PYTHONPATH=service:compose:. Without --bootstrap it starts ZooKeeper and Kafka of its own. Every figure of a
row comes from one run on this machine, with sender, gateway and broker sharing its cores: compare ratios only.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import psutil
import uvloop
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bench import gateway_peers
from logbrook.config import Kafka
from logbrook.kafka import client_config
from native import brokers, jars, ports
from tests.components import running
from tests.gateway import push
from tests.gateway.worst_bodies import PUSH

REPOSITORY = Path(__file__).parent.parent
WARM_UP_SECONDS = 1.0
ACTION = b'\n{"create":{"_index":"logs-shop-default"}}\n'


@dataclass(frozen=True)
class Load:
    """What is sent, again and again."""

    name: str
    path: str
    content_type: str
    events: int
    body: bytes


@dataclass(frozen=True)
class Figures:
    """What became of it."""

    requests: int
    seconds: float
    cpu_seconds: float
    latencies: list[float]

    @property
    def requests_per_second(self) -> float:
        """Answered with 200, by the clock."""
        return self.requests / self.seconds

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the requests stay below, in milliseconds."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))] * 1000


def event(number: int) -> dict[str, object]:
    """An event of about 350 bytes as JSON."""
    return {
        "timestamp": 1757930000.1 + number,
        "level": "INFO",
        "service": "shop",
        "message": "an order was placed and will be delivered in a while " * 3,
        "trace_id": f"{number:032x}",
        "user_id": f"user-{number}",
        "attributes": {"http.method": "GET", "http.status": 200},
    }


def otlp(count: int) -> bytes:
    """A request with `count` records of six attributes, of a resource with four."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    for name in ("service.name", "host.name", "k8s.pod.name", "deployment.environment.name"):
        resource_logs.resource.attributes.add(key=name).value.string_value = f"value of {name}"
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = "shop.orders"
    for number in range(count):
        record = scope_logs.log_records.add(time_unix_nano=1_757_930_000_000_000_000 + number, severity_text="INFO")
        record.body.string_value = "an order was placed and will be delivered in a while " * 3
        record.trace_id, record.span_id = number.to_bytes(15) + b"\1", number.to_bytes(7) + b"\1"
        for each in range(5):
            record.attributes.add(key=f"attribute.{each}").value.string_value = f"value {each}"
        record.attributes.add(key="http.status").value.int_value = 200
    return request.SerializeToString()


def loki(count: int) -> dict[str, Any]:
    """A push request of one stream with three labels, and a trace's id with each entry."""
    labels = {"service_name": "shop", "namespace": "prod", "level": "info"}
    text = "an order was placed and will be delivered in a while " * 3
    values = [
        [str(1_757_930_000_000_000_000 + number), text, {"trace_id": f"{number:032x}", "user": f"user-{number}"}]
        for number in range(count)
    ]
    return {"streams": [{"stream": labels, "values": values}]}


def hec(number: int) -> bytes:
    """An event of Splunk's collector."""
    own = event(number)
    return orjson.dumps({"time": own.pop("timestamp"), "host": "web-1", "sourcetype": "shop", "event": own})


def loads() -> list[Load]:
    """The bodies that are measured."""
    lines = [orjson.dumps(event(number)) for number in range(500)]
    pushed = loki(500)
    return [
        Load("ingest, 20 events", "/ingest", "application/x-ndjson", 20, b"\n".join(lines[:20])),
        Load("ingest, 500 events", "/ingest", "application/x-ndjson", 500, b"\n".join(lines)),
        Load("OTLP protobuf, 100 records", "/v1/logs", "application/x-protobuf", 100, otlp(100)),
        Load(
            "Elasticsearch, 500 documents", "/_bulk", "application/x-ndjson", 500, b"".join(map(ACTION.__add__, lines))
        ),
        Load("Splunk, 500 events", "/services/collector", "application/json", 500, b"".join(map(hec, range(500)))),
        Load("Datadog, 500 logs", "/api/v2/logs", "application/json", 500, b"[" + b",".join(lines) + b"]"),
        Load("Loki JSON, 500 entries", PUSH, "application/json", 500, orjson.dumps(pushed)),
        Load("Loki protobuf, 500 entries", PUSH, "", 500, push.compressed(push.from_json(pushed))),
    ]


class Sender(asyncio.Protocol):
    """One connection that sends a request as soon as the last one is answered."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answer = b""
        self._sent = 0.0
        self.latencies: list[float] = []
        self.failure = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        # uvloop's transport is one, but is not derived from it.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Wait for the end of an answer, then send the next."""
        self._answer += data
        head, found, content = self._answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if not found or len(content) < int(length or 0):
            return
        if not head.startswith(b"HTTP/1.1 2"):
            self.failure = self._answer.decode(errors="replace")
            self._transport.close()
            return
        self.latencies.append(time.perf_counter() - self._sent)
        self._answer = b""
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def send(port: int, load: Load, connections: int, seconds: float, server: psutil.Process) -> Figures:
    """Send for `seconds`, after a while to warm up."""
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {load.content_type}\r\n"
        f"Content-Length: {len(load.body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    request = head.encode() + load.body
    opened = [await loop.create_connection(lambda: Sender(request), "127.0.0.1", port) for _ in range(connections)]
    senders = [sender for _, sender in opened]
    await asyncio.sleep(WARM_UP_SECONDS)
    for sender in senders:
        sender.latencies = []
    started, cpu = time.perf_counter(), sum(server.cpu_times()[:2])
    await asyncio.sleep(seconds)
    elapsed, cpu = time.perf_counter() - started, sum(server.cpu_times()[:2]) - cpu
    for transport, sender in opened:
        transport.close()
        if sender.failure:
            raise SystemExit(f"{load.name}: {sender.failure}")
    latencies = [each for sender in senders for each in sender.latencies]
    return Figures(len(latencies), elapsed, cpu, latencies)


@contextmanager
def serving(kind: str, kafka: Kafka, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A server of this kind, listening."""
    [port] = ports.free(1)
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / each) for each in ("service", "compose", ".")),
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LOGBROOK_KAFKA_TOPIC": kafka.topic,
        "LOGBROOK_GATEWAY_PORT": str(port),
        "LOGBROOK_GATEWAY_ALLOW_ANONYMOUS": "true",
    }
    command = ["-m", "logbrook", "gateway"] if kind == "gateway" else ["-m", "bench.gateway_peers", kind]
    with log.open("wb") as output:
        child = subprocess.Popen([sys.executable, *command], env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while ports.is_free(port):
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        yield port, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(20)


@contextmanager
def broker(bootstrap: str | None, directory: Path) -> Iterator[Kafka]:
    """A Kafka with a fresh topic: the one named, or one of our own."""
    if bootstrap is None:
        files = jars.ensure(REPOSITORY / ".local/jars")
        port, zookeeper_port = ports.free(2)
        zookeeper = brokers.zookeeper(directory / "zookeeper", files, zookeeper_port, level="WARN")
        own = brokers.kafka(directory / "kafka", files, port, zookeeper_port, level="WARN")
        with running(zookeeper, directory / "zookeeper.log"), running(own, directory / "kafka.log"):
            yield with_topic(f"127.0.0.1:{port}")
    else:
        yield with_topic(bootstrap)


def with_topic(bootstrap: str) -> Kafka:
    """Settings of a topic made for this run; it keeps at most 256 MiB a partition."""
    kafka = Kafka(bootstrap_servers=bootstrap, topic=f"bench-gateway-{os.getpid()}")
    limits = {"retention.bytes": str(256 * 2**20), "segment.bytes": str(64 * 2**20)}
    admin = AdminClient(client_config(kafka))
    made = admin.create_topics([NewTopic(kafka.topic, kafka.partitions, 1, config=limits)])
    made[kafka.topic].result(30)
    return kafka


def main() -> None:
    """Measure, and print a table and its ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--bootstrap")
    options.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = options.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, broker(given.bootstrap, Path(name)) as kafka:
        for load in loads():
            for kind in ("nothing", "naive", "gateway"):
                if kind == "naive" and load.path not in gateway_peers.NAIVE_PATHS:
                    continue
                with serving(kind, kafka, Path(name) / f"{kind}.log") as (port, server):
                    figures = uvloop.run(send(port, load, given.connections, given.seconds, server))
                rows.append({"load": load.name, "server": kind} | summary(load, figures))
                if not given.json:
                    print_row(rows[-1])
    if given.json:
        print(json.dumps(rows))
    else:
        print_ratios(rows)


def summary(load: Load, figures: Figures) -> dict[str, float]:
    """The figures of a row."""
    return {
        "requests_per_second": figures.requests_per_second,
        "events_per_second": figures.requests_per_second * load.events,
        "server_cpu_us_per_request": figures.cpu_seconds / max(figures.requests, 1) * 1e6,
        "events_per_cpu_second": figures.requests * load.events / max(figures.cpu_seconds, 1e-9),
        "p50_ms": figures.latency_ms(0.5),
        "p99_ms": figures.latency_ms(0.99),
    }


def print_row(row: Mapping[str, Any]) -> None:
    """One line of the table."""
    print(
        "{load:28} {server:8} {requests_per_second:9,.0f} requests/s {events_per_second:11,.0f} events/s  "
        "{events_per_cpu_second:11,.0f} events/CPU-s {server_cpu_us_per_request:6,.0f} us CPU/request  "
        "p50 {p50_ms:6.1f} ms  p99 {p99_ms:6.1f} ms".format(**row),
        flush=True,
    )


def print_ratios(rows: Sequence[Mapping[str, Any]]) -> None:
    """The gateway against the server that does nothing and the naive one: by the clock, and per second of its CPU."""
    for load in dict.fromkeys(row["load"] for row in rows):
        found = {row["server"]: row for row in rows if row["load"] == load}
        for kind in ("nothing", "naive"):
            if kind in found:
                by_clock, by_cpu = (
                    found["gateway"][name] / found[kind][name]
                    for name in ("events_per_second", "events_per_cpu_second")
                )
                print(f"{load}: gateway / {kind} = {by_clock:.2f} by the clock, {by_cpu:.2f} per CPU second")


if __name__ == "__main__":
    main()
