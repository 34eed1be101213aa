"""The oracles find what they are for: misspelt fields, impossible values, fields that the API does not have."""

import pytest

from tests.infra import rest_schema, sdk_schema
from tests.infra.refused import SCHEDULE, World

NETWORK = "gcp:compute/network:Network"
FIREWALL = "gcp:compute/firewall:Firewall"
POOL = "gcp:cloudrunv2/workerPool:WorkerPool"
JOB = {"name": "j", "region": "l", "httpTarget": {"uri": "https://a.example"}}
SUBNET = "gcp:compute/subnetwork:Subnetwork"


def test_good_inputs_pass_both() -> None:
    """What the documentation shows is fine."""
    inputs = {
        "network": "net",
        "allows": [{"protocol": "tcp", "ports": ["9092"]}],
        "sourceRanges": ["10.0.0.0/8"],
        "logConfig": {"metadata": "INCLUDE_ALL_METADATA"},
    }
    assert sdk_schema.problems(FIREWALL, inputs) == []
    assert rest_schema.problems(FIREWALL, inputs) == []


@pytest.mark.parametrize(
    ("token", "inputs", "where"),
    [
        (NETWORK, {"autoCreateSubnetwork": False}, "autoCreateSubnetwork"),
        (NETWORK, {"autoCreateSubnetworks": "no"}, "autoCreateSubnetworks"),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/8", "stackType": "IPV5"}, "stackType"),
        (FIREWALL, {"allows": [{"protocol": "tcp"}]}, "network"),
        (FIREWALL, {"network": "n", "allows": [{"protocol": "tcp", "port": "1"}]}, "allows[0].port"),
        (FIREWALL, {"network": "n", "sourceRanges": "10.0.0.0/8"}, "sourceRanges"),
        (
            POOL,
            {"location": "l", "template": {"containers": [{"image": "i", "port": 1}]}},
            "template.containers[0].port",
        ),
        (POOL, {"location": "l", "template": {}, "scaling": {"scalingMode": "SOMETIMES"}}, "scaling.scalingMode"),
        (
            POOL,
            {"location": "l", "template": {}, "scaling": {"manualInstanceCount": "1"}},
            "scaling.manualInstanceCount",
        ),
        ("docker-build:index:Image", {"push": True, "platforms": ["linux/abacus"]}, "platforms[0]"),
    ],
)
def test_the_sdk_knows_better(token: str, inputs: dict[str, object], where: str) -> None:
    """Unknown keys, missing ones, wrong types, values that a docstring does not list."""
    assert [path for path, _ in sdk_schema.problems(token, inputs)] == [where]


@pytest.mark.parametrize(
    ("token", "inputs", "where"),
    [
        (POOL, {"template": {"vpcAccess": {"egress": "EVERYTHING"}}}, "template.vpcAccess.egress"),
        (POOL, {"template": {"maxInstanceRequestConcurrency": 1}}, "template.maxInstanceRequestConcurrency"),
        (POOL, {"scaling": {"manualInstanceCount": "many"}}, "scaling.manualInstanceCount"),
        (POOL, {"scaling": {"scalingMode": "AUTOMATIC"}}, "scaling.scalingMode"),
        (FIREWALL, {"direction": "SIDEWAYS"}, "direction"),
        (FIREWALL, {"logConfig": {"metadata": "ALL"}}, "logConfig.metadata"),
        (
            "gcp:compute/instance:Instance",
            {"scheduling": {"onHostMaintenance": "HOPE"}},
            "scheduling.onHostMaintenance",
        ),
        (
            "gcp:compute/instance:Instance",
            {"bootDisk": {"initializeParams": {"color": "red"}}},
            "bootDisk[0].initializeParams.color",
        ),
        (
            "gcp:artifactregistry/repository:Repository",
            {"cleanupPolicies": [{"id": "a", "action": "BURN"}]},
            "cleanupPolicies.a.action",
        ),
        (
            "gcp:secretmanager/secret:Secret",
            {"replication": {"userManaged": {"replicas": [{"place": "x"}]}}},
            "replication.userManaged.replicas[0].place",
        ),
        (SCHEDULE, JOB | {"httpTarget": {"uri": "u", "httpMethod": "SEND"}}, "httpTarget.httpMethod"),
        ("gcp:managedkafka/cluster:Cluster", {"rebalanceConfig": {"mode": "SOMETIMES"}}, "rebalanceConfig.mode"),
        ("gcp:monitoring/alertPolicy:AlertPolicy", {"combiner": "XOR"}, "combiner"),
    ],
)
def test_googles_own_schema_knows_better(token: str, inputs: dict[str, object], where: str) -> None:
    """Values and fields that the REST API has not, also where the SDK has them."""
    assert [path for path, _ in rest_schema.problems(token, inputs)] == [where]


def test_a_schedule_is_five_fields() -> None:
    """Google refuses any other with these words; without one, too."""
    world = World(on={"cloudscheduler": 0.0})
    for schedule in ({}, {"schedule": "hourly"}):
        refusal = world.create(SCHEDULE, JOB | schedule, "j", {})
        assert refusal == (400, "Schedule or time zone is invalid.")
    assert world.create(SCHEDULE, JOB | {"schedule": "7 * * * *"}, "j", {}) is None


def test_every_alias_leads_somewhere() -> None:
    """A renamed field in a new version of the API makes this list wrong, not silent."""
    for token, (document, name) in rest_schema.RESOURCES.items():
        assert name in rest_schema._load(document), token
    for (owner, field), target in rest_schema.ALIASES.items():
        owners = [
            schemas[owner.partition(".")[0]]
            for document, _ in rest_schema.RESOURCES.values()
            if owner.partition(".")[0] in (schemas := rest_schema._load(document))
        ]
        assert owners, (owner, field, target)
        first = owner.partition(".")[2] or target.partition(".")[0]
        assert any(first in schema["properties"] for schema in owners), (owner, field, target)
