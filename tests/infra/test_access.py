"""Kafka's users on a real broker with the data node's listener settings: each may do its work, and nothing else."""

# mypy: disable-error-code="attr-defined, arg-type, no-untyped-call"
# confluent_kafka's own hints do not know these names.

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from infra.render import ROOT
from native import brokers, jars, ports
from tests.components import running, until

PASSWORDS = {user: f"{user}-password-of-a-test" for user in ("gateway", "consumer", "autoscaler")}
CLOUD = yaml.safe_load((ROOT / "compose/compose.cloud.yaml").read_text())["services"]["kafka"]["environment"]


@dataclass
class Broker:
    """Where it listens: for its own machine, and for the VPC."""

    host: str
    vpc: str

    def client(self, user: str | None, **config: Any) -> dict[str, Any]:
        """A client's configuration, with the user's password or without any."""
        if user is None:
            return {"bootstrap.servers": self.host, "log_level": 0, **config}
        return {
            "bootstrap.servers": self.vpc,
            "log_level": 0,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": PASSWORDS.get(user, "wrong"),
            **config,
        }


def _cloud_settings(host: int, vpc: int) -> dict[str, object]:
    """compose.cloud.yaml's settings as the broker's own, with the two listeners on free ports."""
    settings: dict[str, object] = {
        name.removeprefix("KAFKA_").replace("___", "-").replace("_", ".").lower(): str(value).strip()
        for name, value in CLOUD.items()
    }
    assert settings["listener.name.vpc.scram-sha-512.sasl.jaas.config"]
    listeners = f"INTERNAL://127.0.0.1:{host},VPC://127.0.0.1:{vpc}"
    return settings | {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "inter.broker.listener.name": "INTERNAL",
        # On a busy machine, the authorizer's session would end while the broker starts.
        "zookeeper.session.timeout.ms": 40000,
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker as on the data node, with the topic, and access.py run twice."""
    directory = tmp_path_factory.mktemp("access")
    jar_files = jars.ensure(ROOT / ".local/jars")
    host, vpc, zookeeper_port = ports.free(3)
    zookeeper = brokers.zookeeper(directory / "zookeeper", jar_files, zookeeper_port, level="WARN")
    settings = {**_cloud_settings(host, vpc), "controlled.shutdown.enable": "false"}
    kafka = brokers.kafka(directory / "kafka", jar_files, host, zookeeper_port, level="WARN", settings=settings)
    with running(zookeeper, directory / "zookeeper.log"), running(kafka, directory / "kafka.log"):
        made = Broker(f"127.0.0.1:{host}", f"127.0.0.1:{vpc}")
        admin = AdminClient(made.client(None))
        for topic in ("logs", "other"):
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
        for _ in range(2):
            _access(made)
        yield made


def _access(broker: Broker) -> None:
    environ = {f"KAFKA_{user.upper()}_PASSWORD": password for user, password in PASSWORDS.items()}
    command = [sys.executable, str(ROOT / "compose/kafka/access.py"), broker.host]
    environ = {**os.environ, **environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not any(password in done.stdout + done.stderr for password in PASSWORDS.values())


def _produce(broker: Broker, user: str, topic: str) -> KafkaError | None:
    """The broker's answer to one message; the gateway's producer is idempotent, as in the service."""
    answers: list[KafkaError | None] = []
    config = {"enable.idempotence": user == "gateway", "acks": "all", "delivery.timeout.ms": 8000}
    producer = Producer(broker.client(user, **config))
    producer.produce(topic, b"{}", on_delivery=lambda error, _message: answers.append(error))
    producer.flush(15)
    (answer,) = answers
    return answer


def _consume(broker: Broker, user: str, topic: str, group: str) -> int:
    """Read one message and commit it; 0, or the code of the first error."""
    consumer = Consumer(broker.client(user, **{"group.id": group, "auto.offset.reset": "earliest"}))
    seen: list[int] = []
    try:
        consumer.subscribe([topic])

        def polled() -> bool:
            message = consumer.poll(0.2)
            if message is not None:
                error = message.error()
                seen.append(error.code() if error else 0)
            return bool(seen)

        until(polled, 30)
        if seen == [0]:
            consumer.commit(asynchronous=False)
        return seen[0]
    finally:
        consumer.close()


def test_the_gateway_writes_the_topic_and_nothing_else(broker: Broker) -> None:
    """Its idempotent producer is acknowledged for `logs`, refused for another topic, and it may not read."""
    assert _produce(broker, "gateway", "logs") is None
    refused = _produce(broker, "gateway", "other")
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert _consume(broker, "gateway", "logs", "logbrook") in {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }


def test_the_consumer_reads_in_its_group_and_does_not_write(broker: Broker) -> None:
    """It reads `logs` and commits as `logbrook`; another group or a message of its own are refused."""
    assert _produce(broker, "gateway", "logs") is None
    assert _consume(broker, "consumer", "logs", "logbrook") == 0
    assert _consume(broker, "consumer", "logs", "another") == KafkaError.GROUP_AUTHORIZATION_FAILED
    refused = _produce(broker, "consumer", "logs")
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_the_autoscaler_sees_the_lag_and_no_message(broker: Broker) -> None:
    """It may ask for the group's offsets and the topic's ends, which is the lag; reading is refused."""
    admin = AdminClient(broker.client("autoscaler"))
    (offsets,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("logbrook")]).values()
    assert offsets.result().topic_partitions is not None
    ends = admin.list_offsets({TopicPartition("logs", 0): OffsetSpec.latest()})
    assert all(each.result().offset >= 0 for each in ends.values())
    assert _consume(broker, "autoscaler", "logs", "logbrook") in {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }


@pytest.mark.parametrize("user", ["stranger", "admin"])
def test_strangers_are_not_let_in(broker: Broker, user: str) -> None:
    """Without one of the three names and its password, the VPC listener gives nothing away."""
    with pytest.raises(KafkaException):
        AdminClient(broker.client(user)).list_topics(timeout=5)


def test_no_password_no_entry(broker: Broker) -> None:
    """A client that brings no password is not taken for the broker's own machine."""
    plain = {"bootstrap.servers": broker.vpc, "log_level": 0}
    with pytest.raises(KafkaException):
        AdminClient(plain).list_topics(timeout=5)


def test_a_right_that_is_no_longer_wanted_goes(broker: Broker) -> None:
    """Whatever somebody granted by hand is gone after the next deploy."""
    admin = AdminClient(broker.client(None))
    extra = AclBinding(
        ResourceType.TOPIC, "other", ResourcePatternType.LITERAL, "User:gateway", "*",
        AclOperation.READ, AclPermissionType.ALLOW,
    )  # fmt: skip
    admin.create_acls([extra])[extra].result()
    _access(broker)
    every: Any = (ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    assert extra not in admin.describe_acls(AclBindingFilter(*every)).result()
