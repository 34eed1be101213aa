"""The real thing on one machine: ZooKeeper, Kafka and the ClickHouse engine, and the product's own processes.

One stack serves all tests; each test takes a `Place` on it: a topic, a database and a group of its own.
"""

import secrets
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Consumer, KafkaException, TopicPartition

from logbrook import clickhouse, config, migrate
from logbrook.kafka import client_config
from native import brokers, jars, ports
from native.clickhouse import clickhouse as clickhouse_front
from native.processes import Service
from tests.faults.processes import REPOSITORY, Process, answers, free_port, until

# Long enough for a busy machine, short enough that a killed member is missed within seconds.
SESSION_SECONDS = 2.0


@dataclass
class Stack:
    """ZooKeeper, Kafka and ClickHouse as processes below one directory."""

    directory: Path
    password: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.places = list[Place]()
        self.zookeeper_port, self.kafka_port, self.clickhouse_port = ports.free(3)
        libraries = jars.ensure(REPOSITORY / ".local" / "jars")
        where = self.directory
        self.zookeeper = self._process(
            brokers.zookeeper(where / "zookeeper", libraries, self.zookeeper_port, level="WARN")
        )
        settings = {"group.min.session.timeout.ms": 1000, "zookeeper.session.timeout.ms": 4000}
        self.kafka = self._process(
            brokers.kafka(
                where / "kafka", libraries, self.kafka_port, self.zookeeper_port, level="WARN", settings=settings
            )
        )
        self.clickhouse = self._process(clickhouse_front(self.clickhouse_data, self.clickhouse_port, self.password))

    @property
    def clickhouse_data(self) -> Path:
        """ClickHouse's data directory."""
        return self.directory / "clickhouse"

    def up(self) -> None:
        """Start all three."""
        for each in (self.clickhouse, self.zookeeper, self.kafka):
            each.spawn()
        for each in (self.clickhouse, self.zookeeper, self.kafka):
            each.wait()

    def down(self) -> None:
        """End all three, at once, and what a failed test left running: nobody needs their data any more."""
        for place in self.places:
            place.kill()
        for each in (self.clickhouse, self.kafka, self.zookeeper):
            each.kill()

    def _process(self, service: Service) -> Process:
        return Process(
            service.name, service.command, self.directory, service.environment, service.ready, service.ready_seconds
        )

    def kafka_settings(self, topic: str = "logs") -> config.Kafka:
        """How to reach Kafka."""
        return config.Kafka(bootstrap_servers=f"127.0.0.1:{self.kafka_port}", topic=topic)

    def clickhouse_settings(self, database: str = "default", port: int | None = None) -> config.ClickHouse:
        """How to reach ClickHouse, maybe through a proxy on another port."""
        return config.ClickHouse(password=self.password, port=port or self.clickhouse_port, database=database)

    def place(self, name: str, *, partitions: int = 8) -> "Place":
        """A fresh topic and a fresh, migrated database."""
        unique = f"{name}_{secrets.token_hex(4)}"
        kafka = replace(self.kafka_settings(unique), partitions=partitions)
        database = self.clickhouse_settings(unique)
        migrate.run(config.Schema(), kafka, database)
        self.places.append(Place(self, kafka, database))
        return self.places[-1]


