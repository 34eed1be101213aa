"""An old backup, put back, and what came after it read from Kafka again: nothing is lost, nothing double."""

import pytest

from logbrook import backup, clickhouse, config, migrate
from logbrook.consumer.audit import audit
from logbrook.consumer.replay import replay
from logbrook.consumer.span import Bounds
from logbrook.errors import SchemaError
from tests.consumer.test_consumer import SETTINGS, bodies, consuming, eventually, numbered, send


def test_a_restored_backup_and_a_replay_are_whole(topic: config.Kafka, database: config.ClickHouse) -> None:
    """While a consumer runs: what came after the backup is missing once it is restored, and back after a replay."""
    everything = [each.decode() for each in numbered(0, 300)]
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 100))
        send(topic, b"a repeated one", partition=1, key="k")
        eventually(lambda: len(bodies(database)) == 101)
        name = backup.default_name() + "-" + database.database
        assert backup.backup(database, name) == f"{name}.tar.zst"
        send(topic, *numbered(100, 200))
        eventually(lambda: len(bodies(database)) == 201)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))

        assert backup.restore(database, name) == 101

        assert sum(each.missing for each in audit(SETTINGS, topic, database, Bounds())) == 100
        assert replay(SETTINGS, topic, database, Bounds(), lambda *_: None) == 100
        send(topic, *numbered(200, 300))
        send(topic, b"not stored", partition=1, key="k")
        eventually(lambda: len(bodies(database)) >= 301)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))
    assert bodies(database) == ["a repeated one", *everything]
    findings = audit(SETTINGS, topic, database, Bounds())
    assert {(each.missing, each.double) for each in findings} == {(0, 0)}


def test_a_backup_is_not_overwritten(database: config.ClickHouse) -> None:
    """A name that is taken is refused; so is one that could leave the folder, and one that was never written."""
    name = "taken-" + database.database
    backup.backup(database, name)

    with pytest.raises(backup.BackupError, match="already exists"):
        backup.backup(database, name)
    with pytest.raises(backup.BackupError, match="is no name"):
        backup.backup(database, "../outside")
    with pytest.raises(backup.BackupError, match="not found"):
        backup.restore(database, "never-written")


def test_events_of_another_schema_come_back_into_this_one(topic: config.Kafka, database: config.ClickHouse) -> None:
    """The way that a refused migration names: backup, a database made anew, restore; a repeated key is still known."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 50))
        send(topic, b"the first", partition=1, key="k")
        eventually(lambda: len(bodies(database)) == 51)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))
    client.command("INSERT INTO schema_migrations (name, checksum) SELECT '0001_tables.sql', 'another'")
    client.command("OPTIMIZE TABLE schema_migrations FINAL")
    with pytest.raises(SchemaError):
        migrate.apply(config.Schema(), database)

    name = backup.default_name() + "-" + database.database
    backup.backup(database, name)
    client.command(f"DROP DATABASE {database.database} SYNC")
    migrate.apply(config.Schema(), database)
    assert backup.restore(database, name) == 51

    with consuming(SETTINGS, topic, database):
        send(topic, b"again", partition=1, key="k")
        send(topic, *numbered(50, 60))
        eventually(lambda: len(bodies(database)) >= 61)
    assert bodies(database) == [*(each.decode() for each in numbered(0, 60)), "the first"]
