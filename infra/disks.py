"""The data disks: what exists at Google counts, and none is ever shrunk, replaced or deleted by mistake.

How the provider treats a disk: a different zone, type or snapshot, or a smaller size (IsDiskShrinkage), makes a new
disk (hashicorp/terraform-provider-google-beta, google-beta/services/compute/resource_compute_disk.go at 93c65b2d60fe).
"""

import hashlib
import re

import pulumi
import pulumi_gcp as gcp

from infra.config import Disk, Settings, full_key

# A disk that does not exist, or a project in which nothing can exist because Compute Engine is not on yet. Google's
# wording is the same whether it was on before or not; "billing is disabled" is a different case.
_ABSENT = re.compile(r"not found|notFound|has not been used in project|SERVICE_DISABLED")


def disk_name(settings: Settings, disk: Disk) -> str:
    """Its name in the cloud: a disk made from a snapshot exists next to the one that it replaces."""
    snapshot = disk.snapshot(settings)
    suffix = "-" + hashlib.sha256(snapshot.encode()).hexdigest()[:8] if snapshot else ""
    return f"{settings.name}-{disk.name}{suffix}"


def declare(settings: Settings, disk: Disk, opts: pulumi.ResourceOptions) -> gcp.compute.Disk:
    """One data disk, not smaller than the one that exists.

    A new disk is made from the snapshot that the configuration names; an existing one stays as it is, whatever it was
    made from. One that is replaced on purpose is kept outside the stack, for its data.
    """
    name, configured, snapshot = disk_name(settings, disk), disk.gib(settings), disk.snapshot(settings)
    found = _existing(settings, name)
    if found is not None and found > configured:
        key = full_key(disk.keys[0])
        pulumi.log.warn(
            f"{name} has {found} GiB, more than {key}, {configured}: it is not shrunk. Set {key} to {found}."
        )
    least = found if found is not None else _snapshot_gib(settings, snapshot)
    return gcp.compute.Disk(
        f"{disk.name}-disk",
        name=name,
        zone=settings.zone,
        type=settings.disk_type,
        size=max(configured, least),
        snapshot=snapshot or None,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                protect=settings.protect_data,
                retain_on_delete=settings.protect_data,
                ignore_changes=[] if found is None else ["snapshot"],
            ),
        ),
    )


def _existing(settings: Settings, name: str) -> int | None:
    """The size of a disk in GiB; None if there is no disk with that name in the zone."""
    try:
        return int(gcp.compute.get_disk(name=name, project=settings.project, zone=settings.zone).size)
    except Exception as error:
        if _ABSENT.search(str(error)):
            return None
        raise


def _snapshot_gib(settings: Settings, name: str) -> int:
    """A disk made from a snapshot is at least as large as the one that the snapshot was taken from."""
    return int(gcp.compute.get_snapshot(name=name, project=settings.project).disk_size_gb) if name else 0
