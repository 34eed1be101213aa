"""What each index and projection of the table costs: `python -m bench.query_indexes`.

Inserts the same events into the table without any of them, with each alone, and with all. The processor time of this
process is counted, not the clock: other work on the machine does not change it much.
"""

import argparse
import re
import tempfile
import time
from typing import Any

from chdb.session import Session

from bench import query_data
from logbrook import config, schema

BARE = "without any"


def statements() -> list[str]:
    """The schema's statements about the log table, comments taken out."""
    every = (each for file in schema.tables() for each in file.statements(config.Schema(), "default"))
    plain = (re.sub(r"^\s*--.*$", "", each, flags=re.MULTILINE).strip() for each in every)
    return [each for each in plain if re.match(r"(CREATE|ALTER) TABLE (IF NOT EXISTS )?otel_logs\b", each)]


def parts() -> dict[str, str]:
    """Each index and projection that was added and not dropped: its name, and the statement that adds it."""
    added = {}
    for statement in statements():
        if found := re.search(r"ADD (?:INDEX|PROJECTION) IF NOT EXISTS (\w+)", statement):
            added[found[1]] = statement
        for dropped in re.findall(r"DROP (?:INDEX|PROJECTION) IF EXISTS (\w+)", statement):
            del added[dropped]
    return added


AT_MERGES = "all, at merges"


def measure(session: Any, rows: int, name: str, added: list[str], *, merge: bool) -> tuple[float, float]:
    """Microseconds of processor time and bytes per event for a table with these parts."""
    session.query("DROP TABLE IF EXISTS otel_logs SYNC")
    for statement in statements():
        if not re.search("(ADD|DROP|MATERIALIZE) (INDEX|PROJECTION)", statement):
            session.query(statement)
    for statement in added:
        session.query(statement)
    session.query("SYSTEM STOP MERGES otel_logs")
    # The text indexes of an insert can be left to the first merge.
    on_insert = int(name != AT_MERGES)
    before = time.process_time()
    for first in range(0, rows, 100_000):
        session.query(
            f"INSERT INTO otel_logs ({query_data.COLUMNS}) SELECT {query_data.COLUMNS} FROM source "
            f"WHERE KafkaOffset >= {first // 8} AND KafkaOffset < {(first + 100_000) // 8} "
            f"SETTINGS max_insert_threads = 1, materialize_skip_indexes_on_insert = {on_insert:d}"
        )
    if merge:
        session.query("SYSTEM START MERGES otel_logs")
        session.query("OPTIMIZE TABLE otel_logs FINAL")
    used = time.process_time() - before
    size = session.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'otel_logs' AND active", "TSV")
    return used * 1e6 / rows, int(str(size)) / rows


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="events to insert, in parts of 100,000")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="bench-indexes-", ignore_cleanup_errors=True) as directory:
        session: Any = Session(directory)  # type: ignore[no-untyped-call]
        session.query("CREATE DATABASE bench")
        session.query("USE bench")
        session.query(f"CREATE TABLE source ENGINE = MergeTree ORDER BY KafkaOffset AS {_made(rows)}")
        every = list(parts().values())
        choices: dict[str, list[str]] = {BARE: []}
        choices |= {name: [statement] for name, statement in parts().items()}
        choices |= {"all": every, AT_MERGES: every}
        print(f"{'':24}us per event: insert  + merge   bytes per event: fresh  merged")
        for name, added in choices.items():
            inserted, fresh = measure(session, rows, name, added, merge=False)
            merged, size = measure(session, rows, name, added, merge=True)
            print(f"{name:24}{inserted:20.2f}{merged:9.2f}{fresh:23.1f}{size:8.1f}", flush=True)
        session.close()


def _made(rows: int) -> str:
    sql = query_data.EVENTS
    values = {"start": "1764000000000000000", "step": str(86_400e9 / 20_000_000), "first": "0", "count": str(rows)}
    for name, value in values.items():
        sql = re.sub(rf"\{{{name}:\w+\}}", value, sql)
    return sql


if __name__ == "__main__":
    main()
