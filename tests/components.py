"""The real components that tests run against, and a way to run one, or all of them, for the time of a block."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from logbrook import config, migrate
from logbrook.clickhouse import ClickHouseError, HttpClient, connect
from native import environment, ports, processes

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class ClickHouseServer:
    """A running ClickHouse: the native front."""

    host: str
    port: int
    password: str
    # The password of the user `reader`, who may only read.
    reader_password: str
    # The one of the user `views`, who may read and write saved views alone.
    views_password: str
    directory: Path
    log: Path

    def settings(self, database: str = "default") -> config.ClickHouse:
        """How the service reaches a database of it."""
        return config.ClickHouse(host=self.host, port=self.port, password=self.password, database=database)


@dataclass(frozen=True)
class KafkaBroker:
    """A running Kafka, coordinated by its ZooKeeper."""

    bootstrap_servers: str
    zookeeper_port: int

    def settings(self, topic: str = "logs") -> config.Kafka:
        """How the service reaches a topic of it."""
        return config.Kafka(bootstrap_servers=self.bootstrap_servers, topic=topic)


def wait_ready(service: processes.Service, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it works; its last log lines if it exits or takes too long."""
    deadline = time.monotonic() + service.ready_seconds
    while not service.ready():
        assert process.poll() is None, f"{service.name} exited with {process.returncode}:\n{processes.tail(log)}"
        assert time.monotonic() < deadline, f"{service.name} is not ready:\n{processes.tail(log)}"
        time.sleep(0.05)


@contextmanager
def running(service: processes.Service, log: Path) -> Iterator[None]:
    """The process for the time of the block, ready to be used."""
    process = processes.start(service, log)
    try:
        wait_ready(service, process, log)
        yield
    finally:
        processes.stop(service, process)


@dataclass(frozen=True)
class NativeStack:
    """The whole stack without Docker, on ports of its own."""

    settings: environment.Environment
    variables: Mapping[str, str]

    def run(self, command: str, *arguments: str) -> str:
        """Run `python -m native` on it; what it printed."""
        line = [sys.executable, "-m", "native", command, "--state", str(self.settings.state), *arguments]
        done = subprocess.run(line, env=self.variables, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@contextmanager
def native_stack(state: Path, extra: Mapping[str, str] = {}) -> Iterator[NativeStack]:
    """The stack for the time of a block, with all its files in `state`. `extra` are more of its variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROOK_")}
    names = [variable for _, variable in environment.Environment(state, {}).ports.variables().values()]
    moved = {**extra, **{name: str(port) for name, port in zip(names, ports.free(len(names)), strict=True)}}
    variables = {**own, **moved, "PYTHONPATH": str(REPOSITORY / "compose"), "RUNTIME": "native", "COLUMNS": "200"}
    secrets = {name: value for name, value in environment.load(state).variables.items() if name not in os.environ}
    stack = NativeStack(environment.Environment(state, {**secrets, **moved}), variables)
    try:
        stack.run("up")
        yield stack
    finally:
        stack.run("down")


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until it is so; fail if it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.1)


_PATTERN = "pattern_of_the_schema"


def migrated(settings: config.ClickHouse) -> config.ClickHouse:
    """A new database with the schema: the copy of one that was migrated, which takes a quarter of the time."""
    client = connect(settings, database="default")
    if _PATTERN not in [name for (name,) in client.query("SHOW DATABASES").result_rows]:
        migrate.apply(config.Schema(), replace(settings, database=_PATTERN))
    tables_first = "ORDER BY endsWith(engine, 'View'), name"
    made = f"SELECT create_table_query FROM system.tables WHERE database = '{_PATTERN}' {tables_first}"
    client.command(f"CREATE DATABASE {settings.database}")
    for (statement,) in client.query(made).result_rows:
        client.command(statement.replace(f"{_PATTERN}.", f"{settings.database}."))
    recorded = f"SELECT * FROM {_PATTERN}.schema_migrations"
    client.command(f"INSERT INTO {settings.database}.schema_migrations {recorded}")
    client.close()
    return settings


def schema_of(client: HttpClient, database: str) -> list[Any]:
    """All that a test may have changed: the tables, and what is recorded of them."""
    tables = f"SELECT name, create_table_query FROM system.tables WHERE database = '{database}' ORDER BY name"
    recorded = f"SELECT * FROM {database}.schema_migrations ORDER BY ALL"
    return [client.query(sql).result_rows for sql in (tables, recorded)]


def emptied(client: HttpClient, database: str) -> bool:
    """Take out all rows, and the inlets; false if that was not possible, or if somebody still works there."""
    try:
        inlets = f"SELECT name FROM system.tables WHERE database = '{database}' AND startsWith(name, 'inlet_')"
        for (name,) in client.query(inlets).result_rows:
            client.command(f"DROP TABLE {database}.{name} SYNC")
        running_now = client.command(f"SELECT count() FROM system.processes WHERE current_database = '{database}'")
        kept = "endsWith(engine, 'MergeTree') AND NOT startsWith(name, 'schema_migrations')"
        tables = f"SELECT name FROM system.tables WHERE database = '{database}' AND {kept}"
        for (name,) in client.query(tables).result_rows:
            client.command(f"TRUNCATE TABLE {database}.{name}")
            client.command(f"SYSTEM START MERGES {database}.{name}")
    except ClickHouseError:
        return False
    return running_now == 0
