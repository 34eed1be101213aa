"""Back up the tables and restore them, with ClickHouse's own BACKUP and RESTORE.

Backups go into a bucket, or into ClickHouse's `backups.allowed_path`, each as a folder. (From an archive, ClickHouse
restores each file by reading the archive from its start: a million events took minutes instead of seconds.) They can be
made and restored while consumers run: restoring puts the old table next to the current one and swaps the two in one
step. Events that arrived after the backup are then missing, although they are committed: `logbrook replay` reads them
from Kafka again.

In a bucket, every backup but the first can be incremental: it does not store again what its base has. Its base is
always a full one, and its name says which. Buckets speak S3; Google's do, too, with the HMAC keys of a service account:
https://clickhouse.com/docs/operations/backup and https://cloud.google.com/storage/docs/interoperability (read
2026-11-28; docs/decisions/backups.md).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from logbrook import clickhouse, config, metrics
from logbrook.clickhouse import HttpClient
from logbrook.errors import LogbrookError

log = structlog.get_logger()

_POLL_SECONDS = 0.2
_TABLES = ("otel_logs", "idempotency_keys", "saved_views")
_RESTORED, _RESTORED_VIEWS = "otel_logs_restored", "saved_views_restored"
_TIME = "%Y%m%dT%H%M%SZ"
_FULL = re.compile(r"logbrook-\d{8}T\d{6}Z")
_INCREMENTAL = re.compile(r"logbrook-\d{8}T\d{6}Z-after-(\d{8}T\d{6}Z)")


class BackupError(LogbrookError):
    """A backup or a restore failed; what was there before is unchanged."""


@dataclass(frozen=True)
class Finished:
    """A complete backup in the bucket; `base` is the full one that is needed to restore it."""

    name: str
    at: datetime
    base: str | None


def default_name() -> str:
    """A name that sorts by time: logbrook-20260131T120000Z."""
    return datetime.now(UTC).strftime(f"logbrook-{_TIME}")


def backup(database: config.ClickHouse, bucket: config.Backup, name: str | None = None) -> str:
    """Back up as `name`; returns what `restore` takes. Raises BackupError if it exists or can't be written.

    Without a name it is named after the time, and in a bucket it is incremental while there is a full one not older
    than `full_every_days`.
    """
    client = clickhouse.connect(database)
    base = None if name or not bucket.url else _base(_finished(client, bucket), bucket.full_every_days)
    name = name or default_name() + (f"-after-{base.name.removeprefix('logbrook-')}" if base else "")
    # A database that another version left for this one to back up may lack some.
    existing = {str(row[0]) for row in client.query("SHOW TABLES").result_rows}
    tables = ", ".join(f"TABLE {database.database}.{table}" for table in _TABLES if table in existing)
    settings = f"SETTINGS base_backup = {_place(bucket, base.name)}, {_SAME_KEY}" if base else ""
    _run(client, f"BACKUP {tables} TO {_place(bucket, name)} {settings} ASYNC", "BACKUP_CREATED")
    return name


def restore(database: config.ClickHouse, bucket: config.Backup, name: str) -> int:
    """Replace `otel_logs` by the one in the backup `name`; returns its rows. Raises BackupError if it fails.

    Saved views that the backup has are added to those there are: what was changed since then stays changed.
    """
    client = clickhouse.connect(database)
    client.command(f"DROP TABLE IF EXISTS {_RESTORED} SYNC")
    in_database = f"{database.database}.{{}}".format
    # A newer version's column or index is not a reason to refuse an old backup.
    lenient = f"SETTINGS allow_different_table_def = 1, allow_non_empty_tables = 1{bucket.url and f', {_SAME_KEY}'}"
    tables = f"TABLE {in_database('otel_logs')} AS {in_database(_RESTORED)}, TABLE {in_database('idempotency_keys')}"
    _run(client, f"RESTORE {tables} FROM {_place(bucket, name)} {lenient} ASYNC", "RESTORED")
    _restore_views(client, in_database, f"FROM {_place(bucket, name)} {lenient}")
    rows = int(client.query(f"SELECT count() FROM {_RESTORED}").result_rows[0][0])
    client.command(f"EXCHANGE TABLES otel_logs AND {_RESTORED}")
    client.command(f"DROP TABLE {_RESTORED} SYNC")
    return rows


def _restore_views(client: HttpClient, in_database: Callable[[str], str], source: str) -> None:
    """Backups of versions without saved views have none."""
    client.command(f"DROP TABLE IF EXISTS {_RESTORED_VIEWS} SYNC")
    tables = f"TABLE {in_database('saved_views')} AS {in_database(_RESTORED_VIEWS)}"
    try:
        _run(client, f"RESTORE {tables} {source} ASYNC", "RESTORED")
    except BackupError as error:
        if "not found in backup" in str(error):
            return
        raise
    client.command(
        f"INSERT INTO saved_views SELECT * FROM {_RESTORED_VIEWS}"
        " WHERE (name, version, saved_at) NOT IN (SELECT name, version, saved_at FROM saved_views)"
    )
    client.command(f"DROP TABLE {_RESTORED_VIEWS} SYNC")


def finished(database: config.ClickHouse, bucket: config.Backup) -> list[Finished]:
    """The bucket's backups, oldest first. Raises BackupError if it can't be read, or none is configured."""
    if not bucket.url:
        raise BackupError("LOGBROOK_BACKUP_URL is not set: without it, backups are files in ClickHouse's own folder")
    return _finished(clickhouse.connect(database), bucket)


def observe(database: config.ClickHouse, bucket: config.Backup) -> None:
    """Set the metric of the newest backup in the bucket; if it can't be read, leave the metric and log that."""
    if not bucket.url:
        return
    try:
        newest = max((each.at.timestamp() for each in finished(database, bucket)), default=0.0)
    except LogbrookError as error:
        log.warning("backups can't be listed", url=bucket.url, error=str(error))
    else:
        metrics.backup_finished_timestamp_seconds.set(newest)


