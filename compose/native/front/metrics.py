"""The engine's own metrics in the Prometheus text format, with the names that a server gives them."""

import os
from pathlib import Path

from native.front.engine import Engine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=UTF-8"

# What a server measures in the background, but the engine in chDB does not.
_ASYNCHRONOUS = b"""
    SELECT 'Uptime' AS name, toFloat64(uptime()) AS value, 'Seconds since the start.' AS help
    UNION ALL SELECT 'MaxPartCountForPartition', max(parts), 'Most active parts in one partition.' FROM (
        SELECT count() AS parts FROM system.parts WHERE active GROUP BY database, table, partition_id)
    UNION ALL SELECT 'NumberOfDatabases', count(), 'Databases.' FROM system.databases
    UNION ALL SELECT 'NumberOfTables', count(), 'Tables.' FROM system.tables WHERE NOT is_temporary
    UNION ALL SELECT 'TotalPartsOfMergeTreeTables', count(), 'Active parts.' FROM system.parts WHERE active
    UNION ALL SELECT 'TotalRowsOfMergeTreeTables', sum(rows), 'Rows.' FROM system.parts WHERE active
    UNION ALL SELECT 'TotalBytesOfMergeTreeTables', sum(bytes_on_disk), 'Bytes on disk.'
        FROM system.parts WHERE active
    UNION ALL SELECT 'DiskTotal_' || name, total_space, 'Bytes of the disk.' FROM system.disks
    UNION ALL SELECT 'DiskAvailable_' || name, free_space, 'Free bytes of the disk.' FROM system.disks
"""
_ALL = (
    b"""
    SELECT format('# HELP {0} {1}\\n# TYPE {0} {2}\\n{0} {3}',
        name, replaceAll(help, '\\n', ' '), kind, toString(value))
    FROM (
        SELECT 'ClickHouseProfileEvents_' || event AS name, toFloat64(value) AS value, description AS help,
            'counter' AS kind
        FROM system.events
        UNION ALL SELECT 'ClickHouseMetrics_' || metric, toFloat64(value), description, 'gauge' FROM system.metrics
        UNION ALL SELECT 'ClickHouseAsyncMetrics_' || name, value, help, 'gauge' FROM (%s)
    ) ORDER BY name FORMAT TSVRaw
"""
    % _ASYNCHRONOUS
)


def text(engine: Engine) -> str:
    """All metrics, this process's resident memory, and its memory limit."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    memory = _gauge("MemoryResident", "Resident memory of the process, bytes.", resident)
    return engine.ask(_ALL).decode() + memory + _gauge("CGroupMemoryTotal", "Memory limit, bytes.", _memory_limit())


def _gauge(name: str, help_: str, value: int) -> str:
    name = f"ClickHouseAsyncMetrics_{name}"
    return f"# HELP {name} {help_}\n# TYPE {name} gauge\n{name} {value}\n"


def _memory_limit() -> int:
    """The container's limit, or the machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if path.exists() and (text := path.read_text().strip()).isdecimal():
            return min(int(text), machine)
    return machine
