"""A name that stays: `gatewayDomain` leads to a load balancer, which limits requests and passes them to Cloud Run.

Why it is built so, with sources: docs/decisions/gateway-domain.md. What a change replaces has no name of our own here:
Pulumi then makes the new one before it deletes the old one, which the load balancer uses until then.
"""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.services import Gateway

# As in logbrook/tokens.py: all other protocols have their token in Authorization.
TOKEN_HEADERS = ("authorization", "dd-api-key")
GRPC_PATHS = ("/opentelemetry.proto.collector.logs.v1.LogsService/*", "/grpc.health.v1.Health/*")
_LAST = 2147483647


class GatewayDomain(pulumi.ComponentResource):
    """`url` is where clients send, now and after the services or the region behind it have changed."""

    def __init__(self, settings: Settings, gateway: Gateway, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:GatewayDomain", "gateway-domain", None, opts)
        self.settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.url = f"https://{settings.gateway_domain}"
        address = gcp.compute.GlobalAddress(
            "gateway-address",
            name=f"{settings.name}-gateway",
            # A record in somebody's DNS has it, and Google does not give it out again on request.
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect_data),
        )
        self.outputs: dict[str, pulumi.Input[str]] = {
            "dns_address": pulumi.Output.concat(settings.gateway_domain, ". A ", address.address)
        }
        proxy = gcp.compute.TargetHttpsProxy(
            "gateway-proxy",
            name=f"{settings.name}-gateway",
            url_map=self._routes(gateway).id,
            certificate_map=pulumi.Output.concat("//certificatemanager.googleapis.com/", self._certificate().id),
            ssl_policy=gcp.compute.SSLPolicy(
                "gateway-tls",
                name=f"{settings.name}-gateway",
                profile="MODERN",
                min_tls_version="TLS_1_2",
                opts=self._child,
            ).id,
            opts=self._child,
        )
        gcp.compute.GlobalForwardingRule(
            "gateway-rule",
            name=f"{settings.name}-gateway",
            load_balancing_scheme="EXTERNAL_MANAGED",
            ip_address=address.address,
            port_range="443",
            target=proxy.id,
            opts=self._child,
        )
        self.register_outputs({"url": self.url})

    def _certificate(self) -> gcp.certificatemanager.CertificateMap:
        """The domain's certificate, in the map that the load balancer reads.

        It is issued as soon as the record exists that the authorization asks for, before the name leads here. No deploy
        waits for it.
        """
        authorization = gcp.certificatemanager.DnsAuthorization(
            "gateway-authorization",
            domain=self.settings.gateway_domain,
            # Each project has a record of its own: a second stack for this domain in another one leaves this as it is.
            type="PER_PROJECT_RECORD",
            opts=self._child,
        )
        certificate = gcp.certificatemanager.Certificate(
            "gateway-certificate",
            managed={"domains": [self.settings.gateway_domain], "dns_authorizations": [authorization.id]},
            opts=self._child,
        )
        certificates = gcp.certificatemanager.CertificateMap(
            "gateway-certificates", name=f"{self.settings.name}-gateway", opts=self._child
        )
        gcp.certificatemanager.CertificateMapEntry(
            "gateway-certificate-entry",
            map=certificates.name,
            hostname=self.settings.gateway_domain,
            certificates=[certificate.id],
            opts=self._child,
        )
        record = authorization.dns_resource_records.apply(lambda records: records[0])
        self.outputs["dns_certificate"] = record.apply(lambda made: f"{made.name} {made.type} {made.data}")
        self.outputs["certificate_state"] = pulumi.Output.concat(
            "gcloud certificate-manager certificates describe ",
            certificate.name,
            f" --project {self.settings.project} --format 'value(managed.state)'",
        )
        return certificates

    def _routes(self, gateway: Gateway) -> gcp.compute.URLMap:
        """Everything goes to the gateway; OTLP over gRPC to its own service, if there is one."""
        policy = self._limit()
        http = self._backend(gateway.service, "gateway", "HTTPS", policy)
        grpc: dict[str, Any] = {}
        if gateway.grpc:
            service = self._backend(gateway.grpc, "gateway-grpc", "HTTP2", policy)
            rule = {"paths": list(GRPC_PATHS), "service": service.id}
            grpc = {
                "host_rules": [{"hosts": ["*"], "path_matcher": "grpc"}],
                "path_matchers": [{"name": "grpc", "default_service": http.id, "path_rules": [rule]}],
            }
        return gcp.compute.URLMap(
            "gateway-routes", name=f"{self.settings.name}-gateway", default_service=http.id, opts=self._child, **grpc
        )

    def _backend(
        self, service: gcp.cloudrunv2.Service, name: str, protocol: str, policy: gcp.compute.SecurityPolicy
    ) -> gcp.compute.BackendService:
        """One Cloud Run service. With a health check or a timeout, Google refuses it."""
        group = gcp.compute.RegionNetworkEndpointGroup(
            name,
            region=self.settings.region,
            network_endpoint_type="SERVERLESS",
            cloud_run={"service": service.name},
            opts=self._child,
        )
        return gcp.compute.BackendService(
            name,
            name=f"{self.settings.name}-{name}",
            load_balancing_scheme="EXTERNAL_MANAGED",
            protocol=protocol,
            security_policy=policy.id,
            backends=[{"group": group.id}],
            opts=self._child,
        )

    def _limit(self) -> gcp.compute.SecurityPolicy:
        """So many requests a minute for each value of a token's header, and for each address that sends none."""
        keys = [{"enforce_on_key_type": "HTTP_HEADER", "enforce_on_key_name": name} for name in TOKEN_HEADERS]
        named = " || ".join(f"has(request.headers['{name}'])" for name in TOKEN_HEADERS)
        anyone = {"versioned_expr": "SRC_IPS_V1", "config": {"src_ip_ranges": ["*"]}}
        rules = [
            self._throttle(1000, "by token", {"expr": {"expression": named}}, {"enforce_on_key_configs": keys}),
            self._throttle(_LAST, "without a token: by address", anyone, {"enforce_on_key": "IP"}),
        ]
        return gcp.compute.SecurityPolicy(
            "gateway-limit", name=f"{self.settings.name}-gateway", type="CLOUD_ARMOR", rules=rules, opts=self._child
        )

    def _throttle(self, priority: int, meaning: str, match: dict[str, Any], key: dict[str, Any]) -> Any:
        threshold = {"count": self.settings.gateway_requests_per_minute, "interval_sec": 60}
        return {
            "action": "throttle",
            "priority": priority,
            "description": meaning,
            "match": match,
            "rate_limit_options": key
            | {"conform_action": "allow", "exceed_action": "deny(429)", "rate_limit_threshold": threshold},
        }
