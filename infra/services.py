"""The Cloud Run services: the gateway, open to the internet behind its tokens, and the query API behind IAM."""

from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import rule_files
from infra.backend import Backend, Environment, clickhouse, kafka, probe, variables
from infra.foundation import Foundation
from infra.identity import Identity, may_call
from infra.render import ALERT_PORT

ANY = "0.0.0.0"  # noqa: S104 - inside the container; Cloud Run's front is what the world reaches
_TOKENS = "gateway-tokens"
_ROLES = "query-roles"
_GRPC_PORT = 4317


class Gateway(pulumi.ComponentResource):
    """HTTPS in, Kafka messages out. `url` is where clients send."""

    def __init__(self, foundation: Foundation, backend: Backend, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Gateway", "gateway", None, opts)
        settings = foundation.settings
        self.identity = Identity(settings, "gateway", "HTTP to Kafka", pulumi.ResourceOptions(parent=self))
        rights = foundation.rights(self.identity, *backend.kafka_roles)
        environment = kafka(backend, "gateway") | Environment(
            {
                "LOGBROOK_GATEWAY_HOST": ANY,
                "LOGBROOK_GATEWAY_TOKENS_FILE": f"/etc/logbrook/{_TOKENS}",
                "LOGBROOK_GATEWAY_INSTANCES": str(settings.gateway_max),
            }
        )
        # Every sender has one of the gateway's own tokens; OTLP clients can't log in with Cloud Run's IAM.
        instances = settings.gateway_min, settings.gateway_max
        ingress = "INTERNAL_LOAD_BALANCER" if settings.gateway_domain_only else "ALL"
        shape = Shape(
            "gateway", "gateway", 4318, instances, environment, open_to_all=True, ingress=ingress, mounted=_TOKENS
        )
        after = pulumi.ResourceOptions(parent=self, depends_on=[*rights, *backend.ready])
        self.service = service(foundation, shape, self.identity, after)
        self.url: pulumi.Output[str] = self.service.uri
        self.grpc: gcp.cloudrunv2.Service | None = None
        if settings.gateway_grpc:
            environment |= Environment({"LOGBROOK_GATEWAY_GRPC_PORT": str(_GRPC_PORT)})
            shape = replace(shape, name="gateway-grpc", http2_port=_GRPC_PORT, environment=environment)
            self.grpc = service(foundation, shape, self.identity, after)
        self.register_outputs({"url": self.url})


class Query(pulumi.ComponentResource):
    """The query API and the log explorer, for the members in `queryUsers`."""

    def __init__(self, foundation: Foundation, backend: Backend, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Query", "query", None, opts)
        settings, child = foundation.settings, pulumi.ResourceOptions(parent=self)
        self.identity = Identity(settings, "query", "ClickHouse to HTTP", child)
        environment = clickhouse(backend, "reader", "clickhouse-reader-password") | Environment(
            {"LOGBROOK_QUERY_HOST": ANY}, {"LOGBROOK_QUERY_VIEWS_PASSWORD": "clickhouse-views-password"}
        )
        if settings.alert_rules:
            evaluator = f"http://{settings.node_address}:{ALERT_PORT}"
            environment |= Environment({"LOGBROOK_QUERY_ALERTS_URL": evaluator})
        if settings.query_trace_url:
            environment |= Environment({"LOGBROOK_QUERY_TRACE_URL": settings.query_trace_url})
        if settings.query_iap:
            audience = foundation.iap.audience(f"{settings.name}-query")
            environment |= Environment({"LOGBROOK_QUERY_IAP_AUDIENCE": audience})
        roles = rule_files.text(settings, "query_roles")
        if roles:
            foundation.store.add(_ROLES, roles, ("query",))
            environment |= Environment({"LOGBROOK_QUERY_ROLES": f"/etc/logbrook/{_ROLES}"})
        # A live tail or an export is one request, which may last an hour.
        instances = settings.query_min, settings.query_max
        shape = Shape("query", "query", 8080, instances, environment, iap=settings.query_iap, timeout_seconds=3600)
        if roles:
            shape = replace(shape, mounted=_ROLES)
        rights = foundation.rights(self.identity)
        after = pulumi.ResourceOptions(parent=self, depends_on=[*rights, *backend.ready])
        self.service = service(foundation, shape, self.identity, after)
        if settings.query_iap:
            foundation.iap.let_in("query", self.service, child)
        else:
            for number, member in enumerate(settings.query_users):
                may_call(f"query-user-{number}", self.service, member, child)
        self.register_outputs({})


@dataclass(frozen=True)
class Shape:
    """How the services differ."""

    name: str
    command: str
    port: int
    instances: tuple[int, int]
    environment: Environment
    open_to_all: bool = False
    ingress: str = "ALL"
    """From where it is reached, if not from anywhere: INTERNAL_ONLY, or INTERNAL_LOAD_BALANCER.

    https://docs.cloud.google.com/run/docs/securing/ingress (2026-11-29).
    """
    iap: bool = False
    """Whether Google's sign-in is on the service itself.

    https://cloud.google.com/run/docs/securing/identity-aware-proxy-cloud-run
    """
    timeout_seconds: int = 60
    http2_port: int = 0
    """Where it is served instead, by HTTP/2 without TLS; `port` is for probes. Cloud Run serves one port for a service.

    https://docs.cloud.google.com/run/docs/configuring/http2 and .../triggering/grpc (2026-11-29).
    """
    mounted: str = ""
    """A secret that is a file in /etc/logbrook: its newest version at any time, with no new revision.

    https://docs.cloud.google.com/run/docs/configuring/services/secrets (2026-11-29): "When reading a volume, Cloud Run
    always fetches the secret value from the Secret Manager".
    """


def service(
    foundation: Foundation, shape: Shape, identity: Identity, opts: pulumi.ResourceOptions
) -> gcp.cloudrunv2.Service:
    """Declare one of them."""
    settings, (least, most) = foundation.settings, shape.instances
    container: Any = {
        "image": foundation.images.image,
        "args": [shape.command],
        "envs": variables(shape.environment, foundation.store),
        "ports": {"name": "h2c", "container_port": shape.http2_port}
        if shape.http2_port
        else {"container_port": shape.port},
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "cpu_idle": least == 0, "startup_cpu_boost": True},
        # The first connection out of a new instance takes up to a minute, and its first attempts fail.
        "startup_probe": probe(shape.port, 5, 5, 48),
        "liveness_probe": probe(shape.port, 30, 10, 4),
    }
    volumes: list[Any] = []
    if shape.mounted:
        secret = foundation.store.secrets[shape.mounted].secret_id
        items = [{"path": shape.mounted, "version": "latest"}]
        volumes = [{"name": shape.mounted, "secret": {"secret": secret, "items": items}}]
        container["volume_mounts"] = [{"name": shape.mounted, "mount_path": "/etc/logbrook"}]
        version = pulumi.ResourceOptions(depends_on=[foundation.store.versions[shape.mounted]])
        opts = pulumi.ResourceOptions.merge(opts, version)
    return gcp.cloudrunv2.Service(
        shape.name,
        name=f"{settings.name}-{shape.name}",
        location=settings.region,
        ingress=f"INGRESS_TRAFFIC_{shape.ingress}",
        invoker_iam_disabled=shape.open_to_all,
        iap_enabled=shape.iap or None,
        deletion_protection=settings.guarded,
        template={
            "service_account": identity.email,
            "containers": [container],
            "volumes": volumes or None,
            "scaling": {"min_instance_count": least, "max_instance_count": most},
            "timeout": f"{shape.timeout_seconds}s",
            "vpc_access": foundation.network.vpc_access(),
        },
        opts=opts,
    )
