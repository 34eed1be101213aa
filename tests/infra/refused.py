"""What Google refuses, beyond a wrong field: each of these stopped a first deploy on an empty project, or its end.

Every refusal is one that a public source shows; the source stands beside it.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Refusal = tuple[int, str]

API = "gcp:projects/service:Service"
SCHEDULE = "gcp:cloudscheduler/job:Job"
BACKEND_SERVICE = "gcp:compute/backendService:BackendService"
SECURITY_POLICY = "gcp:compute/securityPolicy:SecurityPolicy"
GUEST_ATTRIBUTES = "gcp:compute/getInstanceGuestAttributes:getInstanceGuestAttributes"
# The user's choice of a name makes the id, and a second thing of that name is a 409.
NAMED = {
    "gcp:artifactregistry/repository:Repository": "projects/{project}/locations/{location}/repositories/{repositoryId}",
    "gcp:certificatemanager/certificateMap:CertificateMap": (
        "projects/{project}/locations/global/certificateMaps/{name}"
    ),
    "gcp:cloudrunv2/job:Job": "projects/{project}/locations/{location}/jobs/{name}",
    "gcp:cloudrunv2/service:Service": "projects/{project}/locations/{location}/services/{name}",
    "gcp:cloudrunv2/workerPool:WorkerPool": "projects/{project}/locations/{location}/workerPools/{name}",
    SCHEDULE: "projects/{project}/locations/{region}/jobs/{name}",
    "gcp:compute/address:Address": "projects/{project}/regions/{region}/addresses/{name}",
    "gcp:compute/backendService:BackendService": "projects/{project}/global/backendServices/{name}",
    "gcp:compute/disk:Disk": "projects/{project}/zones/{zone}/disks/{name}",
    "gcp:compute/firewall:Firewall": "projects/{project}/global/firewalls/{name}",
    "gcp:compute/globalAddress:GlobalAddress": "projects/{project}/global/addresses/{name}",
    "gcp:compute/globalForwardingRule:GlobalForwardingRule": "projects/{project}/global/forwardingRules/{name}",
    "gcp:compute/instance:Instance": "projects/{project}/zones/{zone}/instances/{name}",
    "gcp:compute/network:Network": "projects/{project}/global/networks/{name}",
    "gcp:compute/resourcePolicy:ResourcePolicy": "projects/{project}/regions/{region}/resourcePolicies/{name}",
    "gcp:compute/router:Router": "projects/{project}/regions/{region}/routers/{name}",
    "gcp:compute/sSLPolicy:SSLPolicy": "projects/{project}/global/sslPolicies/{name}",
    "gcp:compute/securityPolicy:SecurityPolicy": "projects/{project}/global/securityPolicies/{name}",
    "gcp:compute/subnetwork:Subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "gcp:compute/targetHttpsProxy:TargetHttpsProxy": "projects/{project}/global/targetHttpsProxies/{name}",
    "gcp:compute/uRLMap:URLMap": "projects/{project}/global/urlMaps/{name}",
    "gcp:logging/metric:Metric": "projects/{project}/metrics/{name}",
    "gcp:managedkafka/cluster:Cluster": "projects/{project}/locations/{location}/clusters/{clusterId}",
    "gcp:parametermanager/parameter:Parameter": "projects/{project}/locations/global/parameters/{parameterId}",
    "gcp:logging/projectSink:ProjectSink": "projects/{project}/sinks/{name}",
    "gcp:pubsub/subscription:Subscription": "projects/{project}/subscriptions/{name}",
    "gcp:pubsub/topic:Topic": "projects/{project}/topics/{name}",
    "gcp:secretmanager/secret:Secret": "projects/{project}/secrets/{secretId}",
    "gcp:serviceaccount/account:Account": "projects/{project}/serviceAccounts/{accountId}",
    "gcp:storage/bucket:Bucket": "{name}",
}
# The API behind each of the SDK's modules.
_APIS = {
    "artifactregistry": "artifactregistry",
    "billing": "billingbudgets",
    "certificatemanager": "certificatemanager",
    "cloudrunv2": "run",
    "cloudscheduler": "cloudscheduler",
    "compute": "compute",
    "iam": "iam",
    "iap": "iap",
    "logging": "logging",
    "managedkafka": "managedkafka",
    "monitoring": "monitoring",
    "parametermanager": "parametermanager",
    "projects": "cloudresourcemanager",
    "pubsub": "pubsub",
    "secretmanager": "secretmanager",
    "serviceaccount": "iam",
    "storage": "storage",
}
# What `make ready` asks for.
_ON = {"cloudresourcemanager", "serviceusage"}
# An API's servers learn some time after Google has said that it is on.
_SPREAD_SECONDS = 0.3
RUN = ("gcp:cloudrunv2/service:Service", "gcp:cloudrunv2/workerPool:WorkerPool")


@dataclass
class World:
    """What Google knows beside the things themselves."""

    on: dict[str, float] = field(default_factory=dict)
    """APIs, and from when on every server knows that they are on."""
    taken: dict[str, str] = field(default_factory=dict)
    """Subnets in which Cloud Run still holds an address, and what it was for."""
    bundles: dict[str, str] = field(default_factory=dict)
    """What each machine was given."""
    polls_until_ready: int = 2
    """So often a machine is asked before it serves what it was given."""
    polls: dict[str, int] = field(default_factory=dict)
    guest_attributes: bool = True
    """False: an organization's policy forbids them."""
    holds_addresses: bool = True
    """False: the one to two hours have passed in which Cloud Run holds a subnet's addresses."""
    quota_project: str = ""
    """The project whose quota requests count against; empty: one of Google's, as with a person's own login."""
    lost_zone: str = ""
    """A zone whose machines nobody can change or delete."""
    programs_wait: bool = False
    """True: programs on Cloud Run answer their start-up probe before Kafka is there."""

    def create(
        self, token: str, inputs: dict[str, Any], unique: str, live: Mapping[str, tuple[str, dict[str, Any]]]
    ) -> Refusal | None:
        """Why this can't be made, if so; else remember what follows from it."""
        if refusal := self._api_off(token):
            return refusal
        if token == "gcp:billing/budget:Budget" and not self.quota_project:
            # hashicorp/terraform-provider-google's issue 24500 has the words.
            return 403, "The billingbudgets.googleapis.com API requires a quota project, which is not set by default."
        if token in NAMED and unique in live:
            return 409, f"The resource '{unique}' already exists, alreadyExists"
        if token == "gcp:compute/instance:Instance" and (refusal := _address_held(inputs, live)):
            return refusal
        if token == API:
            self.on.setdefault(inputs["service"].partition(".")[0], time.monotonic() + _SPREAD_SECONDS)
        if token == "gcp:monitoring/alertPolicy:AlertPolicy" and (refusal := _unknown_metric(inputs)):
            return refusal
        return self.update(token, inputs)

    def update(self, token: str, inputs: dict[str, Any]) -> Refusal | None:
        """The same for a change."""
        if token == "gcp:compute/instance:Instance":
            name, bundle = inputs["name"], inputs.get("metadata", {}).get("logbrook-bundle", "")
            if self.bundles.get(name) != bundle:
                self.bundles[name], self.polls[name] = bundle, self.polls_until_ready
        if token in RUN:
            return self._never_ready(token, inputs)
        if token == BACKEND_SERVICE and (refusal := _not_for_serverless(inputs)):
            return refusal
        if token == SECURITY_POLICY and (refusal := _two_keys(inputs)):
            return refusal
        if token == SCHEDULE and not re.fullmatch(r"\S+( \S+){4}", inputs.get("schedule", "")):
            # hashicorp/terraform's issue 31571 has the words.
            return 400, "Schedule or time zone is invalid."
        return None

    def delete(self, token: str, unique: str, inputs: dict[str, Any]) -> Refusal | None:
        """Why this can't be deleted.

        "wait 1-2 hours for Cloud Run to release the IPs before you delete the subnet":
        https://cloud.google.com/run/docs/configuring/vpc-direct-vpc#delete-subnet, and cloud-foundation-fabric's pull
        request 2867 (2025-02-04).
        """
        if token == "gcp:compute/instance:Instance" and inputs["zone"] == self.lost_zone:
            return 503, f"The zone '{self.lost_zone}' does not answer"
        if token in RUN:
            for each in inputs["template"].get("vpcAccess", {}).get("networkInterfaces", []):
                self.taken[each["subnetwork"]] = inputs["name"]
        if token == "gcp:compute/subnetwork:Subnetwork" and unique in self.taken and self.holds_addresses:
            address = unique.replace("/subnetworks/", "/addresses/serverless-ipv4-")
            return 400, (
                f"The subnetwork resource '{unique}' is already being used by '{address}', "
                "resourceInUseByAnotherResource"
            )
        return None

    def ask_node(self, query: dict[str, Any]) -> str | None:
        """The guest attribute of a machine; none until it has written it, or where that is forbidden."""
        assert query["variableKey"] == "logbrook/state", query
        name = query["name"]
        left = self.polls[name] = max(0, self.polls[name] - 1)
        if not self.guest_attributes:
            return None
        digest = hashlib.sha256(self.bundles[name].encode()).hexdigest()
        return "starting" if left else f"ready {digest}"

    def _api_off(self, token: str) -> Refusal | None:
        """The provider's own guide has the words, and that the API's servers learn late.

        https://github.com/hashicorp/terraform-provider-google-beta/blob/93c65b2d60fe/website/docs/guides/google_project_service.html.markdown
        """
        if not token.startswith("gcp:"):
            return None
        api = "serviceusage" if token == API else _APIS[token.split(":")[1].split("/", maxsplit=1)[0]]
        if api in _ON or self.on.get(api, float("inf")) <= time.monotonic():
            return None
        return 403, f"{api} API has not been used in project 1 before or it is disabled., accessNotConfigured"

    def _never_ready(self, token: str, inputs: dict[str, Any]) -> Refusal | None:
        """A revision whose container does not start, or does not pass its start-up probe, fails the deploy."""
        failed = f"Revision '{inputs['name']}-00001' is not ready and cannot serve traffic."
        for container in inputs["template"]["containers"]:
            # Built FROM scratch: the README and issue 4 of GoogleCloudPlatform/cloud-run-external-metrics-autoscaling.
            if "/crema-v1/" in container["image"] and not container.get("baseImageUri"):
                return 400, f"{failed} The user-provided container failed to start: /app/entrypoint.sh: no such file"
        if token == RUN[1] and not self.programs_wait:
            # The consumer of commit 4545799 connects before it listens, and ends when it can't.
            for machine, left in self.polls.items():
                if inputs["name"].startswith(machine.removesuffix("-node")) and left:
                    return 400, f"{failed} The user-provided container failed the configured startup probe checks."
        return None


