"""An oracle: Google's own REST schemas, as the API client ships them. The provider's inputs end up as these objects.

Each input is looked up in the schema of its object: by its name, its singular, or the alias below; then its type and
its enum must fit. An input that the API does not have must be listed as the provider's own.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache  # type: ignore[import-untyped]

from tests.infra.sdk_schema import is_unknown

_DOCUMENTS = Path(googleapiclient.discovery_cache.__file__).parent / "documents"
_RUN = "GoogleCloudRunV2"

# Where a resource's schema is: document and name.
RESOURCES = {
    "gcp:artifactregistry/repository:Repository": ("artifactregistry.v1", "Repository"),
    "gcp:billing/budget:Budget": ("billingbudgets.v1", "GoogleCloudBillingBudgetsV1Budget"),
    "gcp:certificatemanager/certificate:Certificate": ("certificatemanager.v1", "Certificate"),
    "gcp:certificatemanager/certificateMap:CertificateMap": ("certificatemanager.v1", "CertificateMap"),
    "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry": ("certificatemanager.v1", "CertificateMapEntry"),
    "gcp:certificatemanager/dnsAuthorization:DnsAuthorization": ("certificatemanager.v1", "DnsAuthorization"),
    "gcp:cloudrunv2/job:Job": ("run.v2", f"{_RUN}Job"),
    "gcp:cloudrunv2/service:Service": ("run.v2", f"{_RUN}Service"),
    "gcp:cloudrunv2/workerPool:WorkerPool": ("run.v2", f"{_RUN}WorkerPool"),
    "gcp:cloudscheduler/job:Job": ("cloudscheduler.v1", "Job"),
    "gcp:compute/address:Address": ("compute.v1", "Address"),
    "gcp:compute/backendService:BackendService": ("compute.v1", "BackendService"),
    "gcp:compute/disk:Disk": ("compute.v1", "Disk"),
    "gcp:compute/firewall:Firewall": ("compute.v1", "Firewall"),
    "gcp:compute/globalAddress:GlobalAddress": ("compute.v1", "Address"),
    "gcp:compute/globalForwardingRule:GlobalForwardingRule": ("compute.v1", "ForwardingRule"),
    "gcp:compute/instance:Instance": ("compute.v1", "Instance"),
    "gcp:compute/network:Network": ("compute.v1", "Network"),
    "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup": ("compute.v1", "NetworkEndpointGroup"),
    "gcp:compute/resourcePolicy:ResourcePolicy": ("compute.v1", "ResourcePolicy"),
    "gcp:compute/router:Router": ("compute.v1", "Router"),
    "gcp:compute/routerNat:RouterNat": ("compute.v1", "RouterNat"),
    "gcp:compute/sSLPolicy:SSLPolicy": ("compute.v1", "SslPolicy"),
    "gcp:compute/securityPolicy:SecurityPolicy": ("compute.v1", "SecurityPolicy"),
    "gcp:compute/subnetwork:Subnetwork": ("compute.v1", "Subnetwork"),
    "gcp:compute/targetHttpsProxy:TargetHttpsProxy": ("compute.v1", "TargetHttpsProxy"),
    "gcp:compute/uRLMap:URLMap": ("compute.v1", "UrlMap"),
    "gcp:logging/metric:Metric": ("logging.v2", "LogMetric"),
    "gcp:managedkafka/cluster:Cluster": ("managedkafka.v1", "Cluster"),
    "gcp:managedkafka/topic:Topic": ("managedkafka.v1", "Topic"),
    "gcp:monitoring/alertPolicy:AlertPolicy": ("monitoring.v3", "AlertPolicy"),
    "gcp:monitoring/dashboard:Dashboard": ("monitoring.v1", "Dashboard"),
    "gcp:monitoring/notificationChannel:NotificationChannel": ("monitoring.v3", "NotificationChannel"),
    "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig": ("monitoring.v3", "UptimeCheckConfig"),
    "gcp:parametermanager/parameter:Parameter": ("parametermanager.v1", "Parameter"),
    "gcp:parametermanager/parameterVersion:ParameterVersion": ("parametermanager.v1", "ParameterVersion"),
    "gcp:secretmanager/secret:Secret": ("secretmanager.v1", "Secret"),
    "gcp:serviceaccount/account:Account": ("iam.v1", "ServiceAccount"),
}
# An input's name in the API, where it is neither the same nor the singular. Parts of a path are nested objects.
ALIASES = {
    ("Disk", "snapshot"): "sourceSnapshot",
    ("Disk", "size"): "sizeGb",
    ("Firewall", "allows"): "allowed",
    ("Firewall.allowed", "protocol"): "IPProtocol",
    ("ForwardingRule", "ipAddress"): "IPAddress",
    ("Instance", "bootDisk"): "disks",
    ("Instance", "attachedDisks"): "disks",
    ("Instance", "serviceAccount"): "serviceAccounts",
    ("AttachedDiskInitializeParams", "image"): "sourceImage",
    ("AttachedDiskInitializeParams", "size"): "diskSizeGb",
    ("AttachedDiskInitializeParams", "type"): "diskType",
    ("NetworkInterface", "networkIp"): "networkIP",
    ("GoogleCloudBillingBudgetsV1Budget", "allUpdatesRule"): "notificationsRule",
    ("ParameterVersion", "parameterData"): "payload.data",
}
# Inputs that name the resource or its place in the URL, or that only the provider knows.
_IDS = {"project", "location", "region", "zone", "name"}
PROVIDER_ONLY = {
    "Address": {"region"},
    "GoogleCloudBillingBudgetsV1Budget": {"billingAccount"},
    "CertificateMapEntry": {"map"},
    "Instance": {"allowStoppingForUpdate"},
    "NotificationChannel": {"sensitiveLabels"},
    "Repository": {"repositoryId"},
    "RouterNat": {"router"},
    "Secret": {"secretId", "deletionProtection"},
    "ServiceAccount": {"accountId"},
    "Cluster": {"clusterId"},
    "Topic": {"topicId", "cluster"},
    "Parameter": {"parameterId"},
    "ParameterVersion": {"parameter", "parameterVersionId"},
    f"{_RUN}Service": {"deletionProtection"},
    f"{_RUN}WorkerPool": {"deletionProtection"},
    f"{_RUN}Job": {"deletionProtection"},
}
# Maps whose key the provider takes as a field of each element, and lists of pairs that it takes as a map.
_KEY_OF_MAP = {("Repository", "cleanupPolicies"): "id"}
_PAIRS = {("Instance", "metadata")}


def problems(token: str, inputs: dict[str, Any]) -> list[tuple[str, str]]:
    """What the API would not take, as (path, reason); nothing for a resource whose schema is not listed."""
    if token not in RESOURCES:
        return []
    document, name = RESOURCES[token]
    if name == "Dashboard":
        inputs = json.loads(inputs["dashboardJson"])
    return _Schemas(document).object("", name, _load(document)[name], inputs, top=True)


@cache
def _load(document: str) -> dict[str, Any]:
    schemas: dict[str, Any] = json.loads((_DOCUMENTS / f"{document}.json").read_text())["schemas"]
    return schemas


class _Schemas:
    """The walk through one document."""

    def __init__(self, document: str) -> None:
        self.document = document

    def object(
        self, path: str, name: str, schema: dict[str, Any], value: Any, *, top: bool = False
    ) -> list[tuple[str, str]]:
        """Check an object's fields against its properties."""
        if not isinstance(value, dict):
            return [(path, f"is not an object, {name} expected")]
        found = []
        for field, inner in value.items():
            own = PROVIDER_ONLY.get(name, set()) | (_IDS if top else set())
            if (name, field) in _PAIRS or (field in own and field not in schema["properties"]):
                continue
            target = self._property(name, schema, field)
            if target is None:
                found.append((f"{path}{field}", f"is not in {self.document}'s {name}"))
            else:
                found += self._check(f"{path}{field}", name, field, target, inner)
        return found

    def _property(self, name: str, schema: dict[str, Any], field: str) -> tuple[str, dict[str, Any]] | None:
        candidates = [ALIASES.get((name, field), field), field.removesuffix("s"), field.removesuffix("ies") + "y"]
        for candidate in candidates:
            at, owner, last = schema, name, {}
            for part in candidate.split("."):
                last = at.get("properties", {}).get(part)
                if last is None:
                    break
                owner, at = self._resolve(f"{name}.{part}", last)
            else:
                return owner, at
        return None

    def _resolve(self, name: str, schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return (schema["$ref"], _load(self.document)[schema["$ref"]]) if "$ref" in schema else (name, schema)

    def _check(
        self, path: str, owner: str, field: str, target: tuple[str, dict[str, Any]], value: Any
    ) -> list[tuple[str, str]]:
        name, schema = target
        if value is None or is_unknown(value):
            return []
        if schema["type"] == "array":
            inner = self._resolve(name, schema["items"])
            # The provider takes one object where the API has a list of at most one.
            values = value if isinstance(value, list) else [value]
            return [
                p for at, each in enumerate(values) for p in self._check(f"{path}[{at}]", owner, field, inner, each)
            ]
        if schema["type"] == "object":
            return self._map_or_object(path, owner, field, target, value)
        return _scalar(path, schema, value)

    def _map_or_object(
        self, path: str, owner: str, field: str, target: tuple[str, dict[str, Any]], value: Any
    ) -> list[tuple[str, str]]:
        name, schema = target
        if "additionalProperties" not in schema:
            return self.object(path + ".", name, schema, value)
        inner = self._resolve(name, schema["additionalProperties"])
        key = _KEY_OF_MAP.get((owner, field))
        if key:
            value = {each[key]: each for each in value}
        if not isinstance(value, dict):
            return [(path, "is not a map")]
        return [p for at, each in value.items() for p in self._check(f"{path}.{at}", owner, field, inner, each)]


def _scalar(path: str, schema: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict | list):
        return [(path, f"is an object or a list, the API has a {schema['type']}")]
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        return [(path, f"{value!r} is none of {', '.join(allowed)}")]
    if schema["type"] == "boolean" and not isinstance(value, bool):
        return [(path, f"{value!r} is not a boolean")]
    if schema["type"] in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
        return [(path, f"{value!r} is not a number")]
    if schema.get("format") in ("int64", "uint64") and not str(value).removesuffix(".0").lstrip("-").isdigit():
        return [(path, f"{value!r} is not of format {schema['format']}")]
    return []
