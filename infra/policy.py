"""Rules for every stack, as functions of what it declares. Each says what is wrong, if anything."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from infra.network import IAP_RANGE


@dataclass(frozen=True)
class Declared:
    """A resource as a program declares it: type, logical name, inputs, and the options that matter here."""

    token: str
    name: str
    inputs: dict[str, Any]
    protect: bool = False

    @property
    def kind(self) -> str:
        """`Instance` of `gcp:compute/instance:Instance`. An API is not a Cloud Run service, nor a schedule a job."""
        others = {"gcp:projects/service:Service": "Api", "gcp:cloudscheduler/job:Job": "Schedule"}
        return others.get(self.token) or self.token.rpartition(":")[2]

    @property
    def runs(self) -> dict[str, Any]:
        """What it runs on Cloud Run, with its containers; empty for anything else."""
        template = self.inputs["template"] if self.kind in ("Service", "WorkerPool", "Job") else {}
        found: dict[str, Any] = template.get("template", template)
        return found


# Stands for what is known only after the deploy: rules check it then.
UNKNOWN = "<known after the deploy>"
Rule = Callable[[Declared], Iterable[str]]

# Roles that Google grants only on a project. Any other grant there needs a condition that names its resource.
PROJECT_ROLES = {
    "roles/logging.logWriter": "write logs",
    "roles/monitoring.metricWriter": "write metrics",
    "roles/monitoring.viewer": "the lag as a metric, where Kafka is managed",
    "roles/managedkafka.client": "connect to managed Kafka as oneself",
}
# Granted on a project, with a condition that names one resource.
CONDITIONED_ROLES = {"roles/parametermanager.parameterViewer": "read the autoscaler's configuration"}
# Services that check tokens themselves.
OPEN = {"gateway", "gateway-grpc"}
BROAD_ROLES = {"roles/owner", "roles/editor", "roles/viewer"}
# Images that are not ours have a pinned tag: Google's, and what the project's mirror pulls from Docker Hub.
TAGGED_IMAGES = re.compile(
    r"^[a-z0-9-]+-docker\.pkg\.dev/(cloud-run-oss-images|cloud-ops-agents-artifacts|[^/]+/[^/]+-mirror)/"
)
DEFAULT_ACCOUNT = re.compile(r"(-compute@developer|@appspot)\.gserviceaccount\.com$")


def no_open_ingress(resource: Declared) -> Iterator[str]:
    """No firewall rule lets the internet in; only IAP's range is public at all."""
    if resource.kind != "Firewall" or resource.inputs.get("direction") == "EGRESS":
        return
    ranges = resource.inputs.get("sourceRanges") or ["0.0.0.0/0"]
    for each in ranges:
        if each != IAP_RANGE and not ipaddress.ip_network(each).is_private:
            yield f"lets {each} in"
    if not resource.inputs.get("targetServiceAccounts"):
        yield "is for every machine in the network: name targetServiceAccounts"
    if not resource.inputs.get("logConfig"):
        yield "is not logged"


def no_public_address(resource: Declared) -> Iterator[str]:
    """Machines have private addresses; the gateway's name leads to the only public one."""
    if resource.kind == "Instance":
        for interface in resource.inputs.get("networkInterfaces", []):
            if "accessConfigs" in interface:
                yield "has a public address"
    if resource.kind == "Address" and resource.inputs.get("addressType") != "INTERNAL":
        yield "is a public address"
    if resource.kind == "GlobalAddress" and resource.name != "gateway-address":
        yield "is a public address"
    if resource.kind == "Network" and resource.inputs.get("autoCreateSubnetworks") is not False:
        yield "makes subnets by itself"


def own_service_account(resource: Declared) -> Iterator[str]:
    """Everything that runs has its own service account."""
    account: Any = "none is needed"
    if resource.kind == "Instance":
        account = (resource.inputs.get("serviceAccount") or {}).get("email")
    elif resource.runs:
        account = resource.runs.get("serviceAccount")
    if not account or DEFAULT_ACCOUNT.search(str(account)):
        yield "runs as the project's default service account"


def least_rights(resource: Declared) -> Iterator[str]:
    """No basic roles, nothing project-wide that could be narrower, nothing for everybody."""
    role, member = resource.inputs.get("role"), str(resource.inputs.get("member", ""))
    if role is None:
        return
    if role in BROAD_ROLES or role.endswith((".admin", "Admin")):
        yield f"grants {role}"
    if member in ("allUsers", "allAuthenticatedUsers"):
        yield f"grants {role} to {member}"
    if resource.token.startswith("gcp:projects/") and role not in PROJECT_ROLES:
        expression = (resource.inputs.get("condition") or {}).get("expression", "")
        if "resource.name" not in expression:
            yield f"grants {role} on the whole project"


