"""The consumer: a Cloud Run worker pool, which pulls from Kafka and has no port."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import collector
from infra.backend import Backend, Environment, clickhouse, kafka, probe, variables
from infra.foundation import Foundation
from infra.identity import Identity

# The port for the probes and the collector.
HEALTH_PORT = 8080


class Consumer(pulumi.ComponentResource):
    """`pool` is what the lag autoscaler scales."""

    def __init__(self, foundation: Foundation, backend: Backend, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Consumer", "consumer", None, opts)
        settings = foundation.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.identity = Identity(settings, "consumer", "Kafka to ClickHouse", self._child)
        rights = foundation.rights(self.identity, *backend.kafka_roles)
        containers: list[Any] = []
        if settings.consumer_metrics:
            rights.append(self.identity.in_project(settings, "roles/monitoring.metricWriter"))
            containers.append(collector.container(settings, HEALTH_PORT))
        environment = (
            kafka(backend, "consumer")
            | clickhouse(backend, "writer", "clickhouse-writer-password")
            | Environment(
                # The probe comes from outside.
                {"LOGBROOK_CONSUMER_HEALTH_HOST": "0.0.0.0", "LOGBROOK_CONSUMER_HEALTH_PORT": str(HEALTH_PORT)}  # noqa: S104
            )
        )
        self.pool = gcp.cloudrunv2.WorkerPool(
            "pool",
            name=f"{settings.name}-consumer",
            location=settings.region,
            deletion_protection=settings.guarded,
            # From here on, the autoscaler sets the number of instances.
            scaling={"manual_instance_count": settings.consumer_min},
            template={
                "service_account": self.identity.email,
                "containers": [_container(foundation, environment), *containers],
                "vpc_access": foundation.network.vpc_access(),
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*rights, *backend.ready],
                ignore_changes=["scaling.manualInstanceCount"] if settings.autoscaler else [],
            ),
        )
        self.register_outputs({})


def _container(foundation: Foundation, environment: Environment) -> Any:
    settings = foundation.settings
    return {
        "image": foundation.images.image,
        "args": ["consumer"],
        "envs": variables(environment, foundation.store),
        "resources": {"limits": {"cpu": str(settings.consumer_cpu), "memory": f"{settings.consumer_memory_mib}Mi"}},
        # The first connection out of a new instance takes up to a minute, and its first attempts fail.
        "startup_probe": probe(HEALTH_PORT, 10, 5, 24),
        "liveness_probe": probe(HEALTH_PORT, 30, 10, 4),
    }
