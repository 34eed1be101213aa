"""Fixtures of the query service's tests."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from logbrook import clickhouse as connection
from logbrook import config
from tests.components import ClickHouseServer, migrated
from tests.query import door
from tests.query.corpus import EVENTS


def _without_the_audit(_logger: Any, _name: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A line of the service's log, unless it is the audit's: what commands print here is not mixed with it."""
    if line.get("service") == "logbrook.audit":
        raise structlog.DropEvent
    return line


structlog.configure(processors=[_without_the_audit, *structlog.get_config()["processors"]])


def as_reader(clickhouse: ClickHouseServer, database: config.ClickHouse) -> config.ClickHouse:
    """The same database for the user who may only read."""
    return replace(database, username="reader", password=clickhouse.reader_password)


@pytest.fixture(scope="session")
def shared_database(clickhouse: ClickHouseServer) -> Iterator[config.ClickHouse]:
    """One migrated database for all tests here: migrating takes longer than most of them."""
    settings = migrated(clickhouse.settings(f"query_{uuid.uuid4().hex[:12]}"))
    yield settings
    drop(settings)


def drop(settings: config.ClickHouse) -> None:
    """Drop a database."""
    client = connection.connect(settings, database="default")
    client.command(f"DROP DATABASE IF EXISTS {settings.database} SYNC")
    client.close()


@pytest.fixture
def database(shared_database: config.ClickHouse) -> config.ClickHouse:
    """The shared database, its tables empty."""
    client = connection.connect(shared_database)
    for table in ("otel_logs", "partition_progress", "saved_views"):
        client.command(f"TRUNCATE TABLE {table}")
    client.close()
    return shared_database


@pytest.fixture
def service(clickhouse: ClickHouseServer, database: config.ClickHouse) -> Iterator[door.Door]:
    """The service as the reader of a fresh database."""
    with door.serving(config.Query(tail_poll_seconds=0.05), as_reader(clickhouse, database)) as served:
        yield served


@pytest.fixture(scope="session")
def corpus_database(clickhouse: ClickHouseServer) -> Iterator[config.ClickHouse]:
    """A database with the events of the corpus, in two parts. Only for reading."""
    settings = migrated(clickhouse.settings(f"corpus_{uuid.uuid4().hex[:12]}"))
    half = len(EVENTS) // 2
    door.store(settings, EVENTS[:half])
    door.store(settings, EVENTS[half:])
    yield settings
    drop(settings)


@pytest.fixture(scope="session")
def corpus(clickhouse: ClickHouseServer, corpus_database: config.ClickHouse) -> Iterator[door.Door]:
    """The service over the corpus."""
    with door.serving(config.Query(), as_reader(clickhouse, corpus_database)) as served:
        yield served
