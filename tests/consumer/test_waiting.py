"""Processes that start before what they need is there: they say so, wait, and begin by themselves."""

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from logbrook import clickhouse as clickhouse_client
from logbrook import config, migrate
from logbrook.errors import SchemaError
from logbrook.topic import create_topic
from logbrook.waiting import need_tables
from tests.components import ClickHouseServer, KafkaBroker
from tests.consumer.test_consumer import bodies, numbered, send
from tests.faults.processes import Process, free_port, until

# `logbrook`, for which a minute has so many seconds.
WITH_A_MINUTE_OF = """
from logbrook import cli, waiting
from logbrook.gateway import server as gateway
from logbrook.query import server as query
waiting._SAY_AGAIN_SECONDS = gateway._TELL_AGAIN_SECONDS = query._TELL_AGAIN_SECONDS = {}
cli.main()
"""
Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command of `logbrook` with a health port; the process, and where that is."""

    started = list[Process]()

    def begin(
        kafka: config.Kafka, database: config.ClickHouse, *command: str, minute: float = 60
    ) -> tuple[Process, str]:
        port = free_port()
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC": kafka.topic,
            "CLICKHOUSE_PORT": str(database.port),
            "CLICKHOUSE_PASSWORD": database.password,
            "CLICKHOUSE_DATABASE": database.database,
            "CONSUMER_HEALTH_PORT": str(port),
            "QUERY_PORT": str(port),
            "GATEWAY_PORT": str(port),
            "GATEWAY_ALLOW_ANONYMOUS": "true",
        }
        environment = {f"LOGBROOK_{name}": value for name, value in settings.items()}
        program = [sys.executable, "-c", WITH_A_MINUTE_OF.format(minute)]
        process = Process(command[0], [*program, *command], tmp_path, environment)
        started.append(process)
        process.spawn()
        return process, f"http://127.0.0.1:{port}"

    yield begin
    for process in started:
        process.kill()


def says(url: str, route: str) -> tuple[int, str]:
    """Status and text; 0 while nobody answers."""
    try:
        answer = httpx.get(url + route, timeout=5)
    except httpx.TransportError:
        return 0, ""
    return answer.status_code, answer.text


def waits_for(url: str, reason: str) -> None:
    """Wait until the process is alive, not ready, and says why."""
    until(lambda: reason in says(url, "/readyz")[1], 60, f"/readyz says {reason!r}")
    assert says(url, "/readyz")[0] == 503
    assert says(url, "/healthz")[0] == 200


def waiting(process: Process) -> list[dict[str, str]]:
    """The lines of its log that say what it waits for."""
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"].startswith("waiting")]


def test_half_a_schema_is_not_enough(database: config.ClickHouse) -> None:
    """A table whose view is missing takes inserts and stores nothing: every file of this version is waited for."""
    need_tables(database)
    client = clickhouse_client.connect(database)
    client.command("DELETE FROM schema_migrations WHERE name = 'views/text_view.sql'")

    with pytest.raises(SchemaError, match=r"lacks views/text_view.sql: run `logbrook migrate`"):
        need_tables(database)


NOBODY = config.Kafka(bootstrap_servers="127.0.0.1:9", topic="logs")


def test_a_consumer_waits_for_everything_it_needs(
    start: Start, kafka: KafkaBroker, clickhouse: ClickHouseServer
) -> None:
    """Topic, then tables: it names what is missing, and stores what was sent once all is there."""
    name = f"waiting_{uuid.uuid4().hex[:12]}"
    topic, database = kafka.settings(name), clickhouse.settings(name)
    process, url = start(topic, database, "consumer")

    waits_for(url, f"topic '{name}' does not exist: run `logbrook migrate`")
    create_topic(topic)
    send(topic, *numbered(0, 10))
    waits_for(url, "ClickHouse")
    migrate.apply(config.Schema(), database)

    until(lambda: says(url, "/readyz") == (200, "ok\n"), 60, "it is ready")
    until(lambda: len(bodies(database)) == 10, 60, "what was sent is stored")
    assert process.starts == 1
    said = [line["reason"] for line in waiting(process)]
    assert len(said) == len(set(said)) > 1, "each reason once, not every second"
    assert process.stop() == 0


@pytest.mark.parametrize("command", [("consumer",), ("audit", "--every", "60")], ids=" ".join)
def test_without_kafka_a_process_waits_and_can_be_stopped(
    command: tuple[str, ...], start: Start, database: config.ClickHouse
) -> None:
    """Its health port is open, it says what it waits for, and SIGTERM ends the wait."""
    process, url = start(NOBODY, database, *command)

    waits_for(url, "Kafka at 127.0.0.1:9")

    assert process.stop(seconds=5) in {0, -15}


@pytest.mark.parametrize(
    ("command", "missing"), [("consumer", "Kafka at 127.0.0.1:9"), ("gateway", "Kafka at 127.0.0.1:9"), ("query", "")]
)
def test_what_is_missing_is_said_once_and_every_minute(command: str, missing: str, start: Start) -> None:
    """Not every second, in which it asks again; nor once alone, which nobody finds a day later."""
    process, _ = start(NOBODY, config.ClickHouse(password="p", port=9), command, minute=4)

    until(lambda: len(waiting(process)) == 3, 60, "it says it for the third time")
    assert all(missing in line["reason"] for line in waiting(process))
    first, second, third = (datetime.fromisoformat(line["timestamp"]) for line in waiting(process))
    for pause in (second - first, third - second):
        assert pause.total_seconds() > 3.9


def test_a_gateway_waits_for_its_topic(start: Start, kafka: KafkaBroker, database: config.ClickHouse) -> None:
    """Its log names the topic before anybody sends, and says that it is there once it is."""
    topic = kafka.settings(f"waiting_{uuid.uuid4().hex[:12]}")
    process, url = start(topic, database, "gateway")

    waits_for(url, topic.topic)
    until(lambda: waiting(process), 20, "the log says it")
    assert topic.topic in waiting(process)[0]["reason"]
    create_topic(topic)
    until(lambda: "everything is available now" in process.log, 60, "it says that the topic is there")
    assert len(waiting(process)) == 1
    assert process.stop() == 0


def test_without_clickhouse_the_query_api_waits_and_says_so(start: Start, database: config.ClickHouse) -> None:
    """It is alive, its log and /readyz say what is missing, and SIGTERM ends it."""
    nobody = config.ClickHouse(password="p", port=9)
    process, url = start(NOBODY, nobody, "query")

    waits_for(url, "ClickHouse")
    until(lambda: "waiting for ClickHouse" in process.log, 20, "the log says it")

    assert process.stop(seconds=10) in {0, -15}
