"""An old backup, put back, and what came after it read from Kafka again: nothing is lost, nothing double."""

import dataclasses
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from logbrook import backup, clickhouse, config, metrics, migrate
from logbrook.consumer.audit import audit
from logbrook.consumer.replay import replay
from logbrook.consumer.span import Bounds
from logbrook.errors import SchemaError
from native import ports
from tests.components import until
from tests.consumer.test_consumer import SETTINGS, bodies, consuming, eventually, numbered, send
from tests.tools import build

FOLDER = config.Backup()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[config.Backup]:
    """A bucket behind S3's protocol; what it logs is every request."""
    program = build.find("fakes3")
    if program is None:
        pytest.skip(build.missing("fakes3"))
    [port] = ports.free(1)
    with subprocess.Popen([program, f"127.0.0.1:{port}", "backups"], stderr=subprocess.DEVNULL) as server:
        until(lambda: _answers(port))
        yield config.Backup(url=f"http://127.0.0.1:{port}/backups/clickhouse", key_id="id", key_secret="the'secret")
        server.terminate()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def test_a_restored_backup_and_a_replay_are_whole(topic: config.Kafka, database: config.ClickHouse) -> None:
    """While a consumer runs: what came after the backup is missing once it is restored, and back after a replay."""
    everything = [each.decode() for each in numbered(0, 300)]
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 100))
        send(topic, b"a repeated one", partition=1, key="k")
        eventually(lambda: len(bodies(database)) == 101)
        name = backup.default_name() + "-" + database.database
        assert backup.backup(database, FOLDER, name) == name
        send(topic, *numbered(100, 200))
        eventually(lambda: len(bodies(database)) == 201)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))

        assert backup.restore(database, FOLDER, name) == 101

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
    backup.backup(database, FOLDER, name)

    with pytest.raises(backup.BackupError, match="already exists"):
        backup.backup(database, FOLDER, name)
    with pytest.raises(backup.BackupError, match="is not a name"):
        backup.backup(database, FOLDER, "../outside")
    with pytest.raises(backup.BackupError, match="not found") as never:
        backup.restore(database, FOLDER, "never-written")
    assert "Stack trace" not in str(never.value)


