"""Programs that run with a recipe, and what others print with one; a Collector between a source and the gateway."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fluent import sender
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.collector import collector
from tests.e2e.pipeline import Pipeline
from tests.e2e.shippers import COUNT, NANOSECONDS, TIME
from tests.recipes import rsyslog

GATEWAY = (collector.CONFIGURATIONS / "gateway.yaml").read_text()
SOURCES = ("files", "syslog", "forward", "docker", "pods", "otlp")


@dataclass(frozen=True)
class Edge:
    """A running Collector: the address on which it listens, and the directory of all that it reads."""

    host: str
    files: Path


@dataclass(frozen=True)
class Place:
    """Where a recipe is run: before a pipeline, in a directory, with a Collector for a gateway.yaml if it needs one."""

    pipeline: Pipeline
    directory: Path
    edge: Callable[[str], Edge]


def program(command: Sequence[str | Path], place: Place) -> str:
    """What a program prints, which must succeed."""
    environment = os.environ | {"LOGBROOK_TOKEN": place.pipeline.token, "OTEL_EXPORTER_OTLP_TIMEOUT": "5"}
    done = subprocess.run(command, cwd=place.directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def moved(block: str, pipeline: Pipeline) -> str:
    """A recipe with the addresses and the token of the test's stack."""
    block = block.replace("http://127.0.0.1:4318", pipeline.gateway_url).replace(
        "127.0.0.1:9092", pipeline.kafka.bootstrap_servers
    )
    return block.replace("Bearer TOKEN", f"Bearer {pipeline.token}")


def python(code: str) -> Sequence[str]:
    """Run as a program."""
    return sys.executable, "-c", code


def shell(commands: str) -> Sequence[str]:
    """Run as a script."""
    return "bash", "-euo", "pipefail", "-c", commands


def printed_by_python(use: str) -> Callable[[str, Place], str]:
    """What a program prints with a block, and `use` after it."""
    return lambda block, place: program(python(block + use), place)


def printed_by_go(block: str, place: Place) -> str:
    """The JSON handler of Go's own library."""
    if shutil.which("go") is None:
        pytest.skip("needs Go: https://go.dev/dl")
    (place.directory / "go.mod").write_text("module recipe\n\ngo 1.22\n")
    use = f'for n := range {COUNT} {{\nslog.Error(fmt.Sprintf("number %d", n), "item", n)\n}}\n'
    imports = 'import (\n"fmt"\n"log/slog"\n"os"\n)\n'
    (place.directory / "main.go").write_text(f"package main\n{imports}func main() {{\n{block}{use}}}\n")
    return program(["go", "run", "."], place)


def printed_by_nginx(block: str, *_: object) -> str:
    """The format, filled in as nginx does with escape=json: quotes, backslashes and control characters are escaped.

    https://github.com/nginx/nginx/blob/release-1.26.2/src/http/modules/ngx_http_log_module.c
    """
    values = {
        "time_iso8601": "2026-11-28T10:15:02+01:00",
        "request": 'GET /a"b\\c?d={n} HTTP/1.1',
        "status": "502",
        "request_method": "GET",
        "uri": '/a"b\\c',
        "body_bytes_sent": "157",
        "request_time": "0.214",
        "remote_addr": "203.0.113.9",
        "http_user_agent": "curl/8.5.0",
    }
    form = "".join(re.findall(r"'([^']*)'", block))
    line = re.sub(r"\$(\w+)", lambda match: json.dumps(values.pop(match[1]))[1:-1], form)
    assert values == {}
    return "".join(line.replace("{n}", str(n)) + "\n" for n in range(COUNT))


