"""A fake of Google Cloud behind a Pulumi provider's protocol: the real engine talks to it.

It keeps what was created, so that drift can be made and seen. Its `Check` asks the two oracles, so that a misspelt
field or an impossible value fails at preview as it would at Google's. `refused` has what Google refuses when it comes
to making or deleting a thing.
"""

import copy
import itertools
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.infra import refused, rest_schema, sdk_schema

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"

# Inputs whose change makes another resource. The SDK's docstrings name some; these are what the provider's own say.
FORCES_REPLACEMENT = {
    "gcp:compute/instance:Instance": {"name", "zone", "project", "networkInterfaces", "metadataStartupScript"},
    "gcp:compute/disk:Disk": {"name", "zone", "project", "type", "image", "snapshot"},
    "gcp:compute/address:Address": {"name", "address", "subnetwork", "addressType", "purpose"},
    "gcp:compute/network:Network": {"name", "autoCreateSubnetworks"},
    "gcp:compute/subnetwork:Subnetwork": {"name", "network", "region"},
    "gcp:cloudrunv2/service:Service": {"name", "location", "project"},
    "gcp:cloudrunv2/workerPool:WorkerPool": {"name", "location", "project"},
    "gcp:cloudscheduler/job:Job": {"name", "region", "project"},
    "gcp:compute/globalAddress:GlobalAddress": {"name", "address", "addressType", "project"},
    "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup": {"name", "region", "project", "cloudRun"},
    "gcp:certificatemanager/dnsAuthorization:DnsAuthorization": {"name", "location", "project", "domain", "type"},
    "gcp:certificatemanager/certificate:Certificate": {"name", "location", "project", "managed"},
    "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry": {"name", "map", "project", "hostname"},
    "gcp:secretmanager/secret:Secret": {"secretId", "replication"},
    "gcp:secretmanager/secretVersion:SecretVersion": {"secret", "secretData"},
    "gcp:parametermanager/parameterVersion:ParameterVersion": {"parameter", "parameterVersionId", "parameterData"},
}


@dataclass
class Resource:
    """One thing in the cloud."""

    urn: str
    token: str
    properties: dict[str, Any]


@dataclass
class Cloud:
    """What there is, what was asked for, and what happened."""

    live: dict[str, Resource] = field(default_factory=dict)
    checked: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Their names and GiB.
    snapshots: dict[str, int] = field(default_factory=dict)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    """Google's own ids: none is ever given twice."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    world: refused.World = field(default_factory=refused.World)

    def one(self, token_end: str, name: str | None = None) -> Resource:
        """The only live resource of a type, or the one of that logical name."""
        found = [
            each
            for each in self.live.values()
            if each.token.endswith(f":{token_end}") and name in (None, each.urn.rpartition("::")[2])
        ]
        assert len(found) == 1, [each.urn for each in found]
        return found[0]

    def happened(self, kind: str) -> list[str]:
        """Logical names of what was created, updated or deleted."""
        return [name for event, name in self.events if event == kind]


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Properties as Python values, secrets opened, unknowns as UNKNOWN. What is null is not there."""
    return {name: _open(value) for name, value in json_format.MessageToDict(struct).items() if value is not None}


