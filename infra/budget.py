"""How a machine's memory, its disks and the subnet are divided: pure functions, and the only source of every limit.

With its defaults, ClickHouse on a small machine takes 90 % of the memory next to two JVMs, and the kernel kills it.
"""

import ipaddress
from dataclasses import dataclass

from infra.config import GIB, NAMESPACE, Settings
from infra.errors import StackError
from infra.machines import MACHINES, Machine

# What ClickHouse needs to be useful: MiB of its own server memory.
LEAST_CLICKHOUSE_MIB = {"dev": 1024, "prod": 4096}
# The broker's segment.bytes, as compose/compose.yaml sets it: retention works on whole segments.
KAFKA_SEGMENT_BYTES = 256 * 2**20
# Stored events with their indexes take a fifth of the raw size (104 of 553 bytes were measured: measured.yaml).
STORED_SHARE = 0.2
# Below the alert at 90 %: otherwise a disk that is filled as planned would alert forever.
FULL_DISK = 0.75
# The audit that runs next to the servers: a Python process that counts in ClickHouse.
AUDIT_MIB = 192
# With alert rules for logs: their evaluator, a process of the same kind, and Alertmanager.
ALERT_MIB, ALERTMANAGER_MIB = 192, 128
# Addresses that Google reserves in each subnet.
RESERVED_ADDRESSES = 4


