"""`logbrook usage`: what is stored, for whom, each one's share of the bill, and when the disk will be full.

All of it comes from ClickHouse's own figures. Storage is divided among sources and services by the uncompressed size of
what each sent recently: how much a row takes on disk depends on its neighbors, so there is no exact figure.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logbrook import clickhouse, config
from logbrook.clickhouse import HttpClient
from logbrook.errors import LogbrookError
from logbrook.query.terminal import visible

_DAY_SECONDS = 86_400
_UNITS = ((_DAY_SECONDS, "d"), (3600, "h"), (60, "min"))
# Merges and new parts need room: a disk fuller than this counts as full.
FULL_SHARE = 0.9
# Further ahead, extrapolating from the last days says nothing.
HORIZON_DAYS = 1000


class UsageError(LogbrookError):
    """There is nothing to count."""


@dataclass(frozen=True)
class Disk:
    """One of ClickHouse's disks. `full_on` is None if retention deletes as much as arrives before it is full."""

    name: str
    total_bytes: int
    used_bytes: int
    table_bytes: int
    bytes_per_day: int
    retention_days: int
    full_on: date | None
    largest_share: float
    """The largest share of the disk that will ever be used, at this pace; 1 or more is too much."""


@dataclass(frozen=True)
class Share:
    """What one service sends through one source. Bytes on disk are for the whole retention at this pace."""

    source: str
    service: str
    events_per_day: int
    bytes_per_day: int
    share: float
    disk_bytes: int
    dollars_per_month: float | None
    clock_skew_ms: int
    """The median of its events' times minus those of storing: far from 0, a clock is wrong, or the events are old."""


@dataclass(frozen=True)
class Usage:
    """What `logbrook usage` says."""

    since: str
    rows: int
    bytes_per_row: float
    dollars_per_month: float | None
    disks: list[Disk] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)


def usage(settings: config.ClickHouse, billing: config.Usage, hours: float) -> Usage:
    """Count. Raises UsageError if nothing arrived in the last `hours`, UnavailableError if ClickHouse is down."""
    client = clickhouse.connect(settings)
    client.set_client_setting("readonly", 2)
    rows, table_bytes, oldest = _stored(client, settings.database)
    since_ms, seconds = _looked_at(client, hours)
    groups = client.query(
        "SELECT Source, ServiceName, count(), sum(byteSize(Body, ResourceAttributes, ScopeAttributes, LogAttributes)), "
        "toInt64(quantile(ClockSkewMs)) "
        "FROM otel_logs WHERE IngestedAt >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY ALL ORDER BY 4 DESC",
        parameters={"since": since_ms},
    ).result_rows
    recent, recent_bytes = sum(row[2] for row in groups), sum(row[3] for row in groups)
    days = seconds / _DAY_SECONDS
    per_day = table_bytes / rows * recent / days
    kept_days = _retention_days(client, settings.database)
    disks = [_disk(disk, table_bytes, per_day, kept_days, oldest) for disk in _disks(client)]
    dollars = billing.dollars_per_month or None
    shares = [
        Share(
            source=source,
            service=service,
            events_per_day=round(count / days),
            bytes_per_day=round(size / days),
            share=size / recent_bytes,
            disk_bytes=round(per_day * kept_days * size / recent_bytes),
            dollars_per_month=dollars * size / recent_bytes if dollars else None,
            clock_skew_ms=skew,
        )
        for source, service, count, size, skew in groups
    ]
    since = datetime.fromtimestamp(since_ms / 1000, UTC)
    return Usage(since.isoformat(timespec="seconds"), rows, table_bytes / rows, dollars, disks, shares)


def full_on(
    parts: dict[date, float], per_day: float, retention_days: int, room: float, today: date
) -> tuple[date | None, float]:
    """When what is stored, by day of arrival, outgrows `room` bytes at `per_day`; and the most that it ever takes.

    A day's events are deleted when they are older than the retention, whole days at once. The day is None if that keeps
    up.
    """
    kept, most = dict(parts), sum(parts.values())
    if most >= room:
        return today, most
    for ahead in range(1, min(retention_days + 1, HORIZON_DAYS) + 1):
        day = today + timedelta(days=ahead)
        kept[day] = per_day
        kept = {each: size for each, size in kept.items() if (day - each).days <= retention_days}
        most = max(most, sum(kept.values()))
        if sum(kept.values()) >= room:
            return day, most
    return None, most


