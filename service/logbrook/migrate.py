"""Create or update what the service needs: the tables of ClickHouse and the topic of Kafka.

Safe to repeat, and to run from two places at once: every statement of the schema files says IF NOT EXISTS or has the
same outcome when it runs again, so two that start together both do the same and both succeed.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from logbrook import config
from logbrook.clickhouse import ClickHouseError, HttpClient, connect
from logbrook.cluster import ONE_SERVER, Cluster
from logbrook.errors import SchemaError, UnavailableError
from logbrook.kafka import client_config

log = structlog.get_logger()

WAIT_SECONDS = 60.0
_KAFKA_TIMEOUT_SECONDS = 10.0
# Tables whose rows are kept for retention_days, and the column that says since when.
_RETAINED = {"otel_logs": "IngestedAt", "idempotency_keys": "RecordedAt"}
# Errors that pass though librdkafka does not call them retriable: a broker gives the first while its session with
# ZooKeeper is renewed, the second right afterwards (retriable by kafka.apache.org/protocol#protocol_error_codes).
_PASSING = {KafkaError.UNKNOWN, KafkaError.NOT_CONTROLLER}
_TTL_DAYS = re.compile(r"TTL .*toIntervalDay\((\d+)\)")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Migration:
    """One file of logbrook/schema."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text as it is in the file, before parameters are filled in."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, schema: config.Schema) -> Iterator[str]:
        """The statements with their parameters filled in. A line that ends with `;` ends a statement."""
        text = self.text.replace("{retention_days}", str(schema.retention_days))
        text = text.replace("{max_event_names}", str(schema.max_event_names))
        for statement in re.split(r";[ \t]*(?:\n|$)", text):
            if re.sub(r"--.*", "", statement).strip():
                yield statement.strip()


def migrations() -> list[Migration]:
    """The schema files in the order of their numbers."""
    files = resources.files("logbrook.schema").iterdir()
    return [
        Migration(file.name, file.read_text())
        for file in sorted(files, key=lambda file: file.name)
        if _numbered(file.name)
    ]


def _numbered(name: str) -> bool:
    return re.fullmatch(r"\d{4}_\w+\.sql", name) is not None


def run(schema: config.Schema, kafka: config.Kafka, clickhouse: config.ClickHouse) -> None:
    """Bring ClickHouse and Kafka to what this version needs.

    Raises SchemaError, or UnavailableError if one of the two does not answer within a minute.
    """
    applied = apply(schema, clickhouse)
    log.info("schema is up to date", database=clickhouse.database, applied=applied)
    created = create_topic(kafka)
    log.info("topic is ready", topic=kafka.topic, created=created)


def apply(schema: config.Schema, clickhouse: config.ClickHouse, wait_seconds: float = WAIT_SECONDS) -> list[str]:
    """Run the schema files that are not applied yet, bring retention in line, and return the files' names.

    Raises SchemaError if a file that was applied has changed since, or ClickHouse refuses a statement, and
    UnavailableError if ClickHouse does not answer within `wait_seconds`.
    """
    client = _wait("ClickHouse", wait_seconds, lambda: connect(clickhouse, database="default"))
    try:
        cluster = Cluster.named(client, schema.cluster)
        database = f"{_quoted(clickhouse.database)}{cluster.on}"
        _execute(client, f"CREATE DATABASE IF NOT EXISTS {database}", clickhouse.database, cluster)
    finally:
        client.close()
    client = connect(clickhouse)
    try:
        return _apply(client, schema, cluster)
    finally:
        client.close()


