"""*Data node*: Kafka, ZooKeeper, ClickHouse, memory against what each may use, and disk."""

from grafana_foundation_sdk.builders import dashboard

from grafana.panels import Panel, Text, board, line, number

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
        number(
            Text("Up", "Processes that answer Prometheus.", "All."),
            "short",
            {"up": "sum(up)", "of": "count(up)"},
        ),
        number(
            Text("Controller", "Brokers that lead the cluster.", "1. With 0, Kafka accepts and serves nothing."),
            "short",
            {"controllers": "sum(kafka_controller_activecontrollercount)"},
        ),
        number(
            Text("Under-replicated partitions", "Partitions that a failure could lose.", "0."),
            "short",
            {"partitions": "sum(kafka_server_underreplicatedpartitions)"},
            bad_above=1,
        ),
        number(
            Text(
                "Most parts",
                "Parts in the table partition that has the most.",
                "Below 100. At 1000 inserts are slowed down, at 3000 they are refused.",
            ),
            "short",
            {"parts": "max(ClickHouseAsyncMetrics_MaxPartCountForPartition)"},
            bad_above=300,
        ),
        number(
            Text("ClickHouse's memory", "Share of its limit.", "Below 85 %: the server keeps itself there."),
            "percentunit",
            {"used": "max(ClickHouseAsyncMetrics_MemoryResident / (ClickHouseAsyncMetrics_CGroupMemoryTotal > 0))"},
            bad_above=0.9,
        ),
        number(
            Text(
                "Disk left",
                "Free share of the disk with ClickHouse's tables.",
                "Above 15 %: merges need room. An alert fires four hours before it is full.",
            ),
            "percentunit",
            {"free": "min(ClickHouseAsyncMetrics_DiskAvailable_default / ClickHouseAsyncMetrics_DiskTotal_default)"},
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
            "bytes",
            {"{{topic}}": "sum by (topic) (kafka_log_size_bytes)"},
            span=8,
        ),
        line(
            Text("Kafka's idle share", "Share of the time that its request handlers wait for work.", "Above 0.3."),
            "percentunit",
            {"idle": "min(kafka_server_request_handlers_idle_ratio)"},
            span=8,
        ),
        line(
            Text(
                "ZooKeeper",
                "Average time of its requests, and how many requests are waiting.",
                "A few milliseconds; nothing waits. A slow disk shows here first.",
            ),
            "short",
            {
                "seconds": "max(zookeeper_avgrequestlatency_seconds)",
                "waiting": "sum(zookeeper_outstandingrequests)",
                "connections": "sum(zookeeper_numaliveconnections)",
            },
            span=8,
        ),
    ]


def _clickhouse() -> list[Panel]:
    return [
        line(
            Text("Rows", "Rows written and read.", "Written as events arrive; read by queries and merges."),
            "cps",
            {
                "written": "sum(rate(ClickHouseProfileEvents_InsertedRows[$__rate_interval]))",
                "read": "sum(rate(ClickHouseProfileEvents_SelectedRows[$__rate_interval]))",
            },
            span=8,
        ),
        line(
            Text(
                "Statements",
                "Queries running now, and those that failed.",
                "A handful; failures are queries with errors in them.",
            ),
            "short",
            {
                "running": "sum(ClickHouseMetrics_Query)",
                "failed a second": "sum(rate(ClickHouseProfileEvents_FailedQuery[$__rate_interval])) or vector(0)",
            },
            span=8,
        ),
        line(
            Text(
                "Parts and merges",
                "Active parts of all tables, and running merges.",
                "Parts stay within a band: each insert adds one, merges remove them. A rise without end is trouble.",
            ),
            "short",
            {
                "parts": "sum(ClickHouseAsyncMetrics_TotalPartsOfMergeTreeTables)",
                "merges": "sum(ClickHouseMetrics_Merge)",
            },
            span=8,
        ),
        line(
            Text(
                "Tables on disk",
                "Compressed bytes of all tables, indexes included.",
                "Rises until the retention time is reached.",
            ),
            "bytes",
            {"bytes": "sum(ClickHouseAsyncMetrics_TotalBytesOfMergeTreeTables)"},
            span=12,
        ),
        line(
            Text(
                "Rows stored",
                "Rows of all tables. Bytes on disk divided by rows is the size of an event.",
                "Rises until the retention time is reached, then stays.",
            ),
            "short",
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
            "bytes",
            {
                "{{job}}": "sum by (job) (process_resident_memory_bytes)",
                "clickhouse": "max(ClickHouseAsyncMetrics_MemoryResident)",
                "clickhouse's limit": "max(ClickHouseAsyncMetrics_CGroupMemoryTotal)",
            },
        ),
        line(
            Text(
                "Machine's memory",
                "Memory still available to programs, and the total. Needs node_exporter, which Compose runs.",
                "A tenth or more available: the page cache that Kafka reads from.",
            ),
            "bytes",
            {
                "available": "sum(node_memory_MemAvailable_bytes)",
                "all": "sum(node_memory_MemTotal_bytes)",
            },
        ),
        line(
            Text("Processors", "Share of CPU time that is busy. Needs node_exporter.", "Below 80 % on average."),
            "percentunit",
            {"busy": '1 - avg(rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))'},
            span=8,
        ),
        line(
            Text(
                "Disk",
                "Free bytes by file system. Needs node_exporter.",
                "More than four hours' worth: otherwise an alert fires.",
            ),
            "bytes",
            {"{{mountpoint}}": f"min by (mountpoint) (node_filesystem_avail_bytes{{{_DISKS}}})"},
            span=8,
        ),
        line(
            Text(
                "Disk left for ClickHouse",
                "Free bytes where its tables are, and a linear forecast for four hours from now.",
                "The forecast stays far above 0.",
            ),
            "bytes",
            {
                "free": "min(ClickHouseAsyncMetrics_DiskAvailable_default)",
                "in four hours": "min(predict_linear(ClickHouseAsyncMetrics_DiskAvailable_default[1h], 4 * 3600))",
            },
            span=8,
        ),
    ]
