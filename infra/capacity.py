"""`logbrook capacity`: the machine, disks, partitions, and instances that a volume of logs needs, and what they cost.

Counted from measured.yaml and prices.yaml. What is recommended has passed a deploy's checks (config.py, budget.py).
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from infra import budget, cost
from infra.config import GIB, Settings, full_key, load
from infra.errors import StackError
from infra.machines import MACHINES
from logbrook.errors import LogbrookError

# Prices are those of us-central1; the project is its owner's.
_PLACE = {"gcp:project": "my-project", "gcp:region": "us-central1", "gcp:zone": "us-central1-a"}
_MIB = 2**20


@cache
def figures() -> dict[str, dict[str, Any]]:
    """`measured` and `assumed`: each figure by its name, with its meaning and where it comes from."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "measured.yaml").read_text())
    return found


def _figure(name: str) -> Any:
    return (figures()["measured"] | figures()["assumed"])[name]["value"]


@dataclass(frozen=True)
class Volume:
    """Events a day on average, their mean size as JSON, and the days that ClickHouse keeps them."""

    events_per_day: int
    event_bytes: int
    days: int

    @property
    def scale(self) -> float:
        """An event in terms of the measured one: a larger one costs more in proportion, a smaller one the same."""
        return float(max(1, self.event_bytes / _figure("event_bytes")))

    @property
    def peak_per_second(self) -> float:
        """Events in a second of the busiest hour."""
        return float(self.events_per_day / 86_400 * _figure("peak"))

    @property
    def stored_gib(self) -> float:
        """What ClickHouse keeps after all days: by the measured event or by budget.py's share, whichever is more."""
        stored = max(_figure("stored_bytes") * self.scale, budget.STORED_SHARE * self.event_bytes)
        return float(self.events_per_day * self.days * stored / GIB)


@dataclass(frozen=True)
class Plan:
    """What to deploy: keys of a stack's file, and dollars a month by resource. `why` says what rules out one VM."""

    volume: Volume
    vcpus: float
    why: tuple[str, ...]
    keys: dict[str, str]
    settings: Settings
    dollars: dict[str, float]


def plan(volume: Volume, environment: str = "prod") -> Plan:
    """The cheapest VM that takes it, or else the managed shape. Raises StackError if not even that can."""
    price = cost.prices()
    node_us = _figure("clickhouse_us") + _figure("pipeline_us") - _figure("pipeline_clickhouse_us")
    busy, reading = _vcpus(volume, node_us / 1e6), volume.stored_gib / _figure("stored_gib_per_vcpu")
    vcpus = max(busy, reading)
    keys = _instances(volume, environment)
    keys |= _topic(volume, keys["consumer_max"]) | {"retention_days": volume.days}
    # A deploy checks the disk for whole GiB a day.
    ingest = keys["ingest_gib_per_day"] = ceil(volume.events_per_day * volume.event_bytes / GIB)
    stored = max(volume.stored_gib, ingest * volume.days * budget.STORED_SHARE)
    disks = {"kafka_disk_gib": _disk(_topic_gib(keys)), "clickhouse_disk_gib": _disk(stored)}
    own = {name: each.cpus for name, each in MACHINES.items()} | {"e2-medium": _figure("e2_medium_vcpus")}
    enough = [each for each in MACHINES.values() if own[each.name] >= vcpus and budget.fits(each, environment)]
    largest = _figure("largest_disk_gib")
    why = [f"{full_key(name)} would be {gib:,}, more than {largest:,}" for name, gib in disks.items() if gib > largest]
    if not enough:
        cause = "to take the peak" if busy >= reading else "to search what is stored"
        needed = ceil(10 * vcpus) / 10
        why.append(f"{needed:,.1f} virtual CPUs are needed {cause}, and the largest machine has {max(own.values())}")
    if why:
        peak_bytes = volume.peak_per_second * volume.event_bytes
        cpus = max(3, ceil(peak_bytes / _figure("managed_kafka_bytes_per_vcpu")))
        keys |= {"managed_kafka_cpus": cpus, "managed_kafka_memory_gib": cpus * _figure("managed_kafka_gib_per_vcpu")}
        keys |= {"clickhouse_host": "YOUR_SERVICE.clickhouse.cloud", "clickhouse_cluster": "default"}
    else:
        machine = min(enough, key=lambda each: (price["machine_per_hour"][each.name], -each.memory_mib))
        keys |= {"machine_type": machine.name} | disks
    keys["backend"] = "managed" if why else "vm"
    config = {full_key(name): str(keys[name]).lower() if name == "autoscaler" else str(keys[name]) for name in keys}
    settings = load(_PLACE | {full_key("environment"): environment} | config)
    budget.check(settings)
    return Plan(volume, vcpus, tuple(why), config, settings, cost.estimate(settings, price))


def _vcpus(volume: Volume, seconds_per_event: float) -> float:
    """The virtual CPUs for the peak, of which events keep only a part busy."""
    cores = volume.peak_per_second * volume.scale * seconds_per_event
    return float(cores / _figure("cores_per_vcpu") / _figure("busy"))


