"""What the data node boots with: the variables of the compose files, the bundle of files, cloud-init's configuration.

Pure functions: text in, text out. The compose files are the local stack's own, read from this repository.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.budget import Memory
from infra.config import Settings

ROOT = Path(__file__).parent.parent
BOOT = Path(__file__).parent / "boot"
KAFKA_PORT = 9094
CLICKHOUSE_PORT = 8123
DISKS = ("kafka", "clickhouse")
# Metadata: 256 KiB for one value, 512 KiB for all of an instance's.
MAX_METADATA_BYTES = 256 * 1024
# What must be there before the bundle is; apply.sh replaces it when a deploy changes it.
_LOADERS = {
    "/usr/local/sbin/logbrook-fetch": "fetch.py",
    "/usr/local/sbin/logbrook-watch": "watch.sh",
    "/usr/local/sbin/logbrook-agent": "agent.sh",
    "/usr/local/share/logbrook-agent.yaml": "agent.yaml",
    "/etc/systemd/system/logbrook.service": "logbrook.service",
    "/etc/systemd/system/logbrook-watch.service": "logbrook-watch.service",
    "/etc/docker/daemon.json": "daemon.json",
}
_NO_MOUNT_NO_DOCKER = "[Unit]\nRequiresMountsFor=" + " ".join(f"/mnt/logbrook/{disk}" for disk in DISKS) + "\n"


def vm_bootstrap(settings: Settings) -> str:
    """Where Cloud Run's Kafka clients connect: the address that the broker advertises."""
    return f"{settings.node_address}:{KAFKA_PORT}"


def image_of(variable: str) -> str:
    """The image that compose.yaml runs when the variable is not set: its version is stated there alone."""
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
        name: f"{mirror}/{image_of(name)}"
        for name in ("LOGBROOK_ZOOKEEPER_IMAGE", "LOGBROOK_KAFKA_IMAGE", "LOGBROOK_CLICKHOUSE_IMAGE")
    }
    return images | {
        "LOGBROOK_IMAGE": image,
        "LOGBROOK_VPC_ADDRESS": settings.node_address,
        "LOGBROOK_ZOOKEEPER_MEMORY": f"{memory.zookeeper_limit}m",
        "LOGBROOK_ZOOKEEPER_HEAP": f"{memory.zookeeper_heap}m",
        "LOGBROOK_KAFKA_MEMORY": f"{memory.kafka_limit}m",
        "LOGBROOK_KAFKA_HEAP": f"{memory.kafka_heap}m",
        "LOGBROOK_CLICKHOUSE_MEMORY": f"{memory.clickhouse_limit}m",
        "LOGBROOK_CLICKHOUSE_SERVER_MEMORY_BYTES": str(memory.clickhouse_server * mib),
        "LOGBROOK_CLICKHOUSE_QUERY_MEMORY_BYTES": str(memory.clickhouse_query * mib),
        "LOGBROOK_CLICKHOUSE_SPILL_BYTES": str(memory.clickhouse_spill * mib),
        "LOGBROOK_CLICKHOUSE_MARK_CACHE_BYTES": str(memory.clickhouse_mark_cache * mib),
        "LOGBROOK_KAFKA_FLUSH_INTERVAL_MESSAGES": "1" if settings.kafka_flush else str(2**63 - 1),
        "LOGBROOK_KAFKA_PARTITIONS": str(settings.kafka_partitions),
        "LOGBROOK_KAFKA_RETENTION_HOURS": str(settings.kafka_retention_hours),
        "LOGBROOK_KAFKA_RETENTION_BYTES": str(settings.kafka_retention_bytes),
        "LOGBROOK_SCHEMA_RETENTION_DAYS": str(settings.retention_days),
    }


def compose_files() -> dict[str, str]:
    """The compose files and what they mount, as `compose/...` to text. The data node's services only."""
    paths = [ROOT / "compose/compose.yaml", ROOT / "compose/compose.cloud.yaml"]
    for service in ("zookeeper", "kafka", "clickhouse"):
        paths += sorted(path for path in (ROOT / "compose" / service).iterdir() if path.is_file())
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def bundle(variables: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]], registry: str) -> str:
    """The metadata value `logbrook-bundle`, which boot/fetch.py reads.

    `secrets` maps each variable to {"version": the secret version's full name, "as": "plain" or "sha256"}.
    """
    files = compose_files()
    files["logbrook.env"] = "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))
    for name in ("apply.sh", *_LOADERS.values()):
        files[f"boot/{name}"] = (BOOT / name).read_text()
    files["boot/targets"] = "".join(f"{name} {path}\n" for path, name in _LOADERS.items())
    text = json.dumps({"files": files, "secrets": secrets, "registry": registry}, sort_keys=True)
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"the data node's files take {len(text)} bytes of metadata, more than {MAX_METADATA_BYTES}")
    return text


def cloud_init() -> str:
    """The metadata value `user-data`: packages, disks, and the units that take over from here.

    It is the same for every stack, and cloud-init applies it at a machine's first boot only: what changes with a
    deploy is in the bundle.
    """
    format_disks: list[Any] = [
        ["bash", "-c", (BOOT / "format.sh").read_text(), "format", f"/dev/disk/by-id/google-logbrook-{disk}"]
        for disk in DISKS
    ]
    files = [
        {"path": path, "content": (BOOT / name).read_text(), "owner": "root:root", "permissions": "0644"}
        for path, name in _LOADERS.items()
    ]
    drop_in = "/etc/systemd/system/docker.service.d/logbrook.conf"
    files.append({"path": drop_in, "content": _NO_MOUNT_NO_DOCKER, "owner": "root:root", "permissions": "0644"})
    config = {
        "bootcmd": format_disks,
        "mounts": [
            [
                f"/dev/disk/by-id/google-logbrook-{disk}",
                f"/mnt/logbrook/{disk}",
                "ext4",
                "defaults,nofail,discard,x-systemd.growfs",
                "0",
                "2",
            ]
            for disk in DISKS
        ],
        "write_files": files,
        "package_update": True,
        "packages": ["docker.io", "docker-cli", "docker-compose", "curl", "unattended-upgrades"],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "logbrook.service", "logbrook-watch.service"],
            ["systemctl", "start", "--no-block", "logbrook.service", "logbrook-watch.service"],
            ["bash", "/usr/local/sbin/logbrook-agent"],
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False, width=1000)
