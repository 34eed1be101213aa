"""What the data node boots with: the variables of the compose files, the bundle of files, the startup script.

Pure functions: text in, text out. The compose files are the local stack's own, read from this repository.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from infra.budget import ALERT_MIB, ALERTMANAGER_MIB, AUDIT_MIB, Memory
from infra.config import DISKS, Settings
from infra.cost import estimate, prices

ROOT = Path(__file__).parent.parent
BOOT = Path(__file__).parent / "boot"
KAFKA_PORT = 9094
CLICKHOUSE_PORT = 8123
ALERT_PORT = 9466
# Metadata: 256 KiB for one value, 512 KiB for all values of an instance.
MAX_METADATA_BYTES = 256 * 1024
# The files that converge the machine, each with its mode and path. The startup script installs them at each boot, and
# the bundle with each deploy.
MACHINE_FILES = {
    "node.sh": ("0755", "/usr/local/sbin/logbrook-node"),
    "fetch.py": ("0755", "/usr/local/sbin/logbrook-fetch"),
    "agent.sh": ("0755", "/usr/local/sbin/logbrook-agent"),
    "agent.yaml": ("0644", "/usr/local/share/logbrook-agent.yaml"),
    "logbrook.sh": ("0755", "/usr/local/bin/logbrook"),
    "daemon.json": ("0644", "/etc/docker/daemon.json"),
    "docker.conf": ("0644", "/etc/systemd/system/docker.service.d/logbrook.conf"),
    **{
        unit: ("0644", f"/etc/systemd/system/{unit}")
        for unit in (
            "logbrook.service",
            "logbrook-watch.service",
            "logbrook-shutdown.service",
            "logbrook-agent.service",
            "logbrook-backup.service",
            "logbrook-backup.timer",
        )
    },
}
# Generated from the list of disks: what node.sh and apply.sh read, and what must not start without the mounts.
_MOUNTS = f"[Unit]\nRequiresMountsFor={' '.join(disk.mount for disk in DISKS)}\n"
GENERATED = {
    "disks": "".join(
        f"{disk.name} {' '.join(f'{name}:{owner}' for name, owner in disk.directories)}\n" for disk in DISKS
    ),
    "docker-disks.conf": _MOUNTS,
    "shutdown-disks.conf": _MOUNTS,
}
MACHINE_FILES |= {
    "docker-disks.conf": ("0644", "/etc/systemd/system/docker.service.d/logbrook-disks.conf"),
    "shutdown-disks.conf": ("0644", "/etc/systemd/system/logbrook-shutdown.service.d/disks.conf"),
}
_SERVICES = ("zookeeper", "kafka", "clickhouse", "alertmanager")
_RULES = "compose/alert/rules.yaml"
# Ends each file within the startup script.
_END = "END-OF-LOGBROOK-FILE"


def boot_file(name: str) -> str:
    """The text of one of the machine's files."""
    return GENERATED.get(name) or (BOOT / name).read_text()


def image_of(variable: str) -> str:
    """The image that compose.yaml runs when the variable is not set: its version is only stated there."""
    found = re.search(r"\$\{" + variable + r":-([^}]+)\}", (ROOT / "compose/compose.yaml").read_text())
    if not found:
        raise ValueError(f"compose/compose.yaml has no default for {variable}")
    return found.group(1)