def _apply(client: HttpClient, schema: config.Schema, cluster: Cluster) -> list[str]:
    made_for = Cluster.of(client)
    if made_for not in (None, cluster):
        raise SchemaError(
            f"the schema in {client.database} was made for {made_for}, and LOGBROOK_SCHEMA_CLUSTER says {cluster}:"
            " make a new database (LOGBROOK_CLICKHOUSE_DATABASE) and copy the rows (docs/deploy.md)."
        )
    record = cluster.local("schema_migrations")
    for statement in cluster.rendered(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (name String, checksum String, applied_at DateTime64(3) DEFAULT now64(3))"
        " ENGINE = ReplacingMergeTree ORDER BY name",
        client.database or "",
    ):
        _execute(client, statement, "schema_migrations", cluster)
    rows = client.query(f"SELECT name, any(checksum) FROM {record} GROUP BY name").result_rows
    known: dict[str, str] = {row[0]: row[1] for row in rows}
    pending = []
    for migration in migrations():
        if migration.name not in known:
            pending.append(migration)
        elif migration.checksum != known[migration.name]:
            raise SchemaError(
                f"{migration.name} was applied to the database {client.database!r} with other contents, by another"
                " version: there is no upgrade in place between the two. Keep the events with the version that made"
                " it: `logbrook backup`, and copy the archive away. Then make the database anew with this version"
                " (`make local-reset`, or another LOGBROOK_CLICKHOUSE_DATABASE) and `logbrook restore` it:"
                " docs/operations.md#upgrade. (If you changed the file: an applied one stays as it was; put the change"
                " into a new file with a higher number.)"
            )
    for migration in pending:
        for statement in migration.statements(schema):
            for form in cluster.rendered(statement, client.database or ""):
                _execute(client, form, migration.name, cluster)
        client.insert(
            record,
            [[migration.name, migration.checksum]],
            column_names=["name", "checksum"],
            settings={"async_insert": 0},
        )
        log.info("applied", file=migration.name)
    _bound_names(client, schema.max_event_names, cluster)
    _keep(client, schema.retention_days, cluster)
    _keep_system_logs(client, schema.system_log_retention_days, cluster)
    return [migration.name for migration in pending]


def _bound_names(client: HttpClient, most: int, cluster: Cluster) -> None:
    """Bring the views' bound of an event's names in line."""
    rows = client.query(
        "SELECT name, as_select FROM system.tables"
        " WHERE database = currentDatabase() AND match(as_select, '[0-9]+ AS most_names')"
    ).result_rows
    for name, select in rows:
        wanted = re.sub(r"\b\d+ AS most_names", f"{most} AS most_names", select)
        if wanted != select:
            _execute(client, f"ALTER TABLE {name}{cluster.on} MODIFY QUERY {wanted}", name, cluster)
            log.info("bound of names changed", view=name, names=most)


def _keep(client: HttpClient, days: int, cluster: Cluster) -> None:
    """Bring the retention of our tables in line."""
    rows = client.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()").result_rows
    retained = {cluster.local(table): column for table, column in _RETAINED.items()}
    for name, engine in rows:
        column = retained.get(name)
        if column and _days(engine) != days:
            change = f"ALTER TABLE {name}{cluster.on} MODIFY TTL toDate({column}) + toIntervalDay({days})"
            _execute(client, change, name, cluster)
            log.info("retention changed", table=name, days=days)


def _keep_system_logs(client: HttpClient, days: int, cluster: Cluster) -> None:
    """Give ClickHouse's own logs a TTL of so many days: they would fill the disk. Other forms of TTL are left alone."""
    rows = client.query(
        "SELECT name, engine_full FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
        " AND match(name, '_log(_[0-9]+)?$') AND (database, name) IN"
        " (SELECT database, table FROM system.columns WHERE name = 'event_date' AND database = 'system')"
    ).result_rows
    for name, engine in rows:
        if (_days(engine) or days) == days and "TTL" in engine:
            continue
        change = f"ALTER TABLE system.{_quoted(name)}{cluster.on} MODIFY TTL event_date + toIntervalDay({days})"
        try:
            client.command(change, settings=dict(cluster.waiting))
            log.info("retention changed", table=f"system.{name}", days=days)
        except ClickHouseError as error:
            log.warning("a system log keeps its rows for ever", table=f"system.{name}", error=str(error))


def _days(engine: str) -> int | None:
    """The days of a table's TTL, None if it has none or one of another form."""
    found = _TTL_DAYS.search(engine)
    return int(found[1]) if found else None


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _execute(client: HttpClient, statement: str, where: str, cluster: Cluster = ONE_SERVER) -> None:
    try:
        client.command(statement, settings=dict(cluster.waiting))
    except ClickHouseError as error:
        raise SchemaError(f"{where}: ClickHouse refuses `{statement.splitlines()[0]} ...`: {error}") from error


