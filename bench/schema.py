"""What it costs to parse and store an event: `python -m bench.schema`.

Inserts the same events in several shapes through the view into the table, in the engine of this process, and counts
processor time, which other work on the machine changes little. The yardsticks of the same run: planning alone (an
insert of one event, of fields or of text), and the same lines inserted as JSONEachRow with no view.
"""

import argparse
import json
import random
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chdb.session import Session

from logbrook import config, schema
from logbrook.consumer.batch import ROW_COLUMNS
from logbrook.leb128 import string
from logbrook.schema import INSERT_SETTINGS

ARRIVAL_MS = 1_757_930_000_000
SERVICES = ("checkout", "payment", "cart", "frontend", "auth", "inventory", "shipping", "search")
# Not a setting of the engine but of its HTTP interface.
SETTINGS = {name: value for name, value in INSERT_SETTINGS.items() if name != "wait_end_of_query"}


def flat(random_: random.Random, number: int) -> dict[str, Any]:
    """An event with all its fields at the top, as applications write them."""
    return {
        "timestamp": ARRIVAL_MS * 1_000_000 + number * 1_000_003,
        "log_level": random_.choice(["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"]),
        "service": random_.choice(SERVICES),
        "message": f"request {number} of user-{random_.randrange(10_000)} took {random_.randrange(900)} ms",
        "trace_id": f"{random_.getrandbits(128):032x}",
        "span_id": f"{random_.getrandbits(64):016x}",
        "http.method": random_.choice(["GET", "POST"]),
        "http.status_code": random_.choice([200, 200, 404, 500]),
        "user_id": f"user-{random_.randrange(10_000)}",
        "host": f"web-{random_.randrange(20)}",
        "duration_ms": random_.random() * 100,
    }


def canonical(random_: random.Random, number: int) -> dict[str, Any]:
    """An event as the gateway and the producer write it."""
    event = flat(random_, number)
    return {
        "timestamp": event["timestamp"],
        "severity_text": event["log_level"],
        "severity_number": 9,
        "body": event["message"],
        "trace_id": event["trace_id"],
        "span_id": event["span_id"],
        "trace_flags": 1,
        "resource": {"service.name": event["service"], "host.name": event["host"]},
        "attributes": {"http.method": "GET", "http.status_code": 200, "user_id": event["user_id"]},
    }


def nested(random_: random.Random, number: int) -> dict[str, Any]:
    """An event as a shipper decorates it on Kubernetes."""
    pod = {"pod": {"name": f"web-{number % 20}", "labels": {"app": "shop"}}, "node": "n1"}
    return flat(random_, number) | {"kubernetes": pod}


def line(random_: random.Random, number: int) -> bytes:
    """A line of text with a time and a level."""
    second = number % 60
    level = random_.choice(["INFO", "WARN", "ERROR"])
    return (
        f"2025-09-15 09:53:{second:02},123 {level} [main] com.shop.Cart: item {number} of cart {number % 977}".encode()
    )


def messages(count: int) -> dict[str, list[bytes]]:
    """The payloads of each shape, `count` events in each."""
    shapes: dict[str, list[bytes]] = {}
    for maker in (flat, canonical, nested):
        random_ = random.Random(1)
        events = [json.dumps(maker(random_, number), separators=(",", ":")).encode() for number in range(count)]
        shapes[f"{maker.__name__}, 1 a message"] = events
        shapes[f"{maker.__name__}, 500 a message"] = [
            b"\n".join(events[start : start + 500]) for start in range(0, count, 500)
        ]
    random_ = random.Random(1)
    shapes["text, 1 a message"] = [line(random_, number) for number in range(count)]
    return shapes


def row_binary(payloads: Sequence[bytes]) -> bytes:
    """The payloads as rows of `arrivals`."""
    return b"".join(
        b"\4logs\1t" + struct.pack("<iqq", 0, offset, ARRIVAL_MS) + b"\0\0" + string(payload)
        for offset, payload in enumerate(payloads)
    )


def seconds(session: Any, statement: str) -> float:
    """Processor time that a statement takes."""
    before = time.process_time()
    session.query(statement)
    return time.process_time() - before


def best(session: Any, statement: str, rounds: int, table: str) -> tuple[float, float]:
    """The least processor time of several inserts into an empty table, and the bytes on disk of one."""
    taken = []
    for _ in range(rounds):
        session.query(f"TRUNCATE TABLE {table}")
        taken.append(seconds(session, statement))
    size = f"SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = '{table}' AND database = 'otel'"
    return min(taken), float(str(session.query(size, "TSV")).strip() or 0)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="events in an insert")
    parser.add_argument("--rounds", type=int, default=5, help="inserts of each shape; the quickest counts")
    parser.add_argument(
        "--search", action="store_true", help="with the indexes and projections of tables/0003_search.sql"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        session: Any = Session(f"{directory}/data")  # type: ignore[no-untyped-call]
        prepare(session, arguments.search)
        session.query("SYSTEM STOP MERGES otel_logs")
        for name, value in SETTINGS.items():
            session.query(f"SET {name} = {value}")
        report(session, Path(directory) / "rows", arguments.events, arguments.rounds)
        session.close()


def prepare(session: Any, search: bool = True) -> None:
    """Make the tables and views, with or without what searches need."""
    session.query("CREATE DATABASE otel")
    session.query("USE otel")
    for file in (*schema.tables(), *schema.views()):
        if search or "search" not in file.name:
            for statement in file.statements(config.Schema(), "otel"):
                session.query(statement)


def report(session: Any, file: Path, count: int, rounds: int) -> None:
    """Insert every shape and print what it took."""
    columns = ", ".join(("topic", "topic_id", *ROW_COLUMNS))
    insert = f"INSERT INTO arrivals ({columns}) FROM INFILE '{file}' FORMAT RowBinary"
    planning = {}
    for name, payload in {"fields": b"{}", "text": line(random.Random(1), 1)}.items():
        file.write_bytes(row_binary([payload]))
        planning[name], _ = best(session, insert, rounds * 2, "otel_logs")
    print(", ".join(f"planning an insert of {name}: {taken * 1000:.0f} ms" for name, taken in planning.items()), "\n")
    print(f"| {count:,} events an insert | µs an event | events/s a core | bytes on disk an event |")
    print("|---|---|---|---|")
    shapes = messages(count)
    for name, payloads in shapes.items():
        file.write_bytes(row_binary(payloads))
        taken, size = best(session, insert, rounds, "otel_logs")
        print(f"| {name} | {taken / count * 1e6:.1f} | {count / taken:,.0f} | {size / count:.0f} |", flush=True)
    session.query(
        "CREATE TABLE plain (timestamp Int64, log_level LowCardinality(String), service LowCardinality(String),"
        " message String, trace_id String, span_id String, user_id String, host String, duration_ms Float64)"
        " ENGINE = MergeTree ORDER BY (service, timestamp)"
    )
    file.write_bytes(b"\n".join(shapes["flat, 1 a message"]))
    statement = f"INSERT INTO plain FROM INFILE '{file}' FORMAT JSONEachRow"
    session.query("SET input_format_skip_unknown_fields = 1")
    taken, size = best(session, statement, rounds, "plain")
    print(
        f"| flat, JSONEachRow without a view | {taken / count * 1e6:.1f} | {count / taken:,.0f} | {size / count:.0f} |"
    )


if __name__ == "__main__":
    main()