@dataclass
class Place:
    """One test's part of the stack."""

    stack: Stack
    kafka: config.Kafka
    database: config.ClickHouse
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = clickhouse.connect(self.database)
        self._reader = Consumer(
            client_config(self.kafka) | {"group.id": self.group, "enable.auto.commit": False, "log_level": 0}
        )
        self._closing = threading.Event()
        self._holding = threading.Lock()
        self._supervisors: list[threading.Thread] = []

    @property
    def group(self) -> str:
        """The consumer group, one a place."""
        return self.kafka.topic

    def consumer(self, *, clickhouse_port: int | None = None, naive: str = "", **environment: str) -> Process:
        """A consumer, not started yet. `environment` is what tests/faults/killing.py reads, or settings."""
        settings = {
            "LOGBROOK_CONSUMER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS": "0.3",
            "LOGBROOK_CONSUMER_GROUP": self.group,
        }
        command = ["-m", "tests.faults.peers", naive] if naive else ["-m", "tests.faults.killing", "consumer"]
        return self._process("consumer", command, clickhouse_port, {**settings, **environment})

    def supervised(self, *, clickhouse_port: int | None = None, **environment: str) -> Process:
        """A consumer that is started, and started again whenever it ends, as in production."""
        consumer = self.consumer(clickhouse_port=clickhouse_port, **environment)
        self.keep_running(consumer)
        return consumer

    def keep_running(self, process: Process) -> None:
        """Start a process unless it runs, and start it again whenever it ends, as a supervisor does."""
        if not process.running:
            process.spawn()

        def watch() -> None:
            while not self._closing.wait(0.2):
                with self._holding:
                    if not process.running:
                        process.spawn()

        self._supervisors.append(threading.Thread(target=watch, name="supervisor"))
        self._supervisors[-1].start()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is started again for the time of the block: somebody stops everything."""
        with self._holding:
            yield

    def follower(self, file: Path, gateway: str) -> Process:
        """`logbrook produce --follow` on an empty file, not started yet; it remembers its position."""
        file.touch()
        state = file.with_suffix(".state")
        command = ["-m", "logbrook", "produce", "--to", "gateway", "--file", str(file), "--format", "json"]
        command += ["--follow", "--state", str(state)]
        return self._process("follower", command, None, {"LOGBROOK_GATEWAY_URL": gateway})

    def gateway(self, **environment: str) -> "Gateway":
        """A gateway, not started yet."""
        port = free_port()
        settings = {"LOGBROOK_GATEWAY_PORT": str(port), "LOGBROOK_GATEWAY_ALLOW_ANONYMOUS": "true"}
        process = self._process("gateway", ["-m", "tests.faults.killing", "gateway"], None, {**settings, **environment})
        process.ready = lambda: answers(port)
        return Gateway(process, f"http://127.0.0.1:{port}")

    def _process(
        self, name: str, command: Sequence[str], clickhouse_port: int | None, environment: dict[str, str]
    ) -> Process:
        database = self.database
        settings = {
            "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "LOGBROOK_KAFKA_TOPIC": self.kafka.topic,
            "LOGBROOK_CLICKHOUSE_PORT": str(clickhouse_port or database.port),
            "LOGBROOK_CLICKHOUSE_PASSWORD": database.password,
            "LOGBROOK_CLICKHOUSE_DATABASE": database.database,
            "LOGBROOK_CLICKHOUSE_CONNECT_TIMEOUT_SECONDS": "2",
            "LOGBROOK_CONSUMER_HEALTH_PORT": str(free_port()),
        }
        process = Process(
            f"{name}-{self.kafka.topic}-{len(self.processes)}",
            [sys.executable, *command],
            self.stack.directory,
            environment={**settings, **environment},
        )
        self.processes.append(process)
        return process

    def offsets(self) -> dict[int, tuple[int, int]]:
        """By partition: the committed offset (0 for none) and the end. A broker that is busy is asked again."""
        found = dict[int, tuple[int, int]]()
        until(lambda: found.update(self.look()) or found, 120, "Kafka says what is committed")
        return found

    def look(self) -> dict[int, tuple[int, int]]:
        """The same, or nothing if the broker does not answer."""
        found = {}
        try:
            partitions = self._reader.list_topics(self.kafka.topic, timeout=10).topics[self.kafka.topic].partitions
            wanted = [TopicPartition(self.kafka.topic, number) for number in partitions]
            for each in self._reader.committed(wanted, timeout=10):
                _, high = self._reader.get_watermark_offsets(each, timeout=10)
                found[each.partition] = (max(each.offset, 0), high)
        except KafkaException:
            return {}
        return found

    def drained(self) -> bool:
        """Whether all that Kafka holds is committed."""
        found = self.look()
        return bool(found) and all(committed >= high for committed, high in found.values())

    def drain(self, seconds: float = 60.0) -> None:
        """I6: wait until the lag is 0."""
        until(self.drained, seconds, "the lag returns to 0")

    def insert_queries(self) -> int:
        """How many inserts into this database ClickHouse is working on."""
        condition = "query_kind = 'Insert' AND current_database = currentDatabase() AND query LIKE '%inlet\\_%'"
        return int(self.client.query(f"SELECT count() FROM system.processes WHERE {condition}").result_rows[0][0])

    def stored(self) -> int:
        """Rows in the table."""
        return int(self.client.query("SELECT count() FROM otel_logs").result_rows[0][0])

    def logs(self) -> str:
        """What all processes of this place have printed."""
        return "\n".join(process.log for process in self.processes)

    def kill(self) -> None:
        """Kill what runs."""
        self._closing.set()
        for supervisor in self._supervisors:
            supervisor.join()
        for process in self.processes:
            process.kill()

    def close(self) -> None:
        """Kill what runs and drop the database."""
        self.kill()
        self._reader.close()
        until(self._is_dropped, 20, "the database is dropped")
        self.client.close()

    def _is_dropped(self) -> bool:
        """Drop the database; False while a statement of a process that was killed still makes a table in it."""
        try:
            self.client.command(f"DROP DATABASE IF EXISTS {self.database.database}")
        except DatabaseError as error:
            if "DATABASE_NOT_EMPTY" not in str(error):
                raise
            return False
        return True


@dataclass
class Gateway:
    """A gateway process and where it listens."""

    process: Process
    url: str


@contextmanager
def running(directory: Path) -> Iterator[Stack]:
    """A stack for as long as the block lasts."""
    stack = Stack(directory)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
