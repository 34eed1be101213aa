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
    """Google's Kafka in the stack's network, and two jobs: one creates the tables in ClickHouse, one audits hourly."""

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
        self._audit()
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
                "segment.ms": str(settings.kafka_retention_hours * 3_600_000 // 4),
                "min.insync.replicas": "2",
                "cleanup.policy": "delete",
            },
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect_data),
        )

    def _migrate(self) -> gcp.cloudrunv2.Job:
        settings = self.foundation.settings
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
        identity = Identity(settings, "migrate", "creates the tables", self._child)
        return self._job(identity, ["migrate"], environment, tries=4, timeout_seconds=600)

    def _audit(self) -> None:
        """With the consumer's rights, so that `replay` can store what it found missing (docs/operations.md).

        Its account starts it, and may start nothing else: the way to schedule a job that
        https://docs.cloud.google.com/run/docs/execute/jobs-on-schedule shows, and
        https://docs.cloud.google.com/scheduler/docs/http-target-auth (both read 2026-11-29).
        """
        settings = self.foundation.settings
        environment = kafka(self.backend, "consumer") | clickhouse(self.backend, "writer", "clickhouse-writer-password")
        identity = Identity(settings, "audit", "compares ClickHouse with Kafka", self._child)
        # A new instance may not reach anything for "a minute or more":
        # https://docs.cloud.google.com/run/docs/configuring/vpc-direct-vpc (read 2026-11-29).
        command = ["audit", "--json", "--wait=300"]
        # Nobody is woken up for what a second try does not find. Both end before the next hour's audit.
        job = self._job(identity, command, environment, tries=2, timeout_seconds=1500)
        may_start = gcp.cloudrunv2.JobIamMember(
            "audit-starts-itself",
            location=settings.region,
            name=job.name,
            role="roles/run.invoker",
            member=identity.member,
            opts=self._child,
        )
        gcp.cloudscheduler.Job(
            "audit-hourly",
            name=f"{settings.name}-audit-hourly",
            region=settings.region,
            schedule="7 * * * *",
            time_zone="Etc/UTC",
            retry_config={"retry_count": 3},
            http_target={
                "http_method": "POST",
                "uri": pulumi.Output.concat("https://run.googleapis.com/v2/", job.id, ":run"),
                "oauth_token": {"service_account_email": identity.email},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[may_start]),
        )

    def _job(
        self, identity: Identity, args: list[str], environment: Environment, *, tries: int, timeout_seconds: int
    ) -> gcp.cloudrunv2.Job:
        foundation, settings = self.foundation, self.foundation.settings
        rights = foundation.rights(identity, *self.backend.kafka_roles)
        template: Any = {
            "service_account": identity.email,
            "max_retries": tries - 1,
            "timeout": f"{timeout_seconds}s",
            "containers": [
                {
                    "image": foundation.images.image,
                    "args": args,
                    "envs": variables(environment, foundation.store),
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                }
            ],
            "vpc_access": foundation.network.vpc_access(),
        }
        return gcp.cloudrunv2.Job(
            identity.role,
            name=f"{settings.name}-{identity.role}",
            location=settings.region,
            deletion_protection=settings.guarded,
            template={"template": template},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *self.backend.ready]),
        )
