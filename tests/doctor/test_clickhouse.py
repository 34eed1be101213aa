"""ClickHouse's failures on the real engine: each gets its one diagnosis."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from logbrook import clickhouse as connection
from logbrook import config, migrate
from logbrook.consumer.inlet import Position, Topic, take_over
from logbrook.doctor import database as server
from logbrook.doctor.diagnosis import Wrong
from logbrook.kafka import topic_id
from native import ports
from native.clickhouse import clickhouse as clickhouse_service
from tests.components import REPOSITORY, ClickHouseServer, running
from tests.doctor.examining import diagnosed, examined, place
from tests.doctor.test_kafka import member


@pytest.fixture
def table(database: config.ClickHouse) -> Iterator[connection.HttpClient]:
    """A connection to a migrated database."""
    client = connection.connect(database)
    yield client
    client.close()


@contextmanager
def own_server(directory: Path, prefix: tuple[str, ...] = ()) -> Iterator[config.ClickHouse]:
    """A ClickHouse for one test, with the tables; `prefix` is a command that runs its own."""
    [port] = ports.free(1)
    password = secrets.token_hex(8)
    service = clickhouse_service(directory / "data", port, password)
    with running(replace(service, command=[*prefix, *service.command]), directory / "front.log"):
        settings = config.ClickHouse(port=port, password=password)
        migrate.apply(config.Schema(), settings)
        yield settings


def test_a_healthy_database(database: config.ClickHouse) -> None:
    """All its checks are in order, and its clock is this machine's."""
    found = examined(place(clickhouse=database))

    assert not any(each.code for each in found.values()), found
    ours = {"clickhouse disk", "clickhouse parts", "clickhouse clock", "clickhouse memory", "schema"}
    assert {found[name].state for name in ours} == {"ok"}


def test_a_wrong_password(database: config.ClickHouse) -> None:
    """It is neither shown nor mistaken for a server that is down."""
    finding = diagnosed(place(clickhouse=replace(database, password="not-the-password")), "clickhouse.credentials")

    assert "not-the-password" not in finding.text