def _open(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _open(value.get("value"))
        return {name: _open(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_open(inner) for inner in value]
    return int(value) if isinstance(value, float) and value == int(value) else value


def computed(token: str, inputs: dict[str, Any], logical: str = "") -> dict[str, Any]:
    """The outputs that Google adds to what was asked for."""
    project, name = inputs.get("project", ""), inputs.get("name", logical)
    kind = "" if token == refused.API else token.rsplit(":", maxsplit=1)[-1]
    if kind == "Account":
        email = f"{inputs['accountId']}@{project}.iam.gserviceaccount.com"
        return {"email": email, "name": f"projects/{project}/serviceAccounts/{email}"}
    if kind in ("Router", "Network", "Subnetwork", "Instance", "Disk"):
        link = {"selfLink": f"https://www.googleapis.com/compute/v1/projects/{project}/{kind}/{name}"}
        return link | ({"instanceId": f"number-of-{name}"} if kind == "Instance" else {})
    if kind == "DnsAuthorization":
        # As https://docs.cloud.google.com/certificate-manager/docs/dns-authorizations shows it (read 2026-11-29).
        record = {"name": f"_acme-challenge_abc123.{inputs['domain']}.", "type": "CNAME"}
        return {"dnsResourceRecords": [record | {"data": "0e40fc77.2.authorize.certificatemanager.goog."}]}
    if kind == "ServiceIdentity":
        agent = f"gcp-sa-{inputs['service'].partition('.')[0]}"
        return {"member": f"serviceAccount:service-1@{agent}.iam.gserviceaccount.com"}
    # By type: output, and how it is made of inputs.
    templates = {
        "Certificate": {"name": "{name}"},
        "GlobalAddress": {"address": "192.0.2.1"},
        "Secret": {"name": "projects/{project}/secrets/{secretId}"},
        "SecretVersion": {"name": "{secret}/versions/1", "version": "1"},
        "Service": {"uri": "https://{name}-abc123-uc.a.run.app"},
        "ParameterVersion": {"name": "{parameter}/versions/{parameterVersionId}"},
        "Image": {"ref": "{tags[0]}@sha256:" + "0" * 64, "digest": "sha256:" + "0" * 64},
        "WorkloadIdentityPool": {"name": "projects/1/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"},
        "WorkloadIdentityPoolProvider": {
            "name": "projects/1/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"
            "/providers/{workloadIdentityPoolProviderId}"
        },
        "ProjectSink": {"writerIdentity": "serviceAccount:service-1@gcp-sa-logging.iam.gserviceaccount.com"},
        "NotificationChannel": {"name": "projects/{project}/notificationChannels/1"},
        "AlertPolicy": {"name": "projects/{project}/alertPolicies/1"},
        "UptimeCheckConfig": {"uptimeCheckId": "{displayName}-1"},
        "HmacKey": {"accessId": "GOOG1EXAMPLE", "secret": "canary/of+an/hmac+key=", "state": "ACTIVE"},
    }
    return {
        output: template.format_map({"project": project, "name": name} | inputs)
        for output, template in templates.get(kind, {}).items()
    }


def identifier(token: str, inputs: dict[str, Any], name: str) -> str:
    """The id that Google gives: a path where a name is the user's choice, and so may be taken; else one of its own."""
    known = {"project": "", "region": "", "zone": "", "name": name} | inputs
    template = refused.NAMED.get(token)
    return template.format_map(known) if template else f"{token}/{name}"


def _merge(struct: struct_pb2.Struct, extra: dict[str, Any]) -> struct_pb2.Struct:
    merged = struct_pb2.Struct()
    merged.CopyFrom(struct)
    merged.update(extra)
    return merged


def _find_unknown(path: str, value: Any) -> list[str]:
    if value == UNKNOWN:
        return [path]
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in _find_unknown(f"{path}.{name}", inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _find_unknown(f"{path}[]", inner)]
    return []


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol's methods that the engine calls, on a Cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        # "If it is not provided, the provider project is used": the SDK's words for `project` of nearly every resource.
        self._project: dict[str, Any] = {}

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version="10.2.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        told = plain(request.args)
        self._project = {"project": told.get("project", "")}
        if str(told.get("userProjectOverride", "")).lower() == "true":
            self.cloud.world.quota_project = told.get("billingProject", "")
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The node's guest attribute; a disk or a snapshot, where one that is not there is an error."""
        asked, answer = plain(request.args), provider_pb2.InvokeResponse()
        with self.cloud.lock:
            if request.tok == refused.GUEST_ATTRIBUTES:
                found: dict[str, Any] | None = {"id": "", "variableValue": self.cloud.world.ask_node(asked)}
            else:
                found = look_up(self.cloud, request.tok, asked)
        if found is None:
            return _refuse(context, 404, f"{asked} not found", answer)
        getattr(answer, "return").update(found)
        return answer

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Ask the oracles; remember what a resource was asked to be."""
        token, name = _names(request.urn)
        inputs = plain(request.news)
        found = sdk_schema.problems(token, inputs) + rest_schema.problems(token, inputs)
        with self.cloud.lock:
            self.cloud.checked[request.urn] = (token, inputs)
            self.cloud.problems += [f"{name}: {path} {reason}" for path, reason in found]
        failures = [provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in found]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Compare inputs; some changes make another resource."""
        token, _ = _names(request.urn)
        old, new = plain(request.old_inputs), plain(request.news)
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        replaces = [name for name in changed if name in FORCES_REPLACEMENT.get(token, set())]
        # IsDiskShrinkage of the provider's resource_compute_disk.go: a smaller disk is another disk.
        if token.endswith(":Disk") and new.get("size", 0) < old.get("size", 0):
            replaces.append("size")
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind, diffs=changed, replaces=replaces)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Create, or at preview say what is not known yet."""
        token, name = _names(request.urn)
        inputs = self._project | plain(request.properties)
        if request.preview:
            with self.cloud.lock:
                self.cloud.unknown |= {(name, path[1:]) for path in _find_unknown("", inputs)}
            outputs = dict.fromkeys(computed(token, inputs), UNKNOWN)
            return provider_pb2.CreateResponse(properties=_merge(request.properties, outputs))
        outputs = computed(token, inputs, name)
        unique = identifier(token, inputs, name)
        with self.cloud.lock:
            if token not in refused.NAMED:
                unique += f"/{next(self.cloud.numbers)}"
            live = {key: (each.token, each.properties) for key, each in self.cloud.live.items()}
            if refusal := self.cloud.world.create(token, inputs, unique, live):
                return _refuse(context, *refusal, provider_pb2.CreateResponse())
            if reason := _refusal(self.cloud, token, inputs):
                return _refuse(context, 400, reason, provider_pb2.CreateResponse())
            self.cloud.live[unique] = Resource(request.urn, token, inputs | outputs)
            self.cloud.events.append(("create", name))
        return provider_pb2.CreateResponse(id=unique, properties=_merge(request.properties, outputs))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What is live: the inputs follow it, as the real provider's do."""
        with self.cloud.lock:
            resource = self.cloud.live.get(request.id)
            if resource is None:
                return provider_pb2.ReadResponse()
            live = copy.deepcopy(resource.properties)
        known = plain(request.inputs)
        drifted = {name: live[name] for name, value in known.items() if name in live and live[name] != value}
        if "snapshot" in live and "snapshot" not in known:
            # What a disk was made from is read back, whoever made it.
            drifted["snapshot"] = live["snapshot"]
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=_merge(request.properties, drifted),
            inputs=_merge(request.inputs, drifted),
        )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Send the whole object, as the provider's PATCH does."""
        token, name = _names(request.urn)
        inputs = self._project | plain(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.news)
        outputs = computed(token, inputs, name)
        with self.cloud.lock:
            if refusal := self.cloud.world.update(token, inputs):
                return _refuse(context, *refusal, provider_pb2.UpdateResponse())
            self.cloud.live[request.id].properties = inputs | outputs
            self.cloud.events.append(("update", name))
        return provider_pb2.UpdateResponse(properties=_merge(request.news, outputs))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Delete, unless the thing is protected by Google."""
        _, name = _names(request.urn)
        with self.cloud.lock:
            resource = self.cloud.live[request.id]
            # The provider looks at its state first and does not ask Google: `resourceComputeInstanceDelete` of
            # hashicorp/terraform-provider-google-beta (resource_compute_instance.go at 055f694fb1eb).
            if plain(request.properties).get("deletionProtection") or resource.properties.get("deletionProtection"):
                return _refuse(context, 400, f"{name} has deletion protection", empty_pb2.Empty())
            if refusal := self.cloud.world.delete(resource.token, request.id, resource.properties):
                return _refuse(context, *refusal, empty_pb2.Empty())
            if request.id in _attached(self.cloud) | _served(self.cloud):
                return _refuse(context, 400, f"{name} is in use", empty_pb2.Empty())
            del self.cloud.live[request.id]
            self.cloud.events.append(("delete", name))
        return empty_pb2.Empty()


def _refuse(context: Any, code: int, message: str, answer: Any) -> Any:
    """An error of Google's, as the provider passes it on."""
    context.set_code(grpc.StatusCode.UNKNOWN)
    context.set_details(f"googleapi: Error {code}: {message}")
    return answer