def _stored(client: HttpClient, database: str) -> tuple[int, int, dict[date, float]]:
    found = client.query(
        "SELECT partition, sum(rows), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = {database:String} AND table = 'otel_logs' GROUP BY partition",
        parameters={"database": database},
    ).result_rows
    rows = sum(row[1] for row in found)
    if not rows:
        raise UsageError("no events are stored yet")
    return rows, sum(row[2] for row in found), {date.fromisoformat(row[0]): float(row[2]) for row in found}


def _looked_at(client: HttpClient, hours: float) -> tuple[int, float]:
    """The arrival to count from (Unix ms, ClickHouse's clock), and the seconds since then: no more than events span."""
    [[first_ms, last_ms, now_ms]] = client.query(
        "SELECT toUnixTimestamp64Milli(min(IngestedAt)), toUnixTimestamp64Milli(max(IngestedAt)),"
        " toUnixTimestamp64Milli(now64(3)) FROM otel_logs"
    ).result_rows
    since_ms = max(first_ms, now_ms - round(hours * 3_600_000))
    if last_ms < since_ms:
        raise UsageError(f"no events arrived in the last {hours:g} h: look further back with --hours")
    return since_ms, max(1.0, (now_ms - since_ms) / 1000)


def _retention_days(client: HttpClient, database: str) -> int:
    """As the table has it, no matter what the settings say now."""
    [[days]] = client.query(
        r"SELECT toUInt32OrZero(extract(create_table_query, 'IngestedAt\\) \\+ toIntervalDay\\((\\d+)\\)')) "
        "FROM system.tables WHERE database = {database:String} AND name = 'otel_logs'",
        parameters={"database": database},
    ).result_rows
    return int(days) or HORIZON_DAYS


def _disks(client: HttpClient) -> list[tuple[str, int, int]]:
    found = client.query(
        "SELECT name, total_space, total_space - unreserved_space FROM system.disks WHERE type = 'Local' ORDER BY name"
    ).result_rows
    return [(str(name), int(total), int(used)) for name, total, used in found]


def _disk(
    disk: tuple[str, int, int], table_bytes: int, per_day: float, retention: int, parts: dict[date, float]
) -> Disk:
    name, total, used = disk
    others = max(0, used - table_bytes)
    day, most = full_on(parts, per_day, retention, FULL_SHARE * total - others, datetime.now(UTC).date())
    return Disk(name, total, used, table_bytes, round(per_day), retention, day, (others + most) / total)


def as_json(found: Usage) -> str:
    """The figures for programs: bytes, events and dollars, dates as ISO 8601."""
    return json.dumps(asdict(found), default=str, indent=2)


def show(found: Usage, console: Console, most: int = 20) -> None:
    """The figures for people, with only the `most` largest shares."""
    for disk in found.disks:
        enough = f"then retention deletes as much as arrives, and the disk is at most {disk.largest_share:.0%} full"
        end = f"[red]full on {disk.full_on}[/red]" if disk.full_on else enough
        console.print(
            f"Disk {disk.name}: {_size(disk.used_bytes)} of {_size(disk.total_bytes)} used, "
            f"{_size(disk.bytes_per_day)} a day, kept for {disk.retention_days} days; {end}"
        )
    console.print(f"{found.rows:,} events, {found.bytes_per_row:.0f} bytes each on disk. Shares since {found.since}:")
    table = Table("source", "service", "events/day", "sent/day", "share", "on disk", "clock", box=None, pad_edge=False)
    if found.dollars_per_month:
        table.add_column("$/month", justify="right")
    for each in found.shares[:most]:
        cells: list[Text | str] = [
            Text(visible(each.source).replace("\n", "\\n")),
            Text(visible(each.service).replace("\n", "\\n")),
            f"{each.events_per_day:,}",
            _size(each.bytes_per_day),
            f"{each.share:.1%}",
            _size(each.disk_bytes),
            _clock(each.clock_skew_ms / 1000),
        ]
        table.add_row(*cells, *([f"{each.dollars_per_month:.2f}"] if each.dollars_per_month is not None else []))
    console.print(table)
    if len(found.shares) > most:
        rest = sum(each.share for each in found.shares[most:])
        console.print(f"and {len(found.shares) - most} more, {rest:.1%} together: --json has them all")


def _clock(ahead_seconds: float) -> str:
    seconds = abs(ahead_seconds)
    if seconds < 1:
        return "on time"
    unit, name = next((each for each in _UNITS if seconds >= 2 * each[0]), (1, "s"))
    return f"{seconds / unit:,.0f} {name} {'ahead' if ahead_seconds > 0 else 'behind'}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