def test_a_user_without_the_rights_of_its_role(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """A consumer that logs in as the reader lacks all that it needs to write; as a query API it lacks nothing."""
    reader = replace(database, username="reader", password=clickhouse.reader_password)

    assert (
        f"INSERT ON {database.database}.*" in diagnosed(place("consumer", clickhouse=reader), "clickhouse.rights").text
    )
    found = examined(place(clickhouse=reader))
    assert found["clickhouse rights"].state == "ok"
    assert found["clickhouse disk"].state == "not checked"


def test_no_database(clickhouse: ClickHouseServer) -> None:
    """`logbrook migrate` makes it."""
    assert "logbrook migrate" in diagnosed(place(clickhouse=clickhouse.settings("nowhere")), "schema.missing").remedy


def test_a_database_without_tables(clickhouse: ClickHouseServer) -> None:
    """The same, where the database is there."""
    diagnosed(place(clickhouse=clickhouse.settings("default")), "schema.missing")


def test_a_schema_older_than_the_code(table: connection.HttpClient, database: config.ClickHouse) -> None:
    """The files that were not applied are named."""
    table.command("DELETE FROM schema_migrations WHERE name LIKE '%search.sql'")

    assert "tables/0003_search.sql" in diagnosed(place(clickhouse=database), "schema.older").text


def test_a_schema_newer_than_the_code(table: connection.HttpClient, database: config.ClickHouse) -> None:
    """That works, and is worth a warning."""
    table.insert("schema_migrations", [["tables/9999_later.sql", "x"]], column_names=["name", "checksum"])

    finding = diagnosed(place(clickhouse=database), "schema.newer")

    assert finding.state == "warning"
    assert "tables/9999_later.sql" in finding.text


def test_a_schema_file_that_was_edited(table: connection.HttpClient, database: config.ClickHouse) -> None:
    """It was applied with other contents."""
    table.command("DELETE FROM schema_migrations WHERE name = 'tables/0001_tables.sql'")
    table.insert("schema_migrations", [["tables/0001_tables.sql", "x"]], column_names=["name", "checksum"])

    assert "tables/0001_tables.sql" in diagnosed(place(clickhouse=database), "schema.changed").text


def test_a_limit_that_does_not_fit_the_container(database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel would kill the server before it refuses a query. chDB does not tell its container's size."""
    monkeypatch.setattr(server, "container_bytes", lambda _place: 2**20)

    assert "LOGBROOK_CLICKHOUSE_SERVER_MEMORY_BYTES" in diagnosed(place(clickhouse=database), "memory.budget").remedy


def test_statements_that_were_refused_for_memory(tmp_path: Path) -> None:
    """The server counts them, and when the last was: a warning."""
    with own_server(tmp_path) as settings:
        client = connection.connect(settings)
        with pytest.raises(DatabaseError, match="MEMORY_LIMIT_EXCEEDED"):
            client.query("SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 10000000")
        client.close()
        finding = diagnosed(place(clickhouse=settings), "memory.short")

    assert finding.state == "warning"


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """On a file system of its own, of which little is left."""
    data = tmp_path / "data"
    data.mkdir()
    fill = f'mount -t tmpfs -o size=600m none {data} && head -c 550M /dev/zero > {data}/ballast && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", fill, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace (unshare --user --mount)")
    with own_server(tmp_path, prefix) as settings:
        finding = diagnosed(place(clickhouse=settings), "clickhouse.disk")

    assert "of 0.6 GiB are free" in finding.text


def test_too_many_parts(
    table: connection.HttpClient, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real parts that are not merged, with a lower idea of how many are many than the alert's 300."""
    monkeypatch.setattr(server, "_MANY_PARTS", 5)
    table.command("SYSTEM STOP MERGES otel_logs")
    table.command(
        "INSERT INTO otel_logs (Timestamp, IngestedAt) SELECT now(), now() FROM numbers(6)",
        settings={"max_block_size": 1, "min_insert_block_size_rows": 1, "max_insert_threads": 1},
    )

    assert "6 in one partition of otel_logs" in diagnosed(place(clickhouse=database), "clickhouse.parts").text


@pytest.mark.parametrize(("seconds", "words"), [(90, "behind"), (-90, "ahead of")])
def test_clocks_that_differ(database: config.ClickHouse, seconds: float, words: str) -> None:
    """This machine's clock is set wrong, in either direction."""
    with pytest.raises(Wrong, match=f"{words} this machine's") as wrong:
        server.clock(place(clickhouse=database), lambda: time.time() + seconds)

    assert wrong.value.diagnosis.code == "clock.skew"


def test_a_machine_whose_clock_is_wrong(database: config.ClickHouse) -> None:
    """The whole command, on a machine that is five minutes ahead: that is the one thing that is wrong."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed: apt-get install faketime")
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY / "service"),
        "LOGBROOK_CLICKHOUSE_PORT": str(database.port),
        "LOGBROOK_CLICKHOUSE_PASSWORD": database.password,
        "LOGBROOK_CLICKHOUSE_DATABASE": database.database,
    }
    command = ["faketime", "-f", "+300s", sys.executable, "-m", "logbrook", "doctor", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    assert [each["code"] for each in found if each["code"]] == ["clock.skew"]


def test_inlets_that_were_left_behind(
    table: connection.HttpClient, database: config.ClickHouse, topic: config.Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the group's members are in use. One of a topic that is gone is not, nor a view without its table.

    A new one is counted, and not judged yet: its takeover may still be under way.
    """
    here = place(kafka=topic, clickhouse=database, group=topic.topic)
    assert server.inlets(here) == "none"
    with member(topic, topic.topic):
        used = take_over(table, Topic(topic.topic, topic_id(topic, 10)), {each: Position(0, 0) for each in range(8)})
        assert examined(here, "probe")["inlets"].text == "1 new in the last 60 s"
        monkeypatch.setattr(server, "_SETTLED_SECONDS", -1)
        # Nobody stores the probe.
        assert examined(here, "probe")["inlets"].text == "1 in use"

        left = take_over(table, Topic("gone", "AAAA"), {0: Position(0, 0)})
        stray = take_over(table, Topic("gone too", "BBBB"), {0: Position(0, 0)})
        table.command(f"DROP TABLE {stray.name}")
        finding = diagnosed(here, "inlets.left", "probe")

    assert finding.state == "warning"
    assert finding.text.split(": ")[1] == ", ".join(sorted([left.name, f"{stray.name}_view"]))
    assert used.name not in finding.text