def _address_held(inputs: dict[str, Any], live: Mapping[str, tuple[str, dict[str, Any]]]) -> Refusal | None:
    """An internal address belongs to one machine until that is deleted, whatever its state and zone.

    The words are in kubernetes/ingress-gce's tests and hashicorp/terraform's issue 18998 (one address, two instances).
    """
    asked = {(each["subnetwork"], each.get("networkIp")) for each in inputs["networkInterfaces"]}
    for token, other in live.values():
        if token == "gcp:compute/instance:Instance":
            held = asked & {(each["subnetwork"], each.get("networkIp")) for each in other["networkInterfaces"]}
            for _, address in held:
                return 409, f"IP_IN_USE_BY_ANOTHER_RESOURCE - IP '{address}' is already being used by another resource."
    return None


def _not_for_serverless(inputs: dict[str, Any]) -> Refusal | None:
    """What Cloud Run does by itself can't be set on a load balancer's service in front of it.

    The words are in hashicorp/terraform-provider-google's issue 7311 and terraform-google-modules/terraform-google-lb-
    http's issue 149 (health checks) and pull request 358 (timeouts).
    """
    if not any("NetworkEndpointGroup" in backend["group"] for backend in inputs["backends"]):
        return None
    if inputs.get("healthChecks"):
        return 400, (
            "Invalid value for field 'resource.healthChecks': ''. A backend service cannot have a healthcheck with "
            "Serverless network endpoint group backends., invalid"
        )
    if seconds := inputs.get("timeoutSec"):
        return 400, (
            f"Invalid value for field 'resource.timeoutSec': '{seconds}'. Timeout sec is not supported for a backend "
            "service with Serverless network endpoint groups., invalid"
        )
    return None


