"""Grafana on Cloud Run with the local stack's dashboards, behind Google's sign-in (IAP). It keeps nothing of its own.

Metrics come through the frontend of Managed Service for Prometheus next to it, which speaks the Prometheus API and logs
in as the service's account, so the dashboards' PromQL stays as it is. Grafana's Prometheus data source can't log in to
Google (https://cloud.google.com/stackdriver/docs/managed-prometheus/query), and its Cloud Monitoring data source would
need different dashboards.
"""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_gcp as gcp
import yaml

from infra import render
from infra.backend import Backend, Environment, probe, variables
from infra.foundation import Foundation
from infra.identity import Identity

FOLDER = render.ROOT / "compose/grafana"
# Tag and digest: google/osv.dev 936d14e, tools/run_grafana_local.sh, which also starts it next to Grafana.
# Arguments: GoogleCloudPlatform/prometheus-engine, cmd/frontend.
FRONTEND = (
    "gke.gcr.io/prometheus-engine/frontend:v0.18.2-gke.1"
    "@sha256:35ab356d969255dd7694ae371bf0991b97907451b4c7e1574b58a096d3be5977"
)
FRONTEND_PORT, PORT = 9090, 3000


def datasources(backend: Backend) -> str:
    """The local stack's data sources, at the addresses that this stack has."""
    document = yaml.safe_load((FOLDER / "provisioning/datasources/datasources.yaml").read_text())
    for source in document["datasources"]:
        if source["uid"] == "clickhouse":
            source["jsonData"] |= {"host": backend.clickhouse_host, "port": backend.clickhouse_port}
            source["jsonData"]["secure"] = backend.clickhouse_secure
        else:
            source["url"] = f"http://localhost:{FRONTEND_PORT}"
            # The node's agent and the collectors scrape every 30 s, and Google's API is queried with GET.
            source["jsonData"] = {"timeInterval": "30s", "httpMethod": "GET"}
    return yaml.safe_dump(document, sort_keys=False)


def files(backend: Backend) -> dict[str, str]:
    """The contents of /etc/grafana. They hide the image's own configuration: variables set what differs."""
    found = {"grafana.ini": "; all that differs from Grafana's defaults is in variables\n"}
    for path in sorted([*FOLDER.glob("provisioning/dashboards/*"), *FOLDER.glob("dashboards/*.json")]):
        found[str(path.relative_to(FOLDER))] = path.read_text()
    return found | {"provisioning/datasources/datasources.yaml": datasources(backend)}


class Grafana(pulumi.ComponentResource):
    """`url` is what the members in `queryUsers` open."""

    def __init__(self, foundation: Foundation, backend: Backend, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Grafana", "grafana", None, opts)
        self.settings = foundation.settings
        self._child = pulumi.ResourceOptions(parent=self)
        identity = Identity(foundation.settings, "grafana", "dashboards", self._child)
        rights = foundation.rights(identity, "roles/monitoring.viewer")
        bucket = self._bucket(identity, backend, rights)
        self.service = self._service(foundation, bucket, identity, [*rights, *backend.ready])
        foundation.iap.let_in("grafana", self.service, self._child)
        self.url: pulumi.Output[str] = self.service.uri
        self.register_outputs({"url": self.url})

    def _bucket(self, identity: Identity, backend: Backend, rights: list[pulumi.Resource]) -> gcp.storage.Bucket:
        bucket = gcp.storage.Bucket(
            "grafana",
            name=f"{self.settings.project}-{self.settings.name}-grafana",
            location=self.settings.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=True,
            opts=self._child,
        )
        rights.append(
            gcp.storage.BucketIAMMember(
                "grafana-reads-its-files",
                bucket=bucket.name,
                role="roles/storage.objectViewer",
                member=identity.member,
                opts=self._child,
            )
        )
        for name, content in files(backend).items():
            rights.append(
                gcp.storage.BucketObject(
                    f"grafana/{name}", bucket=bucket.name, name=name, content=content, opts=self._child
                )
            )
        return bucket

    def _service(
        self,
        foundation: Foundation,
        bucket: gcp.storage.Bucket,
        identity: Identity,
        needs: Sequence[pulumi.Input[pulumi.Resource]],
    ) -> gcp.cloudrunv2.Service:
        settings = self.settings
        compose = yaml.safe_load((render.ROOT / "compose/compose.yaml").read_text())["services"]["grafana"]
        plain = {name: value for name, value in compose["environment"].items() if name.startswith("GF_")}
        environment = Environment(plain, {"CLICKHOUSE_READONLY_PASSWORD": "clickhouse-reader-password"})
        grafana: Any = {
            "name": "grafana",
            "image": f"{foundation.images.mirror}/{render.image_of('LOGBROOK_GRAFANA_IMAGE')}",
            "envs": variables(environment, foundation.store),
            "ports": {"container_port": PORT},
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpu_idle": True, "startup_cpu_boost": True},
            "volume_mounts": [{"name": "etc", "mount_path": "/etc/grafana"}],
            "startup_probe": probe(PORT, 5, 5, 48, "/api/health"),
        }
        frontend: Any = {
            "name": "frontend",
            "image": FRONTEND,
            "args": [f"--web.listen-address=:{FRONTEND_PORT}", f"--query.project-id={settings.project}"],
            "resources": {"limits": {"cpu": "1", "memory": "256Mi"}, "cpu_idle": True},
        }
        return gcp.cloudrunv2.Service(
            "grafana",
            name=f"{settings.name}-grafana",
            location=settings.region,
            ingress="INGRESS_TRAFFIC_ALL",
            # https://cloud.google.com/run/docs/securing/identity-aware-proxy-cloud-run: on the service itself.
            iap_enabled=True,
            deletion_protection=settings.guarded,
            template={
                "service_account": identity.email,
                "execution_environment": "EXECUTION_ENVIRONMENT_GEN2",
                "containers": [grafana, frontend],
                "volumes": [{"name": "etc", "gcs": {"bucket": bucket.name, "read_only": True}}],
                "scaling": {"min_instance_count": 0, "max_instance_count": 1},
                "vpc_access": foundation.network.vpc_access(),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )
