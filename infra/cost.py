"""`make cost STACK=dev`: estimates what a stack costs per month, by resource, from the sourced prices in prices.yaml.

It counts what is always there. Extra are backups in their bucket, traffic of senders (except through the load balancer)
and of readers, requests, and the instances that the autoscaler adds.
"""

import argparse
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.config import DISKS, Settings, load
from infra.secret_store import SECRET_KEYS, wanted

PRICES = Path(__file__).parent / "prices.yaml"
BOOT_DISK_GIB = 20


def prices() -> dict[str, Any]:
    """The price table."""
    table: dict[str, Any] = yaml.safe_load(PRICES.read_text())
    return table


def estimate(settings: Settings, price: Mapping[str, Any]) -> dict[str, float]:
    """Dollars per month by resource, with the fewest instances that the stack keeps."""
    hours: float = price["hours_per_month"]

    def service(cpus: float, gib: float, count: int = 1) -> float:
        per_second: float = cpus * price["service_cpu_per_second"] + gib * price["service_gib_per_second"]
        return count * hours * 3600 * per_second

    pool = (
        settings.consumer_cpu * price["pool_cpu_per_second"]
        + settings.consumer_memory_mib / 1024 * price["pool_gib_per_second"]
    )
    parts = _node(settings, price) if settings.on_vm else _managed(settings, price)
    parts[f"consumer: worker pool, {settings.consumer_min} always on"] = settings.consumer_min * hours * 3600 * pool
    if settings.consumer_metrics:
        beside = price["pool_cpu_per_second"] + 0.5 * price["pool_gib_per_second"]
        parts["collector beside each consumer"] = settings.consumer_min * hours * 3600 * beside
    if settings.autoscaler:
        parts["lag autoscaler: one instance always on"] = service(1, 0.5)
    if settings.gateway_grpc:
        parts[f"gateway over gRPC: service, {settings.gateway_min} always on"] = service(1, 1, settings.gateway_min)
    for name, least in (("gateway", settings.gateway_min), ("query", settings.query_min)):
        parts[f"{name}: service, {least} always on"] = service(1, 1, least)
    if settings.grafana:
        parts["Grafana: service, 0 always on"] = 0.0
    if settings.cloud_logging_filter:
        parts["Cloud Logging's gateway: service, 0 always on"] = 0.0
    if settings.gateway_domain:
        parts |= _domain(settings, price)
    parts["secrets"] = len(wanted(settings)) * price["secret_version_month"]
    billed_gib = max(0.0, price["logging_gib"] - price["logging_free_gib"])
    parts["logs"] = billed_gib * price["logging_per_gib"] + price["network_logs_gib"] * price["network_logs_per_gib"]
    parts["images"] = price["registry_gib"] * price["registry_per_gib_month"]
    return parts


def _node(settings: Settings, price: Mapping[str, Any]) -> dict[str, float]:
    disks = sum(disk.gib(settings) for disk in DISKS)
    return {
        f"data node: {settings.machine_type}": price["machine_per_hour"][settings.machine_type]
        * price["hours_per_month"],
        f"data disks: {disks} GiB {settings.disk_type}": disks * price["disk_per_gib_month"][settings.disk_type],
        f"boot disk: {BOOT_DISK_GIB} GiB pd-balanced": BOOT_DISK_GIB * price["disk_per_gib_month"]["pd-balanced"],
        "snapshots": disks * price["snapshot_share_of_disk"] * price["snapshot_per_gib_month"],
        "NAT, with its address": (price["nat_per_hour"] + price["nat_address_per_hour"]) * price["hours_per_month"],
        f"NAT traffic: {price['nat_gib']} GiB": price["nat_gib"] * price["nat_per_gib"],
        "Managed Prometheus: the node's figures": price["node_series"]
        * 120
        * price["hours_per_month"]
        / 1e6
        * price["samples_per_million"],
    }


def _domain(settings: Settings, price: Mapping[str, Any]) -> dict[str, float]:
    """The load balancer and its limit. Its traffic is the planned one, uncompressed."""
    gib, millions = 30 * settings.ingest_gib_per_day, price["armor_millions"]
    policy = price["armor_policy_month"] + price["armor_rules"] * price["armor_rule_month"]
    return {
        "load balancer: a forwarding rule": price["balancer_rule_per_hour"] * price["hours_per_month"],
        f"load balancer: {gib} GiB": gib * price["balancer_per_gib"],
        f"Cloud Armor: {price['armor_rules']} rules": policy,
        f"Cloud Armor: {millions} million requests": millions * price["armor_per_million"],
    }


def _managed(settings: Settings, price: Mapping[str, Any]) -> dict[str, float]:
    per_hour = (
        settings.managed_kafka_cpus * price["managed_kafka_cpu_per_hour"]
        + settings.managed_kafka_memory_gib * price["managed_kafka_gib_per_hour"]
    )
    minutes = price["hours_per_month"] * price["audit_minutes"]
    job = 60 * minutes * (price["service_cpu_per_second"] + price["service_gib_per_second"])
    return {
        "managed Kafka": per_hour * price["hours_per_month"],
        "ClickHouse: its provider's bill": 0.0,
        f"audit: a job every hour, of {price['audit_minutes']} minutes": job + price["schedule_per_month"],
    }


def table(settings: Settings, price: Mapping[str, Any]) -> str:
    """The estimate as text."""
    parts = estimate(settings, price)
    lines = [f"{name:<48}{dollars:>9.2f}" for name, dollars in parts.items()]
    total = f"{'ESTIMATE, dollars a month':<48}{sum(parts.values()):>9.2f}"
    unverified = [name for name, source in price["sources"].items() if source.startswith("not verified")]
    note = (
        "List prices of us-central1, each with its page and date in infra/prices.yaml. Not included: backups in their "
        "bucket, traffic of senders (except through the load balancer) and readers, requests, and instances added "
        f"under load. Not verified: {', '.join(unverified)}."
    )
    return "\n".join([*lines, "-" * 57, total, "", *textwrap.wrap(note, 100)])


def of_file(stack: str) -> Settings:
    """The stack's file, as it is in the repository: no login is needed."""
    values = yaml.safe_load((Path(__file__).parent.parent / f"Pulumi.{stack}.yaml").read_text())["config"]
    return load({key: _text(value) for key, value in values.items()}, SECRET_KEYS)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Print the estimate."""
    parser = argparse.ArgumentParser(description="Estimate what a stack costs in a month.")
    parser.add_argument("--stack", required=True)
    print(table(of_file(parser.parse_args().stack), prices()))


if __name__ == "__main__":
    main()
