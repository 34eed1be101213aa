"""Create or update what the service needs: the tables and views of ClickHouse, and the topic of Kafka.

Safe to repeat, to run from two places at once, and to run while consumers insert: every statement in the schema files
says IF NOT EXISTS or has the same outcome when it runs again, and a view's query is exchanged between two inserts.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import structlog

from logbrook import config, schema
from logbrook.clickhouse import ClickHouseError, HttpClient, connect
from logbrook.cluster import Cluster, quoted
from logbrook.errors import SchemaError
from logbrook.schema import File
from logbrook.topic import create_topic
from logbrook.waiting import WAIT_SECONDS, up_to

log = structlog.get_logger()

# Tables whose rows are kept for retention_days, and the column that the days are counted from.
_RETAINED = {"otel_logs": "IngestedAt", "idempotency_keys": "RecordedAt"}
_TTL_DAYS = re.compile(r"TTL .*toIntervalDay\((\d+)\)")


@dataclass(frozen=True)
class Step:
    """What a migration does in one step."""

    what: str
    statements: list[str]
    file: File | None = None
    """The file that is then recorded as applied."""

    def summary(self) -> list[str]:
        """The beginning of each statement."""
        lines = (re.sub(r"^(--.*\n|\s)+", "", statement).splitlines() for statement in self.statements)
        return [first + (" ..." if rest else "") for first, *rest in lines]


def run(settings: config.Schema, kafka: config.Kafka, clickhouse: config.ClickHouse) -> None:
    """Bring ClickHouse and Kafka to the state that this version needs.

    Raises SchemaError, or UnavailableError if one of the two does not answer within a minute.
    """
    applied = apply(settings, clickhouse)
    log.info("schema is up to date", database=clickhouse.database, applied=applied)
    created = create_topic(kafka)
    log.info("topic is ready", topic=kafka.topic, created=created)


def apply(settings: config.Schema, clickhouse: config.ClickHouse, wait_seconds: float = WAIT_SECONDS) -> list[str]:
    """Bring the tables and views to the state that this version needs, and return what was done.

    Raises SchemaError if a file of tables that was applied has changed since, or ClickHouse refuses a statement, and
    UnavailableError if ClickHouse does not answer within `wait_seconds`.
    """
    with closing(up_to(wait_seconds, "ClickHouse", lambda: connect(clickhouse, database="default"))) as client:
        cluster = Cluster.named(client, settings.cluster)
        database = f"{quoted(clickhouse.database)}{cluster.on}"
        _execute(client, f"CREATE DATABASE IF NOT EXISTS {database}", clickhouse.database, cluster)
    with closing(connect(clickhouse)) as client:
        for statement in schema.record().statements(settings, clickhouse.database, cluster):
            _execute(client, statement, "schema_migrations", cluster)
        done = []
        for step in steps(client, settings, cluster):
            _take(client, step, settings, cluster)
            done.append(step.what)
        _keep_system_logs(client, settings.system_log_retention_days, cluster)
        return done


def plan(settings: config.Schema, clickhouse: config.ClickHouse) -> list[Step]:
    """What `apply` would do, except for the retention of ClickHouse's own logs. Raises what `apply` raises."""
    with closing(connect(clickhouse, database="default")) as client:
        cluster = Cluster.named(client, settings.cluster)
        there = "SELECT 1 FROM system.tables WHERE database = {name:String} AND name = 'schema_migrations'"
        begun = bool(client.query(there, parameters={"name": clickhouse.database}).result_rows)
    if begun:
        with closing(connect(clickhouse)) as client:
            return list(steps(client, settings, cluster))
    files = [schema.record(), *schema.tables(), *schema.views()]
    return [
        Step(clickhouse.database, [f"CREATE DATABASE IF NOT EXISTS {quoted(clickhouse.database)}{cluster.on}"]),
        *(Step(each.name, each.statements(settings, clickhouse.database, cluster)) for each in files),
    ]


