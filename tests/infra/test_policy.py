"""The rules hold for every stack, and each of them catches a program that breaks it."""

from collections.abc import Callable

import pulumi
import pulumi_gcp as gcp
import pytest

from infra.__main__ import program
from infra.policy import PROD_GUARDED, RULES, Declared, guarded_in_prod, violations
from tests.infra.recorded import record, stack_config

DIGEST = "registry.example/logbrook@sha256:" + "0" * 64
RULES_OF_ALERTS = {"alertRules": "compose/alerts.yaml"}
MANAGED = {"backend": "managed", "clickhouseHost": "abc.clickhouse.example"}


@pytest.mark.parametrize("stack", ["dev", "prod"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        MANAGED,
        {"autoscaler": "true"},
        RULES_OF_ALERTS,
        {"queryUsers": "user:a@example.com"},
        {"gatewayDomain": "logs.example.com"},
    ],
)
def test_the_stacks_keep_all_rules(stack: str, changes: dict[str, str]) -> None:
    """Both stacks, on both backends, with and without options."""
    resources = record(program, stack_config(stack, **changes))
    assert len(resources) > 30
    assert violations(resources, prod=stack == "prod") == []


def _firewall(**changes: object) -> Callable[[], None]:
    arguments: dict[str, object] = {
        "network": "n",
        "allows": [gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["9094"])],
        "source_ranges": ["10.0.0.0/8"],
        "target_service_accounts": ["node@example"],
        "log_config": gcp.compute.FirewallLogConfigArgs(metadata="INCLUDE_ALL_METADATA"),
    }
    return lambda: _declare(gcp.compute.Firewall, arguments | changes)


def _declare(kind: Callable[..., pulumi.CustomResource], arguments: dict[str, object]) -> None:
    kind("it", **arguments)


def _pool(**changes: object) -> Callable[[], None]:
    container: dict[str, object] = {"image": DIGEST}
    template: dict[str, object] = {
        "serviceAccount": "own@example",
        "vpcAccess": {"egress": "PRIVATE_RANGES_ONLY", "networkInterfaces": [{"network": "n"}]},
    }
    container |= {name: changes.pop(name) for name in list(changes) if name in ("image", "envs")}
    template |= changes
    arguments: dict[str, object] = {
        "location": "l",
        "deletion_protection": True,
        "template": template | {"containers": [container]},
    }
    return lambda: _declare(gcp.cloudrunv2.WorkerPool, arguments)


def _service(**changes: object) -> Callable[[], None]:
    template = {
        "serviceAccount": "own@example",
        "containers": [{"image": DIGEST}],
        "vpcAccess": {"egress": "PRIVATE_RANGES_ONLY", "networkInterfaces": [{"network": "n"}]},
    }
    return lambda: _declare(gcp.cloudrunv2.Service, {"location": "l", "template": template} | changes)


def _machine(**changes: object) -> Callable[[], None]:
    arguments: dict[str, object] = {
        "machine_type": "e2-medium",
        "zone": "z",
        "boot_disk": {},
        "network_interfaces": [{"subnetwork": "s"}],
        "allow_stopping_for_update": True,
        "service_account": {"email": "own@example", "scopes": ["cloud-platform"]},
        "shielded_instance_config": {
            "enableSecureBoot": True,
            "enableVtpm": True,
            "enableIntegrityMonitoring": True,
        },
        "metadata": {"enable-oslogin": "TRUE", "block-project-ssh-keys": "TRUE"},
    }
    return lambda: _declare(gcp.compute.Instance, arguments | changes)


def _right(role: str, member: str = "serviceAccount:own@example") -> Callable[[], None]:
    return lambda: _declare(gcp.projects.IAMMember, {"project": "p", "role": role, "member": member})


