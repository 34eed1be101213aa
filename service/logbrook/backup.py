"""Back the tables up and bring them back, with ClickHouse's own BACKUP and RESTORE.

The archive lies in ClickHouse's `backups.allowed_path`. It may be taken and restored while consumers run: restoring
puts the old table beside the present one and swaps the two in one step. What arrived after the backup is then missing,
though committed: `logbrook replay` reads it from Kafka again.
"""

import re
import time
from datetime import UTC, datetime

from clickhouse_connect.driver.exceptions import ClickHouseError

from logbrook import clickhouse, config
from logbrook.clickhouse import HttpClient
from logbrook.errors import LogbrookError

_POLL_SECONDS = 0.2
_RESTORED = "otel_logs_restored"


class BackupError(LogbrookError):
    """A backup or a restore did not succeed; what was there before is unchanged."""


def default_name() -> str:
    """A name that sorts by time: logbrook-20260131T120000Z."""
    return datetime.now(UTC).strftime("logbrook-%Y%m%dT%H%M%SZ")


def backup(database: config.ClickHouse, name: str) -> str:
    """Write the archive `name`; returns its file's name. Raises BackupError if it exists or can't be written."""
    client = clickhouse.connect(database)
    tables = f"TABLE {database.database}.otel_logs, TABLE {database.database}.idempotency_keys"
    _run(client, f"BACKUP {tables} TO {_file(name)} ASYNC", "BACKUP_CREATED")
    return f"{name}.tar.zst"


def restore(database: config.ClickHouse, name: str) -> int:
    """Replace `otel_logs` by the one in the archive `name`; returns its rows. Raises BackupError if it fails."""
    client = clickhouse.connect(database)
    client.command(f"DROP TABLE IF EXISTS {_RESTORED} SYNC")
    in_database = f"{database.database}.{{}}".format
    # A newer version's column or index is no reason to refuse an old backup.
    lenient = "SETTINGS allow_different_table_def = 1, allow_non_empty_tables = 1"
    tables = f"TABLE {in_database('otel_logs')} AS {in_database(_RESTORED)}, TABLE {in_database('idempotency_keys')}"
    _run(client, f"RESTORE {tables} FROM {_file(name)} {lenient} ASYNC", "RESTORED")
    rows = int(client.query(f"SELECT count() FROM {_RESTORED}").result_rows[0][0])
    client.command(f"EXCHANGE TABLES otel_logs AND {_RESTORED}")
    client.command(f"DROP TABLE {_RESTORED} SYNC")
    return rows


def _file(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BackupError(f"{name!r} is no name for a backup: use letters, digits, dots, dashes and underscores")
    return f"File('{name}.tar.zst')"


def _run(client: HttpClient, statement: str, wanted: str) -> None:
    """Start a statement in ClickHouse's background and follow it to its end."""
    try:
        operation = str(client.query(statement).result_rows[0][0])
        while True:
            status, error = client.query(
                "SELECT status, error FROM system.backups WHERE id = {id:String}", parameters={"id": operation}
            ).result_rows[0]
            if status == wanted:
                return
            if str(status).endswith(("FAILED", "CANCELLED")):
                raise BackupError(str(error))
            time.sleep(_POLL_SECONDS)
    except ClickHouseError as error:
        raise BackupError(str(error)) from error
