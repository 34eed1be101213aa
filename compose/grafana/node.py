"""*Data node*: Kafka, ZooKeeper, ClickHouse, memory against what each may use, and disk."""

from grafana_foundation_sdk.builders import dashboard

from grafana.panels import Panel, Text, board, line, number, rate

_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return board(
        "logbrook-node",
        "Data node",
        "The machine that holds the data, and the three servers on it.",
        {"Now": _now(), "Kafka and ZooKeeper": _brokers(), "ClickHouse": _clickhouse(), "Machine": _machine()},
    )


def _now() -> list[Panel]:
    return [
        number(Text("Up", "Processes that answer Prometheus.", "All."), {"up": "sum(up)", "of": "count(up)"}),
        number(
            Text("Controller", "Brokers that lead the cluster.", "1. With 0, Kafka accepts and serves nothing."),
            {"controllers": "sum(kafka_controller_activecontrollercount)"},
        ),
        number(
            Text("Under-replicated partitions", "Partitions that a failure could lose.", "0."),
            {"partitions": "sum(kafka_server_underreplicatedpartitions)"},
            bad_above=1,
        ),
        number(
            Text(
                "Most parts",
                "Parts in the table partition that has the most.",
                "Below 100. At 1000 inserts are slowed down, at 3000 they are refused.",
            ),
            {"parts": "max(ClickHouseAsyncMetrics_MaxPartCountForPartition)"},
            bad_above=300,
        ),
        number(
            Text("ClickHouse's memory", "Share of its limit.", "Below 85 %: the server keeps itself there."),
            {"used": "max(ClickHouseAsyncMetrics_MemoryResident / (ClickHouseAsyncMetrics_CGroupMemoryTotal > 0))"},
            "percentunit",
            bad_above=0.9,
        ),
        number(
            Text(
                "Disk left",
                "Free share of the disk with ClickHouse's tables.",
                "Above 15 %: merges need room. An alert fires four hours before it is full.",
            ),
            {"free": "min(ClickHouseAsyncMetrics_DiskAvailable_default / ClickHouseAsyncMetrics_DiskTotal_default)"},
            "percentunit",
        ),
    ]


def _brokers() -> list[Panel]:
    return [
        line(
            Text(
                "Kafka's log",
                "Bytes on disk by topic.",
                "Rises to partitions times LOGBROOK_KAFKA_RETENTION_BYTES, or until the retention time, then stays.",
            ),
            {"{{topic}}": "sum by (topic) (kafka_log_size_bytes)"},
            "bytes",
        ),
        line(
            Text("Kafka's idle share", "Share of the time that its request handlers wait for work.", "Above 0.3."),
            {"idle": "min(kafka_server_request_handlers_idle_ratio)"},
            "percentunit",
        ),
        line(
            Text(
                "ZooKeeper",
                "Average time of its requests, and how many requests are waiting.",
                "A few milliseconds; nothing waits. A slow disk shows here first.",
            ),
            {
                "seconds": "max(zookeeper_avgrequestlatency_seconds)",
                "waiting": "sum(zookeeper_outstandingrequests)",
                "connections": "sum(zookeeper_numaliveconnections)",
            },
        ),
    ]


def _clickhouse() -> list[Panel]:
    return [
        line(
            Text("Rows", "Rows written and read.", "Written as events arrive; read by queries and merges."),
            {
                "written": rate("ClickHouseProfileEvents_InsertedRows"),
                "read": rate("ClickHouseProfileEvents_SelectedRows"),
            },
            "cps",
        ),
        line(
            Text(
                "Statements",
                "Queries running now, and those that failed.",
                "A handful; failures are queries with errors in them.",
            ),
            {
                "running": "sum(ClickHouseMetrics_Query)",
                "failed a second": f"{rate('ClickHouseProfileEvents_FailedQuery')} or vector(0)",
            },
        ),
        line(
            Text(
                "Parts and merges",
                "Active parts of all tables, and running merges.",
                "Parts stay within a band: each insert adds one, merges remove them. A rise without end is trouble.",
            ),
            {
                "parts": "sum(ClickHouseAsyncMetrics_TotalPartsOfMergeTreeTables)",
                "merges": "sum(ClickHouseMetrics_Merge)",
            },
        ),
        line(
            Text(
                "Tables on disk",
                "Compressed bytes of all tables, indexes included.",
                "Rises until the retention time is reached.",
            ),
            {"bytes": "sum(ClickHouseAsyncMetrics_TotalBytesOfMergeTreeTables)"},
            "bytes",
            span=12,
        ),
        line(
            Text(
                "Rows stored",
                "Rows of all tables. Bytes on disk divided by rows is the size of an event.",
                "Rises until the retention time is reached, then stays.",
            ),
            {"rows": "sum(ClickHouseAsyncMetrics_TotalRowsOfMergeTreeTables)"},
            span=12,
        ),
    ]


def _machine() -> list[Panel]:
    return [
        line(
            Text(
                "Memory of each process",
                "Resident memory, and ClickHouse's limit. The limits of all containers together fit the machine.",
                "Flat. Kafka and ZooKeeper use their heap and a third more; ClickHouse stays below its limit.",
            ),
            {
                "{{job}}": "sum by (job) (process_resident_memory_bytes)",
                "clickhouse": "max(ClickHouseAsyncMetrics_MemoryResident)",
                "clickhouse's limit": "max(ClickHouseAsyncMetrics_CGroupMemoryTotal)",
            },
            "bytes",
            span=12,
        ),
        line(
            Text(
                "Machine's memory",
                "Memory still available to programs, and the total. Needs node_exporter, which Compose runs.",
                "A tenth or more available: the page cache that Kafka reads from.",
            ),
            {"available": "sum(node_memory_MemAvailable_bytes)", "all": "sum(node_memory_MemTotal_bytes)"},
            "bytes",
            span=12,
        ),
        line(
            Text("Processors", "Share of CPU time that is busy. Needs node_exporter.", "Below 80 % on average."),
            {"busy": '1 - avg(rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))'},
            "percentunit",
        ),
        line(
            Text(
                "Disk",
                "Free bytes by file system. Needs node_exporter.",
                "More than four hours' worth: otherwise an alert fires.",
            ),
            {"{{mountpoint}}": f"min by (mountpoint) (node_filesystem_avail_bytes{{{_DISKS}}})"},
            "bytes",
        ),
        line(
            Text(
                "Disk left for ClickHouse",
                "Free bytes where its tables are, and a linear forecast for four hours from now.",
                "The forecast stays far above 0.",
            ),
            {
                "free": "min(ClickHouseAsyncMetrics_DiskAvailable_default)",
                "in four hours": "min(predict_linear(ClickHouseAsyncMetrics_DiskAvailable_default[1h], 4 * 3600))",
            },
            "bytes",
        ),
    ]
