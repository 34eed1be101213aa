"""What `logbrook audit` and `logbrook replay` show."""

import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict

import structlog
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from logbrook import backup, config, health
from logbrook.clickhouse import ClickHouseError
from logbrook.consumer.audit import Finding, audit
from logbrook.consumer.replay import replay
from logbrook.consumer.span import Bounds
from logbrook.errors import LogbrookError
from logbrook.waiting import Waiting, need_tables, need_topic, up_to

log = structlog.get_logger()

_FILE_COLUMNS = 200


def run_audit(bounds: Bounds, *, wait_seconds: float = 0, as_json: bool) -> int:
    """Audit once and print the result; 1 if anything is missing, duplicated, or stalled, else 0."""
    settings, kafka, database = config.load(config.Consumer), config.load(config.Kafka), config.load(config.ClickHouse)
    _wait(wait_seconds, kafka, database)
    # If something is pending, it takes a while to find out that it does not move.
    with Console(stderr=True).status("comparing what Kafka has with what ClickHouse has"):
        findings = audit(settings, kafka, database, bounds)
    totals = _totals(findings)
    if as_json:
        print(json.dumps({**totals, "partitions": [asdict(each) for each in findings]}))  # noqa: T201 - asked for
    else:
        _show(findings, totals, settings.stalled_after_seconds)
    return int(any(totals.values()))


def _wait(seconds: float, kafka: config.Kafka, database: config.ClickHouse) -> None:
    if seconds:
        up_to(seconds, "Kafka", lambda: need_topic(kafka))
        up_to(seconds, "ClickHouse", lambda: need_tables(database))


def _totals(findings: list[Finding]) -> dict[str, int]:
    """What should be 0, over all partitions."""
    return {name: sum(getattr(each, name) for each in findings) for name in ("missing", "double", "stalled")}


def _show(findings: list[Finding], totals: Mapping[str, int], stalled_after_seconds: float) -> None:
    table = Table(title="Kafka's offsets against ClickHouse's rows")
    columns = [
        "partition",
        "first_offset",
        "end_offset",
        "events",
        "missing",
        "double",
        "flagged",
        "repeated",
        "pending",
    ]
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for each in findings:
        style = "bold red" if each.missing or each.double or each.stalled else None
        table.add_row(*(f"{getattr(each, column):,}" for column in columns), style=style)
    # In a file or a pipe it would have 80 columns, and cut off the headings.
    console = Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS)
    console.print(table)
    for each in findings:
        for first, last in each.missing_offsets:
            console.print(f"[red]missing[/] partition {each.partition}, offsets {first} to {last}", highlight=False)
        if each.stalled:
            console.print(
                f"[red]stalled[/] partition {each.partition}: {each.stalled:,} messages wait, and none of them was"
                f" stored for {stalled_after_seconds:g} s. Is a consumer running? Its /readyz says what it waits for.",
                highlight=False,
            )
    events, missing, double = sum(each.events for each in findings), totals["missing"], totals["double"]
    style = "bold red" if missing or double else "green"
    console.print(f"[{style}]{missing:,} missing, {double:,} double[/] of {events:,} events", highlight=False)
    if missing:
        console.print("What Kafka still holds comes back with: logbrook replay")


def watch(every_seconds: float) -> None:
    """Audit repeatedly until the process is stopped, and serve the outcome as metrics on the health port."""
    settings = config.load(config.Consumer)
    kafka, database = config.load(config.Kafka), config.load(config.ClickHouse)

    def connected() -> bool:
        need_topic(kafka)
        need_tables(database)
        return True

    bucket = config.load(config.Backup)
    waiting, failed = Waiting(connected), [""]
    # The last audit's failure stands until one has succeeded.
    health.serve(settings.health_host, settings.health_port, lambda: None, lambda: waiting.reason or failed[0] or None)
    while waiting.until_there(threading.Event()):
        try:
            findings = audit(settings, kafka, database, Bounds())
        except (LogbrookError, ClickHouseError, KafkaException) as error:
            failed[0] = str(error)
            log.warning("audit failed", error=str(error))
        else:
            failed[0] = ""
            totals = _totals(findings)
            write = log.error if any(totals.values()) else log.info
            write("audited", events=sum(each.events for each in findings), **totals)
        backup.observe(database, bucket)
        threading.Event().wait(every_seconds)


def run_replay(bounds: Bounds, *, wait_seconds: float = 0, as_json: bool) -> None:
    """Replay with a progress bar on standard error; prints how many messages were stored."""
    settings, kafka, database = config.load(config.Consumer), config.load(config.Kafka), config.load(config.ClickHouse)
    _wait(wait_seconds, kafka, database)
    columns = (TextColumn("reading again"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replay", total=None)
        stored = replay(
            settings, kafka, database, bounds, lambda read, total: bar.update(task, completed=read, total=total)
        )
    print(json.dumps({"stored_messages": stored}) if as_json else f"{stored:,} missing messages stored")  # noqa: T201