def printed_by_envoy(block: str, *_: object) -> str:
    """The format, filled in: a value that is one operator keeps its type, any other is a text.

    https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#format-dictionaries
    """
    [log] = yaml.safe_load(block)["access_log"]
    form = log["typed_config"]["log_format"]["json_format"]
    values: dict[str, str | int] = {
        "START_TIME": "2026-11-28T09:15:02.417Z",
        "REQ(:METHOD)": "GET",
        "RESPONSE_CODE": 503,
        "DURATION": 214,
        "TRACE_ID": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    lines = []
    for n in range(COUNT):
        own = values | {"REQ(X-ENVOY-ORIGINAL-PATH?:PATH)": f"/number/{n}"}
        line = {
            name: own.get(text.strip("%")) or re.sub(r"%(.+?)%", lambda found: str(own[found[1]]), text)  # noqa: B023
            for name, text in form.items()
        }
        lines.append(json.dumps(line) + "\n")
    return "".join(lines)


def printed_by_postgres(block: str, *_: object) -> str:
    """What `jsonlog` writes of an error, in the zone of the settings.

    https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/error/jsonlog.c
    """
    settings = dict(re.findall(r"^(\w+) = '?([^'\n]+)'?$", block, re.M))
    assert (settings["log_destination"], settings["logging_collector"]) == ("jsonlog", "on")
    line = {
        "timestamp": f"2026-11-28 09:15:02.417 {settings['log_timezone']}",
        "user": "app",
        "dbname": "shop",
        "pid": 4711,
        "session_id": "6741d0c6.1267",
        "line_num": 1,
        "ps": "INSERT",
        "session_start": f"2026-11-28 09:15:02 {settings['log_timezone']}",
        "vxid": "3/2",
        "txid": 0,
        "error_severity": "ERROR",
        "state_code": "23505",
        "message": None,
        "application_name": "psql",
        "backend_type": "client backend",
        "query_id": 0,
    }
    return "".join(json.dumps(line | {"message": f"number {n}"}) + "\n" for n in range(COUNT))


def by_rsyslog(block: str, place: Place) -> None:
    """The real rsyslog passes on what it gets by syslog."""
    before = place.pipeline.position()
    actions = moved(block, place.pipeline)
    if "omfwd" in actions:
        actions = actions.replace('target="127.0.0.1"', f'target="{place.edge(GATEWAY).host}"')
    with rsyslog(place.directory, actions) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            for n in range(COUNT):
                connection.sendall(b'<11>Nov 28 09:15:02 web-1 backup[4711]: a "quoted" line %d\n' % n)
        before.wait_for(COUNT)


@contextmanager
def collecting(
    gateway: str,
    pipeline: Pipeline,
    directory: Path,
    sources: Sequence[str] = SOURCES,
    overrides: dict[str, Any] | None = None,
) -> Iterator[Edge]:
    """A Collector with sources of compose/collector, and with `gateway` for gateway.yaml."""
    files, host = directory / "files", collector.loopback()
    files.mkdir()
    (directory / "gateway.yaml").write_text(gateway)
    every = [directory / "gateway.yaml", *(collector.CONFIGURATIONS / f"{source}.yaml" for source in sources)]
    port = int(pipeline.gateway_url.rpartition(":")[2])
    with collector.started(
        directory,
        port,
        pipeline.token,
        *every,
        overrides=overrides,
        COLLECTOR_HOST=host,
        COLLECTOR_FILES=f"[{files}/*.log]",
        COLLECTOR_CONTAINERS=f"{files}/containers",
        COLLECTOR_PODS=f"{files}/pods",
    ) as process:
        collector.ready(directory, process)
        yield Edge(host, files)


def to_files(edge: Edge) -> None:
    """Lines of a log file."""
    (edge.files / "shop.log").write_text("".join(f"WARN number {n}\n" for n in range(COUNT)))


def to_syslog(edge: Edge) -> None:
    """Lines of RFC 5424."""
    with socket.create_connection((edge.host, 5514), timeout=30) as connection:
        for n in range(COUNT):
            connection.sendall(f"<12>1 {TIME} web-1 shop 4711 ID47 - number {n}\n".encode())


def to_forward(edge: Edge) -> None:
    """Fluentd's own client for Python."""
    client = sender.FluentSender("shop", host=edge.host, port=24224)
    assert all(client.emit(None, {"message": f"number {n}", "level": "warn"}) for n in range(COUNT))
    client.close()


def to_docker(edge: Edge) -> None:
    """The file of Docker's log driver."""
    folder = edge.files / "containers" / ("4f" * 32)
    folder.mkdir(parents=True)
    line = {"stream": "stderr", "attrs": {"tag": "shop"}, "time": TIME}
    lines = (json.dumps({"log": f"WARN number {n}\n", **line}) + "\n" for n in range(COUNT))
    (folder / f"{folder.name}-json.log").write_text("".join(lines))


def to_pods(edge: Edge) -> None:
    """The file of a container of a pod."""
    folder = edge.files / "pods" / "default_shop-7d4b9_1c7f-42" / "shop"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("".join(f"{TIME} stdout F WARN number {n}\n" for n in range(COUNT)))


def to_otlp(edge: Edge) -> None:
    """OpenTelemetry's exporter, over gRPC."""
    provider = LoggerProvider(resource=Resource({"service.name": "shop"}))
    exporter = OTLPLogExporter(endpoint=f"http://{edge.host}:4317", insecure=True)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    for n in range(COUNT):
        provider.get_logger("a").emit(timestamp=NANOSECONDS, severity_text="WARN", body=f"number {n}")
    provider.shutdown()


def by_journal(gateway: str, place: Place) -> None:
    """A journal's entries, read by the real journalctl."""
    remote = Path("/usr/lib/systemd/systemd-journal-remote")
    if not remote.exists() or shutil.which("journalctl") is None:
        pytest.skip("needs systemd-journal-remote: apt-get install systemd-journal-remote")
    exported = "".join(
        f"__REALTIME_TIMESTAMP={NANOSECONDS // 1000}\n__MONOTONIC_TIMESTAMP={n + 1}\n_BOOT_ID={'01' * 16}\n"
        f"_SYSTEMD_UNIT=shop\nPRIORITY=4\nMESSAGE=number {n}\n\n"
        for n in range(COUNT)
    )
    journal = place.directory / "journal"
    journal.mkdir()
    command = [str(remote), f"--output={journal}/remote.journal", "-"]
    subprocess.run(command, input=exported.encode(), check=True, capture_output=True, timeout=30)
    before, overrides = place.pipeline.position(), {"receivers": {"journald": {"directory": str(journal)}}}
    with collecting(gateway, place.pipeline, place.directory, ["journald"], overrides):
        before.wait_for(COUNT)


def through_collector(feed: Callable[[Edge], None]) -> Callable[[str, Place], None]:
    """Feed a Collector, and wait until everything has arrived."""

    def run(gateway: str, place: Place) -> None:
        before = place.pipeline.position()
        feed(place.edge(gateway))
        before.wait_for(COUNT)

    return run
