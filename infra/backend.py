"""What Cloud Run's programs are told about Kafka and ClickHouse, with either backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp

from infra.secret_store import SecretStore

TOPIC = "logs"
GROUP = "logbrook"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Addresses and protocols. Without a `sasl_mechanism` that uses a password, programs log in as themselves."""

    kafka_bootstrap: pulumi.Input[str]
    kafka_partitions: int
    security_protocol: str
    sasl_mechanism: str
    clickhouse_host: str
    clickhouse_port: int
    clickhouse_secure: bool
    ready: Sequence[pulumi.Input[pulumi.Resource]] = ()
    """What must exist and be ready before a program is started."""
    node_id: pulumi.Output[str] | None = None
    """The number that Google gave the data node."""

    @property
    def kafka_has_passwords(self) -> bool:
        """False where the service account itself is the user."""
        return self.sasl_mechanism != "OAUTHBEARER"


@dataclass(frozen=True)
class Environment:
    """A program's variables: plain values, and names of secrets."""

    plain: Mapping[str, pulumi.Input[str]]
    secret: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "Environment") -> "Environment":
        return Environment({**self.plain, **other.plain}, {**self.secret, **other.secret})


def kafka(backend: Backend, user: str) -> Environment:
    """How `user` reaches Kafka."""
    plain: dict[str, pulumi.Input[str]] = {
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": backend.kafka_bootstrap,
        "LOGBROOK_KAFKA_TOPIC": TOPIC,
        # Idempotency keys are spread over this many: gateway and topic have to agree.
        "LOGBROOK_KAFKA_PARTITIONS": str(backend.kafka_partitions),
        "LOGBROOK_KAFKA_SECURITY_PROTOCOL": backend.security_protocol,
        "LOGBROOK_KAFKA_SASL_MECHANISM": backend.sasl_mechanism,
    }
    if not backend.kafka_has_passwords:
        return Environment(plain)
    plain["LOGBROOK_KAFKA_SASL_USERNAME"] = user
    return Environment(plain, {"LOGBROOK_KAFKA_SASL_PASSWORD": f"kafka-{user}-password"})


def clickhouse(backend: Backend, user: str, password: str) -> Environment:
    """How `user` reaches ClickHouse; `password` is the secret's name."""
    return Environment(
        {
            "LOGBROOK_CLICKHOUSE_HOST": backend.clickhouse_host,
            "LOGBROOK_CLICKHOUSE_PORT": str(backend.clickhouse_port),
            "LOGBROOK_CLICKHOUSE_SECURE": str(backend.clickhouse_secure).lower(),
            "LOGBROOK_CLICKHOUSE_USERNAME": user,
        },
        {"LOGBROOK_CLICKHOUSE_PASSWORD": password},
    )


def service_variables(
    environment: Environment, store: SecretStore
) -> list[gcp.cloudrunv2.ServiceTemplateContainerEnvArgs]:
    """The variables of a Cloud Run service; a secret by its version, so that a new version creates a new revision."""
    args = gcp.cloudrunv2
    plain = [args.ServiceTemplateContainerEnvArgs(name=k, value=v) for k, v in environment.plain.items()]
    return plain + [
        args.ServiceTemplateContainerEnvArgs(
            name=name,
            value_source=args.ServiceTemplateContainerEnvValueSourceArgs(
                secret_key_ref=args.ServiceTemplateContainerEnvValueSourceSecretKeyRefArgs(
                    secret=store.secrets[secret].secret_id, version=store.versions[secret].version
                )
            ),
        )
        for name, secret in environment.secret.items()
    ]


def pool_variables(
    environment: Environment, store: SecretStore
) -> list[gcp.cloudrunv2.WorkerPoolTemplateContainerEnvArgs]:
    """The same for a worker pool."""
    args = gcp.cloudrunv2
    plain = [args.WorkerPoolTemplateContainerEnvArgs(name=k, value=v) for k, v in environment.plain.items()]
    return plain + [
        args.WorkerPoolTemplateContainerEnvArgs(
            name=name,
            value_source=args.WorkerPoolTemplateContainerEnvValueSourceArgs(
                secret_key_ref=args.WorkerPoolTemplateContainerEnvValueSourceSecretKeyRefArgs(
                    secret=store.secrets[secret].secret_id, version=store.versions[secret].version
                )
            ),
        )
        for name, secret in environment.secret.items()
    ]


def job_variables(
    environment: Environment, store: SecretStore
) -> list[gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs]:
    """The same for a job."""
    args = gcp.cloudrunv2
    plain = [args.JobTemplateTemplateContainerEnvArgs(name=k, value=v) for k, v in environment.plain.items()]
    return plain + [
        args.JobTemplateTemplateContainerEnvArgs(
            name=name,
            value_source=args.JobTemplateTemplateContainerEnvValueSourceArgs(
                secret_key_ref=args.JobTemplateTemplateContainerEnvValueSourceSecretKeyRefArgs(
                    secret=store.secrets[secret].secret_id, version=store.versions[secret].version
                )
            ),
        )
        for name, secret in environment.secret.items()
    ]
