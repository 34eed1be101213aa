"""The lag autoscaler: Google's CREMA, which sets the consumer's number of instances. Why: docs/decisions/."""

import hashlib
from typing import Any

import pulumi
import pulumi_gcp as gcp
import yaml

from infra.backend import GROUP, TOPIC, Backend
from infra.config import Settings
from infra.consumer import Consumer
from infra.foundation import Foundation
from infra.identity import Identity
from infra.network import Network
from infra.secret_store import AUTOSCALER_USERNAME

POLL_SECONDS = 15


def lag_threshold(settings: Settings) -> int:
    """How many messages of backlog one instance works off in the configured time."""
    return settings.consumer_messages_per_second * settings.drain_seconds


def most_instances(settings: Settings) -> int:
    """More consumers than partitions would have nothing to do."""
    return min(settings.consumer_max, settings.kafka_partitions)


def crema_config(settings: Settings, bootstrap: str) -> str:
    """The autoscaler's configuration as YAML."""
    if settings.on_vm:
        authentication: dict[str, Any] = {
            "gcpSecretManager": {
                "secrets": [
                    {"parameter": "username", "id": f"{settings.name}-{AUTOSCALER_USERNAME}", "version": "latest"},
                    {"parameter": "password", "id": f"{settings.name}-kafka-autoscaler-password", "version": "latest"},
                ]
            }
        }
    else:
        authentication = {"podIdentity": {"provider": "gcp"}}
    pool = f"projects/{settings.project}/locations/{settings.region}/workerpools/{settings.name}-consumer"
    config = {
        "apiVersion": "crema/v1",
        "kind": "CremaConfig",
        "metadata": {"name": f"{settings.name}-consumer"},
        "spec": {
            "pollingInterval": POLL_SECONDS,
            "triggerAuthentications": [{"metadata": {"name": "lag"}, "spec": authentication}],
            "scaledObjects": [
                {
                    "spec": {
                        "scaleTargetRef": {"name": pool},
                        "minReplicaCount": settings.consumer_min,
                        "maxReplicaCount": most_instances(settings),
                        "triggers": [_trigger(settings, bootstrap) | {"authenticationRef": {"name": "lag"}}],
                        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior()}},
                    }
                }
            ],
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def _trigger(settings: Settings, bootstrap: str) -> dict[str, Any]:
    if settings.on_vm:
        return {
            "type": "kafka",
            "name": "lag",
            "metadata": {
                "bootstrapServers": bootstrap,
                "consumerGroup": GROUP,
                "topic": TOPIC,
                "lagThreshold": str(lag_threshold(settings)),
                "offsetResetPolicy": "earliest",
                "allowIdleConsumers": "false",
                "sasl": "scram_sha512",
                "tls": "disable",
                "version": "3.6.0",
            },
        }
    # KEDA's Kafka scaler can't log in to Google's Kafka; there, the lag is a metric of the service.
    return {
        "type": "gcp-stackdriver",
        "name": "lag",
        "metadata": {
            "projectId": settings.project,
            "filter": " AND ".join(
                (
                    'metric.type="managedkafka.googleapis.com/offset_lag"',
                    'resource.type="managedkafka.googleapis.com/TopicPartitionConsumerGroup"',
                    f'resource.labels.consumer_group_id="{GROUP}"',
                    f'resource.labels.topic_id="{TOPIC}"',
                )
            ),
            "targetValue": str(lag_threshold(settings)),
            "alignmentPeriodSeconds": "60",
            "alignmentAligner": "max",
            "alignmentReducer": "sum",
        },
    }


def _behavior() -> dict[str, Any]:
    """Up fast, down slowly: each change makes the group reassign its partitions."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }


class Autoscaler(pulumi.ComponentResource):
    """CREMA, always one instance, with the rights that it needs on this one pool."""

    def __init__(
        self, foundation: Foundation, backend: Backend, consumer: Consumer, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("logbrook:infra:Autoscaler", "autoscaler", None, opts)
        self.settings = settings = foundation.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.identity = Identity(settings, "autoscaler", "scales the consumer", self._child)
        version = self._parameter(backend)
        rights = [*foundation.rights(self.identity), *self._rights(consumer)]
        self.service = self._service(foundation.network, version, rights)
        self.register_outputs({})

    @property
    def _parameter_id(self) -> str:
        return f"{self.settings.name}-crema"

    def _parameter(self, backend: Backend) -> gcp.parametermanager.ParameterVersion:
        parameter = gcp.parametermanager.Parameter(
            "crema", parameter_id=self._parameter_id, format="YAML", opts=self._child
        )
        data = pulumi.Output.from_input(backend.kafka_bootstrap).apply(
            lambda bootstrap: crema_config(self.settings, bootstrap)
        )
        return gcp.parametermanager.ParameterVersion(
            "crema",
            parameter=parameter.id,
            # A version never changes: different content is a new version, which CREMA's next revision reads.
            parameter_version_id=data.apply(lambda text: "v" + hashlib.sha256(text.encode()).hexdigest()[:16]),
            parameter_data=data,
            opts=self._child,
        )

    def _rights(self, consumer: Consumer) -> list[pulumi.Resource]:
        """The rights to change this pool, as the pool's account, and to read this configuration; nothing else."""
        rights: list[pulumi.Resource] = [
            gcp.cloudrunv2.WorkerPoolIamMember(
                "autoscaler-scales-consumer",
                location=self.settings.region,
                name=consumer.pool.name,
                role="roles/run.developer",
                member=self.identity.member,
                opts=self._child,
            ),
            consumer.identity.may_be_used_by("autoscaler", self.identity.member),
            # Parameter Manager can't grant rights on a single parameter: a condition limits them to one.
            self.identity.in_project(
                self.settings,
                "roles/parametermanager.parameterViewer",
                {
                    "title": "this configuration only",
                    "expression": f'resource.name.extract("/parameters/{{id}}/versions/") == "{self._parameter_id}"',
                },
            ),
        ]
        if not self.settings.on_vm:
            rights.append(self.identity.in_project(self.settings, "roles/monitoring.viewer"))
        return rights

    def _service(
        self, network: Network, version: gcp.parametermanager.ParameterVersion, rights: list[pulumi.Resource]
    ) -> gcp.cloudrunv2.Service:
        return gcp.cloudrunv2.Service(
            "crema",
            name=f"{self.settings.name}-crema",
            location=self.settings.region,
            ingress="INGRESS_TRAFFIC_INTERNAL_ONLY",
            deletion_protection=False,
            # CREMA's own guide sets it:
            # https://github.com/GoogleCloudPlatform/cloud-run-external-metrics-autoscaling README.md, commit b95cf54.
            labels={"created-by": "crema"},
            template={
                "service_account": self.identity.email,
                # Exactly one that always runs: two would fight each other, and with none nothing would scale.
                "scaling": {"min_instance_count": 1, "max_instance_count": 1},
                "containers": [
                    {
                        "image": self.settings.crema_image,
                        # The image is built FROM scratch (Dockerfile there): without this it has neither Java nor bash.
                        "base_image_uri": self.settings.crema_base_image,
                        "envs": [{"name": "CREMA_CONFIG", "value": version.name}],
                        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpu_idle": False},
                    }
                ],
                "vpc_access": network.vpc_access(),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=rights),
        )