BREAKING = [
    ("no_open_ingress", _firewall(source_ranges=["0.0.0.0/0"]), "lets 0.0.0.0/0 in"),
    ("no_open_ingress", _firewall(source_ranges=["203.0.113.0/24", "8.8.8.0/24"]), "lets 8.8.8.0/24 in"),
    ("no_open_ingress", _firewall(source_ranges=None), "lets 0.0.0.0/0 in"),
    ("no_open_ingress", _firewall(target_service_accounts=None), "every machine"),
    ("no_open_ingress", _firewall(log_config=None), "not logged"),
    ("no_public_address", _machine(network_interfaces=[{"subnetwork": "s", "accessConfigs": [{}]}]), "public address"),
    ("no_public_address", lambda: _declare(gcp.compute.Address, {"region": "r"}), "public address"),
    ("no_public_address", lambda: _declare(gcp.compute.GlobalAddress, {}), "public address"),
    ("no_public_address", lambda: _declare(gcp.compute.Network, {}), "subnets by itself"),
    ("own_service_account", _machine(service_account=None), "default service account"),
    ("own_service_account", _pool(serviceAccount="123-compute@developer.gserviceaccount.com"), "default service"),
    ("least_rights", _right("roles/editor"), "grants roles/editor"),
    ("least_rights", _right("roles/run.admin"), "grants roles/run.admin"),
    ("least_rights", _right("roles/run.developer"), "on the whole project"),
    ("least_rights", _right("roles/logging.logWriter", "allUsers"), "to allUsers"),
    ("only_the_gateway_is_open", _service(invoker_iam_disabled=True), "called by everybody"),
    (
        "limited_at_the_edge",
        lambda: _declare(gcp.compute.GlobalForwardingRule, {"target": "t", "port_range": "80"}),
        "not encrypted",
    ),
    ("limited_at_the_edge", lambda: _declare(gcp.compute.BackendService, {}), "no limit on requests"),
    ("by_digest", _pool(image="registry.example/logbrook:latest"), "by its tag"),
    ("no_clear_secret", _pool(envs=[{"name": "LOGBROOK_KAFKA_SASL_PASSWORD", "value": "x"}]), "in clear"),
    ("no_clear_secret", _machine(metadata_startup_script="echo"), "metadataStartupScript"),
    ("no_clear_secret", _machine(metadata={"user-data": "KAFKA_PASSWORD='" + "a1" * 16 + "'"}), "password in its"),
    ("hardened_machine", _machine(shielded_instance_config=None), "not shielded"),
    ("hardened_machine", _machine(metadata={}), "without OS Login"),
    ("hardened_machine", _machine(allow_stopping_for_update=None), "machine type"),
    ("kept_data", lambda: _declare(gcp.compute.Disk, {"zone": "z"}), "not protected"),
    ("kept_data", lambda: gcp.storage.Bucket("backups", location="l") and None, "backups holds data"),
    ("private_egress", _pool(vpcAccess={"egress": "ALL_TRAFFIC", "networkInterfaces": [{}]}), "not in the network"),
    ("private_egress", _pool(vpcAccess=None), "not in the network"),
]


@pytest.mark.parametrize(("rule", "breaking", "what"), BREAKING, ids=[f"{rule}-{what}" for rule, _, what in BREAKING])
def test_a_breaking_program_is_caught(rule: str, breaking: Callable[[], None], what: str) -> None:
    """The violation is found, under the name of its rule."""
    found = [each for each in violations(record(breaking), prod=False) if each.startswith(f"{rule}: ")]
    assert any(what in each for each in found), found


@pytest.mark.parametrize("fine", [_firewall(), _pool(), _service(), _machine(), _right("roles/logging.logWriter")])
def test_the_same_program_without_the_fault_is_not(fine: Callable[[], None]) -> None:
    """What is broken above is right before the change."""
    assert violations(record(fine), prod=False) == []


@pytest.mark.parametrize("kind", PROD_GUARDED)
def test_prod_needs_deletion_protection(kind: str) -> None:
    """Each kind that holds something, without it, is caught."""
    assert list(guarded_in_prod(Declared(f"gcp:x/y:{kind}", "it", {})))
    assert not list(guarded_in_prod(Declared(f"gcp:x/y:{kind}", "it", {"deletionProtection": True})))


def test_every_rule_has_a_program_that_breaks_it() -> None:
    """A rule that nothing can break proves nothing."""
    assert {rule.__name__ for rule in RULES} == {rule for rule, _, _ in BREAKING}
