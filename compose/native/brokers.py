"""Real Kafka and ZooKeeper as plain processes: their settings, command lines and health checks."""

import shutil
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from native.failure import Failure
from native.processes import Service

HOST = "127.0.0.1"
_COMPOSE = Path(__file__).parent.parent
Settings = Mapping[str, object]
_LOGGING = """\
log4j.rootLogger={level}, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d{{ISO8601}}] %p %m (%c)%n
# Otherwise one line per request.
log4j.logger.kafka.request.logger=WARN
log4j.logger.org.apache.zookeeper.audit=WARN
"""


def zookeeper(
    directory: Path, jars: Path, port: int, *, level: str = "INFO", metrics_port: int | None = None
) -> Service:
    """ZooKeeper with its data in `directory`."""
    settings = {
        "dataDir": directory / "data",
        "clientPort": port,
        "clientPortAddress": HOST,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "ruok,srvr,mntr",
        "autopurge.snapRetainCount": 3,
        "autopurge.purgeInterval": 1,
        "maxClientCnxns": 0,
        "tickTime": 2000,
    }
    properties = _write(directory, "zookeeper.properties", settings)
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    command = [*_java(directory, jars, "192m", level, _agent("zookeeper", jars, metrics_port)), main, str(properties)]
    answers = partial(_answers_ruok, port)
    return Service("zookeeper", command, answers, port, alive=answers)


def kafka(  # noqa: PLR0913 - what a broker needs to know
    directory: Path,
    jars: Path,
    port: int,
    zookeeper_port: int,
    *,
    level: str = "INFO",
    settings: Settings | None = None,
    needs: tuple[str, ...] = (),
    metrics_port: int | None = None,
) -> Service:
    """One Kafka broker with its data in `directory`, coordinated by that ZooKeeper. `settings` are the broker's own."""
    properties = _write(
        directory, "server.properties", {**_kafka_settings(directory, port, zookeeper_port), **(settings or {})}
    )
    agent = _agent("kafka", jars, metrics_port)
    command = [*_java(directory, jars, "512m", level, agent), "kafka.Kafka", str(properties)]
    # A controlled shutdown tells ZooKeeper first. After a kill, ZooKeeper refuses the next broker until it has
    # forgotten the last one.
    return Service(
        "kafka",
        command,
        partial(_has_controller, port),
        port,
        needs=needs,
        attempts=4,
        stop_seconds=30,
        alive=partial(_answers_metadata, port),
    )


def _kafka_settings(directory: Path, port: int, zookeeper_port: int) -> dict[str, object]:
    return {
        "broker.id": 0,
        "listeners": f"PLAINTEXT://{HOST}:{port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "zookeeper.connect": f"{HOST}:{zookeeper_port}",
        # A killed broker is forgotten after this time and can come back.
        "zookeeper.session.timeout.ms": 6000,
        "zookeeper.connection.timeout.ms": 30000,
        "log.dirs": directory / "data",
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        "num.partitions": 8,
        "default.replication.factor": 1,
        # With one broker, Kafka's internal topics can only have one copy.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "min.insync.replicas": 1,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.retention.hours": 72,
        # Frees disk in small steps.
        "log.segment.bytes": 256 * 2**20,
        "log.cleaner.dedupe.buffer.size": 16 * 2**20,
        "controlled.shutdown.max.retries": 1,
    }


def _write(directory: Path, name: str, settings: Mapping[str, object]) -> Path:
    # Raw logs: nobody else on this machine may read them.
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    (directory / "data").mkdir(exist_ok=True)
    path = directory / name
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def _agent(name: str, jars: Path, port: int | None) -> list[str]:
    """Serves those of Java's own metrics that compose/<name>/metrics.yaml selects, for Prometheus."""
    if port is None:
        return []
    [jar] = jars.glob("jmx_prometheus_javaagent-*.jar")
    return [f"-javaagent:{jar}={HOST}:{port}:{_COMPOSE / name / 'metrics.yaml'}"]


def _java(directory: Path, jars: Path, heap: str, level: str, agent: list[str]) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise Failure("Java is not on PATH: Kafka and ZooKeeper need it.", "Install it: apt-get install openjdk-17-jre")
    logging = directory / "log4j.properties"
    logging.write_text(_LOGGING.format(level=level))
    return [
        java, *agent, f"-Xmx{heap}", "-Xms64m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50",
        "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Djava.awt.headless=true",
        "-Dzookeeper.jmx.log4j.disable=true", f"-Dlog4j.configuration=file:{logging}", "-cp", f"{jars}/*",
    ]  # fmt: skip


def _answers_ruok(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(b"ruok")
            return connection.recv(16) == b"imok"
    except OSError:
        return False


def _has_controller(port: int) -> bool:
    """Whether the broker answers and can create topics."""
    found = _metadata(port)
    return found is not None and bool(found.brokers) and found.controller_id >= 0


def _answers_metadata(port: int) -> bool:
    """Whether the broker answers at all, with or without ZooKeeper."""
    return _metadata(port) is not None


def _metadata(port: int) -> ClusterMetadata | None:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
        admin = AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0, "socket.timeout.ms": 2000})
        return admin.list_topics(timeout=2)
    except (OSError, KafkaException):
        return None