def _two_keys(inputs: dict[str, Any]) -> Refusal | None:
    """One key or a combination: the words are in GoogleCloudPlatform/k8s-config-connector's pull request 12775."""
    for rule in inputs["rules"]:
        limit = rule.get("rateLimitOptions", {})
        if limit.get("enforceOnKey") and limit.get("enforceOnKeyConfigs"):
            return 400, "Only one of enforceOnKey and enforceOnKeyConfigs can be specified"
    return None


# Metrics of services that are always there. An agent's, a log's and Prometheus' exist once somebody has written them.
_THERE = re.compile(r"(run|compute|monitoring)[._]googleapis[._]com\b")


def _unknown_metric(inputs: dict[str, Any]) -> Refusal | None:
    """A condition on a metric that nothing has reported yet is refused, for up to ten minutes after it has.

    https://github.com/hashicorp/terraform-provider-google/issues/11102 and 10325; cloud-foundation-fabric's pull
    request 3739. A PromQL query too, unless validation is turned off: terraform-provider-google's issue 20491.
    """
    for condition in inputs["conditions"]:
        promql = condition.get("conditionPrometheusQueryLanguage", {})
        asked = [condition.get(kind, {}).get("filter", "") for kind in ("conditionThreshold", "conditionAbsent")]
        asked.append("" if promql.get("disableMetricValidation") else promql.get("query", ""))
        for each in asked:
            if each and not _THERE.search(each):
                return (
                    404,
                    f"Cannot find metric that matches {each!r}. If a metric was created recently, "
                    "it could take up to 10 minutes to become available. Please try again soon.",
                )
    return None
