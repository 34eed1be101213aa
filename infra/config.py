"""Every key of `Pulumi.<stack>.yaml`: its name, default, unit and meaning.

A field `kafka_disk_gib` is the key `logbrook:kafkaDiskGib`. Secrets are declared in secret_store.py.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

from pulumi.runtime.config import CONFIG, get_config_env

from infra.errors import StackError
from infra.machines import MACHINES

NAMESPACE = "logbrook"
GIB = 2**30
# https://docs.docker.com/engine/network/#subnet-allocation; ClickHouse's administrator may come from there
# (compose/clickhouse/cloud-users.xml).
DOCKER_NETWORKS = ipaddress.ip_network("172.16.0.0/12")
# Of a throttle rule: https://docs.cloud.google.com/armor/docs/rate-limiting-overview (read 2026-11-29).
MOST_REQUESTS = 1_000_000
# Secrets of the notification channels (channels.py): Cloud Monitoring keeps them, and no program reads them.
ALERT_SECRETS = frozenset(
    f"{NAMESPACE}:{name}" for name in ("alertSlackToken", "alertPagerdutyKey", "alertWebhookPassword")
)


def key(default: Any, meaning: str, *, least: int = 0, one_of: tuple[str, ...] = (), like: str = "") -> Any:
    """Declare a key. A default of `...` makes it required; `least`, `one_of` and `like` (a pattern) limit its value."""
    return field(
        default=MISSING if default is ... else default,
        metadata={"meaning": meaning, "least": least, "one_of": one_of, "like": like},
    )


@dataclass(frozen=True)
class Disk:
    """One of the node's data disks: `directories`, each with its image's user as owner, become volumes of those names.

    Its keys are `NAMEDiskGib` and `NAMESnapshot`, below. The name has only lowercase letters: it is part of a mount
    unit's, in which systemd escapes a dash.
    """

    name: str
    directories: tuple[tuple[str, int], ...]

    @property
    def mount(self) -> str:
        """Where the node mounts it."""
        return f"/mnt/logbrook/{self.name}"

    @property
    def keys(self) -> tuple[str, str]:
        """The fields of Settings with its size and its snapshot."""
        return f"{self.name}_disk_gib", f"{self.name}_snapshot"

    def gib(self, settings: "Settings") -> int:
        """The size that the stack's file asks for."""
        return int(getattr(settings, self.keys[0]))

    def snapshot(self, settings: "Settings") -> str:
        """The snapshot that it is made from; empty: none."""
        return str(getattr(settings, self.keys[1]))


