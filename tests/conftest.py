"""The real components that tests run against: one ClickHouse front, one Kafka with its ZooKeeper, for the session.

Nothing is started before a test asks for it, and nothing is left behind.
"""

import functools
import gc
import os
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from httpx._transports import default as transports
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from logbrook import clickhouse as connection
from logbrook import config
from logbrook.topic import create_topic
from native import brokers, jars, ports
from native.clickhouse import clickhouse as clickhouse_service
from tests.components import REPOSITORY, ClickHouseServer, KafkaBroker, emptied, migrated, running, schema_of

pytest_plugins = ["pytester", "tests.skips"]
HOST = "127.0.0.1"
# How quickly examples are made is the machine's affair, not the code's. Each run tries others; `make test
# ARGS=--hypothesis-profile=thorough` tries many at once.
settings.register_profile("any machine", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("any machine"), max_examples=2000)
settings.load_profile("any machine")


# Java's second compiler is for servers that run longer than a test: without it, Kafka needs half as much processor time
# to start. The programs that tests start inherit this.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


# To load the certificates of all authorities takes each client at least 25 ms of processor time, and no test asks a
# server that has one of them.
transports.create_ssl_context = functools.cache(transports.create_ssl_context)  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, and the infrastructure's small files last, so that the workers end together."""
    long = ("test_lifecycle.py", "test_engine.py")

    def turn(item: pytest.Item) -> int:
        name, directory = item.path.name, item.path.parent.name
        if directory == "query" or (directory == "infra" and name in long):
            return 0
        return 2 if directory == "infra" else 1

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


class ByDirectory(LoadScopeScheduling):  # type: ignore[misc]
    """Of several workers, one has all tests of a directory: what they share is started once.

    The infrastructure's share nothing beyond a file, and its files take long: each is handed out alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(nodeid.split("::", 1)[0])
        return file if file.startswith("tests/infra/") else file.rsplit("/", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Which worker has which test."""
    return ByDirectory(config, log)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse front over an empty data directory."""
    directory = tmp_path_factory.mktemp("clickhouse")
    [port] = ports.free(1)
    password, reader, views, log = *(secrets.token_hex(8) for _ in range(3)), directory / "front.log"
    with running(clickhouse_service(directory / "data", port, password, reader, views), log):
        yield ClickHouseServer(HOST, port, password, reader, views, directory / "data", log)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A ZooKeeper and a Kafka broker without topics, on free ports."""
    directory = tmp_path_factory.mktemp("kafka")
    jar_files = jars.ensure(REPOSITORY / ".local/jars")
    port, zookeeper_port = ports.free(2)
    zookeeper = brokers.zookeeper(directory / "zookeeper", jar_files, zookeeper_port, level="WARN")
    # The data is thrown away: no need to hand over before leaving.
    fast_stop = {"controlled.shutdown.enable": "false"}
    broker = brokers.kafka(directory / "kafka", jar_files, port, zookeeper_port, level="WARN", settings=fast_stop)
    with running(zookeeper, directory / "zookeeper.log"), running(broker, directory / "kafka.log"):
        yield KafkaBroker(f"{HOST}:{port}", zookeeper_port)


@pytest.fixture(scope="session")
def spare_databases() -> list[tuple[config.ClickHouse, list[Any]]]:
    """Databases that a test has left as it got them but for their rows: with what they were made of, and empty."""
    return []


@pytest.fixture
def database(
    clickhouse: ClickHouseServer, spare_databases: list[tuple[config.ClickHouse, list[Any]]]
) -> Iterator[config.ClickHouse]:
    """An empty database with the tables of the schema, which nobody else uses."""
    client = connection.connect(clickhouse.settings("default"))
    if spare_databases:
        settings, schema = spare_databases.pop()
    else:
        settings = migrated(clickhouse.settings(f"test_{uuid.uuid4().hex[:12]}"))
        schema = schema_of(client, settings.database)
    yield settings
    if emptied(client, settings.database) and schema_of(client, settings.database) == schema:
        spare_databases.append((settings, schema))
    else:
        client.command(f"DROP DATABASE IF EXISTS {settings.database} SYNC")
    client.close()


@pytest.fixture
def topic(kafka: KafkaBroker) -> config.Kafka:
    """A fresh topic with 8 partitions."""
    settings = kafka.settings(f"test-{uuid.uuid4().hex[:12]}")
    create_topic(settings)
    return settings
