"""What may stop a deploy even if nothing is missing: zone, machine type, quotas, an organization's policies.

gcloud answers where it can; what could not be checked is reported, too. None of this is certain enough to refuse `make
up`: Google has the last word. The constraints are those of cloud-foundation-fabric's organization policies
(fast/stages/0-org-setup/datasets, 11c1d248826f) that affect something of ours; disableSerialPortLogging and
disableServiceAccountCreation are not in it, and have not been verified.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.config import DISKS, Settings
from infra.cost import BOOT_DISK_GIB
from infra.machines import MACHINES

# In a region's list of quotas (compute.v1, Quota.metric). Balanced disks count as SSD.
_CPUS = {"e2": "CPUS", "n2": "N2_CPUS"}
_DISKS = {"pd-standard": "DISKS_TOTAL_GB", "pd-balanced": "SSD_TOTAL_GB", "pd-ssd": "SSD_TOTAL_GB"}


@dataclass
class Answer:
    """What a program printed."""

    code: int
    text: str


Ask = Callable[..., Answer]


def ask(*command: str) -> Answer:
    """Run a program and return what it prints."""
    done = subprocess.run(command, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    return Answer(done.returncode, done.stdout.strip())


@dataclass(frozen=True)
class Constraint:
    """A policy that forbids something that we need: when it is enforced, or when its values lack one of ours."""

    name: str
    stops: str
    needs: str = ""
    """A value that a list has to allow; empty for a constraint that is simply on or off."""


CONSTRAINTS = (
    Constraint("compute.disableGuestAttributesAccess", "deploys can't see when the data node serves, and go on after "
               "logbrook:nodeWaitMinutes"),
    Constraint("compute.disableSerialPortLogging", "the alert on processes that the kernel killed never fires"),
    Constraint("iam.disableServiceAccountCreation", "no part of the platform gets an identity"),
    Constraint("run.managed.requireInvokerIam", "nobody can send to the gateway: its own tokens are its lock"),
    Constraint("run.allowedIngress", "the gateway can't be reached from the internet", "all"),
    Constraint("run.allowedVPCEgress", "what runs on Cloud Run does not get into the network", "private-ranges-only"),
    Constraint("compute.trustedImageProjects", "the data node's Debian may not be used", "projects/debian-cloud"),
    Constraint("compute.restrictCloudNATUsage", "the data node can't fetch packages", "under:projects/{project}"),
    Constraint("gcp.resourceLocations", "nothing may be made in this region", "in:{region}-locations"),
    Constraint("iam.allowedPolicyMemberDomains", "queryUsers and sshUsers of other domains are refused", "any domain"),
)  # fmt: skip


def concerns(settings: Settings, compute: bool, ask: Ask = ask) -> list[str]:
    """What to check before a deploy. `compute` says whether its API is on: without it, half can't be checked."""
    found = []
    if settings.on_vm and compute:
        found += _places(settings, ask) + _quotas(settings, ask)
    elif settings.on_vm:
        found.append(
            "zone, machine type and quotas can't be asked before a deploy has switched compute.googleapis.com on"
        )
    return found + _policies(settings, ask)


def _places(settings: Settings, ask: Ask) -> list[str]:
    project = settings.project
    zone = ask("gcloud", "compute", "zones", "describe", settings.zone, "--project", project, "--format=value(status)")
    if zone.code or zone.text != "UP":
        return [f"gcp:zone {settings.zone} does not exist or is down: `gcloud compute zones list --project {project}`"]
    where = ("--zone", settings.zone, "--project", project)
    if ask("gcloud", "compute", "machine-types", "describe", settings.machine_type, *where).code:
        return [f"logbrook:machineType {settings.machine_type} is not available in {settings.zone}"]
    return []


def needed_quotas(settings: Settings) -> dict[str, int]:
    """How much of a region's quotas the data node takes."""
    machine = MACHINES[settings.machine_type]
    needed = {_CPUS[machine.family]: machine.cpus, "SSD_TOTAL_GB": BOOT_DISK_GIB}
    disks = _DISKS[settings.disk_type]
    needed[disks] = needed.get(disks, 0) + sum(disk.gib(settings) for disk in DISKS)
    return needed


def _quotas(settings: Settings, ask: Ask) -> list[str]:
    where = ("--project", settings.project)
    node = ask("gcloud", "compute", "instances", "describe", f"{settings.name}-node", "--zone", settings.zone, *where)
    if node.code == 0:
        return []  # What an existing node takes is already counted as used.
    region = ask("gcloud", "compute", "regions", "describe", settings.region, *where, "--format=json(quotas)")
    if region.code:
        return [f"quotas of {settings.region} can't be read"]
    free = {each["metric"]: each["limit"] - each["usage"] for each in json.loads(region.text)["quotas"]}
    return [
        f"quota {metric} of {settings.region}: {free[metric]:.0f} are free, and the data node takes {needed}. Ask for "
        f"more: https://console.cloud.google.com/iam-admin/quotas?project={settings.project}"
        for metric, needed in needed_quotas(settings).items()
        if free.get(metric, needed) < needed
    ]


def _policies(settings: Settings, ask: Ask) -> list[str]:
    def of(constraint: Constraint) -> tuple[Constraint, Mapping[str, Any] | None]:
        # Managed constraints have their own API, which may be off.
        kind = ("org-policies",) if ".managed." in constraint.name else ("resource-manager", "org-policies")
        answer = ask(
            "gcloud", *kind, "describe", constraint.name, "--project", settings.project, "--effective", "--format=json"
        )
        return constraint, None if answer.code else json.loads(answer.text or "{}")

    with ThreadPoolExecutor(4) as pool:
        policies = list(pool.map(of, CONSTRAINTS))
    found = [
        f"policy {constraint.name}: {constraint.stops}"
        for constraint, policy in policies
        if policy is not None and _forbids(constraint, policy, settings)
    ]
    if unknown := [constraint.name for constraint, policy in policies if policy is None]:
        found.append(f"these policies can't be read: {', '.join(unknown)}")
    return found


def _forbids(constraint: Constraint, policy: Mapping[str, Any], settings: Settings) -> bool:
    """For a list of values: whether the needed one is denied, or is not among those that are allowed."""
    if not constraint.needs:
        rules: Iterable[Mapping[str, Any]] = policy.get("spec", {}).get("rules", [])
        return bool(policy.get("booleanPolicy", {}).get("enforced")) or any(rule.get("enforce") for rule in rules)
    values = policy.get("listPolicy", {})
    needed = constraint.needs.format(project=settings.project, region=settings.region)
    plain = {value.removeprefix("is:") for value in values.get("allowedValues", [])}
    denied = {value.removeprefix("is:") for value in values.get("deniedValues", [])}
    if values.get("allValues") == "DENY" or needed in denied:
        return True
    # Groups of regions, such as in:us-locations: the first word of a region's name.
    wider = {f"in:{settings.region.partition('-')[0]}-locations", settings.region, f"in:{settings.region}"}
    return bool(plain) and needed not in plain and not (constraint.name == "gcp.resourceLocations" and plain & wider)
