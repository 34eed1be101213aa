"""ClickHouse: does it let us in, are the tables this version's, and are memory, disk, parts and clock in order?"""

import json
import time
from collections.abc import Callable

from logbrook import clickhouse
from logbrook import schema as files
from logbrook.clickhouse import ClickHouseError
from logbrook.doctor import contact
from logbrook.doctor.diagnosis import Wrong
from logbrook.doctor.place import Place

# What compose/clickhouse/cloud-users.xml grants to `reader` and `writer`.
_RIGHTS = {
    "query": ("SELECT ON {0}.otel_logs", "SELECT ON {0}.partition_progress"),
    "consumer": (
        *(
            f"{each} ON {{0}}.*"
            for each in ("SELECT", "INSERT", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW")
        ),
        *("TABLE ENGINE ON `Null`", "SELECT ON system.tables", "SELECT ON system.processes", "KILL QUERY ON *.*"),
    ),
}
_GIB = 2**30
_SKEW_SECONDS = 5.0
_MANY_PARTS = 300  # as in compose/prometheus/rules.yml
_SETTLED_SECONDS = 60


def address(place: Place) -> str:
    """Can ClickHouse's port be reached?"""
    return contact.reach(contact.clickhouse_target(place))


def login(place: Place) -> str:
    """Does ClickHouse answer, and let us in?"""
    [[version]] = contact.ask(place, "SELECT version()", "default")
    return f"ClickHouse {version} lets {place.clickhouse.username} in"


def schema(place: Place) -> str:
    """Are the tables this version's?"""
    name = place.clickhouse.database
    rows = contact.ask(place, "SELECT name, argMax(checksum, applied_at) FROM schema_migrations GROUP BY name")
    # For a view, the settings come after the checksum.
    applied = {file: checksum.split()[0] for file, checksum in rows}
    known = {each.name: each.checksum for each in (*files.tables(), *files.views())}
    changed = {each for each in applied.keys() & known.keys() if applied[each] != known[each]}
    views = {each.name for each in files.views()}
    for code, names in (
        ("schema.changed", changed - views),
        ("schema.older", known.keys() - applied.keys() | changed & views),
        ("schema.newer", applied.keys() - known.keys()),
    ):
        if names:
            raise Wrong(code, database=name, files=", ".join(sorted(names)))
    return f"database {name} has all {len(known)} files"


def rights(place: Place) -> str:
    """May the user do what its role needs?

    `CHECK GRANT` itself needs no right and answers 0 or 1 (ClickHouse, InterpreterCheckGrantQuery.cpp at 01224a68).
    """
    user, missing = place.clickhouse.username, []
    role = place.role or ("query" if user == "reader" else "consumer")
    with contact.database(place, "default") as rows:
        for right in (each.format(place.clickhouse.database) for each in _RIGHTS.get(role, ())):
            # A CHECK GRANT would say the same, but the front of the native stack lets `reader` only SELECT.
            asked = f"SELECT 1 FROM {right.partition(' ON ')[2]} LIMIT 1" if role == "query" else f"CHECK GRANT {right}"
            try:
                allowed = rows(asked) != [(0,)]
            except ClickHouseError as error:
                if clickhouse.error_code(error) != clickhouse.ACCESS_DENIED:
                    raise
                allowed = False
            if not allowed:
                missing.append(right)
    if missing:
        raise Wrong("clickhouse.rights", user=user, role=role, missing=", ".join(missing))
    return f"everything that a {role} needs"


def memory(place: Place) -> str:
    """Are the limits in order, is there memory left, and has ClickHouse not been killed?"""
    [[limit, used, uptime, refused, since]] = contact.ask(
        place,
        "SELECT (SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'),"
        " (SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'), uptime(),"
        f" sum(value), dateDiff('second', max(last_error_time), now()) FROM system.errors"
        f" WHERE code = {clickhouse.MEMORY_LIMIT_EXCEEDED}",
    )
    if (container := container_bytes(place)) and limit >= container:
        raise Wrong("memory.budget", limit=limit / _GIB, container=container / _GIB)
    own = place.processes.get("clickhouse")
    if own is not None and own.restarts and not own.hung and uptime < 3600:
        raise Wrong("memory.restarted", seconds=uptime, process=own)
    said = f"{used / _GIB:.1f} of {limit / _GIB:.1f} GiB are used, up for {uptime} s"
    if used > 0.9 * limit:
        raise Wrong("memory.short", said=said)
    if refused and since < 600:
        raise Wrong("memory.short", said=f"{refused} statements were refused since its start, the last {since} s ago")
    return said


def container_bytes(place: Place) -> int:
    """The memory of ClickHouse's container; 0 if it has no limit, or the engine has no such table.

    CGroupMemoryTotal: src/Common/AsynchronousMetrics.cpp in ClickHouse.
    """
    if contact.ask(place, "EXISTS system.asynchronous_metrics") == [(0,)]:
        return 0
    rows = contact.ask(place, "SELECT value FROM system.asynchronous_metrics WHERE metric = 'CGroupMemoryTotal'")
    return int(rows[0][0]) if rows else 0


def disk(place: Place) -> str:
    """Is there room on each of ClickHouse's disks?"""
    # An object store reports unlimited space.
    rows = contact.ask(
        place,
        "SELECT free_space < total_space / 10, format('{}: {} of {} GiB are free', path,"
        " toString(round(free_space / exp2(30), 1)), toString(round(total_space / exp2(30), 1)))"
        " FROM system.disks WHERE total_space > 0 ORDER BY 1 DESC",
    )
    said = "; ".join(text for _, text in rows)
    if rows[0][0]:
        raise Wrong("clickhouse.disk", said=said)
    return said


def parts(place: Place) -> str:
    """Do merges keep up with inserts?"""
    rows = contact.ask(
        place,
        "SELECT table, count() AS parts FROM system.parts WHERE active AND database = currentDatabase()"
        " GROUP BY table, partition_id ORDER BY parts DESC LIMIT 1",
    )
    table, count = rows[0] if rows else ("otel_logs", 0)
    said = f"{count} in one partition of {table}"
    if count > _MANY_PARTS:
        raise Wrong("clickhouse.parts", said=said)
    return said


def clock(place: Place, now: Callable[[], float] = time.time) -> str:
    """Does this machine's clock agree with ClickHouse's?"""
    with contact.database(place) as rows:
        before, [[micros]], after = now(), rows("SELECT toUnixTimestamp64Micro(now64(6))"), now()
    return _skew("ClickHouse's clock", micros / 1e6 - (before + after) / 2)


def messages_clock(place: Place) -> str:
    """Does this machine's clock agree with the one that timestamps messages in Kafka (the sender's or the broker's)?"""
    return _skew("the clock that gives messages their time (the gateway's, or Kafka's)", place.message_offset_seconds)


def _skew(whose: str, seconds: float) -> str:
    said = f"{whose} is {abs(seconds):.3f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    if abs(seconds) > _SKEW_SECONDS:
        raise Wrong("clock.skew", said=said)
    return said


def inlets(place: Place) -> str:
    """Does each inlet belong to this topic, and to partitions that one member of the group has?"""
    found = contact.ask(
        place,
        f"SELECT name, comment, metadata_modification_time < now() - {_SETTLED_SECONDS}"
        " FROM system.tables WHERE database = currentDatabase() AND name LIKE 'inlet\\_%'",
    )
    # A takeover in progress has left the inlets before it, and has not finished its own.
    rows = [(name, comment) for name, comment, settled in found if settled]
    new = sum(not settled and not name.endswith("_view") for name, _, settled in found)
    owners = {name: json.loads(comment) for name, comment in rows if not name.endswith("_view")}
    left = [name for name, _ in rows if name.endswith("_view") and name.removesuffix("_view") not in owners]
    for name, owner in owners.items():
        # A replay has one as long as it runs, and nobody else knows about it.
        held = owner["writer"] != "consumer" or any(set(owner["partitions"]) <= each for each in place.members)
        if owner["topic_id"] != str(place.topic.topic_id) or not held:
            left.append(name)
    if left:
        raise Wrong("inlets.left", count=len(left), names=", ".join(sorted(left)))
    counts = {"in use": len(owners), f"new in the last {_SETTLED_SECONDS} s": new}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count) or "none"
