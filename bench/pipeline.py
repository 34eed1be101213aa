"""How fast events become queryable, next to a naive consumer and to the engine alone.

    python -m bench.pipeline [--count 1000000] [--json]

With PYTHONPATH=service:compose:. It starts ZooKeeper, Kafka and ClickHouse of its own on free ports. Each measurement
has a new topic and database; it begins when `logbrook produce` is started and ends when the table counts every event.
Everything shares this machine's cores, so ratios count, not figures.
"""

import argparse
import json
import logging
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx
import psutil
import structlog

from bench import pipeline_peers
from logbrook import clickhouse, config, migrate
from logbrook.topic import create_topic
from native import brokers, jars, ports
from native.clickhouse import clickhouse as clickhouse_service
from tests.components import running, until

REPOSITORY = Path(__file__).parent.parent
LONGEST_SECONDS = 600.0
PROCESSES = {
    "zookeeper": "QuorumPeerMain",
    "kafka": "kafka.Kafka",
    "clickhouse": "native.front",
    "consumer": "logbrook consumer",
    "naive": "pipeline_peers",
}


@dataclass(frozen=True)
class Figures:
    """One measurement, by the clock."""

    name: str
    events: int
    seconds: float
    # From the last acknowledgement to the last row.
    behind_seconds: float = 0.0
    consumer_peak_mib: float = 0.0
    # What the topic takes on the broker's disk, compressed as the producer sent it.
    kafka_bytes: float = 0.0
    # Microseconds of processor time per event, by process: what is left when other work slows the clock.
    cpu_us: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


class CpuMeter:
    """Processor time of all processes that this one has started, by what they are."""

    def __init__(self) -> None:
        self._before = self._read()

    def per_event_us(self, events: int) -> dict[str, float]:
        """What each has used since the start, a microsecond figure per event; idle ones are left out."""
        used = {name: seconds - self._before.get(name, 0.0) for name, seconds in self._read().items()}
        return {name: round(seconds / events * 1e6, 3) for name, seconds in used.items() if seconds > 0}

    @staticmethod
    def _read() -> dict[str, float]:
        found: dict[str, float] = {}
        for process in psutil.Process().children(recursive=True):
            try:
                command, times = " ".join(process.cmdline()), process.cpu_times()
            except psutil.Error:
                continue
            name = next((name for name, sign in PROCESSES.items() if sign in command), "other")
            found[name] = found.get(name, 0.0) + times.user + times.system
        # The producer is the one that has ended within a measurement.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found | {"producer": ended.ru_utime + ended.ru_stime}


@dataclass(frozen=True)
class Stack:
    """Where Kafka and ClickHouse are, and the directory for logs."""

    bootstrap_servers: str
    clickhouse: config.ClickHouse
    directory: Path


@dataclass(frozen=True)
class Room:
    """A new topic and a new database, and the settings of processes that use them."""

    kafka: config.Kafka
    clickhouse: config.ClickHouse
    environment: dict[str, str]


@dataclass(frozen=True)
class Candidate:
    """Something that reads the topic: how it is started, and where its rows are."""

    command: list[str]
    table: str
    ready: Callable[[subprocess.Popen[bytes]], None]


@contextmanager
def own_stack() -> Iterator[Stack]:
    """ZooKeeper, Kafka and ClickHouse without data, for the time of the block."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="logbrook-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        jar_files = jars.ensure(REPOSITORY / ".local/jars")
        kafka_port, zookeeper_port, clickhouse_port = ports.free(3)
        password = secrets.token_hex(8)
        for service in (
            brokers.zookeeper(directory / "zookeeper", jar_files, zookeeper_port, level="WARN"),
            brokers.kafka(directory / "kafka", jar_files, kafka_port, zookeeper_port, level="WARN"),
            clickhouse_service(directory / "clickhouse", clickhouse_port, password),
        ):
            stack.enter_context(running(service, directory / f"{service.name}.log"))
        server = config.ClickHouse(host="127.0.0.1", port=clickhouse_port, password=password, timeout_seconds=300)
        yield Stack(f"127.0.0.1:{kafka_port}", server, directory)


def new_room(stack: Stack) -> Room:
    """A topic and a database that nobody has used."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    server = stack.clickhouse
    kafka = config.Kafka(bootstrap_servers=stack.bootstrap_servers, topic=name)
    database = replace(server, database=name)
    migrate.apply(config.Schema(), database)
    create_topic(kafka)
    [health_port] = ports.free(1)
    own = {
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LOGBROOK_KAFKA_TOPIC": name,
        "LOGBROOK_CLICKHOUSE_PORT": str(server.port),
        "LOGBROOK_CLICKHOUSE_PASSWORD": server.password,
        "LOGBROOK_CLICKHOUSE_DATABASE": name,
        "LOGBROOK_CONSUMER_HEALTH_PORT": str(health_port),
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith(config.PREFIX)}
    return Room(kafka, database, clean | own)


def drop(room: Room) -> None:
    """Remove the database, so that the next measurement does not share the disk with its merges."""
    client = clickhouse.connect(room.clickhouse, database="default")
    client.command(f"DROP DATABASE {room.clickhouse.database} SYNC")
    client.close()


def ours(room: Room) -> Candidate:
    """The consumer of this repository."""
    port = int(room.environment["LOGBROOK_CONSUMER_HEALTH_PORT"])
    return Candidate([sys.executable, "-m", "logbrook", "consumer"], "otel_logs", lambda _: until(lambda: ready(port)))


