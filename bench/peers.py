"""Logbrook beside VictoriaLogs in one run: `make bench-peers`; `make bench-quick` is a small run, as a smoke test.

Both store the same lines, those of `produce` and of the query benchmark, in the same batches, and then get the same
requests in turn. Their results are compared; if they differ, the row is void. Everything shares this machine's cores,
so only the ratios count: Logbrook's figure divided by VictoriaLogs'.
"""

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import ClassVar

import chdb
import httpx
import psutil
import structlog

from bench import pipeline_peers, query, query_data
from logbrook import clickhouse, config
from native import ports
from native.clickhouse import answers
from native.processes import Service
from tests.components import REPOSITORY, running
from tests.tools import build

# Merges have settled once no file has changed for this many seconds. VictoriaLogs writes its memory to disk after 5 s.
SETTLED_SECONDS = 8.0
WARM_UP_ROUNDS = 2
_PARTS = "FROM system.parts WHERE database = currentDatabase()"


class Logbrook:
    """ClickHouse as the native stack runs it, and the query API as its user `reader`."""

    name = "Logbrook"
    # Each of its processes has one of these in its command line.
    signs: ClassVar = ("native.front", "-m logbrook query")

    def __init__(self, settings: config.ClickHouse, api: httpx.Client) -> None:
        self.settings, self.api = settings, api
        self._client = clickhouse.connect(settings)

    @staticmethod
    def version() -> str:
        """The commit and the engine."""
        commit = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
        found = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
        return f"{found} on ClickHouse {chdb.engine_version}"

    @classmethod
    @contextmanager
    def running(cls, directory: Path) -> Iterator["Engine"]:
        """Run it without data, for the time of the block."""
        with query.server(directory) as (settings, reader), query.api(reader) as api:
            yield cls(settings, api)

    def store(self, messages: list[bytes], offset: int) -> None:
        """Store a batch in two inserts, into which the consumer divides one of this size."""
        half = -(-len(messages) // 2)
        for first in range(0, len(messages), half):
            body = pipeline_peers.arrivals(messages[first : first + half], offset + first)
            pipeline_peers.insert(self._client, body)

    def count(self) -> int:
        """The events that it has."""
        return int(self._scalar("SELECT count() FROM otel_logs"))

    def fresh_bytes(self) -> float:
        """Bytes an event in parts as they were inserted. Merged ones stay in the list for some minutes."""
        fresh = "sum(bytes_on_disk) / sum(rows)"
        return float(self._scalar(f"SELECT {fresh} {_PARTS} AND table = 'otel_logs' AND level = 0"))

    def bytes_on_disk(self) -> int:
        """The size of all tables: data, indexes, and projections."""
        return int(self._scalar(f"SELECT sum(bytes_on_disk) {_PARTS} AND active"))

    def is_merging(self) -> bool:
        """Whether a merge is running."""
        return self._scalar("SELECT count() FROM system.merges") != "0"

    def merge(self) -> None:
        """Merge everything into one part."""
        self._client.command("OPTIMIZE TABLE otel_logs FINAL")

    def ask(self, shape: query.Shape) -> bytes:
        """The whole answer."""
        return self.api.get(f"/v1/{shape.path}", params=shape.parameters).raise_for_status().content

    def hits(self, shape: query.Shape, answer: bytes) -> list[str]:
        """What was found: the events, or the counts, or the values."""
        answered = json.loads(answer)
        match shape.path:
            case "histogram":
                found = [each for series in answered["series"] for each in series["counts"] if each]
            case "stats":
                found = [each["errors"] for each in answered["services"] if each["errors"]]
            case "values":
                found = [each["value"] for each in answered["values"]]
            case _:
                found = [each["span_id"] for each in answered["events"]]
        return sorted(map(str, found))

    def _scalar(self, sql: str) -> str:
        return str(self._client.query(sql).result_rows[0][0])


class VictoriaLogs:
    """One process with its defaults (github.com/VictoriaMetrics/VictoriaLogs, docs/victorialogs)."""

    name = "VictoriaLogs"
    signs: ClassVar = ("-storageDataPath",)
    # Streams are services alone. Pods and nodes, which the query benchmark draws for each event, cost bytes and time.
    _fields: ClassVar = {"_stream_fields": "resource.service.name", "_time_field": "timestamp", "_msg_field": "body"}

    def __init__(self, http: httpx.Client, data: Path) -> None:
        self._http, self._data = http, data

    @staticmethod
    def version() -> str:
        """The version that the program prints."""
        command = [str(build.find("victoria-logs")), "-version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @classmethod
    @contextmanager
    def running(cls, directory: Path) -> Iterator["Engine"]:
        """Run it without data, for the time of the block."""
        [port] = ports.free(1)
        data = directory / "victoria-logs"
        options = [f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=30d"]
        command = [str(build.find("victoria-logs")), *options]
        service = Service("victoria-logs", command, lambda: answers(port, "/health"), port)
        with (
            running(service, directory / "victoria-logs.log"),
            # The query API does not compress its answers either.
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Accept-Encoding": "identity"},
                timeout=3600,
                trust_env=False,
            ) as http,
        ):
            yield cls(http, data)

    def store(self, messages: list[bytes], _offset: int) -> None:
        """Store a batch in one request."""
        self._http.post("/insert/jsonline", params=self._fields, content=b"\n".join(messages)).raise_for_status()

    def count(self) -> int:
        """The events that it has."""
        return int(json.loads(self._query("* | stats count() hits"))["hits"])

    def fresh_bytes(self) -> float:
        """Bytes an event as soon as all are on disk, which is after the first merges."""
        while self._metric(r'vl_(?:pending_rows\{type="storage"|storage_rows\{type="storage/inmemory")\}'):
            time.sleep(0.5)
        return self.bytes_on_disk() / self.count()

    def bytes_on_disk(self) -> int:
        """The size of all files."""
        total = 0
        for directory, _, names in os.walk(self._data):
            for name in names:
                # A merge may just have removed it.
                with suppress(FileNotFoundError):
                    total += Path(directory, name).stat().st_size
        return total

    def is_merging(self) -> bool:
        """Whether a merge is running."""
        return self._metric(r"vl_active_(?:force_)?merges\S*") > 0

    def merge(self) -> None:
        """Begin to merge everything into one part for each day of the events."""
        self._http.get("/internal/force_merge").raise_for_status()

    def ask(self, shape: query.Shape) -> bytes:
        """The whole answer."""
        return self._query(shape.logsql)

    def hits(self, shape: query.Shape, answer: bytes) -> list[str]:
        """What was found: the events, or the counts, or the values."""
        match shape.path:
            case "histogram" | "stats":
                column = "hits"
            case "values":
                column = shape.parameters["field"].replace("attr.", "attributes.")
            case _:
                column = "span_id"
        return sorted(json.loads(line)[column] for line in answer.splitlines())

    def _query(self, logsql: str) -> bytes:
        return self._http.post("/select/logsql/query", data={"query": logsql}).raise_for_status().content

    def _metric(self, pattern: str) -> float:
        return sum(map(float, re.findall(rf"^{pattern} (\S+)$", self._http.get("/metrics").text, re.MULTILINE)))


Engine = Logbrook | VictoriaLogs


@dataclass(frozen=True)
class Row:
    """A row of the table: by engine, one figure or several."""

    work: str
    unit: str
    figures: dict[str, list[float]]
    void: str = ""

    @property
    def ratio(self) -> list[float | None]:
        """Logbrook's figures divided by VictoriaLogs'; empty in a void row, or without VictoriaLogs."""
        if self.void or len(self.figures) < 2:
            return []
        return [ours / theirs if theirs else None for ours, theirs in zip(*self.figures.values(), strict=True)]

    def __str__(self) -> str:
        figures = (" / ".join(f"{each:,.1f}" for each in some) for some in self.figures.values())
        ratio = " / ".join("?" if each is None else f"{each:.2f}" for each in self.ratio)
        return f"| {' | '.join([self.work, self.unit, *figures, self.void or ratio])} |"


def stored(corpus: str, engines: list[Engine], batches: Iterator[list[bytes]], count: int) -> Iterator[Row]:
    """Store a corpus in each engine, and wait until the merges have settled: what that takes."""
    before = {engine.name: query.processor_seconds(*engine.signs) for engine in engines}
    offset = 0
    for messages in batches:
        for engine in engines:
            engine.store(messages, offset)
        offset += len(messages)
    fresh = {engine.name: [engine.fresh_bytes()] for engine in engines}
    used = {name: [(seconds - before[name]) / count * 1e6] for name, seconds in settled(engines).items()}
    found = {engine.name: engine.count() for engine in engines}
    void = "" if set(found.values()) == {count} else f"void: of {count} events, there are {found}"
    yield Row(f"{corpus}, stored and merged", "processor time an event, µs", used, void)
    yield Row(f"{corpus}, fresh", "B an event", fresh, void)
    yield Row(f"{corpus}, merges settled", "B an event", sizes(engines, count), void)


def settled(engines: list[Engine]) -> dict[str, float]:
    """Wait until the merges have settled; the processor time that each had used when its files last changed."""
    used: dict[str, float] = {}
    known: dict[str, int] = {}
    since = time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        for engine in engines:
            size = engine.bytes_on_disk()
            if size != known.get(engine.name) or engine.is_merging():
                known[engine.name], since = size, time.monotonic()
                used[engine.name] = query.processor_seconds(*engine.signs)
        time.sleep(0.5)
    return used


def merged(corpus: str, engines: list[Engine], count: int) -> Row:
    """Bytes an event in as few parts as possible."""
    for engine in engines:
        engine.merge()
    settled(engines)
    return Row(f"{corpus}, in one part", "B an event", sizes(engines, count))


def sizes(engines: list[Engine], count: int) -> dict[str, list[float]]:
    """Bytes an event that each takes now."""
    return {engine.name: [engine.bytes_on_disk() / count] for engine in engines}


def searched(bench: query.Bench, engines: list[Engine], rounds: int) -> Iterator[Row]:
    """How long an answer to each shape takes; the engines take turns in being asked first."""
    waited: dict[str, dict[str, list[float]]] = defaultdict(lambda: {engine.name: [] for engine in engines})
    used: dict[str, dict[str, list[float]]] = defaultdict(lambda: {engine.name: [] for engine in engines})
    void: dict[str, str] = {}
    for number in range(-WARM_UP_ROUNDS, rounds):
        for shape in (each for each in bench.shapes() if each.logsql):
            found: dict[str, list[str]] = {}
            for engine in engines[:: -1 if number % 2 else 1]:
                before, began = query.processor_seconds(*engine.signs), time.perf_counter()
                answer = engine.ask(shape)
                seconds = time.perf_counter() - began
                if number >= 0:
                    waited[shape.name][engine.name].append(seconds * 1000)
                    used[shape.name][engine.name].append((query.processor_seconds(*engine.signs) - before) * 1000)
                found[engine.name] = engine.hits(shape, answer)
            if len({tuple(hits) for hits in found.values()}) > 1:
                counts = {name: len(hits) for name, hits in found.items()}
                void[shape.name] = f"void: not the same hits, {counts}, for {shape.path} {shape.parameters}"
    for name, times in waited.items():
        figures = {
            engine: [*(query.percentile(each, share) for share in (0.5, 0.95)), fmean(used[name][engine])]
            for engine, each in times.items()
        }
        yield Row(name, "P50 / P95 / processor time, ms", figures, void.get(name, ""))


def measured(kinds: list[type[Engine]], rows: int, events: int, rounds: int) -> Iterator[Row]:
    """All rows, each as soon as it is measured."""
    with started(kinds) as engines:
        yield from stored("`produce`", engines, pipeline_peers.messages(events), events)
        yield merged("`produce`", engines, events)
    with started(kinds) as engines:
        [ours] = [engine for engine in engines if isinstance(engine, Logbrook)]
        bench = query.Bench(rows, ours.settings, ours.api)
        yield from stored("query benchmark", engines, query_data.messages(rows, bench.start, bench.step), rows)
        yield from searched(bench, engines, rounds)
        yield merged("query benchmark", engines, rows)


@contextmanager
def started(kinds: list[type[Engine]]) -> Iterator[list[Engine]]:
    """Run all engines without data, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as name, ExitStack() as stack:
        yield [stack.enter_context(kind.running(Path(name))) for kind in kinds]


def machine() -> str:
    """The processors, the memory, and the load of this machine."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory, load = psutil.virtual_memory().total / 2**30, os.getloadavg()[0]
    return f"{psutil.cpu_count()} x {model[1] if model else '?'}, {memory:.0f} GiB, load at the start {load:.1f}"


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="events of the query benchmark")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of `produce`")
    parser.add_argument("--rounds", type=int, default=100, help="how often each shape is asked for")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    kinds: list[type[Engine]] = [Logbrook]
    if build.find("victoria-logs"):
        kinds.append(VictoriaLogs)
    else:
        print(f"VictoriaLogs is left out. This {build.missing('victoria-logs')}\n")
    names = [kind.name for kind in kinds]
    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "command": " ".join(["python -m bench.peers", *sys.argv[1:]]),
        **{kind.name: kind.version() for kind in kinds},
    }
    print(*(f"{name}: {value}" for name, value in about.items()), sep="; ")
    print(f"\n| {' | '.join(['Work', 'Unit', *names, 'Ratio'])} |\n|---|---|{'---:|' * len(names)}---:|", flush=True)
    rows = []
    for row in measured(kinds, given.rows, given.events, given.rounds):
        print(row, flush=True)
        rows.append(asdict(row) | {"ratio": row.ratio})
    if given.json:
        Path(given.json).write_text(json.dumps(about | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