@dataclass(frozen=True)
class Memory:
    """MiB for each part of the data node; ClickHouse's own limits are below its container's."""

    os: int
    zookeeper_heap: int
    zookeeper_limit: int
    kafka_heap: int
    kafka_limit: int
    page_cache: int
    clickhouse_limit: int
    alerts: int

    @property
    def clickhouse_server(self) -> int:
        """`max_server_memory_usage`."""
        return int(self.clickhouse_limit * 0.85)

    @property
    def clickhouse_query(self) -> int:
        """`max_memory_usage`: one query leaves room for inserts and merges."""
        return max(0, min(self.clickhouse_server // 2, self.clickhouse_server - 512))

    @property
    def clickhouse_spill(self) -> int:
        """Above this, GROUP BY and ORDER BY spill to disk."""
        return self.clickhouse_query // 2

    @property
    def clickhouse_mark_cache(self) -> int:
        """`mark_cache_size`."""
        return min(max(self.clickhouse_server // 20, 64), 5120)

    @property
    def total(self) -> int:
        """All of it: never more than the machine has."""
        parts = self.zookeeper_limit + self.kafka_limit + self.page_cache + self.clickhouse_limit
        return self.os + AUDIT_MIB + self.alerts + parts


def memory(machine_mib: int, alerts_mib: int = 0) -> Memory:
    """Divide a machine's memory; alerts on logs take `alerts_mib`. ClickHouse gets the rest, which may be nothing."""
    usable = int(0.97 * machine_mib)
    os = max(512, int(0.08 * machine_mib))
    zookeeper_heap = 128 if machine_mib <= 4096 else 256 if machine_mib <= 8192 else 512
    zookeeper_limit = zookeeper_heap + 128
    kafka_heap = min(max(machine_mib // 8, 384), 4096)
    kafka_limit = int(1.25 * kafka_heap) + 256
    page_cache = max(256, int(0.10 * machine_mib))
    rest = usable - os - AUDIT_MIB - alerts_mib - zookeeper_limit - kafka_limit - page_cache
    return Memory(os, zookeeper_heap, zookeeper_limit, kafka_heap, kafka_limit, page_cache, max(0, rest), alerts_mib)


def fits(machine: Machine, environment: str, alerts_mib: int = 0) -> bool:
    """Whether ClickHouse gets enough memory on this machine."""
    return memory(machine.memory_mib, alerts_mib).clickhouse_server >= LEAST_CLICKHOUSE_MIB[environment]


def next_that_fits(machine: Machine, environment: str, alerts_mib: int = 0) -> Machine | None:
    """The smallest machine of the same shape that fits; else of the same family, else of any."""
    fitting = [other for other in MACHINES.values() if fits(other, environment, alerts_mib)]
    family = [other for other in fitting if other.family == machine.family]
    shape = [other for other in family if other.shape == machine.shape]
    return min(shape or family or fitting, key=lambda other: (other.memory_mib, other.cpus), default=None)


def node_memory(settings: Settings) -> Memory:
    """The data node's memory. Raises StackError with the numbers and the next machine type that fits."""
    machine = MACHINES[settings.machine_type]
    alerts_mib = ALERT_MIB + ALERTMANAGER_MIB if settings.alert_rules else 0
    shares = memory(machine.memory_mib, alerts_mib)
    if not fits(machine, settings.environment, alerts_mib):
        better = next_that_fits(machine, settings.environment, alerts_mib)
        raise StackError(
            f"{NAMESPACE}:machineType: {machine.name} has {machine.memory_mib} MiB: {shares.os} for the system, "
            f"{AUDIT_MIB} for the audit, {alerts_mib} for alerts, {shares.zookeeper_limit} for ZooKeeper, "
            f"{shares.kafka_limit} for Kafka and {shares.page_cache} of page cache leave ClickHouse "
            f"{shares.clickhouse_server}, and {settings.environment} needs "
            f"{LEAST_CLICKHOUSE_MIB[settings.environment]}. "
            + (f"Take {better.name}." if better else "None of the known machine types fits.")
        )
    return shares


def check_disks(settings: Settings) -> None:
    """Raise StackError if what the topic and the tables may keep does not fit on their disks."""
    kafka = settings.kafka_partitions * (settings.kafka_retention_bytes + KAFKA_SEGMENT_BYTES) / GIB
    _check_disk(
        "kafkaDiskGib",
        settings.kafka_disk_gib,
        kafka,
        f"{settings.kafka_partitions} partitions x (retention.bytes {settings.kafka_retention_bytes} + segment.bytes "
        f"{KAFKA_SEGMENT_BYTES})",
    )
    clickhouse = settings.ingest_gib_per_day * settings.retention_days * STORED_SHARE
    _check_disk(
        "clickhouseDiskGib",
        settings.clickhouse_disk_gib,
        clickhouse,
        f"{settings.ingest_gib_per_day} GiB a day x {settings.retention_days} days, of which a fifth is stored",
    )


def _check_disk(name: str, size_gib: int, needed_gib: float, why: str) -> None:
    if needed_gib > FULL_DISK * size_gib:
        enough = int(needed_gib / FULL_DISK) + 1
        raise StackError(
            f"{NAMESPACE}:{name}: {why} = {needed_gib:.1f} GiB, more than {FULL_DISK:.0%} of {size_gib} GiB. "
            f"Take {enough}."
        )


def run_instances(settings: Settings) -> int:
    """The largest number of Cloud Run instances that can exist at once."""
    gateways = 1 + settings.gateway_grpc + bool(settings.cloud_logging_filter)
    others = settings.autoscaler + settings.grafana + (not settings.on_vm)
    return settings.consumer_max + gateways * settings.gateway_max + settings.query_max + others


def check_subnet(settings: Settings) -> None:
    """Raise StackError if Cloud Run's subnet is too small: during a deploy, each instance exists twice."""
    size = ipaddress.ip_network(settings.run_subnet).num_addresses - RESERVED_ADDRESSES
    needed = 2 * run_instances(settings)
    if size < needed:
        raise StackError(
            f"{NAMESPACE}:runSubnet: {settings.run_subnet} has {size} addresses; {run_instances(settings)} instances "
            f"of Cloud Run need {needed}"
        )


def check(settings: Settings) -> None:
    """Check everything that has to fit, before anything is declared."""
    check_subnet(settings)
    if settings.on_vm:
        node_memory(settings)
        check_disks(settings)
