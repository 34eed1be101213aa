"""The topic: is it there, may we use it, is it divided as the settings say, and does what it keeps fit the disk?"""

import time

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, ConfigResource, ResourceType

from logbrook.doctor import log_dirs
from logbrook.doctor.diagnosis import Answer, Diagnosis, Found, NotCheckedError
from logbrook.doctor.place import ANSWER_SECONDS, REQUEST_SECONDS, Place

MISSING = Diagnosis("topic.missing", "The topic does not exist.", "Run `logbrook migrate`, which creates it.")
RIGHTS = Diagnosis(
    "kafka.rights",
    "Kafka's ACLs do not let the user do its work.",
    "Grant what is missing: compose/kafka/access.py has each user's rights, and the node's start-up applies them.",
)
PARTITIONS = Diagnosis(
    "topic.partitions",
    "The topic has fewer partitions than the settings say: the gateway refuses to send.",
    "Run `logbrook migrate`, which adds them, or lower LOGBROOK_KAFKA_PARTITIONS to the number that there is.",
)
LEADERLESS = Diagnosis(
    "topic.leaderless",
    "Partitions have no leader: nobody can write to them or read from them.",
    "Start the brokers that held them; ZooKeeper must be up. `kafka-topics --describe` names them.",
)
SETTINGS = Diagnosis(
    "topic.settings",
    "The topic is not kept as the settings say.",
    "Run `logbrook migrate`. Kafka can't remove partitions: if there are more, raise LOGBROOK_KAFKA_PARTITIONS.",
    "warning",
)
RETENTION = Diagnosis(
    "kafka.retention",
    "What the topic may keep is larger than the broker's disk: a long outage would fill it.",
    "Lower LOGBROOK_KAFKA_RETENTION_BYTES (it counts for each partition) and run `logbrook migrate`, or take a larger "
    "disk.",
    "warning",
)
DISK = Diagnosis(
    "kafka.disk",
    "The broker's disk is nearly full. A broker without room on its disk stops.",
    "Lower LOGBROOK_KAFKA_RETENTION_BYTES and run `logbrook migrate` (look at the lag first), or enlarge the disk.",
)
_FULL = 0.1
_OPERATIONS = {
    "gateway": {AclOperation.DESCRIBE, AclOperation.WRITE},
    "autoscaler": {AclOperation.DESCRIBE},
    "consumer": {AclOperation.DESCRIBE, AclOperation.READ},
}


def describe(place: Place) -> Answer:
    """Existence, leaders and number of partitions."""
    if wrong := _look(place):
        return wrong
    name, there = place.kafka.topic, len(place.topic.partitions)
    # Elsewhere than beside its stack, a number that nobody chose is nobody's.
    chosen = place.stack is not None or "LOGBROOK_KAFKA_PARTITIONS" in place.given
    wanted = place.kafka.partitions if chosen else there
    if leaderless := [each.id for each in place.topic.partitions if each.leader is None]:
        return LEADERLESS.found(f"topic {name!r}: partitions {leaderless}")
    if there != wanted:
        kind = PARTITIONS if there < wanted else SETTINGS
        return kind.found(f"topic {name!r} has {there} partitions, LOGBROOK_KAFKA_PARTITIONS says {wanted}")
    return f"{name} has {there} partitions, each with a leader"


def _look(place: Place) -> Found | None:
    name, deadline = TopicCollection([place.kafka.topic]), time.monotonic() + ANSWER_SECONDS
    while True:
        asked = place.admin.describe_topics(name, include_authorized_operations=True, request_timeout=REQUEST_SECONDS)
        try:
            place.learned["topic"] = asked[place.kafka.topic].result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return MISSING.found(f"{place.kafka.bootstrap_servers} has no topic {place.kafka.topic!r}")
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return RIGHTS.found(f"{place.kafka.sasl_username!r} may not even see the topic {place.kafka.topic!r}")
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return None


def rights(place: Place) -> Answer:
    """Whether the ACLs let this user do what its role needs."""
    role = place.role or place.kafka.sasl_username
    role, may = role if role in _OPERATIONS else "consumer", set(place.topic.authorized_operations or ())
    if not may:
        raise NotCheckedError("Kafka does not say what this user may do with the topic")
    if missing := sorted(each.name for each in _OPERATIONS[role] - may):
        user = place.kafka.sasl_username
        return RIGHTS.found(f"{user!r} as a {role} lacks {', '.join(missing)} on the topic {place.kafka.topic!r}")
    return f"all that a {role} needs"


def retention(place: Place) -> Answer:
    """What the topic keeps, against the settings and the disk."""
    resource = ConfigResource(ResourceType.TOPIC, place.kafka.topic)
    asked = place.admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    found = asked[resource].result()
    per_partition, hours = int(found["retention.bytes"].value), int(found["retention.ms"].value) / 3_600_000
    for name, here, wanted in (
        ("LOGBROOK_KAFKA_RETENTION_BYTES", per_partition, place.kafka.retention_bytes),
        ("LOGBROOK_KAFKA_RETENTION_HOURS", hours, place.kafka.retention_hours),
    ):
        if name in place.given and here != wanted:
            return SETTINGS.found(f"the topic keeps {here:g}, {name} says {wanted}")
    if place.kafka.security_protocol != "PLAINTEXT":
        raise NotCheckedError("a broker tells the size of its disk over a listener without a password only")
    kept = per_partition * len(place.topic.partitions) / len(place.learned["brokers"])
    limit = f"the topic may keep {kept / 2**30:.1f} GiB of it" if per_partition >= 0 else "the topic has no limit"
    for number, host, port in place.learned["brokers"]:
        for path, total, free in log_dirs.disks(host, port):
            where = f"broker {number}, {path}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
            if free < _FULL * total:
                return DISK.found(where)
            if per_partition < 0 or kept > total:
                return RETENTION.found(f"{where}, and {limit}")
    return f"{where}; {limit} for {hours:g} h"