DISKS = (
    Disk("kafka", (("zookeeper-data", 1000), ("zookeeper-log", 1000), ("kafka-data", 1000))),
    # The alerts' state says which windows of the stored events were evaluated: a restored disk has both.
    Disk("clickhouse", (("clickhouse-data", 101), ("alert-data", 10001), ("alertmanager-data", 65534))),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One stack. The first three come from the provider's own keys, `gcp:project` and so on."""

    project: str = key(..., "The GCP project that everything is in.", like=r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
    region: str = key(..., "The region, such as us-central1.", like=r"[a-z]+-[a-z]+\d+")
    zone: str = key(..., "The data node's zone, in that region.", like=r"[a-z]+-[a-z]+\d+-[a-z]")

    environment: str = key(..., "dev or prod: prod has deletion protection and more memory.", one_of=("dev", "prod"))
    # A service account's id has at most 30 characters; the longest roles are `-autoscaler` and `-gh-preview`.
    name: str = key(
        "",
        "First part of every name in the cloud; two stacks in one project need two. Empty: logbrook-ENVIRONMENT.",
        like=r"[a-z][a-z0-9-]{1,17}[a-z0-9]",
    )
    backend: str = key("vm", "vm: Kafka and ClickHouse on one VM. managed: on services.", one_of=("vm", "managed"))
    image: str = key("", "The service's image by digest. Empty: it is built from service/ and pushed.")
    crema_image: str = key(
        "us-central1-docker.pkg.dev/cloud-run-oss-images/crema-v1/autoscaler:1.2", "The lag autoscaler's image."
    )
    crema_base_image: str = key(
        "us-central1-docker.pkg.dev/serverless-runtimes/google-24/runtimes/java25",
        "What Cloud Run puts under that image, which has no system of its own. Some regions have a copy.",
    )
    consumer_metrics: bool = key(
        True, "Send the consumers' metrics to Cloud Monitoring: a collector next to each, with its own CPU."
    )
    # Worker pools are known from contrib 0.155 on (open-telemetry/opentelemetry-collector-contrib #48928).
    collector_image: str = key(
        "us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google:0.159.0",
        "The collector's image: Google-Built OpenTelemetry Collector, 0.155 or newer.",
    )

    docker_hub_user: str = key(
        "", "Pulls public images as this user, with the secret dockerHubToken. Empty: anonymously."
    )

    api_wait_seconds: int = key(60, "Pause after APIs are switched on: Google's servers learn about it one by one.")
    node_wait_minutes: int = key(
        30, "How long a deploy waits for the data node to be ready before it starts what needs it; 0: not at all."
    )

    vm_subnet: str = key("10.10.0.0/24", "Addresses of the data node's subnet.")
    run_subnet: str = key("10.10.1.0/24", "Addresses of Cloud Run's instances: two for each, /26 or larger.")

    machine_type: str = key("e2-standard-2", "The data node's machine type.", one_of=tuple(MACHINES))
    disk_type: str = key("pd-balanced", "Type of the data disks.", one_of=("pd-standard", "pd-balanced", "pd-ssd"))
    kafka_disk_gib: int = key(50, "Size of Kafka's and ZooKeeper's disk. It can grow, never shrink.", least=10)
    clickhouse_disk_gib: int = key(100, "Size of ClickHouse's disk. It can grow, never shrink.", least=10)
    snapshot_days: int = key(7, "Days that the disks' daily snapshots are kept.", least=1)
    kafka_snapshot: str = key("", "Snapshot that Kafka's disk was made from; `make move-node` sets it. Keep it.")
    clickhouse_snapshot: str = key(
        "", "Snapshot that ClickHouse's disk was made from; `make restore-disk` and `make move-node` set it. Keep it."
    )
    backup_days: int = key(30, "Days that a backup in the bucket can be restored.", least=1)
    protect_data: bool = key(
        True, "Refuse to delete the disks with the data, and anything else that can't be recreated."
    )

    kafka_partitions: int = key(8, "Partitions of the topic: the most consumers that can share the work.", least=1)
    kafka_retention_hours: int = key(72, "How long the topic keeps events.", least=1)
    kafka_retention_bytes: int = key(4 * GIB, "The most bytes that one partition keeps.", least=2**28)
    kafka_flush: bool = key(False, "Write each message to disk before it is acknowledged: safe in a power cut, slower.")
    retention_days: int = key(30, "Days that ClickHouse keeps an event, from its arrival.", least=1)
    ingest_gib_per_day: int = key(5, "Log volume to plan ClickHouse's disk for, before compression.", least=1)

    consumer_min: int = key(1, "Minimum number of consumers. Without autoscaler: how many there are.", least=1)
    consumer_max: int = key(4, "Maximum number of consumers.", least=1)
    consumer_cpu: int = key(1, "Virtual CPUs of a consumer.", least=1)
    consumer_memory_mib: int = key(1024, "Memory of a consumer.", least=512)
    consumer_messages_per_second: int = key(
        500, "Kafka messages that one consumer moves in a second; one message holds many events.", least=1
    )
    drain_seconds: int = key(60, "Time in which a backlog should be gone: lag threshold = this x messages.", least=1)
    autoscaler: bool = key(True, "Scale consumers by Kafka lag with CREMA. It is one instance that always runs.")
    gateway_min: int = key(0, "Minimum number of gateway instances; 0 makes the first request after a pause slow.")
    gateway_max: int = key(4, "Maximum number of gateway instances.", least=1)
    gateway_grpc: bool = key(False, "Take OTLP over gRPC, too, at an address of its own.")
    gateway_domain: str = key(
        "",
        "Name at which the gateway is reached, through a load balancer, such as logs.example.com: it stays when a "
        "service or region changes. Empty: only the address that Cloud Run gives it.",
        like=r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    )
    gateway_domain_only: bool = key(
        False, "Refuse requests that come to Cloud Run's own address, past the load balancer and its limit."
    )
    gateway_requests_per_minute: int = key(
        12_000,
        "With gatewayDomain: most requests a minute for each token as it is sent, and for each address without one.",
        least=1,
    )
    query_min: int = key(0, "Minimum number of query instances.")
    query_max: int = key(2, "Maximum number of query instances.", least=1)

    query_users: tuple[str, ...] = key(
        (), "Who may open the log explorer, and Grafana: user:..., group:..., domain:..."
    )
    query_iap: bool = key(
        False, "Google's sign-in (IAP) on the log explorer itself: a browser opens its address, and no proxy is needed."
    )
    query_roles: str = key(
        "",
        "File that says who of them may see what (docs/access.md), relative to the repository. With queryIap only. "
        "Empty: all of them see everything.",
    )
    query_trace_url: str = key(
        "",
        "Address of a trace's spans in another program, with {trace_id} in it; the log explorer links to it.",
        like=r"https?://.*\{trace_id\}.*",
    )
    grafana: bool = key(False, "Grafana with the dashboards on Cloud Run, behind Google's sign-in. vm only.")
    ssh_users: tuple[str, ...] = key((), "Who may reach the data node through IAP, as administrator.")

    cloud_logging_filter: str = key(
        "", "Which entries of the project's Cloud Logging to take, such as `severity>=INFO`. Empty: none."
    )

    github_repository_id: str = key(
        "", "GitHub repository whose workflow may deploy, by its numeric id. Empty: none.", like=r"\d*"
    )
    github_owner_id: str = key("", "The numeric id of that repository's owner.", like=r"\d*")

    alert_rules: str = key(
        "",
        "File with alert rules for logs, relative to the repository; needs the secret alertmanagerConfig. "
        "Empty: none. vm only.",
    )
    alert_email: str = key("", "Mail address for alerts. With no channel at all they show up only in the console.")
    alert_slack_channel: str = key("", "Slack channel for alerts, such as #ops; needs the secret alertSlackToken.")
    alert_pagerduty: bool = key(False, "Call PagerDuty for critical alerts; needs the secret alertPagerdutyKey.")
    alert_webhook: str = key(
        "", "HTTPS address that alerts are posted to; with the secret alertWebhookPassword, as user logbrook."
    )
    minutes_without_data: int = key(0, "Alert when no log has arrived for this long; 0 turns it off.")
    billing_account: str = key("", "Billing account of the budget alert. Empty: no budget alert.")
    budget_per_month: int = key(100, "Budget in the billing account's currency.", least=1)

    managed_kafka_cpus: int = key(3, "managed: virtual CPUs of the Kafka cluster.", least=3)
    managed_kafka_memory_gib: int = key(12, "managed: memory of the Kafka cluster, 1 to 8 GiB per CPU.", least=3)
    clickhouse_host: str = key("", "managed: host of ClickHouse, reached over TLS.")
    clickhouse_port: int = key(8443, "managed: port of ClickHouse's HTTPS interface.", least=1)
    clickhouse_cluster: str = key(
        "", "managed: name of ClickHouse's cluster, `default` on ClickHouse Cloud. Empty: one server."
    )

    @property
    def prod(self) -> bool:
        """Whether this is the stack that others rely on."""
        return self.environment == "prod"

    @property
    def guarded(self) -> bool:
        """Whether Google refuses to delete things; to delete them, first deploy with `protectData: false`."""
        return self.prod and self.protect_data

    @property
    def on_vm(self) -> bool:
        """Whether the data node is ours."""
        return self.backend == "vm"

    @property
    def node_address(self) -> str:
        """The data node's static address: Kafka advertises it, the consumer is given it."""
        return str(ipaddress.ip_network(self.vm_subnet)[10])


def key_name(field_name: str) -> str:
    """`kafka_disk_gib` as `kafkaDiskGib`."""
    first, *rest = field_name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def full_key(field_name: str) -> str:
    """The key as written in the stack's file."""
    return ("gcp:" if field_name in ("project", "region", "zone") else f"{NAMESPACE}:") + key_name(field_name)


def of_this_stack() -> dict[str, str]:
    """The configuration of the stack that Pulumi runs: every key, as written in the stack's file."""
    return {**get_config_env(), **CONFIG.get()}


def load(values: Mapping[str, str], secret_keys: frozenset[str] = frozenset()) -> Settings:
    """Read a stack's configuration, `{"logbrook:machineType": "e2-medium", ...}`.

    Raises StackError with the key's name if a value is invalid, a required one is missing, or a key in our namespace is
    unknown (probably misspelled). `secret_keys` are known, and read elsewhere.
    """
    known = {full_key(each.name): each for each in fields(Settings)}
    for name in sorted(values):
        if name.startswith(f"{NAMESPACE}:") and name not in known and name not in secret_keys | ALERT_SECRETS:
            raise StackError(f"{name}: no such key. infra/config.py lists them all.")
    hints = get_type_hints(Settings)
    found = {
        each.name: _cast(name, values[name], hints[each.name], each) for name, each in known.items() if name in values
    }
    for name, each in known.items():
        if each.default is MISSING and each.name not in found:
            raise StackError(f"{name} is not set: {each.metadata['meaning']}")
    found["name"] = found.get("name") or f"{NAMESPACE}-{found['environment']}"
    settings = Settings(**found)
    _check_together(settings)
    return settings


def _cast(name: str, text: str, kind: Any, each: Field[Any]) -> Any:
    """`text` as a value of `kind`, or a StackError that shows it."""
    rule = each.metadata
    value: Any = text
    try:
        if kind is bool:
            value = {"true": True, "false": False}[text.lower()]
        elif get_origin(kind) is tuple:
            value = tuple(_strings(text))
        elif get_args(kind) == () and kind is int:
            value = int(text)
    except (KeyError, ValueError):
        raise StackError(
            f"{name}: {text!r} is not a valid {getattr(kind, '__name__', kind)}: {rule['meaning']}"
        ) from None
    if kind is int and value < rule["least"]:
        raise StackError(f"{name}: {text} is less than {rule['least']}: {rule['meaning']}")
    if rule["one_of"] and value not in rule["one_of"]:
        raise StackError(f"{name}: {text!r} is not one of {', '.join(rule['one_of'])}")
    if rule["like"] and (value or each.default is MISSING) and not re.fullmatch(rule["like"], value):
        raise StackError(f"{name}: {text!r} does not look right: {rule['meaning']}")
    return value


def _strings(text: str) -> list[str]:
    """Pulumi passes a list as JSON; a single value may come without brackets."""
    if not text.startswith("["):
        return [text] if text else []
    values = json.loads(text)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(text)
    return list(values)


def _check_together(settings: Settings) -> None:
    """Check what depends on more than one key."""
    if not settings.zone.startswith(f"{settings.region}-"):
        raise StackError(f"gcp:zone: {settings.zone} is not in gcp:region {settings.region}")
    for kind in ("consumer", "gateway", "query"):
        least, most = getattr(settings, f"{kind}_min"), getattr(settings, f"{kind}_max")
        if least > most:
            raise StackError(f"{NAMESPACE}:{kind}Min: {least} is more than {NAMESPACE}:{kind}Max, {most}")
    if settings.retention_days * 24 <= settings.kafka_retention_hours:
        raise StackError(
            f"{NAMESPACE}:retentionDays: keep events longer in ClickHouse than the "
            f"{settings.kafka_retention_hours} h of {NAMESPACE}:kafkaRetentionHours"
        )
    if settings.image and not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", settings.image):
        raise StackError(f"{NAMESPACE}:image: {settings.image!r} has no digest (...@sha256:...)")
    if not settings.on_vm:
        _check_managed(settings)
    if settings.query_roles and not settings.query_iap:
        raise StackError(f"{NAMESPACE}:queryRoles: only with {NAMESPACE}:queryIap, which identifies users")
    _check_domain(settings)
    if bool(settings.github_repository_id) != bool(settings.github_owner_id):
        raise StackError(f"{NAMESPACE}:githubRepositoryId and {NAMESPACE}:githubOwnerId belong together: set both")
    cpus, memory = settings.managed_kafka_cpus, settings.managed_kafka_memory_gib
    if not cpus <= memory <= 8 * cpus:
        raise StackError(f"{NAMESPACE}:managedKafkaMemoryGib: {memory} is not 1 to 8 GiB for each of {cpus} CPUs")
    for name in ("vm_subnet", "run_subnet"):
        _check_subnet(full_key(name), getattr(settings, name))
        if settings.on_vm and ipaddress.ip_network(getattr(settings, name)).overlaps(DOCKER_NETWORKS):
            raise StackError(
                f"{full_key(name)}: Docker's networks on the data node have addresses from {DOCKER_NETWORKS}: "
                "use a range outside it"
            )
    if ipaddress.ip_network(settings.vm_subnet).overlaps(ipaddress.ip_network(settings.run_subnet)):
        raise StackError(f"{NAMESPACE}:runSubnet: {settings.run_subnet} overlaps {NAMESPACE}:vmSubnet")


def _check_domain(settings: Settings) -> None:
    if settings.gateway_domain_only and not settings.gateway_domain:
        raise StackError(f"{NAMESPACE}:gatewayDomainOnly: only with {NAMESPACE}:gatewayDomain: nobody could send")
    if settings.gateway_requests_per_minute > MOST_REQUESTS:
        raise StackError(
            f"{NAMESPACE}:gatewayRequestsPerMinute: Cloud Armor counts to {MOST_REQUESTS}, which is less than "
            f"{settings.gateway_requests_per_minute}"
        )


def _check_managed(settings: Settings) -> None:
    if not settings.clickhouse_host:
        raise StackError(f"{NAMESPACE}:clickhouseHost is not set: with backend managed, ClickHouse is somewhere else")
    if settings.grafana:
        raise StackError(f"{NAMESPACE}:grafana: only with backend vm, whose mirror has Grafana's image")
    if settings.alert_rules:
        raise StackError(f"{NAMESPACE}:alertRules: only with backend vm, whose data node evaluates them")


def _check_subnet(name: str, text: str) -> None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise StackError(f"{name}: {error}") from None
    if not network.is_private or network.prefixlen > 26:
        raise StackError(f"{name}: {text} is not a private range of /26 or larger")