def naive(room: Room, batch: int) -> Candidate:
    """The consumer that one writes first."""
    clickhouse.connect(room.clickhouse).command(pipeline_peers.NAIVE_TABLE)
    command = [sys.executable, "-m", "bench.pipeline_peers", "--batch", str(batch)]

    def wait(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    return Candidate(command, "naive_logs", wait)


@contextmanager
def consuming(stack: Stack, room: Room, chosen: Candidate, **environment: str) -> Iterator[psutil.Process]:
    """A consumer that is ready, for the time of the block; with more variables in its environment."""
    with (stack.directory / "consumer.log").open("ab") as log:
        consumer = subprocess.Popen(
            chosen.command, env=room.environment | environment, stdout=subprocess.PIPE, stderr=log
        )
    try:
        chosen.ready(consumer)
        yield psutil.Process(consumer.pid)
    finally:
        consumer.terminate()
        consumer.communicate()


def measure(stack: Stack, name: str, count: int, per_message: int, candidate: Callable[[Room], Candidate]) -> Figures:
    """From the start of the producer to the last row."""
    room = new_room(stack)
    chosen = candidate(room)
    client = clickhouse.connect(room.clickhouse)
    with consuming(stack, room, chosen) as process:
        meter = CpuMeter()
        produce = [sys.executable, "-m", "logbrook", "produce", "--to", "kafka", "--count", str(count), "--json"]
        began = time.perf_counter()
        producer = subprocess.Popen(
            [*produce, "--events-per-message", str(per_message)], env=room.environment, stdout=subprocess.PIPE
        )
        produced = peak = 0.0
        while producer.poll() is None or client.query(f"SELECT count() FROM {chosen.table}").result_rows[0][0] < count:
            peak = max(peak, process.memory_info().rss / 2**20)
            if producer.returncode is not None and not produced:
                produced = time.perf_counter()
            assert time.perf_counter() - began < LONGEST_SECONDS, f"{name}: not all events arrived"
            time.sleep(0.05)
        ended = time.perf_counter()
        cpu_us = meter.per_event_us(count)
        kept = sum(each.stat().st_size for each in stack.directory.glob(f"kafka/data/{room.kafka.topic}-*/*.log"))
        summary = json.loads(producer.communicate()[0])
        assert summary["acknowledged"] == count, summary
        if chosen.table == "otel_logs":
            check(client, count)
    client.close()
    drop(room)
    return Figures(name, count, ended - began, ended - (produced or ended), peak, kept / count, cpu_us)


def check(client: clickhouse.HttpClient, count: int) -> None:
    """Every event is there, once."""
    [(rows, identities, flagged)] = client.query(
        "SELECT count(), uniqExact(KafkaPartition, KafkaOffset, KafkaIndex), countIf(ParseError != '') FROM otel_logs"
    ).result_rows
    assert (rows, identities, flagged) == (count, count, 0), (rows, identities, flagged)


def engine(stack: Stack, name: str, count: int, insert: Callable[[config.ClickHouse, int], float]) -> Figures:
    """The same events straight into the engine."""
    room = new_room(stack)
    try:
        meter = CpuMeter()
        seconds = insert(room.clickhouse, count)
        return Figures(name, count, seconds, cpu_us=meter.per_event_us(count))
    finally:
        drop(room)


def ready(port: int) -> bool:
    """Whether /readyz says so."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 200
    return False


def run(stack: Stack, count: int) -> Iterator[Figures]:
    """All measurements, ours first."""
    yield measure(stack, "logbrook, 500 events a message", count, 500, ours)
    yield measure(stack, "logbrook, 1 event a message", count, 1, ours)
    yield measure(stack, "naive, 100 rows an insert", max(1, count // 50), 1, lambda room: naive(room, 100))
    yield measure(stack, "naive, 50,000 rows an insert", max(1, count // 5), 1, lambda room: naive(room, 50_000))
    yield engine(stack, "engine alone, arrivals and view", count, pipeline_peers.engine_view)
    yield engine(stack, "engine alone, plain JSONEachRow", count, pipeline_peers.engine_plain)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="one JSON object at the end, and nothing else")
    arguments = parser.parse_args()
    found: list[Figures] = []
    with own_stack() as stack:
        for figures in run(stack, arguments.count):
            found.append(figures)
            if not arguments.json:
                print_row(figures, found[0])
    if arguments.json:
        print(json.dumps([asdict(figures) | {"events_per_second": round(figures.rate)} for figures in found]))


def print_row(figures: Figures, first: Figures) -> None:
    """One line, with the ratio to the first."""
    more = "  CPU us/event: " + ", ".join(f"{name} {us:.2f}" for name, us in figures.cpu_us.items())
    if figures.consumer_peak_mib:
        more += f"  {figures.behind_seconds:.1f} s behind the producer, consumer {figures.consumer_peak_mib:.0f} MiB"
        more += f", {figures.kafka_bytes:.1f} B an event in Kafka"
    print(
        f"{figures.name:32} {figures.events:>10,} events in {figures.seconds:6.1f} s {figures.rate:>10,.0f}/s"
        f"  {figures.rate / first.rate:6.3f} of the first{more}",
        flush=True,
    )


if __name__ == "__main__":
    main()
