"""What runs where, shown at the end of `up`; and what `status` shows."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from logbrook import __version__, clickhouse
from logbrook.errors import UnavailableError
from native import jars, prometheus, stack, status
from native.clickhouse import answers
from native.environment import Environment
from native.processes import Service, tail

_WAIT_FOR_EVENTS_SECONDS = 30.0
_COLOURS = {"ready": "green", "done": "green", "failed": "red", "backing off": "red", "not answering": "red"}


def show(settings: Environment, way: str, console: Console) -> None:
    """The end of `up`: addresses, versions, what has arrived, and what to try."""
    ports = settings.ports
    engine, events = _arrived(settings)
    own = f"Logbrook {__version__}"
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    if answers(ports.query, "/healthz"):
        table.add_row("Explorer, API", f"http://127.0.0.1:{ports.query}", own)
    table.add_row("Gateway", f"http://127.0.0.1:{ports.gateway}", own)
    table.add_row("OTLP over gRPC", f"127.0.0.1:{ports.gateway_grpc}", own)
    table.add_row("ClickHouse", f"http://127.0.0.1:{ports.clickhouse}", engine)
    if way == "native":
        table.add_row("Consumer", f"http://127.0.0.1:{ports.consumer}/metrics", own)
        table.add_row("Kafka", f"127.0.0.1:{ports.kafka}", jars.version("kafka"))
        table.add_row("ZooKeeper", f"127.0.0.1:{ports.zookeeper}", jars.version("zookeeper"))
        missing = f"not installed: {prometheus.INSTALL}"
        watched = f"http://127.0.0.1:{ports.prometheus}"
        table.add_row("Prometheus", watched if prometheus.installed() else missing, "figures, alerts")
    else:
        table.add_row("Kafka", f"127.0.0.1:{ports.kafka}", "cp-kafka 7.9 (Kafka 3.9), with ZooKeeper")
        table.add_row("Prometheus", f"http://127.0.0.1:{ports.prometheus}", "figures, alerts")
        grafana = settings.variables.get("LOGBROOK_GRAFANA_PORT", "3000")
        table.add_row("Grafana", f"http://127.0.0.1:{grafana}", "dashboards")
    table.add_row("Passwords", str(settings.env_file), "readable by you alone")
    console.print()
    console.print(table, highlight=False)
    arrived = f"[bold]{events:,}[/] events have arrived, the logs of these processes among them."
    console.print(f"\n{arrived}\n\nTry next:", highlight=False, soft_wrap=True)
    for line in _suggestions(settings):
        console.print(f"  {escape(line)}", style="cyan", highlight=False, soft_wrap=True)


def rows(settings: Environment, services: list[Service]) -> list["Row"]:
    """The current state of every process."""
    running = status.read(settings.state)
    last = running or status.last(settings.state)
    found = []
    for service in services:
        known = last.processes.get(service.name) if last else None
        found.append(_row(service, known, settings.state, is_running=running is not None))
    return found


@dataclass(frozen=True)
class Row:
    """One process in the table of `status`."""

    name: str
    state: str
    pid: int | None
    port: int | None
    uptime_seconds: float | None
    memory_bytes: int | None
    restarts: int
    last_line: str

    @property
    def ok(self) -> bool:
        """Whether it does what it should."""
        return self.state in ("ready", "done")


def tell(found: list[Row], console: Console) -> None:
    """The table of `status`, which fits into 80 columns; below it, why a process does not do what it should."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("process", "state", "pid", "port", "up", "memory", "restarts"):
        table.add_column(heading, no_wrap=True)
    for row in found:
        table.add_row(
            row.name,
            f"[{_COLOURS.get(row.state, 'yellow')}]{row.state}[/]",
            str(row.pid or ""),
            str(row.port or ""),
            _duration(row.uptime_seconds),
            f"{row.memory_bytes / 2**20:,.0f} MiB" if row.memory_bytes else "",
            str(row.restarts or ""),
        )
    console.print(table)
    for row in found:
        if row.last_line:
            console.print(f"[bold]{row.name}[/]: {escape(row.last_line[:160])}", highlight=False, soft_wrap=True)


def _row(service: Service, known: status.ProcessStatus | None, state: Path, *, is_running: bool) -> Row:
    if known is None or not is_running:
        known = status.ProcessStatus(state="failed" if known is not None and known.state == "failed" else "stopped")
    now = known.state
    if now == "ready" and not service.ready():
        now = "not answering"
    memory = None
    if known.pid is not None:
        try:
            memory = psutil.Process(known.pid).memory_info().rss
        except psutil.NoSuchProcess:
            now = "ended"
    # Why, as far as the supervisor knows; otherwise the last line that it printed.
    reason = known.reason.partition("\n")[0]
    line = reason or ("" if now in ("ready", "done", "stopped") else tail(stack.log_file(state, service.name), 1))
    up = time.time() - known.started_at if known.started_at and known.pid else None
    return Row(service.name, now, known.pid, service.port, up, memory, known.restarts, line)


def _arrived(settings: Environment) -> tuple[str, int]:
    """The engine's version, and the number of events stored; waits a moment for the first."""
    deadline = time.monotonic() + _WAIT_FOR_EVENTS_SECONDS
    try:
        client = clickhouse.connect(settings.clickhouse)
        while True:
            version, events = client.query("SELECT version(), (SELECT count() FROM otel_logs)").result_rows[0]
            if events or time.monotonic() > deadline:
                return str(version), int(events)
            time.sleep(0.1)
    except (UnavailableError, clickhouse.ClickHouseError):
        return "(does not answer)", 0


def _suggestions(settings: Environment) -> list[str]:
    """Lines that work exactly as they are printed."""
    # Not among the arguments of curl, which everybody on this machine can see.
    token = f"sed -n 's/^LOGBROOK_TOKEN=/Authorization: Bearer /p' {settings.env_file}"
    event = """'{"service": "me", "level": "warn", "message": "hello, Logbrook"}'"""
    return [
        f"{token} | curl -H @- -d {event} http://127.0.0.1:{settings.ports.gateway}/ingest",
        "make local-sql SQL='SELECT Timestamp, ServiceName, SeverityText, Body FROM otel_logs "
        "ORDER BY Timestamp DESC LIMIT 10'",
        "make produce ARGS='--count 100000 --to gateway'",
        "make local-status    make local-logs    make local-down",
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