def look_up(cloud: Cloud, token: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of a data source, None if there is no such thing."""
    if token.endswith(":getSnapshot"):
        return {**asked, "diskSizeGb": cloud.snapshots[asked["name"]]} if asked["name"] in cloud.snapshots else None
    assert token.endswith(":getDisk"), token
    disk = cloud.live.get(identifier("gcp:compute/disk:Disk", asked, asked["name"]))
    return {**asked, "size": disk.properties["size"], "id": "x"} if disk else None


def _attached(cloud: Cloud) -> set[str]:
    """The disks that a machine has."""
    machines = [each.properties for each in cloud.live.values() if each.token.endswith(":Instance")]
    return {disk["source"] for machine in machines for disk in machine.get("attachedDisks", [])}


def _served(cloud: Cloud) -> set[str]:
    """What the load balancer's backend services have: https://github.com/hashicorp/terraform-provider-google/issues/7311."""
    services = [each.properties for each in cloud.live.values() if each.token.endswith(":BackendService")]
    return {backend["group"] for service in services for backend in service["backends"]}


def _refusal(cloud: Cloud, token: str, inputs: dict[str, Any]) -> str | None:
    """Why Google would not create it: the API's own conditions for disks and for what they are attached to."""
    if token.endswith(":Disk"):
        snapshot = inputs.get("snapshot")
        if snapshot and snapshot not in cloud.snapshots:
            return f"The resource '{snapshot}' was not found"
        if snapshot and inputs["size"] < cloud.snapshots[snapshot]:
            return "Requested disk size cannot be smaller than the snapshot size"
    if token.endswith(":Instance"):
        for disk in inputs.get("attachedDisks", []):
            if disk["source"] not in cloud.live or f"/zones/{inputs['zone']}/" not in disk["source"]:
                return f"The resource '{disk['source']}' was not found in {inputs['zone']}"
    return None


def _names(urn: str) -> tuple[str, str]:
    """Type and logical name."""
    parts = urn.split("::")
    return parts[2].split("$")[-1], parts[3]


class Server:
    """The provider on a free port, for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(self.cloud), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> "Server":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None)
