"""The real components that tests run against, and a way to run one for the time of a block."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from logbrook import config
from native import processes

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class ClickHouseServer:
    """A running ClickHouse: the native front."""

    host: str
    port: int
    password: str
    # The password of the user `reader`, who may only read.
    reader_password: str
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


@contextmanager
def running(service: processes.Service, log: Path) -> Iterator[None]:
    """The process for the time of the block, ready to be used."""
    process = processes.start(service, log)
    try:
        processes.wait_ready(service, process, log)
        yield
    finally:
        processes.stop(service, process)


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until it is so; fail if it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.02)
