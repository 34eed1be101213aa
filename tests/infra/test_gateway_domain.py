"""A name that stays: what leads from it to the gateway, who is limited, and that nothing of it is there without it."""

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from infra import cost, github, node_state
from infra.__main__ import program
from infra.config import load
from infra.errors import StackError
from infra.policy import Declared, violations
from infra.project import apis
from logbrook.gateway import rpc
from logbrook.tokens import given_token
from tests.infra.engine import DeployError, engine, settings_of
from tests.infra.recorded import record, stack_config
from tests.infra.refused import BACKEND_SERVICE, SECURITY_POLICY, World

DOMAIN = "logs.example.com"
ON = {"gatewayDomain": DOMAIN, "gatewayGrpc": "true"}
KINDS = {
    "BackendService",
    "Certificate",
    "CertificateMap",
    "CertificateMapEntry",
    "DnsAuthorization",
    "GlobalAddress",
    "GlobalForwardingRule",
    "RegionNetworkEndpointGroup",
    "SSLPolicy",
    "SecurityPolicy",
    "TargetHttpsProxy",
    "URLMap",
}


@pytest.fixture(scope="module")
def found() -> list[Declared]:
    """The prod stack with a domain, and OTLP over gRPC."""
    return record(program, stack_config("prod", **ON))


def _one(found: list[Declared], kind: str, name: str = "") -> dict[str, Any]:
    [one] = [each.inputs for each in found if each.kind == kind and name in ("", each.name)]
    return one


def test_without_a_domain_there_is_nothing_of_it() -> None:
    """No resource, no API, no right for a deploy, nothing in the estimate; the address is Cloud Run's own."""
    plain, settings = record(program, stack_config("prod")), settings_of("prod")
    assert not KINDS & {each.kind for each in plain}
    assert _one(plain, "Service", "gateway")["ingress"] == "INGRESS_TRAFFIC_ALL"
    assert _one(plain, "UptimeCheckConfig")["monitoredResource"]["labels"]["host"].endswith(".run.app")
    assert not [each for each in apis(settings) if "certificate" in each]
    assert "certificatemanager" not in str(github.grants(settings, {"preview": "p", "deploy": "d"}))
    assert not [part for part in cost.estimate(settings, cost.prices()) if "balancer" in part or "Armor" in part]


def test_the_name_leads_to_the_gateway(found: list[Declared]) -> None:
    """From the address to both services, with the domain's certificate and nothing in clear; all rules are kept."""
    project = "projects/my-project/global"
    rule, proxy, routes = (_one(found, kind) for kind in ("GlobalForwardingRule", "TargetHttpsProxy", "URLMap"))
    assert (rule["ipAddress"], rule["portRange"]) == ("192.0.2.1", "443")
    assert rule["target"] == f"{project}/targetHttpsProxies/logbrook-prod-gateway"
    assert proxy["urlMap"] == f"{project}/urlMaps/logbrook-prod-gateway"
    assert routes["defaultService"] == f"{project}/backendServices/logbrook-prod-gateway"
    [grpc] = routes["pathMatchers"][0]["pathRules"]
    assert grpc["service"] == f"{project}/backendServices/logbrook-prod-gateway-grpc"
    assert grpc["paths"][0] == rpc.PATH.rpartition("/")[0] + "/*"
    for name, protocol in (("gateway", "HTTPS"), ("gateway-grpc", "HTTP2")):
        backend = _one(found, "BackendService", name)
        assert (backend["protocol"], backend["loadBalancingScheme"]) == (protocol, rule["loadBalancingScheme"])
        assert _one(found, "RegionNetworkEndpointGroup", name)["cloudRun"] == {"service": f"logbrook-prod-{name}"}
        assert backend["securityPolicy"] == f"{project}/securityPolicies/logbrook-prod-gateway"
    entry, certificate = _one(found, "CertificateMapEntry"), _one(found, "Certificate")
    assert proxy["certificateMap"].endswith(f"/certificateMaps/{entry['map']}")
    assert (entry["hostname"], certificate["managed"]["domains"]) == (DOMAIN, [DOMAIN])
    assert _one(found, "UptimeCheckConfig")["monitoredResource"]["labels"]["host"] == DOMAIN
    assert "certificatemanager" in {each.name for each in found if each.kind == "Api"}
    assert violations(found, prod=True) == []


