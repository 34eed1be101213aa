"""How fast the query API answers: `python -m bench.query`, or `make bench-query`.

Loads ROWS events of one day into the product's own table behind the native front, starts `logbrook query`, and asks
over HTTP for what users ask for, with varied parameters: hot, after the caches were dropped, and while 20,000
events/s are ingested. The same questions as plain SQL against a plain table, in the same run, are the yardstick.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from bench import query_data
from logbrook import clickhouse, config, migrate
from logbrook.query.timerange import SECOND, TimeRange
from native import ports
from native.clickhouse import clickhouse as clickhouse_service
from tests.components import running, until

DAY_NS = 86_400 * 10**9
INGEST_PER_SECOND = 20_000
# In front of a shape's name: the milliseconds of processor time.
CPU = "processor "
_CACHES = ("MARK CACHE", "UNCOMPRESSED CACHE", "QUERY CONDITION CACHE", "INDEX MARK CACHE", "TEXT INDEX CACHES")


@dataclass(frozen=True)
class Shape:
    """What users ask for: as a request to the API, as SQL on the plain table, and, to compare, in LogsQL."""

    name: str
    path: str
    parameters: dict[str, str]
    plain: str
    logsql: str = ""


class Bench:
    """One run: what was loaded, and the way to ask."""

    def __init__(self, rows: int, settings: config.ClickHouse, api: httpx.Client) -> None:
        self.rows, self.settings, self.api = rows, settings, api
        self.client = clickhouse.connect(settings)
        self.chance = random.Random(7)
        self.end = time.time_ns() // 10**9 * 10**9
        self.start, self.step = self.end - DAY_NS, DAY_NS / rows

    def load(self) -> None:
        """Load the table unless it is loaded, and say how fast that went and what it takes."""
        if self._scalar("SELECT count() FROM otel_logs") >= self.rows:
            newest = f"SELECT toUnixTimestamp64Nano(max(Timestamp)) FROM otel_logs WHERE KafkaOffset < {self.rows // 8}"
            self.end = self._scalar(newest) // 10**9 * 10**9 + 10**9
            self.start = self.end - DAY_NS
            return
        began = time.perf_counter()
        for first in range(0, self.rows, query_data.CHUNK):
            count = min(query_data.CHUNK, self.rows - first)
            query_data.insert(self.client, first, count, self.start, self.step)
            say(f"loading {first + count:,} of {self.rows:,}", end="\r")
        seconds = time.perf_counter() - began
        until(lambda: self._merges() == 0, 1800)
        size, parts = self._size("bench")
        say(
            f"loaded {self.rows:,} events at {self.rows / seconds:,.0f}/s, {size / self.rows:.1f} B an event, "
            f"{parts} parts"
        )

    def copy(self) -> None:
        """Load the plain table, and say the same of it."""
        began = time.perf_counter()
        query_data.copy(self.client)
        seconds = time.perf_counter() - began
        size, _ = self._size("plain")
        say(f"plain table: {self.rows / seconds:,.0f} events/s, {size / self.rows:.1f} B an event")

    def _merges(self) -> int:
        return self._scalar("SELECT count() FROM system.merges")

    def _size(self, database: str) -> tuple[int, int]:
        """Bytes and parts of a table."""
        sql = (
            "SELECT sum(bytes_on_disk), count() FROM system.parts WHERE table = 'otel_logs' AND active AND database = "
        )
        size, parts = self.client.query(f"{sql}'{database}'").result_rows[0]
        return int(size), int(parts)

    def _scalar(self, sql: str) -> int:
        return int(self.client.query(sql).result_rows[0][0])

    def shapes(self) -> Iterator[Shape]:
        """One of each shape, with newly drawn parameters."""
        draw = self.chance
        n = draw.randrange(self.rows)
        service = draw.choice(query_data.SERVICES)
        trace, request, user = self._about(n)
        # The range ends a little before the newest event: no two requests are the same.
        end = self.end - draw.randrange(3600) * 10**9
        day = {"from": iso(end - DAY_NS), "to": iso(end)}
        plain = f"Timestamp >= fromUnixTimestamp64Nano({end - DAY_NS}) AND Timestamp < fromUnixTimestamp64Nano({end})"
        newest = "ORDER BY Timestamp DESC LIMIT 100"

        def within(step: int = 1) -> str:
            # The API counts whole steps.
            whole = TimeRange(end - DAY_NS, end).aligned(step)
            return f"_time:[{iso(whole.start)}, {iso(whole.end)})"

        def search(name: str, query: str, condition: str, logsql: str) -> Shape:
            sql = f"SELECT * FROM otel_logs WHERE {plain} AND {condition} {newest}"
            logsql = f"{within()} {logsql} | sort by (_time desc) limit 100"
            return Shape(name, "search", {"query": query, "limit": "100", **day}, sql, logsql)

        stream = f'{{"resource.service.name"="{service}"}}'
        yield search("last 100 of a service", f"service:{service}", f"ServiceName = '{service}'", stream)
        yield search("last 100 errors, 24 h", "level>=error", "SeverityNumber >= 17", "severity_number:>=17")
        yield search("rare token, 24 h", request, f"hasToken(lower(Body), '{request}')", f'"{request}"')
        yield search(
            "common token and service",
            f"timeout service:{service}",
            f"hasToken(lower(Body), 'timeout') AND ServiceName = '{service}'",
            f"{stream} timeout",
        )
        yield search(
            "attribute equality",
            f"attr.user.id:user-{user}",
            f"LogAttributes['user.id'] = 'user-{user}'",
            f'"attributes.user.id":="user-{user}"',
        )
        yield Shape(
            "trace id", f"traces/{trace}", {},
            f"SELECT * FROM otel_logs WHERE TraceId = '{trace}' ORDER BY Timestamp",
            f'trace_id:="{trace}" | sort by (_time)',
        )  # fmt: skip
        counted = (
            "SELECT toStartOfInterval(Timestamp, INTERVAL 30 MINUTE) AS t, SeverityNumber, count() "
            f"FROM otel_logs WHERE {plain} GROUP BY t, SeverityNumber"
        )
        yield Shape(
            "histogram by severity, 24 h", "histogram", day, counted,
            f"{within(1800 * SECOND)} | stats by (_time:30m, severity_number) count() hits",
        )  # fmt: skip
        week = {"from": iso(end - 7 * DAY_NS), "to": iso(end)}
        yield Shape(
            "histogram by severity, 7 d", "histogram", week, counted.replace(str(end - DAY_NS), str(end - 7 * DAY_NS))
        )
        yield Shape(
            "top 10 services by errors", "stats", {"limit": "10", **day},
            f"SELECT ServiceName, count() AS n FROM otel_logs WHERE {plain} AND SeverityNumber >= 17 "
            "GROUP BY ServiceName ORDER BY n DESC LIMIT 10",
            f"{within(60 * SECOND)} severity_number:>=17 | top 10 by (resource.service.name)",
        )  # fmt: skip
        yield Shape(
            "timechart of counts by service, 24 h", "query", {"query": "| timechart 30m count by service", **day},
            counted.replace("SeverityNumber", "ServiceName"),
        )  # fmt: skip
        yield Shape(
            "figures of a service by attribute", "query",
            {"query": f"service:{service} | stats count, p95(attr.http.status_code) by attr.http.route", **day},
            "SELECT LogAttributes['http.route'] AS r, count(), "
            "quantileTDigest(0.95)(toFloat64OrNull(LogAttributes['http.status_code'])) "
            f"FROM otel_logs WHERE {plain} AND ServiceName = '{service}' GROUP BY r",
        )  # fmt: skip
        attribute = draw.choice(("http.route", "http.status_code", "http.method"))
        yield Shape(
            "distinct values of an attribute", "values", {"field": f"attr.{attribute}", "limit": "100", **day},
            f"SELECT LogAttributes['{attribute}'] AS v, count() AS n FROM otel_logs WHERE {plain} "
            "GROUP BY v ORDER BY n DESC LIMIT 100",
            f"{within()} | top 100 by (attributes.{attribute})",
        )  # fmt: skip
        yield self._context(n)

    def _about(self, n: int) -> tuple[str, str, str]:
        sql = (
            "SELECT lower(hex(sipHash128(intDiv({n:UInt64}, 6)))), lower(hex(cityHash64({n:UInt64}, 3))), "
            "toString(cityHash64({n:UInt64}, 2) % 50000)"
        )
        trace, request, user = self.client.query(sql, parameters={"n": n}).result_rows[0]
        return str(trace), str(request), str(user)

    def _context(self, n: int) -> Shape:
        nanoseconds = self.start + int(n * self.step)
        hour = 3600 * 10**9
        near = (
            f"Timestamp >= fromUnixTimestamp64Nano({nanoseconds - hour}) "
            f"AND Timestamp <= fromUnixTimestamp64Nano({nanoseconds + hour})"
        )
        this = f"KafkaPartition = {n % 8} AND KafkaOffset = {n // 8}"
        sql = (
            f"SELECT * FROM otel_logs WHERE {near} AND ServiceName = (SELECT ServiceName FROM otel_logs WHERE {this} "
            f"LIMIT 1) ORDER BY abs(toUnixTimestamp64Nano(Timestamp) - {nanoseconds}) LIMIT 40"
        )
        return Shape("lines around an event", "context", {"id": f"{nanoseconds}.{n % 8}.{n // 8}.0.bench"}, sql)

    def ask(self, shape: Shape) -> httpx.Response:
        """The API's answer."""
        return self.api.get(f"/v1/{shape.path}", params=shape.parameters)

    def measure(
        self, rounds: int, ask: Callable[[Shape], httpx.Response], before: Callable[[], None] = lambda: None
    ) -> dict[str, list[float]]:
        """Milliseconds that each shape takes."""
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            for shape in self.shapes():
                before()
                began, used = time.perf_counter(), processor_seconds()
                response = ask(shape)
                times.setdefault(shape.name, []).append((time.perf_counter() - began) * 1000)
                times.setdefault(CPU + shape.name, []).append((processor_seconds() - used) * 1000)
                if response.status_code != 200:
                    sys.exit(f"{shape.name}: {response.status_code} {response.text}")
        return times

    def drop_caches(self) -> None:
        """Forget what the engine and, where it may be told to, the system have read."""
        for cache in _CACHES:
            self.client.command(f"SYSTEM DROP {cache}")
        with contextlib.suppress(OSError):
            Path("/proc/sys/vm/drop_caches").write_text("1")

    def crowd(self, clients: int, seconds: float) -> None:
        """Many clients at once, each asking one thing after another; print what they were answered."""
        statuses: Counter[int] = Counter()
        until_then = time.monotonic() + seconds
        largest = 0.0

        def ask(shapes: list[Shape]) -> None:
            with httpx.Client(base_url=self.api.base_url, timeout=120, trust_env=False) as client:
                while time.monotonic() < until_then:
                    shape = self.chance.choice(shapes)
                    statuses[client.get(f"/v1/{shape.path}", params=shape.parameters).status_code] += 1

        [api_process] = [child for child in psutil.Process().children() if "logbrook" in child.cmdline()]
        with ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(ask, list(self.shapes())) for _ in range(clients)]
            while time.monotonic() < until_then:
                largest = max(largest, api_process.memory_info().rss / 2**20)
                time.sleep(0.5)
        for each in asked:
            each.result()
        say(f"{clients} clients for {seconds:.0f} s: {dict(statuses)}; the API took at most {largest:.0f} MiB")

    @contextlib.contextmanager
    def ingesting(self) -> Iterator[None]:
        """20,000 events/s into the same table, twice a second, for the time of the block."""
        stop, inserted = threading.Event(), 0
        client = clickhouse.connect(self.settings)
        began = time.monotonic()

        def insert() -> None:
            nonlocal inserted
            half = INGEST_PER_SECOND // 2
            while not stop.is_set():
                query_data.insert(client, self.rows + inserted, half, time.time_ns(), 10**9 / INGEST_PER_SECOND)
                inserted += half
                stop.wait(max(0.0, inserted / INGEST_PER_SECOND - (time.monotonic() - began)))

        with ThreadPoolExecutor(1) as pool:
            inserting = pool.submit(insert)
            try:
                yield
            finally:
                stop.set()
        inserting.result()
        seconds = time.monotonic() - began
        say(f"ingested {inserted:,} events meanwhile, {inserted / seconds:,.0f}/s")
        client.close()


