"""The backend for when one VM is too small: Google's Kafka, and a ClickHouse that somebody else runs."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.backend import TOPIC, Backend, Environment, clickhouse, kafka, variables
from infra.foundation import Foundation
from infra.identity import Identity

KAFKA_PORT = 9092
REPLICAS = 3


class Managed(pulumi.ComponentResource):
    """Managed Service for Apache Kafka in the stack's network, and a job that creates the tables in ClickHouse."""

    def __init__(self, foundation: Foundation, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Managed", "managed", None, opts)
        self.foundation = foundation
        self._child = pulumi.ResourceOptions(parent=self)
        settings = foundation.settings
        self.cluster = self._cluster()
        topic = self._topic()
        host = f"bootstrap.{settings.name}.{settings.region}.managedkafka.{settings.project}.cloud.goog"
        self.backend = Backend(
            kafka_bootstrap=self.cluster.cluster_id.apply(lambda _: f"{host}:{KAFKA_PORT}"),
            kafka_partitions=settings.kafka_partitions,
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            clickhouse_host=settings.clickhouse_host,
            clickhouse_port=settings.clickhouse_port,
            clickhouse_secure=True,
            ready=(topic,),
        )
        self.migrate = self._migrate()
        self.register_outputs({})

    def _cluster(self) -> gcp.managedkafka.Cluster:
        settings = self.foundation.settings
        return gcp.managedkafka.Cluster(
            "kafka",
            cluster_id=settings.name,
            location=settings.region,
            capacity_config={
                "vcpu_count": str(settings.managed_kafka_cpus),
                "memory_bytes": str(settings.managed_kafka_memory_gib * 2**30),
            },
            gcp_config={"access_config": {"network_configs": [{"subnet": self.foundation.network.run_subnet.id}]}},
            rebalance_config={"mode": "AUTO_REBALANCE_ON_SCALE_UP"},
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect_data),
        )

    def _topic(self) -> gcp.managedkafka.Topic:
        settings = self.foundation.settings
        return gcp.managedkafka.Topic(
            "topic",
            topic_id=TOPIC,
            cluster=self.cluster.cluster_id,
            location=settings.region,
            partition_count=settings.kafka_partitions,
            replication_factor=REPLICAS,
            configs={
                "retention.ms": str(settings.kafka_retention_hours * 3_600_000),
                "retention.bytes": str(settings.kafka_retention_bytes),
                "min.insync.replicas": "2",
                # `logbrook migrate` sets the same on our own broker: the broker's clock, so that time can't run back.
                "cleanup.policy": "delete",
            },
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect_data),
        )

    def _migrate(self) -> gcp.cloudrunv2.Job:
        foundation, settings = self.foundation, self.foundation.settings
        identity = Identity(settings, "migrate", "creates the tables", self._child)
        rights = foundation.rights(identity, *self.backend.kafka_roles)
        environment = (
            kafka(self.backend, "migrate")
            | clickhouse(self.backend, "logbrook", "clickhouse-admin-password")
            | Environment(
                {
                    "LOGBROOK_KAFKA_REPLICATION_FACTOR": str(REPLICAS),
                    "LOGBROOK_KAFKA_RETENTION_HOURS": str(settings.kafka_retention_hours),
                    "LOGBROOK_KAFKA_RETENTION_BYTES": str(settings.kafka_retention_bytes),
                    "LOGBROOK_SCHEMA_RETENTION_DAYS": str(settings.retention_days),
                    "LOGBROOK_SCHEMA_CLUSTER": settings.clickhouse_cluster,
                }
            )
        )
        template: Any = {
            "service_account": identity.email,
            "max_retries": 3,
            "timeout": "600s",
            "containers": [
                {
                    "image": foundation.images.image,
                    "args": ["migrate"],
                    "envs": variables(environment, foundation.store),
                    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
                }
            ],
            "vpc_access": foundation.network.vpc_access(),
        }
        return gcp.cloudrunv2.Job(
            "migrate",
            name=f"{settings.name}-migrate",
            location=settings.region,
            deletion_protection=settings.guarded,
            template={"template": template},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *self.backend.ready]),
        )
