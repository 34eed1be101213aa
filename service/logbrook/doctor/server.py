"""ClickHouse's machine: memory, disk, parts, clock, and what dead consumers left behind."""

import json
import time
from collections.abc import Callable
from typing import Any

from logbrook.clickhouse import MEMORY_LIMIT_EXCEEDED, UNKNOWN_TABLE, ClickHouseError, error_code
from logbrook.doctor import local
from logbrook.doctor.diagnosis import Answer, Diagnosis, NotCheckedError
from logbrook.doctor.place import Place

BUDGET = Diagnosis(
    "memory.budget",
    "ClickHouse's own memory limit is not below its container's or machine's: it is killed before it refuses a query.",
    "Lower LOGBROOK_CLICKHOUSE_SERVER_MEMORY_BYTES to nine tenths of LOGBROOK_CLICKHOUSE_MEMORY, or raise the latter.",
)
RESTARTED = Diagnosis(
    "memory.restarted",
    "ClickHouse was started anew within the last hour, having ended unasked: killed for its memory in most cases.",
    "Look for `Out of memory` in the kernel's log (`dmesg`), and give ClickHouse more, or a lower limit of its own: "
    "docs/operations.md, ClickHouse is short of memory.",
    "warning",
)
SHORT = Diagnosis(
    "memory.short",
    "ClickHouse is near its memory limit, or has refused statements for it in the last ten minutes.",
    "Find the heavy statements (system.query_log by memory_usage), and make them narrower, or give it more memory.",
    "warning",
)
DISK = Diagnosis(
    "clickhouse.disk",
    "ClickHouse's disk is nearly full. Without room it refuses inserts and merges.",
    "Lower LOGBROOK_SCHEMA_RETENTION_DAYS and run `logbrook migrate`, which drops whole days; or enlarge the disk.",
)
PARTS = Diagnosis(
    "clickhouse.parts",
    "There are many parts: merges do not keep up with inserts, which ClickHouse slows and then refuses.",
    "Raise LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS to 2 or run fewer consumers; system.merges shows what is going on.",
    "warning",
)
CLOCK = Diagnosis(
    "clock.skew",
    "Two machines' clocks differ by more than the 5 seconds in which an event should be queryable.",
    "Set the clock that is wrong by NTP (`timedatectl set-ntp true`; on GCP metadata.google.internal).",
)
INLETS = Diagnosis(
    "inlets.left",
    "Inlets are left that no consumer has. They do no harm: the next take-over of their partitions drops them.",
    "If their topic is no longer used, drop each and its view: DROP TABLE inlet_...; DROP TABLE inlet_..._view.",
    "warning",
)
_GIB = 2**30
_FULL = 0.1
_SKEW_SECONDS = 5.0
_MANY_PARTS = 300  # as in compose/prometheus/rules.yml
_SETTLED_SECONDS = 60


def memory(place: Place) -> Answer:
    """Limits against each other, use against the limit, refused statements, and unasked restarts."""
    limit, used, uptime, refused, since = place.ask(
        "SELECT (SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'),"
        " (SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'), uptime(),"
        f" sum(value), dateDiff('second', max(last_error_time), now()) FROM system.errors"
        f" WHERE code = {MEMORY_LIMIT_EXCEEDED}"
    )[0]
    if (container := container_bytes(place)) and limit >= container:
        return BUDGET.found(f"its limit is {limit / _GIB:.2f} GiB, its container's {container / _GIB:.2f} GiB")
    own = next((each for each in local.processes(place) if each.name == "clickhouse"), None)
    if own is not None and own.restarts and uptime < 3600:
        return RESTARTED.found(f"it is up for {uptime} s; {own}")
    text = f"{used / _GIB:.1f} of {limit / _GIB:.1f} GiB are used, up for {uptime} s"
    if used > 0.9 * limit:
        return SHORT.found(text)
    if refused and since < 600:
        return SHORT.found(f"{refused} statements were refused since its start, the last {since} s ago")
    return text


def container_bytes(place: Place) -> int:
    """The memory of ClickHouse's container; 0 if it has no limit, or the engine does not say.

    CGroupMemoryTotal: src/Common/AsynchronousMetrics.cpp in ClickHouse.
    """
    try:
        rows = place.ask("SELECT value FROM system.asynchronous_metrics WHERE metric = 'CGroupMemoryTotal'")
    except ClickHouseError as error:
        if error_code(error) != UNKNOWN_TABLE:
            raise
        return 0
    return int(rows[0][0]) if rows else 0


def disk(place: Place) -> Answer:
    """Room on each disk."""
    rows = place.ask("SELECT name, path, free_space, total_space FROM system.disks WHERE total_space > 0")
    # An object store says that it has all room there is.
    told = [f"{path}: {free / _GIB:.1f} of {total / _GIB:.1f} GiB are free" for _, path, free, total in rows]
    for text, (_, _, free, total) in zip(told, rows, strict=True):
        if free < _FULL * total:
            return DISK.found(text)
    return "; ".join(told)


def parts(place: Place) -> Answer:
    """The most parts in one partition of our tables."""
    rows = place.ask(
        "SELECT table, count() AS parts FROM system.parts WHERE active AND database = currentDatabase()"
        " GROUP BY table, partition_id ORDER BY parts DESC LIMIT 1"
    )
    table, count = rows[0] if rows else ("otel_logs", 0)
    text = f"{count} in one partition of {table}"
    return PARTS.found(text) if count > _MANY_PARTS else text


def clock(place: Place, now: Callable[[], float] = time.time) -> Answer:
    """This machine's clock against ClickHouse's, as exact as the quickest of three answers."""
    client, best = place.client(), (float("inf"), 0.0)
    for _ in range(3):
        before = now()
        micros: Any = client.query("SELECT toUnixTimestamp64Micro(now64(6))").result_rows[0][0]
        after = now()
        best = min(best, (after - before, micros / 1e6 - (before + after) / 2))
    client.close()
    return skew("ClickHouse's clock", best[1])


def messages_clock(place: Place) -> Answer:
    """This machine's clock against the time that the probe's message has in Kafka: its sender's, or the broker's."""
    offset = place.learned.get("message_offset_seconds")
    if offset is None:
        raise NotCheckedError("no probe was found in Kafka")
    return skew("the clock that gives messages their time (the gateway's, or Kafka's)", offset)


def skew(whose: str, seconds: float) -> Answer:
    """What such a difference means."""
    text = f"{whose} is {abs(seconds):.3f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    return CLOCK.found(text) if abs(seconds) > _SKEW_SECONDS else text


def inlets(place: Place) -> Answer:
    """Inlets of other topics, or of partitions that no member of the group has."""
    if "members" not in place.learned:
        raise NotCheckedError("without Kafka's group nobody can tell which are in use")
    topic_id, members = str(place.topic.topic_id), place.learned["members"]
    rows = place.ask(
        "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND name LIKE 'inlet\\_%'"
        f" AND metadata_modification_time < now() - {_SETTLED_SECONDS}"
    )
    owners = {name: json.loads(comment) for name, comment in rows if not name.endswith("_view")}
    left = [name for name, _ in rows if name.endswith("_view") and name.removesuffix("_view") not in owners]
    for name, owner in owners.items():
        # A replay has one as long as it runs: nobody but it knows.
        held = owner["writer"] != "consumer" or any(set(owner["partitions"]) <= each for each in members)
        if owner["topic_id"] != topic_id or not held:
            left.append(name)
    if left:
        return INLETS.found(f"{len(left)}: {', '.join(sorted(left))}")
    return f"{len(owners)} in use"
