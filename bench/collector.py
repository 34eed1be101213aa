"""What the Collector's processors cost: events for each second of CPU, with each of them and without any.

    python -m bench.collector [--seconds 3]

With PYTHONPATH=service:compose:. and OPTIMIZED=1, as `make bench-collector` sets them. For each file of
compose/collector/processors, the input of its test goes to a Collector without the processors and to one with them, in
turns, as OTLP's JSON; the best of three turns counts. Behind them is a server that answers 200 and looks at nothing.
Compare what stands in one row only.
"""

import argparse
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import yaml

from native import ports
from tests.collector.collector import PROCESSORS, processors_of
from tests.collector.test_processors import CASES, records
from tests.components import until
from tests.tools import build

RECORDS_PER_REQUEST = 1000


class _Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take anything."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def gateway() -> Iterator[int]:
    """Its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def collector(directory: Path, to: int, file: Path, names: list[str]) -> Iterator[tuple[int, psutil.Process]]:
    """A Collector with these processors: the port of its OTLP receiver, and its process."""
    [port] = ports.free(1)
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {
            "otlp_http": {
                "endpoint": f"http://127.0.0.1:{to}",
                "compression": "none",
                "sending_queue": {"enabled": False},
            }
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "processors": names, "exporters": ["otlp_http"]}},
        },
    }
    own = directory / f"{port}.yaml"
    own.write_text(yaml.safe_dump(config))
    said = directory / f"{port}.log"
    program = build.find("otelcol")
    assert program, build.missing("otelcol")
    with said.open("wb") as log:
        process = subprocess.Popen([program, f"--config={file}", f"--config={own}"], stdout=log, stderr=log)
    try:
        until(lambda: "Everything is ready" in said.read_text())
        yield port, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def body(name: str) -> bytes:
    """A request of the records of a case, again and again."""
    each = records(CASES / name)
    many = [each[number % len(each)] for number in range(RECORDS_PER_REQUEST)]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": many}]}]}).encode()


def events_for_a_second(port: int, process: psutil.Process, content: bytes, seconds: float) -> float:
    """Send for so long; the events that one second of its CPU was good for."""
    url, headers = f"http://127.0.0.1:{port}/v1/logs", {"content-type": "application/json"}
    with httpx.Client(timeout=30) as client:
        client.post(url, content=content, headers=headers).raise_for_status()
        before, requests, end = process.cpu_times(), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            client.post(url, content=content, headers=headers).raise_for_status()
            requests += 1
    after = process.cpu_times()
    return requests * RECORDS_PER_REQUEST / (after.user + after.system - before.user - before.system)


def main() -> None:
    """Measure, and print a row for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    seconds = parser.parse_args().seconds
    print("| Processors | Events a CPU second without them | With them | Microseconds an event |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name, gateway() as to:
        for file in PROCESSORS:
            content = body(file.stem)
            with (
                collector(Path(name), to, file, []) as without,
                collector(Path(name), to, file, processors_of(file)) as having,
            ):
                rates = [0.0, 0.0]
                for _ in range(3):
                    for index, (port, process) in enumerate((without, having)):
                        rates[index] = max(rates[index], events_for_a_second(port, process, content, seconds / 3))
            cost = (1 / rates[1] - 1 / rates[0]) * 1e6
            print(f"| {', '.join(processors_of(file))} | {rates[0]:,.0f} | {rates[1]:,.0f} | {cost:.1f} |", flush=True)


if __name__ == "__main__":
    main()