def environment(settings: Settings, memory: Memory, image: str, mirror: str) -> dict[str, str]:
    """The variables of compose.yaml and compose.cloud.yaml, without secrets.

    `mirror` is the repository through which the public images are pulled.
    """
    mib = 2**20
    images = {
        name: f"{mirror}/{image_of(name)}" for name in (f"LOGBROOK_{service.upper()}_IMAGE" for service in _SERVICES)
    }
    volumes = {
        f"LOGBROOK_{name.upper().replace('-', '_')}": f"{disk.mount}/{name}"
        for disk in DISKS
        for name, _ in disk.directories
    }
    return {
        **images,
        **volumes,
        "LOGBROOK_IMAGE": image,
        "LOGBROOK_VPC_ADDRESS": settings.node_address,
        "LOGBROOK_ZOOKEEPER_MEMORY": f"{memory.zookeeper_limit}m",
        "LOGBROOK_ZOOKEEPER_HEAP": f"{memory.zookeeper_heap}m",
        "LOGBROOK_KAFKA_MEMORY": f"{memory.kafka_limit}m",
        "LOGBROOK_KAFKA_HEAP": f"{memory.kafka_heap}m",
        "LOGBROOK_AUDIT_MEMORY": f"{AUDIT_MIB}m",
        "LOGBROOK_ALERT_RULES_FILE": _RULES.replace("compose", ".", 1),
        "LOGBROOK_ALERT_MEMORY": f"{ALERT_MIB}m",
        "LOGBROOK_ALERTMANAGER_MEMORY": f"{ALERTMANAGER_MIB}m",
        "LOGBROOK_CLICKHOUSE_MEMORY": f"{memory.clickhouse_limit}m",
        "LOGBROOK_CLICKHOUSE_SERVER_MEMORY_BYTES": str(memory.clickhouse_server * mib),
        "LOGBROOK_CLICKHOUSE_QUERY_MEMORY_BYTES": str(memory.clickhouse_query * mib),
        "LOGBROOK_CLICKHOUSE_SPILL_BYTES": str(memory.clickhouse_spill * mib),
        "LOGBROOK_CLICKHOUSE_MARK_CACHE_BYTES": str(memory.clickhouse_mark_cache * mib),
        "LOGBROOK_KAFKA_FLUSH_INTERVAL_MESSAGES": "1" if settings.kafka_flush else str(2**63 - 1),
        "LOGBROOK_KAFKA_PARTITIONS": str(settings.kafka_partitions),
        "LOGBROOK_KAFKA_RETENTION_HOURS": str(settings.kafka_retention_hours),
        "LOGBROOK_KAFKA_RETENTION_BYTES": str(settings.kafka_retention_bytes),
        "LOGBROOK_USAGE_DOLLARS_PER_MONTH": f"{sum(estimate(settings, prices()).values()):.2f}",
        "LOGBROOK_SCHEMA_RETENTION_DAYS": str(settings.retention_days),
    }


def mounted_files(files: Mapping[str, str]) -> dict[str, str]:
    """A digest of what each service mounts, as its label: Compose recreates a container when a label changes, but not
    when a file under a mount does.
    """
    return {
        f"MOUNTED_FILES_{service.upper()}": hashlib.sha256(
            json.dumps([each for each in sorted(files.items()) if each[0].startswith(f"compose/{service}/")]).encode()
        ).hexdigest()[:16]
        for service in (*_SERVICES, "alert")
    }


def compose_files(rules: str = "") -> dict[str, str]:
    """The compose files and what they mount, as `compose/...` to text. The data node's services only.

    With `rules`, the text of a file of alert rules, boot/apply.sh starts their evaluator and Alertmanager.
    """
    paths = [ROOT / "compose/compose.yaml", ROOT / "compose/compose.cloud.yaml"]
    for service in _SERVICES:
        paths += sorted(path for path in (ROOT / "compose" / service).iterdir() if path.is_file())
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths} | ({_RULES: rules} if rules else {})


def bundle(
    variables: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]], registry: str, rules: str = ""
) -> str:
    """The metadata value `logbrook-bundle`, which boot/fetch.py reads.

    `secrets` maps each variable to {"version": the secret version's full name, "name": the secret's, "as": "plain",
    "sha256", or "file"}.
    """
    files = compose_files(rules)
    variables = {
        **variables,
        **mounted_files(files),
        "MOUNTED_SECRETS": digest(json.dumps(secrets, sort_keys=True))[:16],
    }
    files["logbrook.env"] = "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))
    for name in ("apply.sh", "compose.sh", "disks", *MACHINE_FILES):
        files[f"boot/{name}"] = boot_file(name)
    if rules:
        files["boot/agent.yaml"] += boot_file("agent-alerts.yaml")
    files["boot/targets"] = "".join(f"{name} {mode} {path}\n" for name, (mode, path) in MACHINE_FILES.items())
    text = json.dumps({"files": files, "secrets": secrets, "registry": registry}, sort_keys=True)
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"the data node's files take {len(text)} bytes of metadata, more than {MAX_METADATA_BYTES}")
    return text


def digest(bundle: str) -> str:
    """How the node refers to a bundle: its guest attribute `logbrook/state` is `ready DIGEST` once it is applied."""
    return hashlib.sha256(bundle.encode()).hexdigest()


def startup_script() -> str:
    """The metadata value `startup-script`, which installs what converges the machine and starts it.

    It is the same for every stack. Compute Engine runs it at each boot, as root, on any image with systemd and apt:
    https://cloud.google.com/compute/docs/instances/startup-scripts/linux (read 2026-11-28).
    """
    parts = [(BOOT / "startup.sh").read_text()]
    for name, (mode, path) in MACHINE_FILES.items():
        text = boot_file(name)
        assert text.endswith("\n"), name
        assert _END not in text, name
        parts.append(f"put {mode} {path} <<'{_END}'\n{text}{_END}\n")
    return "".join(parts) + "start\n"