def _instances(volume: Volume, environment: str) -> dict[str, Any]:
    """As few as the mean of a day needs, as many as its peak; a second gateway takes over while one restarts."""
    gateways, consumers = (
        ceil(_vcpus(volume, 1 / _figure(f"{kind}_events_per_second"))) for kind in ("gateway", "consumer")
    )
    least = ceil(consumers / _figure("peak"))
    return {
        "gateway_min": 0 if environment == "dev" and gateways == 1 else ceil(gateways / _figure("peak")),
        "gateway_max": max(2, gateways),
        "consumer_min": least,
        "consumer_max": consumers,
        "autoscaler": least < consumers,
    }


def _topic(volume: Volume, consumers: int) -> dict[str, int]:
    """Three days of events, if ClickHouse keeps them longer: what an outage may take, and a replay can use."""
    hours, partitions = min(72, 24 * volume.days - 1), max(8, consumers)
    kept = volume.events_per_day * volume.scale * _figure("kafka_bytes") * _figure("kafka_margin") * hours / 24
    retention = max(256, ceil(kept / partitions / _MIB)) * _MIB
    return {"kafka_partitions": partitions, "kafka_retention_hours": hours, "kafka_retention_bytes": retention}


def _topic_gib(keys: dict[str, Any]) -> float:
    return float(keys["kafka_partitions"] * (keys["kafka_retention_bytes"] + budget.KAFKA_SEGMENT_BYTES) / GIB)


def _disk(needed_gib: float) -> int:
    return max(int(_figure("smallest_disk_gib")), int(needed_gib / budget.FULL_DISK) + 1)


def run(volume: Volume, environment: str, *, as_json: bool, console: Console) -> None:
    """Print the plan. Raises LogbrookError if no single stack takes it."""
    try:
        found = plan(volume, environment)
    except StackError as error:
        raise LogbrookError(
            f"a stack as it is by default can't take that, so divide the sources among several, or change the key that "
            f"is named here: {error}"
        ) from error
    if as_json:
        print(json.dumps(as_object(found), indent=2))  # noqa: T201
        return
    for reason in found.why:
        console.print(f"[bold]One VM is not enough:[/] {reason}.", highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows(found):
        table.add_row(name, value)
    console.print(table, "", highlight=False)
    if found.why:
        console.print("[bold]For a second stack[/], beside one that runs: docs/deploy.md, *Outgrowing one VM*.")
    commands = (f"pulumi config set {name} {value}" for name, value in found.keys.items())
    console.print("\n".join(commands), highlight=False, soft_wrap=True, markup=False)


def as_object(found: Plan) -> dict[str, Any]:
    """The plan for programs: names with units, keys as in the stack's file."""
    return asdict(found.volume) | {
        "environment": found.settings.environment,
        "fits_one_vm": not found.why,
        "why_not": found.why,
        "vcpus_needed": round(found.vcpus, 3),
        "stored_gib": round(found.volume.stored_gib, 3),
        "config": found.keys,
        "dollars_per_month": {name: round(dollars, 2) for name, dollars in found.dollars.items()},
        "total_dollars_per_month": round(sum(found.dollars.values()), 2),
    }


def rows(found: Plan) -> Iterator[tuple[str, str]]:
    """The plan for people: each part and its size."""
    settings, stored = found.settings, found.volume.stored_gib
    days = f"{found.volume.days} day{'s' * (found.volume.days != 1)}"
    yield "stack", settings.environment
    if settings.on_vm:
        machine, shares = MACHINES[settings.machine_type], budget.node_memory(settings)
        yield (
            "machine",
            f"{machine.name}: {machine.cpus} virtual CPUs, of which {max(0.01, found.vcpus):.2f} are needed",
        )
        rest = f"Kafka {shares.kafka_limit:,}, ZooKeeper {shares.zookeeper_limit:,}, page cache {shares.page_cache:,}"
        yield "memory", f"{machine.memory_mib:,} MiB: ClickHouse {shares.clickhouse_limit:,}, {rest}"
        full = f"{stored / settings.clickhouse_disk_gib:.0%} full after {days}, and no fuller"
        yield "ClickHouse's disk", f"{settings.clickhouse_disk_gib:,} GiB; {full}"
        most = _topic_gib(vars(settings)) / settings.kafka_disk_gib
        yield "Kafka's disk", f"{settings.kafka_disk_gib:,} GiB; at most {most:.0%} full"
    else:
        size = f"{settings.managed_kafka_cpus} virtual CPUs, {settings.managed_kafka_memory_gib} GiB of memory"
        yield "managed Kafka", size
        yield "ClickHouse", f"{stored:,.0f} GiB after {days}, in a service or cluster of its own"
    each = f"{settings.kafka_retention_bytes / GIB:,.1f} GiB each"
    yield "topic", f"{settings.kafka_partitions} partitions; {settings.kafka_retention_hours} hours, or {each}"
    yield "gateways", f"{settings.gateway_min} to {settings.gateway_max}"
    yield "consumers", f"{settings.consumer_min} to {settings.consumer_max}"
    total = f"{sum(found.dollars.values()):,.0f}"
    yield "dollars a month", total if settings.on_vm else f"{total}, and what ClickHouse's provider charges"