def test_the_address_is_kept_like_data(found: list[Declared]) -> None:
    """A record in DNS has it: whoever got it next would get the senders' tokens. So it is not deleted by mistake."""
    [address] = [each for each in found if each.kind == "GlobalAddress"]
    assert address.protect
    gone = record(program, stack_config("prod", protectData="false", **ON))
    assert [each.protect for each in gone if each.kind == "GlobalAddress"] == [False]


def test_senders_keep_the_old_address_until_they_are_told() -> None:
    """Cloud Run's own address still answers; `gatewayDomainOnly` closes it, and Pub/Sub's pushes arrive as before."""
    for only, ingress in (("false", "ALL"), ("true", "INTERNAL_LOAD_BALANCER")):
        changed = record(program, stack_config("prod", gatewayDomainOnly=only, cloudLoggingFilter="a", **ON))
        for name in ("gateway", "gateway-grpc"):
            assert _one(changed, "Service", name)["ingress"] == f"INGRESS_TRAFFIC_{ingress}"
        assert _one(changed, "Service", "logging")["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
        assert _one(changed, "Service", "query")["ingress"] == "INGRESS_TRAFFIC_ALL"


class _Asked(dict[str, str]):
    """A request's headers that remember for which ones they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)


def test_a_token_is_limited_wherever_a_protocol_puts_it(found: list[Declared]) -> None:
    """Each header in which the gateway looks for a token is part of the key; a request without one has its address.

    The last rule matches everything, and nothing is let through uncounted.
    """
    asked = _Asked()
    assert given_token(asked) is None
    by_token, by_address = _one(found, "SecurityPolicy")["rules"]
    keys = by_token["rateLimitOptions"]["enforceOnKeyConfigs"]
    assert {each["enforceOnKeyName"] for each in keys} == asked.names
    assert {each["enforceOnKeyType"] for each in keys} == {"HTTP_HEADER"}
    assert set(re.findall(r"'([a-z-]+)'", by_token["match"]["expr"]["expression"])) == asked.names
    assert (by_address["priority"], by_address["match"]["config"]) == (2147483647, {"srcIpRanges": ["*"]})
    assert by_address["rateLimitOptions"]["enforceOnKey"] == "IP"
    for rule in (by_token, by_address):
        limit = rule["rateLimitOptions"]
        assert (rule["action"], limit["exceedAction"]) == ("throttle", "deny(429)")
        assert limit["rateLimitThreshold"] == {"count": 12000, "intervalSec": 60}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"gatewayDomain": "https://logs.example.com"}, "gatewayDomain"),
        ({"gatewayDomain": "Logs.example.com"}, "gatewayDomain"),
        ({"gatewayDomain": "localhost"}, "gatewayDomain"),
        ({"gatewayDomain": "logs.example.com."}, "gatewayDomain"),
        ({"gatewayDomainOnly": "true"}, "gatewayDomainOnly"),
        ({"gatewayDomain": DOMAIN, "gatewayRequestsPerMinute": "1000001"}, "gatewayRequestsPerMinute"),
    ],
)
def test_what_can_not_work_is_refused(values: dict[str, str], key: str) -> None:
    """A name that is an address or not a full one, a door that nobody could open, and more than Google counts."""
    config = stack_config("prod", **values)
    with pytest.raises(StackError, match=f"logbrook:{key}: "):
        load(config, frozenset(config))


def test_it_is_in_the_estimate(found: list[Declared]) -> None:
    """The forwarding rule, the traffic that the disk is planned for, and each rule of the policy."""
    table, settings = cost.prices(), dataclasses.replace(settings_of("prod"), gateway_domain=DOMAIN)
    added = cost.estimate(settings, table).items() - cost.estimate(settings_of("prod"), table).items()
    assert dict(added) == pytest.approx(
        {
            "load balancer: a forwarding rule": 18.25,
            "load balancer: 900 GiB": 7.2,
            "Cloud Armor: 2 rules": 7.0,
            "Cloud Armor: 10 million requests": 7.5,
        }
    )
    assert table["armor_rules"] == len(_one(found, "SecurityPolicy")["rules"])


def test_a_deploy_from_github_may_make_certificates() -> None:
    """An owner grants the role together with the others."""
    settings = dataclasses.replace(settings_of("prod"), gateway_domain=DOMAIN)
    granted = "\n".join(github.grants(settings, {"preview": "p", "deploy": "d"}))
    assert "roles/certificatemanager.owner" in granted


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (BACKEND_SERVICE, {"healthChecks": "h"}, "cannot have a healthcheck with Serverless"),
        (BACKEND_SERVICE, {"timeoutSec": 60}, "Timeout sec is not supported"),
        (SECURITY_POLICY, {}, "Only one of enforceOnKey and enforceOnKeyConfigs"),
    ],
)
def test_googles_conditions_are_the_fakes(found: list[Declared], kind: str, change: dict[str, Any], words: str) -> None:
    """What Google refuses is refused here, and what the stack declares is not."""
    world = World(on={"compute": 0.0})
    declared = next(each.inputs for each in found if each.token == kind)
    assert world.create(kind, declared, "x", {}) is None
    broken = copy.deepcopy(declared) | change
    if kind == SECURITY_POLICY:
        broken["rules"][0]["rateLimitOptions"]["enforceOnKey"] = "IP"
    refusal = world.create(kind, broken, "x", {})
    assert refusal is not None
    assert words in refusal[1]


@pytest.mark.timeout(900)
def test_another_name_leads_to_the_same_address(
    pulumi_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy does not wait for a certificate, and a second one changes nothing. Outputs say which records to make.

    With another name, its certificate is there before the old one is deleted. The address is only given up on purpose.
    """
    monkeypatch.setattr("infra.images.content_tag", lambda *_: "0123456789abcdef")
    monkeypatch.setattr(node_state, "POLL_SECONDS", 0.05)
    with engine(pulumi_cli, tmp_path, config={f"logbrook:{key}": value for key, value in ON.items()}) as stack:
        stack.up()
        assert stack.cloud.problems == []
        assert set(stack.up()) == {"same"}
        outputs = stack.outputs()
        assert outputs["gateway_url"] == outputs["grpc_url"] == f"https://{DOMAIN}"
        assert f"https://{DOMAIN}/ingest" in outputs["send_first_event"]
        assert outputs["dns_address"] == f"{DOMAIN}. A 192.0.2.1"
        assert outputs["dns_certificate"].startswith(f"_acme-challenge_abc123.{DOMAIN}. CNAME ")
        assert outputs["certificate_state"].startswith("gcloud certificate-manager certificates describe gateway")

        stack.cloud.events.clear()
        stack.set(gatewayDomain="logs.example.org")
        stack.up()
        events = [event for event, name in stack.cloud.events if name == "gateway-certificate"]
        assert events == ["create", "delete"]
        assert not [
            name for _, name in stack.cloud.events if name in ("gateway-address", "gateway-rule", "gateway-proxy")
        ]
        assert stack.outputs()["dns_address"] == "logs.example.org. A 192.0.2.1"
        assert set(stack.up()) == {"same"}

        stack.set(gatewayDomain=None)
        with pytest.raises(DeployError, match="protect"):
            stack.up()
        stack.set(gatewayDomain="logs.example.org", protectData="false")
        stack.up()
        stack.set(gatewayDomain=None)
        stack.up()
        assert not KINDS & {each.token.rpartition(":")[2] for each in stack.cloud.live.values()}