# ClickHouse would try 500 times, for hours; whoever lists asks again.
_FEW = "s3_retry_attempts = 3"
# The base is read with the key of the backup itself: a key is never written into a backup.
_SAME_KEY = "use_same_s3_credentials_for_base_backup = 1"


def _finished(client: HttpClient, bucket: config.Backup) -> list[Finished]:
    """ClickHouse lists the bucket: `.backup` is what it writes last. The format `One` reads no contents."""
    listed = f"SELECT _path, toUnixTimestamp(_time) FROM s3({_arguments(bucket, '*/.backup')}, 'One') SETTINGS {_FEW}"
    try:
        rows = client.query(listed).result_rows
    except ClickHouseError as error:
        raise BackupError(str(error)) from error
    found = [_found(str(path).split("/")[-2], datetime.fromtimestamp(seconds, UTC)) for path, seconds in rows]
    return sorted(found, key=lambda each: (each.at, each.name))


def _found(name: str, at: datetime) -> Finished:
    incremental = _INCREMENTAL.fullmatch(name)
    return Finished(name, at, f"logbrook-{incremental[1]}" if incremental else None)


def _base(backups: list[Finished], full_every_days: float) -> Finished | None:
    """The newest full backup, unless it is so old that a new one is due."""
    oldest = datetime.now(UTC) - timedelta(days=full_every_days)
    return next((each for each in reversed(backups) if _FULL.fullmatch(each.name) and each.at > oldest), None)


def _place(bucket: config.Backup, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BackupError(f"{name!r} is not a name for a backup: use letters, digits, dots, dashes and underscores")
    return f"S3({_arguments(bucket, name)})" if bucket.url else f"File('{name}')"


def _arguments(bucket: config.Backup, path: str) -> str:
    """Address and key. ClickHouse hides the secret in S3's arguments wherever it shows a statement."""
    values = (f"{bucket.url.rstrip('/')}/{path}", bucket.key_id, bucket.key_secret)
    return ", ".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values)


def _run(client: HttpClient, statement: str, wanted: str) -> None:
    """Start a statement in the background in ClickHouse, and follow it until it ends."""
    try:
        operation = str(client.query(statement).result_rows[0][0])
        while True:
            status, error = client.query(
                "SELECT status, error FROM system.backups WHERE id = {id:String}", parameters={"id": operation}
            ).result_rows[0]
            if status == wanted:
                return
            if str(status).endswith(("FAILED", "CANCELLED")):
                raise BackupError(str(error).partition(", Stack trace")[0])
            time.sleep(_POLL_SECONDS)
    except ClickHouseError as error:
        raise BackupError(str(error)) from error
