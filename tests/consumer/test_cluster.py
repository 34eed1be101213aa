"""The schema and the delivery protocol on a cluster: tests/clusters.py says what of it is real here."""

import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from logbrook import clickhouse as connection
from logbrook import config, migrate, schema
from logbrook.clickhouse import ClickHouseError, HttpClient, connect
from logbrook.cluster import Cluster
from logbrook.consumer.inlet import fence, take_over
from logbrook.errors import SchemaError
from native import brokers, jars, ports
from tests import clusters
from tests.components import REPOSITORY, ClickHouseServer, emptied, running, schema_of, until
from tests.consumer.test_inlet import START, TOPIC, inlets, insert, keyed

CLUSTER = Cluster(clusters.NAME)
SCHEMA = config.Schema(cluster=clusters.NAME)
QUERY_WAS_CANCELLED = 394
STORED = {"otel_logs", "idempotency_keys", "schema_migrations"}
UNUSED = "partition_progress"  # consumers do not report to a cluster: see consumer/completeness.py
WHOLE = "saved_views"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClickHouseServer]]:
    """Two servers, and a ZooKeeper that both know."""
    directory = tmp_path_factory.mktemp("cluster")
    [port] = ports.free(1)
    zookeeper = brokers.zookeeper(directory / "zookeeper", jars.ensure(REPOSITORY / ".local/jars"), port, level="WARN")
    with running(zookeeper, directory / "zookeeper.log"), clusters.servers(directory, port) as both:
        yield both


@pytest.fixture
def database(servers: Sequence[ClickHouseServer]) -> Iterator[str]:
    """The name of a database that neither server has yet."""
    name = f"cluster_{uuid.uuid4().hex[:12]}"
    yield name
    for server in servers:
        client = connect(server.settings(name), database="default")
        client.command(f"DROP DATABASE IF EXISTS {name} SYNC")
        client.close()


@pytest.fixture(scope="module")
def spare() -> list[tuple[str, list[Any]]]:
    """Databases that a test has left as it got them but for their rows, and what they were made of."""
    return []


