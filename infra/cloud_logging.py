"""Entries of the project's Cloud Logging: a sink, a topic, and a subscription that pushes to a gateway of its own.

Google checks who pushes: Cloud Run's IAM admits only the subscription's account, and ingress is internal, which
includes Pub/Sub of the same project (https://docs.cloud.google.com/run/docs/securing/ingress, 2026-11-29). So the
gateway need not check Google's tokens (https://docs.cloud.google.com/run/docs/triggering/pubsub-push).
"""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.backend import Backend, Environment, kafka
from infra.config import Settings
from infra.foundation import Foundation
from infra.identity import Identity, may_call
from infra.services import ANY, Gateway, Shape, service

SOURCE = "google-cloud"
# More than half a day, with the pauses below; the most that Pub/Sub allows.
_ATTEMPTS = 100
_KEEP = "604800s"
_DEAD_KEEP = "2678400s"


class CloudLogging(pulumi.ComponentResource):
    """Sink, topic, subscription, the gateway behind them, and a place for messages that it refused."""

    def __init__(
        self, foundation: Foundation, backend: Backend, gateway: Gateway, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("logbrook:infra:CloudLogging", "cloud-logging", None, opts)
        self.settings = foundation.settings
        self._child = pulumi.ResourceOptions(parent=self)
        agent = gcp.projects.ServiceIdentity("pubsub", service="pubsub.googleapis.com", opts=self._child)
        topic, dead = self._topic("logging"), self._topic("logging-dead")
        self._may("agent-publishes-dead", dead, "publisher", agent.member)
        self._subscription("logging-dead", dead, message_retention_duration=_DEAD_KEEP)
        caller = Identity(self.settings, "push", "Pub/Sub to the gateway", self._child)
        after = pulumi.ResourceOptions(parent=self, depends_on=[gateway.service])
        taking = service(foundation, self._shape(backend), gateway.identity, after)
        subscription = self._subscription(
            "logging",
            topic,
            message_retention_duration=_KEEP,
            ack_deadline_seconds=60,
            push_config={
                "push_endpoint": taking.uri.apply(lambda uri: f"{uri}/pubsub"),
                "oidc_token": {"service_account_email": caller.email, "audience": taking.uri},
            },
            retry_policy={"minimum_backoff": "10s", "maximum_backoff": "600s"},
            dead_letter_policy={"dead_letter_topic": dead.id, "max_delivery_attempts": _ATTEMPTS},
        )
        gcp.pubsub.SubscriptionIAMMember(
            "agent-moves-dead",
            subscription=subscription.name,
            role="roles/pubsub.subscriber",
            member=agent.member,
            opts=self._child,
        )
        may_call("push-calls-gateway", taking, caller.member, self._child)
        sink = gcp.logging.ProjectSink(
            "logging",
            name=self.settings.name,
            destination=topic.id.apply(lambda name: f"pubsub.googleapis.com/{name}"),
            filter=self.settings.cloud_logging_filter,
            exclusions=[{"name": "own", "filter": own(self.settings)}],
            unique_writer_identity=True,
            opts=self._child,
        )
        self._may("sink-publishes", topic, "publisher", sink.writer_identity)
        self.register_outputs({})

    def _topic(self, name: str) -> gcp.pubsub.Topic:
        return gcp.pubsub.Topic(name, name=f"{self.settings.name}-{name}", opts=self._child)

    def _subscription(self, name: str, topic: gcp.pubsub.Topic, **how: Any) -> gcp.pubsub.Subscription:
        return gcp.pubsub.Subscription(
            name,
            name=f"{self.settings.name}-{name}",
            topic=topic.id,
            expiration_policy={"ttl": ""},
            opts=self._child,
            **how,
        )

    def _may(self, name: str, topic: gcp.pubsub.Topic, role: str, member: pulumi.Input[str]) -> None:
        gcp.pubsub.TopicIAMMember(name, topic=topic.name, role=f"roles/pubsub.{role}", member=member, opts=self._child)

    def _shape(self, backend: Backend) -> Shape:
        environment = kafka(backend, "gateway") | Environment(
            {"LOGBROOK_GATEWAY_HOST": ANY, "LOGBROOK_GATEWAY_CHECKED_SOURCE": SOURCE}
        )
        return Shape("logging", "gateway", 4318, (0, self.settings.gateway_max), environment, ingress="INTERNAL_ONLY")


def own(settings: Settings) -> str:
    """The entries of this stack's services: each push makes one, which would be pushed again."""
    return f'resource.type="cloud_run_revision" AND resource.labels.service_name=~"^{settings.name}-"'
