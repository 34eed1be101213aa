"""What storing costs when much is waiting: `python -m bench.growth`, or `make bench-growth`.

    python -m bench.growth [--waiting 100000 1000000 10000000] [--consumers 1 2 4] [--json]

With its own ZooKeeper, Kafka, and ClickHouse. A producer fills the topic while nothing reads it; then the consumers are
started, and a row says how they got through: one consumer with each number of events waiting, then each number of
consumers with the second of these. Everything shares this machine's cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

import psutil

from bench import pipeline
from logbrook import clickhouse
from native import ports

# A second counts as full speed if it stores this share of what the median second does.
FULL_SPEED = 0.8


@dataclass(frozen=True)
class Drained:
    """One row. Seconds are counted from the start of the consumers' processes."""

    waiting: int
    consumers: int
    first_row_seconds: float
    full_speed_seconds: float
    events_per_second: float
    clickhouse_us: float
    consumer_us: float
    consumer_peak_mib: float


def drain(stack: pipeline.Stack, waiting: int, consumers: int) -> Drained:
    """Fill a topic, and then empty it."""
    room = pipeline.new_room(stack)
    command = [sys.executable, "-m", "logbrook", "produce", "--to", "kafka", "--count", str(waiting), "--json"]
    subprocess.run(command, env=room.environment, check=True, stdout=subprocess.DEVNULL)
    client = clickhouse.connect(room.clickhouse)
    meter, began = pipeline.CpuMeter(), time.monotonic()
    with ExitStack() as processes, (stack.directory / "consumer.log").open("ab") as log:
        started = []
        for port in ports.free(consumers):
            environment = room.environment | {"LOGBROOK_CONSUMER_HEALTH_PORT": str(port)}
            each = subprocess.Popen(pipeline.ours(room).command, env=environment, stdout=log, stderr=log)
            processes.callback(each.wait, 30)
            processes.callback(each.terminate)
            started.append(psutil.Process(each.pid))
        # Seconds since the start, and rows by then.
        counts = [(0.0, 0)]
        peak_mib = 0.0
        while counts[-1][1] < waiting:
            assert time.monotonic() - began < pipeline.LONGEST_SECONDS, f"only {counts[-1][1]} of {waiting} were stored"
            time.sleep(0.1)
            peak_mib = max(peak_mib, *(each.memory_info().rss / 2**20 for each in started))
            rows = int(client.query("SELECT count() FROM otel_logs").result_rows[0][0])
            counts.append((time.monotonic() - began, rows))
        used = meter.per_event_us(waiting)
    pipeline.check(client, waiting)
    client.close()
    pipeline.drop(room)
    first = next(seconds for seconds, rows in counts if rows)
    rates = list(per_second(counts))
    median = statistics.median(rate for _, rate in rates)
    full = next(seconds for seconds, rate in rates if rate >= FULL_SPEED * median)
    per_second_in_all = waiting / (counts[-1][0] - first + 0.1)
    return Drained(
        waiting, consumers, first, full, per_second_in_all, used["clickhouse"], used["consumer"], round(peak_mib)
    )


def per_second(counts: list[tuple[float, int]]) -> Iterator[tuple[float, float]]:
    """The end and the rate of each stretch of about a second in which something was stored."""
    start, stored = counts[0]
    for seconds, rows in counts:
        if rows > stored and (seconds - start >= 1.0 or rows == counts[-1][1]):
            yield seconds, (rows - stored) / (seconds - start)
            start, stored = seconds, rows


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    fixed = given.waiting[min(1, len(given.waiting) - 1)]
    runs = [(each, 1) for each in given.waiting] + [(fixed, each) for each in given.consumers if each > 1]
    rows = []
    if not given.json:
        print("| Waiting | Consumers | First row, s | Full speed, s | Events/s | ClickHouse, µs | Consumer, µs | MiB |")
        print("|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    with pipeline.own_stack() as own:
        stack = replace(own, clickhouse=replace(own.clickhouse, timeout_seconds=600))
        for waiting, consumers in runs:
            row = drain(stack, waiting, consumers)
            rows.append(asdict(row))
            if not given.json:
                print(
                    f"| {waiting:,} | {consumers} | {row.first_row_seconds:.1f} | {row.full_speed_seconds:.1f}"
                    f" | {row.events_per_second:,.0f} | {row.clickhouse_us:.1f} | {row.consumer_us:.1f}"
                    f" | {row.consumer_peak_mib:.0f} |",
                    flush=True,
                )
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