@pytest.fixture
def migrated(
    servers: Sequence[ClickHouseServer], spare: list[tuple[str, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a database with the schema of the cluster."""
    clients = [connect(server.settings("default")) for server in servers]
    name, made = spare.pop() if spare else (f"cluster_{uuid.uuid4().hex[:12]}", [])
    monkeypatch.setattr(migrate, "connect", lambda _, **more: clusters.connected(servers, more.get("database", name)))
    if not made:
        applied = migrate.apply(SCHEMA, servers[0].settings(name))
        assert applied == [each.name for each in (*schema.tables(), *schema.views())]
        made = [schema_of(client, name) for client in clients]
    yield name
    if all(emptied(client, name) for client in clients) and [schema_of(client, name) for client in clients] == made:
        spare.append((name, made))
    for client in clients:
        if (name, made) not in spare:
            client.command(f"DROP DATABASE IF EXISTS {name} SYNC")
        client.close()


@pytest.fixture
def first(servers: Sequence[ClickHouseServer], migrated: str) -> HttpClient:
    """A consumer's connection to the first server."""
    return clusters.connected(servers, migrated)


@pytest.fixture
def second(servers: Sequence[ClickHouseServer], migrated: str) -> HttpClient:
    """A consumer's connection to the second server."""
    return clusters.connected(servers[::-1], migrated)


def rendered(database: str = "otel") -> list[str]:
    """Every statement of the schema in the cluster's form, and those that replace a view's query."""
    files = (schema.record(), *schema.tables(), *schema.views())
    statements = [each for file in files for each in file.statements(SCHEMA, database, CLUSTER)]
    return statements + [schema.replaced(each) for each in statements if "MATERIALIZED VIEW" in each]


# The schema


def test_every_statement_reaches_every_server(servers: Sequence[ClickHouseServer]) -> None:
    """Each statement of the schema has a form with ON CLUSTER, which the engine's parser takes for one."""
    client = connect(servers[0].settings())
    for statement in rendered():
        [[text]] = client.query("SELECT formatQuery({text:String})", parameters={"text": statement}).result_rows
        assert " ON CLUSTER logs" in text
    client.close()


def test_all_that_keep_rows_are_known(migrated: str, servers: Sequence[ClickHouseServer]) -> None:
    """The tables that keep rows are exactly those that get a replicated and a distributed form, and an empty one."""
    client = connect(servers[1].settings(migrated))
    look = "SELECT name, engine FROM system.tables WHERE database = currentDatabase()"
    engines: dict[str, str] = {row[0]: row[1] for row in client.query(look).result_rows}
    client.close()
    keep = {name for name, engine in engines.items() if engine.endswith("MergeTree")}
    assert keep == {f"{table}_local" for table in STORED} | {UNUSED, WHOLE}
    assert {name for name, engine in engines.items() if engine == "Distributed"} == STORED


def test_replicas_meet_in_zookeeper(servers: Sequence[ClickHouseServer], database: str) -> None:
    """The engine takes the replicated form, and in a real ZooKeeper the servers' tables are replicas of one."""
    tables = {f"{table}_local" for table in STORED}
    clients = [connect(server.settings("default")) for server in servers]
    found, path = [], f"/clickhouse/tables/1/{database}"
    for client in clients:
        client.command(f"CREATE DATABASE {database}")
        for statement in rendered(database):
            if "Replicated" in statement:
                plain = statement.replace(f" ON CLUSTER `{clusters.NAME}`", "")
                client.command(plain.replace("IF NOT EXISTS ", f"IF NOT EXISTS {database}."))
        look = "SELECT table, zookeeper_path, replica_name FROM system.replicas WHERE database = {database:String}"
        found.append(set(client.query(look, parameters={"database": database}).result_rows))
    # Each server has all saved views, whatever its shard.
    whole = WHOLE, f"/clickhouse/tables/all/{database}/{WHOLE}"
    assert found == [
        {(table, f"{path}/{table}", replica) for table in tables} | {(*whole, f"1-{replica}")}
        for replica in ("r1", "r2")
    ]

    # Another table there does not fit what ZooKeeper has of the first two.
    other = f"ENGINE = ReplicatedMergeTree('{path}/otel_logs_local', 'r3') ORDER BY Body"
    # A slow answer has begun with its progress by then, and is cut off: only a short one has the reason.
    at_once = {"send_progress_in_http_headers": "0"}
    with pytest.raises(ClickHouseError, match="in ZooKeeper differs"):
        clients[0].command(f"CREATE TABLE {database}.other (Body String) {other}", settings=at_once)
    for client in clients:
        client.close()


def test_a_migration_can_be_repeated(migrated: str, servers: Sequence[ClickHouseServer]) -> None:
    """The second run on a cluster applies nothing; another retention reaches every server."""
    settings = config.Schema(cluster=clusters.NAME, retention_days=5)
    assert len(migrate.apply(settings, servers[0].settings(migrated))) == 2
    assert migrate.apply(settings, servers[0].settings(migrated)) == []
    for server in servers:
        client = connect(server.settings(migrated))
        [[engine]] = client.query("SELECT engine_full FROM system.tables WHERE name = 'otel_logs_local'").result_rows
        client.close()
        assert "toIntervalDay(5)" in engine


def test_an_unknown_cluster_is_refused(servers: Sequence[ClickHouseServer], database: str) -> None:
    """A name that ClickHouse does not have is an error that lists those that it has."""
    with pytest.raises(SchemaError, match=r"no cluster 'lgos'.*logs"):
        migrate.apply(config.Schema(cluster="lgos"), servers[0].settings(database))


def test_a_schema_stays_what_it_was_made_for(migrated: str, servers: Sequence[ClickHouseServer]) -> None:
    """A cluster's schema is not continued as one server's: the setting was forgotten, and the tables would differ."""
    with pytest.raises(SchemaError, match="created for cluster logs, but LOGBROOK_SCHEMA_CLUSTER says one server"):
        migrate.apply(config.Schema(), servers[0].settings(migrated))


def test_one_servers_schema_does_not_become_a_clusters(
    servers: Sequence[ClickHouseServer], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that exist are left alone when a cluster is named later: they are not replicated."""
    migrate.apply(config.Schema(), servers[0].settings(database))
    monkeypatch.setattr(
        migrate, "connect", lambda _, **more: clusters.connected(servers, more.get("database", database))
    )
    with pytest.raises(SchemaError, match="created for one server, but LOGBROOK_SCHEMA_CLUSTER says cluster logs"):
        migrate.apply(SCHEMA, servers[0].settings(database))


def test_only_a_cluster_has_two_tables_of_each() -> None:
    """One server, and ClickHouse Cloud, get the same statements, but for a note of which of them it is."""
    for file in (schema.record(), *schema.tables(), *schema.views()):
        alone = file.statements(config.Schema(), "otel")
        cloud = file.statements(config.Schema(), "otel", Cluster("default", cloud=True))
        assert [each.replace("'cloud default'", "'one server'") for each in cloud] == alone
        assert not [each for each in alone if re.search("CLUSTER|Replicated|Distributed|logs_local", each)]


# Delivery


def test_events_are_read_through_the_distributed_table(first: HttpClient) -> None:
    """What a consumer stores on its server is read under the name that has every shard, search columns included."""
    insert(take_over(first, TOPIC, {0: START}), 0, range(3))
    condition = "has(LogAttributeItems, 'a=b')"
    assert first.query(f"SELECT count(), countIf({condition}) FROM otel_logs").result_rows == [(3, 0)]


def test_a_take_over_fences_on_every_server(first: HttpClient, second: HttpClient) -> None:
    """An inlet on another server is dropped, too: its late insert there is refused and stores nothing."""
    former = take_over(first, TOPIC, {0: START})

    latter = take_over(second, TOPIC, {0: START})

    with pytest.raises(ClickHouseError) as refusal:
        insert(former, 0, [1])
    assert connection.error_code(refusal.value) == connection.UNKNOWN_TABLE
    assert first.query("SELECT count() FROM otel_logs_local").result_rows == [(0,)]
    assert inlets(first) == set()
    insert(latter, 0, [1])


def test_a_take_over_drains_every_server(
    servers: Sequence[ClickHouseServer], migrated: str, first: HttpClient, second: HttpClient
) -> None:
    """An insert that is under way on another server is ended before the take-over returns."""
    former = take_over(first, TOPIC, {0: START})
    errors: list[Exception] = []

    def slow(client: HttpClient) -> None:
        try:
            client.command(
                f"INSERT INTO {former.name} (offset, payload) SELECT number, 'late' FROM numbers(600)"
                " WHERE sleepEachRow(0.1) = 0 SETTINGS max_block_size = 1",
                settings={"wait_end_of_query": 1},
            )
        except ClickHouseError as error:
            errors.append(error)

    inserting = threading.Thread(target=slow, args=(connect(servers[0].settings(migrated)),))
    inserting.start()
    running_there = f"SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%{former.name}%'"
    until(lambda: bool(errors or first.query(running_there).result_rows[0][0]))
    assert errors == []

    take_over(second, TOPIC, {0: START})

    assert first.query(running_there).result_rows == [(0,)]
    inserting.join(60)
    assert [connection.error_code(error) for error in errors] == [QUERY_WAS_CANCELLED]


def test_a_drop_that_comes_late_is_waited_for(
    first: HttpClient, second: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A take-over goes on when no server has the former inlet any more, not when the DROP was answered."""
    former = take_over(first, TOPIC, {0: START})
    late: list[str] = []
    run, ask = second.command, second.query

    def command(statement: str, **more: Any) -> Any:
        if statement == f"DROP TABLE IF EXISTS {former.name}{CLUSTER.on}":
            late.append(f"DROP TABLE {former.name}")
        else:
            run(statement, **more)

    def query(statement: str, **more: Any) -> Any:
        answer = ask(statement, **more)
        if late and f"name = '{former.name}'" in statement:
            first.command(late.pop())
        return answer

    monkeypatch.setattr(second, "command", command)
    monkeypatch.setattr(second, "query", query)
    take_over(second, TOPIC, {0: START})

    assert inlets(first) == set()


def test_where_ddl_spreads_by_itself(servers: Sequence[ClickHouseServer], database: str) -> None:
    """In ClickHouse Cloud's form the protocol needs no ON CLUSTER: here the engine itself, as a cluster of one."""
    client = connect(servers[0].settings(database), database="default")
    client.command(f"CREATE DATABASE {database}")
    client.close()
    client = connect(servers[0].settings(database))
    for file in (*schema.tables(), *schema.views()):
        for statement in file.statements(SCHEMA, database, Cluster(clusters.NAME, cloud=True)):
            client.command(statement)
    former = take_over(client, TOPIC, {0: START})
    insert(former, 0, range(3))

    latter = take_over(client, TOPIC, {0: START})

    assert latter.stored == {0: [range(3)]}
    with pytest.raises(ClickHouseError) as refusal:
        insert(former, 0, [3])
    assert connection.error_code(refusal.value) == connection.UNKNOWN_TABLE
    assert latter.repeated(keyed((3, "a"))) == set()
    client.close()


def test_replicas_catch_up_between_drain_and_look_up(first: HttpClient, second: HttpClient) -> None:
    """What is stored is read only after no insert is left anywhere and each replica has what the others had then."""
    take_over(first, TOPIC, {0: START})

    take_over(second, TOPIC, {0: START})

    said = clusters.said(second)
    drop, look, sync, read = (
        next(index for index, statement in enumerate(said) if start in statement)
        for start in ("DROP TABLE", "system.processes", "SYSTEM SYNC REPLICA", "FROM otel_logs")
    )
    assert drop < look < sync < read
    assert [each for each in said if "SYNC REPLICA" in each] == [
        f"SYSTEM SYNC REPLICA ON CLUSTER `logs` {table} LIGHTWEIGHT"
        for table in ("otel_logs_local", "idempotency_keys_local")
    ]


def test_keys_are_looked_up_where_the_inlet_is(first: HttpClient, second: HttpClient) -> None:
    """Repeated keys are found; once the inlet is gone, or on a server that never had it, the look-up fails."""
    inlet = take_over(first, TOPIC, {0: START})
    assert inlet.repeated(keyed((1, "a"), (2, "b"))) == set()
    assert inlet.repeated(keyed((3, "a"))) == {(0, 3)}

    inlet.client = second
    with pytest.raises(ClickHouseError) as refusal:
        inlet.repeated(keyed((4, "a")))
    assert connection.error_code(refusal.value) == connection.UNKNOWN_TABLE


def test_no_answer_while_a_server_is_away(servers: Sequence[ClickHouseServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of every server fail when one can't be reached, although a user's profile may allow to leave it out."""
    away = Cluster("broken")
    client = connect(servers[0].settings())
    look = f"SELECT count() FROM {away.every('system.tables')}"
    assert client.query(look, settings={"skip_unavailable_shards": 1}).result_rows[0][0] > 0
    with pytest.raises(ClickHouseError, match="ALL_CONNECTION_TRIES_FAILED"):
        client.query(look, settings={"skip_unavailable_shards": 1} | dict(away.reading))
    client.close()


def test_closing_leaves_nothing_on_any_server(first: HttpClient, second: HttpClient) -> None:
    """A consumer that leaves takes its inlet along; to fence what is gone is no error on a cluster either."""
    inlet = take_over(first, TOPIC, {0: START})
    inlet.close()
    fence(second, [inlet.name], CLUSTER)
    assert inlets(first) | inlets(second) == set()
