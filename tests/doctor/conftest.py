"""A broker with three listeners: for its own machine, with passwords, and one that sends clients somewhere else."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import admin as kafka_admin

from logbrook import config
from native import brokers, jars, ports
from tests.components import REPOSITORY, KafkaBroker, NativeStack, native_stack, running
from tests.doctor import holes

PASSWORD = secrets.token_hex(8)


@dataclass(frozen=True)
class OddBroker(KafkaBroker):
    """The broker of this directory's tests."""

    vpc: str
    """A listener with SCRAM, behind ACLs, as on the data node."""
    wrong: str
    """A listener that advertises a port at which nobody answers."""

    def user(self, name: str, password: str = PASSWORD, topic: str = "logs") -> config.Kafka:
        """How one of its users reaches it."""
        return config.Kafka(
            bootstrap_servers=self.vpc,
            topic=topic,
            security_protocol="SASL_PLAINTEXT",
            sasl_username=name,
            sasl_password=password,
        )


@pytest.fixture(scope="package")
def odd_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddBroker]:
    """A ZooKeeper, and the broker with its users `gateway` and `consumer`, without rights to a test's topic."""
    directory, jar_files = tmp_path_factory.mktemp("kafka"), jars.ensure(REPOSITORY / ".local/jars")
    host, vpc, wrong, zookeeper_port = ports.free(4)
    addresses = f"HOST://127.0.0.1:{host},VPC://127.0.0.1:{vpc},WRONG://127.0.0.1:"
    with holes.silent() as elsewhere:
        settings = {
            "listeners": f"{addresses}{wrong}",
            "advertised.listeners": f"{addresses}{elsewhere}",
            "listener.security.protocol.map": "HOST:PLAINTEXT,VPC:SASL_PLAINTEXT,WRONG:PLAINTEXT",
            "inter.broker.listener.name": "HOST",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.vpc.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
            "super.users": "User:ANONYMOUS",
            "zookeeper.session.timeout.ms": 40000,
            "controlled.shutdown.enable": "false",
        }
        zookeeper = brokers.zookeeper(directory / "zookeeper", jar_files, zookeeper_port, level="WARN")
        broker = brokers.kafka(directory / "kafka", jar_files, host, zookeeper_port, level="WARN", settings=settings)
        with running(zookeeper, directory / "zookeeper.log"), running(broker, directory / "kafka.log"):
            # The node's own program; it grants rights to the topic `logs` alone, which no test uses.
            command = [sys.executable, str(REPOSITORY / "compose/kafka/access.py"), f"127.0.0.1:{host}"]
            passwords = {f"KAFKA_{user}_PASSWORD": PASSWORD for user in ("GATEWAY", "CONSUMER", "AUTOSCALER")}
            subprocess.run(command, env={**os.environ, **passwords}, check=True, timeout=120)
            names = (f"127.0.0.1:{host}", zookeeper_port, f"127.0.0.1:{vpc}", f"127.0.0.1:{wrong}")
            yield OddBroker(*names)


@pytest.fixture(scope="package")
def kafka(odd_broker: OddBroker) -> KafkaBroker:
    """The same, for fixtures that need any Kafka."""
    return odd_broker


def grant(
    broker: KafkaBroker, user: str, kind: kafka_admin.ResourceType, name: str, *operations: kafka_admin.AclOperation
) -> None:
    """Let the user do this."""
    admin = kafka_admin.AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    principal, pattern = f"User:{user}", kafka_admin.ResourcePatternType.LITERAL
    acls = [
        kafka_admin.AclBinding(kind, name, pattern, principal, "*", each, kafka_admin.AclPermissionType.ALLOW)
        for each in operations
    ]
    for done in admin.create_acls(acls).values():
        done.result()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """The stack, with all its files in one directory, on ports that only its `.env` knows."""
    with native_stack(tmp_path_factory.mktemp("stack")) as up:
        state = up.settings.state
        moved = {name: str(port) for port, name in up.settings.ports.variables().values()}
        with (state / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in moved.items())
        yield up