def only_the_gateway_is_open(resource: Declared) -> Iterator[str]:
    """No Cloud Run service but the gateway can be called without Google's own check."""
    if resource.kind == "Service" and resource.inputs.get("invokerIamDisabled") and resource.name not in OPEN:
        yield "can be called by everybody"


def limited_at_the_edge(resource: Declared) -> Iterator[str]:
    """What a load balancer takes is encrypted, and limited by Cloud Armor."""
    if resource.kind == "GlobalForwardingRule" and resource.inputs.get("portRange") != "443":
        yield "takes what is not encrypted"
    if resource.kind == "BackendService" and not resource.inputs.get("securityPolicy"):
        yield "has no limit on requests"


def by_digest(resource: Declared) -> Iterator[str]:
    """Our own image is deployed by its digest. Other images have the tags that are pinned here."""
    for container in resource.runs.get("containers", []):
        image = str(container["image"])
        if "@sha256:" not in image and image != UNKNOWN and not TAGGED_IMAGES.search(image):
            yield f"runs {image} by its tag"


def no_clear_secret(resource: Declared) -> Iterator[str]:
    """Programs get names of secrets. A variable that sounds like a secret must not have a plain value."""
    for container in resource.runs.get("containers", []):
        for each in container.get("envs", []):
            is_path = each["name"].endswith("_FILE") and str(each.get("value")).startswith("/")
            if re.search(r"PASSWORD|TOKEN|SECRET", each["name"]) and each.get("value") and not is_path:
                yield f"has {each['name']} in clear"
    if resource.kind == "Instance":
        if re.search(r"PASSWORD'?\s*[=:]\s*['\"]?[A-Za-z0-9_-]{24,}", json.dumps(resource.inputs.get("metadata", {}))):
            yield "has a password in its metadata"
        if "metadataStartupScript" in resource.inputs:
            yield "is replaced whenever metadataStartupScript changes"


def hardened_machine(resource: Declared) -> Iterator[str]:
    """Shielded VMs, OS Login, and no project-wide keys."""
    if resource.kind != "Instance":
        return
    shielded = resource.inputs.get("shieldedInstanceConfig") or {}
    if not all(shielded.get(key) for key in ("enableSecureBoot", "enableVtpm", "enableIntegrityMonitoring")):
        yield "is not shielded"
    metadata = resource.inputs.get("metadata", {})
    if metadata.get("enable-oslogin") != "TRUE" or metadata.get("block-project-ssh-keys") != "TRUE":
        yield "can be entered without OS Login"
    if not resource.inputs.get("allowStoppingForUpdate"):
        yield "can't change its machine type"


def kept_data(resource: Declared) -> Iterator[str]:
    """What holds data can't be deleted by mistake."""
    holds_data = resource.token.endswith(("disk:Disk", "managedkafka/cluster:Cluster", "managedkafka/topic:Topic"))
    holds_data |= (resource.kind, resource.name) == ("Bucket", "backups")
    if holds_data and not resource.protect:
        yield "holds data and is not protected"


def private_egress(resource: Declared) -> Iterator[str]:
    """Programs on Cloud Run reach the network directly, and only its private ranges."""
    if not resource.runs:
        return
    access = resource.runs.get("vpcAccess") or {}
    if access.get("egress") != "PRIVATE_RANGES_ONLY" or not access.get("networkInterfaces"):
        yield "is not in the network"


RULES: tuple[Rule, ...] = (
    no_open_ingress,
    no_public_address,
    own_service_account,
    least_rights,
    only_the_gateway_is_open,
    limited_at_the_edge,
    by_digest,
    no_clear_secret,
    hardened_machine,
    kept_data,
    private_egress,
)
PROD_GUARDED = ("Instance", "Service", "WorkerPool", "Job", "Secret")


def guarded_in_prod(resource: Declared) -> Iterator[str]:
    """In prod, Google itself refuses to delete what is running and what is secret."""
    if resource.kind in PROD_GUARDED and resource.name != "crema" and not resource.inputs.get("deletionProtection"):
        yield "has no deletion protection"


def violations(resources: Iterable[Declared], *, prod: bool, kept: bool = True) -> list[str]:
    """Every broken rule, as `rule: resource what`. Where data is not `kept`, disks need no protection."""
    rules = [rule for rule in (*RULES, guarded_in_prod) if (prod or rule is not guarded_in_prod)]
    if not kept:
        rules.remove(kept_data)
    return [
        f"{rule.__name__}: {resource.name} {what}"
        for resource in resources
        for rule in rules
        for what in rule(resource)
    ]
