"""The local stack's processes: the order in which they start, and what each is started with."""

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from native import brokers, prometheus
from native.clickhouse import ALIVE_TIMEOUT_SECONDS, answers, clickhouse
from native.environment import Environment
from native.processes import Service

AUDIT_EVERY_SECONDS = 300
# The shipper touches its positions several times a second, unless it waits for the gateway.
_SHIP_SECONDS = 30.0
RULES = Path(__file__).parent.parent / "alerts.yaml"
# The processes whose logs are shipped through the stack itself. Not the shipper's own: that would never end.
SHIPPED = ("zookeeper", "kafka", "clickhouse", "gateway", "consumer", "query", "audit", "alert")


def services(environment: Environment, jars: Path) -> list[Service]:
    """All processes, each after those that it needs."""
    state, ports = environment.state, environment.ports
    data = state / "data"
    own = environment.for_service
    grpc = {"LOGBROOK_GATEWAY_GRPC_PORT": str(ports.gateway_grpc)}
    reader = {**environment.reader, "LOGBROOK_QUERY_ALERTS_URL": f"http://127.0.0.1:{ports.alert}"}
    program = prometheus.installed()
    if program:
        reader["LOGBROOK_QUERY_PROMETHEUS_URL"] = f"http://127.0.0.1:{ports.prometheus}"
    query = {**own("query"), **reader, "LOGBROOK_QUERY_VIEWS_PASSWORD": environment.views_password}
    alert = {
        "LOGBROOK_ALERT_RULES": str(RULES),
        "LOGBROOK_ALERT_STATE": str(data / "alert" / "state"),
        "LOGBROOK_ALERT_EXPLORER_URL": f"http://127.0.0.1:{ports.query}",
        **own("alert"),
        **reader,
    }
    audit = {**own("audit"), "LOGBROOK_CONSUMER_HEALTH_PORT": str(ports.audit)}
    found = [
        brokers.zookeeper(data / "zookeeper", jars, ports.zookeeper, metrics_port=ports.zookeeper_metrics),
        brokers.kafka(
            data / "kafka", jars, ports.kafka, ports.zookeeper, needs=("zookeeper",), metrics_port=ports.kafka_metrics
        ),
        clickhouse(
            data / "clickhouse",
            ports.clickhouse,
            environment.password,
            environment.reader_password,
            environment.views_password,
        ),
        _logbrook("migrate", own("migrate"), once=True, needs=("kafka", "clickhouse")),
        _logbrook("gateway", {**own("gateway"), **grpc}, port=ports.gateway, needs=("kafka", "migrate")),
        _logbrook("consumer", own("consumer"), port=ports.consumer, needs=("kafka", "clickhouse", "migrate")),
        _logbrook("query", query, port=ports.query, needs=("clickhouse", "migrate")),
        _logbrook("alert", alert, port=ports.alert, needs=("clickhouse", "migrate")),
        _audit(audit, ports.audit),
    ]
    if program:
        found.append(prometheus.prometheus(program, data / "prometheus", ports))
    shipped = [service.name for service in found if service.name in SHIPPED]
    found.append(_ship(state, own("ship"), shipped, ports.gateway))
    return found


def log_file(state: Path, name: str) -> Path:
    """Where a process's output goes."""
    return state / "logs" / f"{name}.log"


def _logbrook(
    command: str, environment: Mapping[str, str], *, needs: tuple[str, ...], port: int | None = None, once: bool = False
) -> Service:
    return Service(
        command,
        [sys.executable, "-m", "logbrook", command],
        lambda: port is None or answers(port, "/readyz"),
        port,
        environment,
        needs=needs,
        once=once,
        alive=partial(answers, port, "/healthz", ALIVE_TIMEOUT_SECONDS) if port else None,
    )


def _audit(environment: Mapping[str, str], port: int) -> Service:
    """Whether anything is lost, checked repeatedly."""
    command = [sys.executable, "-m", "logbrook", "audit", f"--every={AUDIT_EVERY_SECONDS}"]
    healthy = partial(answers, port, "/healthz")
    return Service("audit", command, healthy, port, environment, needs=("gateway", "consumer"), alive=healthy)


def _ship(state: Path, environment: Mapping[str, str], names: list[str], gateway_port: int) -> Service:
    """The stack's own logs, on their way into itself: real input from the first minute."""
    positions = state / "data" / "ship" / "positions.json"
    positions.parent.mkdir(parents=True, exist_ok=True)
    files = [f"--file={log_file(state, name)}" for name in names]
    options = ("--follow", "--to=gateway", "--service={file}", f"--state={positions}", *files)
    command = [sys.executable, "-m", "logbrook", "produce", *options]

    def alive() -> bool:
        moves = positions.exists() and time.time() - positions.stat().st_mtime < _SHIP_SECONDS
        return moves or not answers(gateway_port, "/readyz")

    return Service("ship", command, positions.exists, None, environment, needs=("gateway",), alive=alive)