def _wait(what: str, seconds: float, attempt: Callable[[], Answer]) -> Answer:
    """What `attempt` returns, once it no longer raises UnavailableError; that error after `seconds`."""
    deadline = time.monotonic() + seconds
    announced = False
    while True:
        try:
            return attempt()
        except UnavailableError as error:
            if time.monotonic() >= deadline:
                raise UnavailableError(503, error.code, f"no answer within {seconds:g} s: {error}") from error
            if not announced:
                log.info(f"waiting for {what}", at_most_seconds=seconds, error=str(error))
                announced = True
            time.sleep(0.5)


def create_topic(kafka: config.Kafka, wait_seconds: float = WAIT_SECONDS) -> bool:
    """Create the topic, or bring an existing one's settings in line; True if it was created.

    The number of partitions is raised when configured higher, never lowered: Kafka can't.
    Raises SchemaError if Kafka refuses, UnavailableError if it does not answer within `wait_seconds`.
    """
    admin = AdminClient(client_config(kafka))
    if kafka.sasl_mechanism == "OAUTHBEARER":
        admin.poll(1)  # serves the request for a token, which nothing else does for this kind of client
    settings = {
        "retention.ms": str(kafka.retention_hours * 3_600_000),
        "retention.bytes": str(kafka.retention_bytes),
    }
    timeout_seconds = min(wait_seconds, _KAFKA_TIMEOUT_SECONDS)
    return _wait("Kafka", wait_seconds, lambda: _created(admin, kafka, settings, timeout_seconds))


def _created(admin: AdminClient, kafka: config.Kafka, settings: Mapping[str, str], timeout_seconds: float) -> bool:
    """The same, once; UnavailableError while the topic is neither there nor gone."""
    if _partitions(admin, kafka, timeout_seconds) == 0:
        topic = NewTopic(kafka.topic, kafka.partitions, kafka.replication_factor, config=dict(settings))
        if _done(admin.create_topics([topic]), kafka.topic, tolerated=KafkaError.TOPIC_ALREADY_EXISTS):
            return True
    # Exists, but is not known: somebody else's creation is under way, or the deletion of an old topic of this name.
    _alter(admin, kafka.topic, settings)
    partitions = _partitions(admin, kafka)
    if partitions == 0:
        raise UnavailableError(503, "kafka_unavailable", f"Kafka no longer knows the topic {kafka.topic!r}")
    if partitions < kafka.partitions:
        wanted = NewPartitions(kafka.topic, kafka.partitions)
        # Somebody else may have added them in between.
        if _done(admin.create_partitions([wanted]), kafka.topic, tolerated=KafkaError.INVALID_PARTITIONS):
            log.info("partitions added", topic=kafka.topic, before=partitions, now=kafka.partitions)
    elif partitions > kafka.partitions:
        log.warning(
            "the topic has more partitions than configured, and Kafka can't remove any: raise the setting to match",
            setting="LOGBROOK_KAFKA_PARTITIONS",
            topic=kafka.topic,
            partitions=partitions,
            configured=kafka.partitions,
        )
    return False


def _partitions(admin: AdminClient, kafka: config.Kafka, timeout_seconds: float = _KAFKA_TIMEOUT_SECONDS) -> int:
    """How many partitions the topic has, 0 if it is not there; UnavailableError if Kafka does not answer."""
    try:
        topics = admin.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        raise UnavailableError(503, "kafka_unavailable", f"Kafka at {kafka.bootstrap_servers}: {error}") from error
    return len(topics[kafka.topic].partitions) if kafka.topic in topics else 0


def _alter(admin: AdminClient, topic: str, settings: Mapping[str, str]) -> None:
    """Change the topic's settings; UnavailableError if Kafka does not know it yet."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    if not _done(admin.incremental_alter_configs([resource]), topic, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART):
        raise UnavailableError(503, "kafka_unavailable", f"Kafka does not know the topic {topic!r} yet")


def _done(futures: Mapping[Any, Future[Any]], topic: str, tolerated: int | None = None) -> bool:
    """Wait for Kafka's answer: True if it did what was asked, False if it gave the tolerated error.

    Raises UnavailableError for an error that passes.
    """
    try:
        for future in futures.values():
            future.result(_KAFKA_TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == tolerated:
            return False
        if error.args[0].retriable() or error.args[0].code() in _PASSING:
            raise UnavailableError(503, "kafka_unavailable", f"topic {topic!r}: {error.args[0].str()}") from error
        raise SchemaError(f"topic {topic!r}: Kafka refuses: {error.args[0].str()}") from error
    return True