def test_events_of_another_schema_come_back_into_this_one(topic: config.Kafka, database: config.ClickHouse) -> None:
    """The way that a refused migration names: backup, a recreated database, restore; a repeated key is still known."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 50))
        send(topic, b"the first", partition=1, key="k")
        eventually(lambda: len(bodies(database)) == 51)
        eventually(lambda: not any(each.pending for each in audit(SETTINGS, topic, database, Bounds())))
    client.command("INSERT INTO schema_migrations (name, checksum) SELECT 'tables/0001_tables.sql', 'another'")
    client.command("OPTIMIZE TABLE schema_migrations FINAL")
    with pytest.raises(SchemaError):
        migrate.apply(config.Schema(), database)

    name = backup.default_name() + "-" + database.database
    backup.backup(database, FOLDER, name)
    client.command(f"DROP DATABASE {database.database} SYNC")
    migrate.apply(config.Schema(), database)
    assert backup.restore(database, FOLDER, name) == 51

    with consuming(SETTINGS, topic, database):
        send(topic, b"again", partition=1, key="k")
        send(topic, *numbered(50, 60))
        eventually(lambda: len(bodies(database)) >= 61)
    assert bodies(database) == [*(each.decode() for each in numbered(0, 60)), "the first"]


def test_saved_views_come_back(database: config.ClickHouse) -> None:
    """A restore adds those that are gone, and leaves those that were changed since; a backup without any is fine."""
    client = clickhouse.connect(database)
    save = "INSERT INTO saved_views (name, version, owner, document) VALUES ('{}', {}, 'zoe', '{}')"
    name = backup.default_name() + "-" + database.database
    for view in ("kept", "lost"):
        client.command(save.format(view, 1, "old"))
    backup.backup(database, FOLDER, name)
    client.command(save.format("kept", 2, "new"))
    client.command("ALTER TABLE saved_views DELETE WHERE name = 'lost' SETTINGS mutations_sync = 1")

    for _ in range(2):
        backup.restore(database, FOLDER, name)
        rows = client.query("SELECT name, version, document FROM saved_views ORDER BY name, version").result_rows
        assert [tuple(row) for row in rows] == [("kept", 1, "old"), ("kept", 2, "new"), ("lost", 1, "old")]

    client.command("RENAME TABLE saved_views TO elsewhere")
    backup.backup(database, FOLDER, name + "-without")
    client.command("RENAME TABLE elsewhere TO saved_views")
    assert backup.restore(database, FOLDER, name + "-without") == 0


def _fill(database: config.ClickHouse, first: int, rows: int) -> None:
    """Rows of a few MB that no compression makes small."""
    clickhouse.connect(database).command(
        "INSERT INTO otel_logs (IngestedAt, Body, KafkaOffset)"
        f" SELECT now64(3), hex(randomString(200, number)), number FROM numbers({first}, {rows})"
    )


def _count(database: config.ClickHouse) -> int:
    return int(clickhouse.connect(database).query("SELECT count() FROM otel_logs").result_rows[0][0])


def _bytes_written(database: config.ClickHouse, name: str) -> int:
    query = "SELECT uncompressed_size FROM system.backups WHERE position(name, {end:String}) > 0"
    found = clickhouse.connect(database).query(query, parameters={"end": f"/{name}'"}).result_rows
    return int(found[0][0])


def test_a_bucket_holds_full_and_incremental_backups(database: config.ClickHouse, bucket: config.Backup) -> None:
    """The second writes only what is new, names its base, and both can be restored; when it ended is a metric."""
    _fill(database, 0, 20_000)
    full = backup.backup(database, bucket)
    assert [each.name for each in backup.finished(database, bucket)] == [full]
    _fill(database, 20_000, 200)
    second = backup.backup(database, bucket)
    _fill(database, 20_200, 1)

    assert second.endswith("-after-" + full.removeprefix("logbrook-"))
    assert {each.name: each.base for each in backup.finished(database, bucket)} == {full: None, second: full}
    assert _bytes_written(database, second) < _bytes_written(database, full) / 4
    assert (backup.restore(database, bucket, second), _count(database)) == (20_200, 20_200)
    assert (backup.restore(database, bucket, full), _count(database)) == (20_000, 20_000)
    backup.observe(database, bucket)
    newest = max(each.at for each in backup.finished(database, bucket))
    assert metrics.backup_finished_timestamp_seconds._value.get() == newest.timestamp()


def test_a_full_backup_is_due_again(database: config.ClickHouse, bucket: config.Backup) -> None:
    """Once the last full one is too old, the next one is no longer built on it; one with a name is always full."""
    first = backup.backup(database, bucket)
    named = backup.backup(database, bucket, "before-the-upgrade")
    always = dataclasses.replace(bucket, full_every_days=0)
    eventually(lambda: backup.default_name() > first)
    due = backup.backup(database, always)

    assert {each.name: each.base for each in backup.finished(database, bucket)} == {first: None, named: None, due: None}


def test_the_buckets_key_is_shown_nowhere(database: config.ClickHouse, bucket: config.Backup) -> None:
    """Neither in ClickHouse's list of backups, nor in an error, nor within the backup."""
    name = backup.backup(database, bucket)
    with pytest.raises(backup.BackupError, match="already exists") as error:
        backup.backup(database, bucket, name)
    client = clickhouse.connect(database)
    shown = str(client.query("SELECT * FROM system.backups").result_rows) + str(error.value)
    arguments = backup._arguments(bucket, f"{name}/.backup")
    written = str(client.query(f"SELECT * FROM s3({arguments}, 'LineAsString')").result_rows)
    assert "HIDDEN" in shown
    assert "secret" not in shown + written


def test_a_bucket_that_is_away_is_an_error(database: config.ClickHouse) -> None:
    """Of the command; the audit goes on, and says so in its log."""
    [port] = ports.free(1)
    away = config.Backup(url=f"http://127.0.0.1:{port}/backups/clickhouse", key_id="id", key_secret="secret")
    with pytest.raises(backup.BackupError):
        backup.finished(database, away)
    backup.observe(database, away)
    with pytest.raises(backup.BackupError, match="LOGBROOK_BACKUP_URL"):
        backup.finished(database, FOLDER)
