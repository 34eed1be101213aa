"""What may stop a deploy although nothing is missing: each concern is found, and no other."""

import json
from typing import Any

import pytest

from infra import limits
from infra.config import Settings
from infra.limits import Answer
from tests.infra.engine import settings_of

DEV = settings_of("dev")
ROOMY = {"CPUS": (72, 0), "N2_CPUS": (72, 0), "SSD_TOTAL_GB": (500, 0), "DISKS_TOTAL_GB": (4096, 0)}


class Google:
    """Answers as gcloud does on a project where all is well, but for what a test sets."""

    def __init__(self, policies: dict[str, Any] | None = None, **changes: Any) -> None:
        self.policies, self.changes = policies or {}, changes

    def __call__(self, *command: str) -> Answer:
        line = " ".join(command)
        if "org-policies describe" in line:
            name = command[command.index("describe") + 1]
            policy = self.policies.get(name, {"constraint": f"constraints/{name}"})
            return Answer(1, "") if policy is None else Answer(0, json.dumps(policy))
        if "instances describe" in line:
            return Answer(self.changes.get("node", 1), "")
        if "zones describe" in line:
            return Answer(0, self.changes.get("zone", "UP"))
        if "machine-types describe" in line:
            return Answer(self.changes.get("machine", 0), "")
        assert "regions describe" in line, line
        quotas = ROOMY | self.changes.get("quotas", {})
        listed = [{"metric": metric, "limit": limit, "usage": usage} for metric, (limit, usage) in quotas.items()]
        return Answer(0, json.dumps({"quotas": listed}))


def _concerns(google: Google, settings: Settings = DEV) -> list[str]:
    return limits.concerns(settings, compute=True, ask=google)


def test_nothing_to_look_at() -> None:
    """A roomy project without policies."""
    assert _concerns(Google()) == []


@pytest.mark.parametrize(
    ("google", "says"),
    [
        (Google(zone="DOWN"), "gcp:zone us-central1-a does not exist or is down"),
        (Google(machine=1), "logbrook:machineType e2-medium is not available in us-central1-a"),
        (Google(quotas={"CPUS": (8, 7)}), "quota CPUS of us-central1: 1 are free, and the data node takes 2."),
        (
            Google(quotas={"SSD_TOTAL_GB": (100, 40)}),
            "quota SSD_TOTAL_GB of us-central1: 60 are free, and the data node",
        ),
        (
            Google({"compute.disableGuestAttributesAccess": {"booleanPolicy": {"enforced": True}}}),
            "policy compute.disableGuestAttributesAccess: deploys can't see when the data node serves",
        ),
        (
            Google({"run.managed.requireInvokerIam": {"spec": {"rules": [{"enforce": True}]}}}),
            "policy run.managed.requireInvokerIam: nobody can send to the gateway",
        ),
        (
            Google({"run.allowedIngress": {"listPolicy": {"allowedValues": ["is:internal"]}}}),
            "policy run.allowedIngress: the gateway can't be reached",
        ),
        (
            Google({"compute.restrictCloudNATUsage": {"listPolicy": {"allValues": "DENY"}}}),
            "policy compute.restrictCloudNATUsage: the data node can't fetch packages",
        ),
        (
            Google({"gcp.resourceLocations": {"listPolicy": {"allowedValues": ["in:eu-locations"]}}}),
            "policy gcp.resourceLocations: nothing may be made in this region",
        ),
        (Google({"run.allowedIngress": None}), "these policies can't be read: run.allowedIngress"),
    ],
)
def test_each_concern_is_said(google: Google, says: str) -> None:
    """In one line that begins with what it is about."""
    (found,) = _concerns(google)
    assert found.startswith(says)


@pytest.mark.parametrize(
    "policies",
    [
        {"gcp.resourceLocations": {"listPolicy": {"allowedValues": ["in:us-locations"]}}},
        {"gcp.resourceLocations": {"listPolicy": {"allowedValues": ["in:us-central1-locations"]}}},
        {"run.allowedVPCEgress": {"listPolicy": {"allowedValues": ["is:private-ranges-only"]}}},
        {"compute.disableSerialPortLogging": {"booleanPolicy": {}}},
    ],
)
def test_policies_that_allow_us_are_quiet(policies: dict[str, Any]) -> None:
    """A policy is a concern only where it meets something of ours."""
    assert _concerns(Google(policies)) == []


def test_a_node_that_runs_has_its_quota() -> None:
    """What it takes is counted as used by then."""
    assert _concerns(Google(node=0, quotas={"CPUS": (2, 2)})) == []


def test_without_the_api_it_says_what_it_did_not_ask() -> None:
    """Before the first deploy, Compute Engine answers nothing."""
    (found,) = limits.concerns(DEV, compute=False, ask=Google())
    assert "can't be asked before a deploy has switched compute.googleapis.com on" in found