def processor_seconds(*signs: str) -> float:
    """Processor time so far of all that this process started; other work on the machine changes it little.

    With `signs`, only of processes whose command line has one of them. A process that has ended counts with its parent.
    """
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if not signs or any(sign in command for sign in signs):
                total += sum(child.cpu_times()[:4])
    return total


def iso(nanoseconds: int) -> str:
    """A point in time as the API takes it."""
    return str(nanoseconds // 10**9)


def say(text: str, end: str = "\n") -> None:
    """A line for the reader."""
    print(text.ljust(70), end=end, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(title: str, times: dict[str, list[float]]) -> dict[str, float]:
    """Print percentiles, each shape and overall; the medians by shape."""
    waited = {name: values for name, values in times.items() if not name.startswith(CPU)}
    everything = [each for values in waited.values() for each in values]
    say(f"\n{f'{title}, {len(everything)} requests (ms)':<46}P50     P95     P99    processor")
    for name, values in [*waited.items(), ("overall", everything)]:
        row = "".join(f"{percentile(values, share):8.1f}" for share in (0.5, 0.95, 0.99))
        used = times.get(CPU + name, [])
        say(f"  {name:<39}{row}{statistics.fmean(used) if used else 0.0:13.1f}")
    return {name: statistics.median(values) for name, values in waited.items()}


@contextlib.contextmanager
def server(
    directory: Path, database: str = config.ClickHouse.database
) -> Iterator[tuple[config.ClickHouse, config.ClickHouse]]:
    """ClickHouse as the native stack runs it, with the tables: how its administrator and its `reader` reach it."""
    [port] = ports.free(1)
    password, reader_password = secrets.token_hex(8), secrets.token_hex(8)
    with running(clickhouse_service(directory / "data", port, password, reader_password), directory / "front.log"):
        settings = config.ClickHouse(port=port, password=password, database=database, timeout_seconds=3600)
        migrate.apply(config.Schema(), settings)
        yield settings, replace(settings, username="reader", password=reader_password)


@contextlib.contextmanager
def api(settings: config.ClickHouse, more: Mapping[str, str] | None = None) -> Iterator[httpx.Client]:
    """`logbrook query` as a process of its own, with `more` variables in its environment."""
    [port] = ports.free(1)
    environment = {
        **os.environ,
        "LOGBROOK_CLICKHOUSE_HOST": settings.host,
        "LOGBROOK_CLICKHOUSE_PORT": str(settings.port),
        "LOGBROOK_CLICKHOUSE_USERNAME": settings.username,
        "LOGBROOK_CLICKHOUSE_PASSWORD": settings.password,
        "LOGBROOK_CLICKHOUSE_DATABASE": settings.database,
        "LOGBROOK_QUERY_PORT": str(port),
        "LOGBROOK_QUERY_ALLOW_PRIVILEGED_USER": "true",
        "LOGBROOK_LOG_LEVEL": "WARNING",
        **(more or {}),
    }
    process = subprocess.Popen([sys.executable, "-m", "logbrook", "query"], env=environment)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:

        def ready() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return client.get("/readyz").status_code == 200
            return False

        until(ready)
        try:
            yield client
        finally:
            process.terminate()
            process.wait(20)


def run(arguments: argparse.Namespace, directory: Path) -> None:
    """The whole benchmark."""
    with server(directory, "bench") as (settings, reader):
        with api(reader if arguments.user == "reader" else settings) as door:
            bench = Bench(arguments.rows, settings, door)
            bench.load()
            bench.measure(2, bench.ask)
            medians = {"hot": report("hot", bench.measure(arguments.rounds, bench.ask))}
            medians["cold"] = report(
                "after a cache drop", bench.measure(max(3, arguments.rounds // 5), bench.ask, bench.drop_caches)
            )
            with bench.ingesting():
                medians["ingest"] = report(
                    f"while {INGEST_PER_SECOND:,} events/s are ingested", bench.measure(arguments.rounds, bench.ask)
                )
                bench.crowd(100, arguments.crowd_seconds)
            if not arguments.no_plain:
                bench.copy()
                medians["plain"] = plain(bench, settings, max(3, arguments.rounds // 10))
                ratio = sum(medians["plain"].values()) / sum(medians["hot"].values())
                say(f"\nall shapes together, by their medians: {ratio:.1f} times as fast as the plain table")
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(medians, indent=1))


def plain(bench: Bench, settings: config.ClickHouse, rounds: int) -> dict[str, float]:
    """The same shapes as SQL on the plain table, straight over ClickHouse's own HTTP interface."""
    headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": settings.password}
    url = f"http://127.0.0.1:{settings.port}"
    with httpx.Client(base_url=url, headers=headers, timeout=300, trust_env=False) as http:

        def ask(shape: Shape) -> httpx.Response:
            return http.post("/", params={"database": "plain"}, content=f"{shape.plain} FORMAT JSONCompact")

        return report("plain table, SQL straight to ClickHouse", bench.measure(rounds, ask))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS", "20000000")), help="events to load")
    parser.add_argument("--rounds", type=int, default=100, help="how often each shape is asked for")
    parser.add_argument("--user", choices=("default", "reader"), default="default", help="user of the API")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain table out")
    parser.add_argument("--crowd-seconds", type=float, default=60, help="how long 100 clients ask at once")
    parser.add_argument("--data", help="directory to keep the events in, for the next run")
    parser.add_argument("--json", help="file for the medians")
    arguments = parser.parse_args()
    if arguments.data:
        run(arguments, Path(arguments.data))
        return
    with tempfile.TemporaryDirectory(prefix="bench-query-", ignore_cleanup_errors=True) as directory:
        run(arguments, Path(directory))


if __name__ == "__main__":
    main()