def steps(client: HttpClient, settings: config.Schema, cluster: Cluster) -> Iterator[Step]:
    """What there is to do, in order; each step is looked for after those before it have been taken."""
    made_for = Cluster.of(client)
    if made_for not in (None, cluster):
        raise SchemaError(
            f"the schema in {client.database} was created for {made_for}, but LOGBROOK_SCHEMA_CLUSTER says {cluster}:"
            " create a new database (LOGBROOK_CLICKHOUSE_DATABASE) and copy the rows (docs/deploy.md)."
        )
    database = client.database or ""
    record = cluster.local("schema_migrations")
    rows = client.query(f"SELECT name, argMax(checksum, applied_at) FROM {record} GROUP BY name").result_rows
    known: dict[str, str] = {row[0]: row[1] for row in rows}
    _refuse_others(database, known)
    for file in schema.tables():
        if file.name not in known:
            yield Step(file.name, file.statements(settings, database, cluster), file)
    there = {
        row[0] for row in client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    }
    for file in schema.views():
        if known.get(file.name) != file.applied_as(settings):
            [statement] = file.statements(settings, database, cluster)
            yield Step(file.name, [schema.replaced(statement) if file.view in there else statement], file)
    yield from _retention(client, settings.retention_days, cluster)


def _refuse_others(database: str, known: Mapping[str, str]) -> None:
    """SchemaError if the database is one that this version can't continue; `known` is what was applied to it."""
    others = [name for name in known if "/" not in name]
    others += [each.name for each in schema.tables() if known.get(each.name, each.checksum) != each.checksum]
    if others:
        raise SchemaError(
            f"{others[0]} was applied to the database {database!r} with other contents, by another"
            " version: there is no in-place upgrade between the two. Keep the events with the version that created"
            " it: `logbrook backup`, and copy what it wrote away. Then recreate the database with this version"
            " (`make local-reset`, or another LOGBROOK_CLICKHOUSE_DATABASE) and `logbrook restore` it:"
            " docs/operations.md#upgrade. (If you changed the file: restore it; put the change"
            " into a new file with a higher number.)"
        )
    # With an extra view, its events would be stored twice.
    if unknown := {name for name in known if name.startswith("views/")} - {each.name for each in schema.views()}:
        view = min(unknown).removeprefix("views/").removesuffix(".sql")
        raise SchemaError(
            f"the database {database!r} has {view}, which is not part of this version. Stop the consumers, run"
            f" DROP VIEW {view}; DELETE FROM schema_migrations WHERE name = 'views/{view}.sql'; and migrate again."
        )


def _take(client: HttpClient, step: Step, settings: config.Schema, cluster: Cluster) -> None:
    for statement in step.statements:
        _execute(client, statement, step.what, cluster)
    if step.file is not None:
        client.insert(
            cluster.local("schema_migrations"),
            [[step.file.name, step.file.applied_as(settings)]],
            column_names=["name", "checksum"],
            settings={"async_insert": 0},
        )
    log.info("applied", step=step.what)


def _retention(client: HttpClient, days: int, cluster: Cluster) -> Iterator[Step]:
    """Bring our tables' retention in line with the settings."""
    rows = client.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()").result_rows
    retained = {cluster.local(table): column for table, column in _RETAINED.items()}
    for name, engine in rows:
        column = retained.get(name)
        if column and _days(engine) != days:
            change = f"ALTER TABLE {name}{cluster.on} MODIFY TTL toDate({column}) + toIntervalDay({days})"
            yield Step(f"{name}: {days} days of retention", [change])


def _keep_system_logs(client: HttpClient, days: int, cluster: Cluster) -> None:
    """Give ClickHouse's own logs a TTL of that many days: they would fill the disk. Other forms of TTL are kept."""
    rows = client.query(
        "SELECT name, engine_full FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
        " AND match(name, '_log(_[0-9]+)?$') AND (database, name) IN"
        " (SELECT database, table FROM system.columns WHERE name = 'event_date' AND database = 'system')"
    ).result_rows
    for name, engine in rows:
        if (_days(engine) or days) == days and "TTL" in engine:
            continue
        change = f"ALTER TABLE system.{quoted(name)}{cluster.on} MODIFY TTL event_date + toIntervalDay({days})"
        try:
            client.command(change, settings=dict(cluster.waiting))
            log.info("retention changed", table=f"system.{name}", days=days)
        except ClickHouseError as error:
            log.warning("a system log keeps its rows forever", table=f"system.{name}", error=str(error))


def _days(engine: str) -> int | None:
    """The days of a table's TTL; None if it has none, or one in another form."""
    found = _TTL_DAYS.search(engine)
    return int(found[1]) if found else None


def _execute(client: HttpClient, statement: str, where: str, cluster: Cluster) -> None:
    try:
        client.command(statement, settings=dict(cluster.waiting))
    except ClickHouseError as error:
        raise SchemaError(f"{where}: ClickHouse refuses `{statement.splitlines()[0]} ...`: {error}") from error
