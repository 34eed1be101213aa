"""What Cloud Run's programs are told about Kafka and ClickHouse, with either backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

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

    @property
    def kafka_roles(self) -> tuple[str, ...]:
        """What a program's account needs in the project in order to log in to Kafka."""
        return () if self.kafka_has_passwords else ("roles/managedkafka.client",)


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


def variables(environment: Environment, store: SecretStore) -> list[Any]:
    """The variables of any container; a secret by its version, so that a new version makes a new revision."""
    plain: list[Any] = [{"name": name, "value": value} for name, value in environment.plain.items()]
    return plain + [
        {
            "name": name,
            "value_source": {
                "secret_key_ref": {"secret": store.secrets[key].secret_id, "version": store.versions[key].version}
            },
        }
        for name, key in environment.secret.items()
    ]


def probe(port: int, every_seconds: int, timeout_seconds: int, failures: int, path: str = "/healthz") -> Any:
    """A container's probe over HTTP, which counts as failed after so many failures in a row."""
    return {
        "http_get": {"path": path, "port": port},
        "period_seconds": every_seconds,
        "timeout_seconds": timeout_seconds,
        "failure_threshold": failures,
    }
