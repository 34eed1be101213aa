"""Give Kafka's users their passwords and exactly the rights that each needs. Harmless to repeat.

    python access.py BOOTSTRAP_SERVERS

It connects without a password, which the broker allows from its own machine alone. Passwords come from the
environment: KAFKA_GATEWAY_PASSWORD and so on. Whatever is not granted here is denied.
"""

# mypy: disable-error-code="attr-defined, arg-type"
# confluent_kafka's own hints know neither these names nor that a filter's None stands for all.

import os
import sys
from collections.abc import Mapping

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

TOPIC = "logs"
GROUP = "logbrook"
USERS = ("gateway", "consumer", "autoscaler")
# Where: who may do what. An idempotent producer needs no more than WRITE since Kafka 3.0.
RIGHTS: Mapping[str, tuple[tuple[ResourceType, str, tuple[AclOperation, ...]], ...]] = {
    "gateway": ((ResourceType.TOPIC, TOPIC, (AclOperation.WRITE, AclOperation.DESCRIBE)),),
    "consumer": (
        (ResourceType.TOPIC, TOPIC, (AclOperation.READ, AclOperation.DESCRIBE)),
        (ResourceType.GROUP, GROUP, (AclOperation.READ, AclOperation.DESCRIBE)),
    ),
    "autoscaler": (
        (ResourceType.TOPIC, TOPIC, (AclOperation.DESCRIBE,)),
        (ResourceType.GROUP, GROUP, (AclOperation.DESCRIBE,)),
    ),
}
TIMEOUT_SECONDS = 60


def wanted() -> set[AclBinding]:
    """Every right as Kafka's own ACL."""
    return {
        _binding(user, kind, name, operation)
        for user, rights in RIGHTS.items()
        for kind, name, operations in rights
        for operation in operations
    }


def _binding(user: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)


def grant(admin: AdminClient, passwords: Mapping[str, str]) -> None:
    """Set passwords, remove the rights that are no longer wanted, add the others. Raises KafkaException."""
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    changes = [UserScramCredentialUpsertion(user, scram, passwords[user].encode()) for user in USERS]
    for done in admin.alter_user_scram_credentials(changes, request_timeout=TIMEOUT_SECONDS).values():
        done.result()
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    present = set(admin.describe_acls(every, request_timeout=TIMEOUT_SECONDS).result())
    if surplus := [_exactly(binding) for binding in present - wanted()]:
        for done in admin.delete_acls(surplus, request_timeout=TIMEOUT_SECONDS).values():
            done.result()
    if missing := sorted(wanted() - present, key=str):
        for done in admin.create_acls(missing, request_timeout=TIMEOUT_SECONDS).values():
            done.result()


def _exactly(binding: AclBinding) -> AclBindingFilter:
    """The filter that matches this one right."""
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def main() -> None:
    """Read the passwords from the environment, and grant."""
    passwords = {user: os.environ[f"KAFKA_{user.upper()}_PASSWORD"] for user in USERS}
    grant(AdminClient({"bootstrap.servers": sys.argv[1], "client.id": "logbrook-access"}), passwords)
    print(f"Kafka's users and their rights are set: {', '.join(USERS)}")  # noqa: T201 - the container's log


if __name__ == "__main__":
    main()
