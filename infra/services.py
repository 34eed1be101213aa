"""The Cloud Run services: the gateway, open to the internet behind its tokens, and the query API behind IAM."""

from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import rule_files
from infra.backend import Backend, Environment, clickhouse, kafka, probe, variables
from infra.config import Settings
from infra.foundation import Foundation
from infra.identity import Identity
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
        iap = Iap("query", settings, child) if settings.query_iap else None
        if iap:
            environment |= Environment({"LOGBROOK_QUERY_IAP_AUDIENCE": iap.audience(f"{settings.name}-query")})
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
        if iap:
            iap.let_in(self.service)
        else:
            for number, member in enumerate(settings.query_users):
                may_call(f"query-user-{number}", self.service, member, child)
        self.register_outputs({})


def may_call(
    name: str, called: gcp.cloudrunv2.Service, member: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> None:
    """Let `member` call a service that asks for Google's own tokens."""
    gcp.cloudrunv2.ServiceIamMember(
        name, location=called.location, name=called.name, role="roles/run.invoker", member=member, opts=opts
    )


class Iap:
    """Google's sign-in in front of one service: it checks who the user is, then calls the service as its own agent."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> None:
        self._name, self._settings, self._opts = name, settings, opts
        self._agent = gcp.projects.ServiceIdentity("iap", service="iap.googleapis.com", opts=opts)

    def audience(self, service_name: str) -> pulumi.Output[str]:
        """The audience of its signed header.

        https://docs.cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29).
        """
        place = f"locations/{self._settings.region}/services/{service_name}"
        return pulumi.Output.concat("/projects/", self._project_number, "/", place)

    def url(self, service_name: str) -> pulumi.Output[str]:
        """The address that Cloud Run gives a service of that name, which need not exist yet.

        https://docs.cloud.google.com/run/docs/triggering/https-request, "Deterministic URL" (read 2026-11-29): there is
        one if the name and the project's number take at most 63 characters, and config.py limits the name to fewer.
        """
        rest = f".{self._settings.region}.run.app"
        return pulumi.Output.concat("https://", service_name, "-", self._project_number, rest)

    @property
    def _project_number(self) -> pulumi.Output[str]:
        """From the agent's name: serviceAccount:service-NUMBER@gcp-sa-iap.iam.gserviceaccount.com."""
        return self._agent.member.apply(lambda member: member.partition("@")[0].removeprefix("serviceAccount:service-"))

    def let_in(self, called: gcp.cloudrunv2.Service) -> None:
        """Admit the members of `queryUsers`, and only through it."""
        may_call(f"iap-calls-{self._name}", called, self._agent.member, self._opts)
        for number, member in enumerate(self._settings.query_users):
            gcp.iap.WebCloudRunServiceIamMember(
                f"{self._name}-user-{number}",
                location=self._settings.region,
                cloud_run_service_name=called.name,
                role="roles/iap.httpsResourceAccessor",
                member=member,
                opts=self._opts,
            )


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
