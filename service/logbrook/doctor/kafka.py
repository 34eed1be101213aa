"""Kafka: does it answer, with addresses that work; is the topic as it should be; does the group make progress?"""

import socket
import struct
import time
from dataclasses import replace
from typing import cast

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, ConfigResource, ConsumerGroupDescription, ResourceType, TopicDescription

from logbrook.consumer import span
from logbrook.doctor import contact
from logbrook.doctor.contact import ANSWER_SECONDS, CONNECT_SECONDS, REQUEST_SECONDS, Target
from logbrook.doctor.diagnosis import NotCheckedError, Wrong
from logbrook.doctor.place import Place

_FULL = 0.1
_GIB = 2**30
_OPERATIONS = {
    "gateway": {AclOperation.DESCRIBE, AclOperation.WRITE},
    "autoscaler": {AclOperation.DESCRIBE},
    "consumer": {AclOperation.DESCRIBE, AclOperation.READ},
}
_POLL_SECONDS = 0.2
# A consumer commits twice a second; on a very busy machine, five seconds have been seen.
_WATCH_SECONDS = 10.0


def zookeeper(place: Place) -> str:
    """Does ZooKeeper answer `srvr`? Its default whitelist allows that (ZooKeeper's Administrator's Guide, 3.8)."""
    if "zookeeper" in place.processes:
        return str(place.processes["zookeeper"])
    if not place.zookeeper:
        raise NotCheckedError("nothing here says where ZooKeeper is (LOGBROOK_ZOOKEEPER_ADDRESS)")
    to = contact.target(place.zookeeper, 2181, "LOGBROOK_ZOOKEEPER_ADDRESS")
    try:
        with contact.connected(to) as connection:
            connection.sendall(b"srvr")
            said = connection.makefile("rb").read()
    except (OSError, Wrong) as error:
        raise Wrong("zookeeper.down", said=f"{to}: {error}") from None
    if b"Mode:" not in said:
        raise Wrong("zookeeper.down", said=f"{to} says {said[:100]!r}")
    return f"{to} answers"


def address(place: Place) -> str:
    """Can one of the bootstrap servers be reached?"""
    servers = place.kafka.bootstrap_servers.split(",")
    targets = [_target(place, each) for each in servers]
    answers = contact.at_once(contact.reach, targets, ANSWER_SECONDS * 2)
    reached = {server: answer for server, answer in zip(servers, answers, strict=True) if isinstance(answer, str)}
    if not reached:
        raise cast(Exception, answers[0])
    # librdkafka may keep asking a server that is down for a group's coordinator.
    place.reached = replace(place.kafka, bootstrap_servers=",".join(reached))
    return next(iter(reached.values()))


def login(place: Place) -> str:
    """Does Kafka answer, and let us in?"""
    to = _target(place, place.reached.bootstrap_servers.split(",")[0])
    place.admin, place.brokers = contact.kafka(place.reached, to, ANSWER_SECONDS)
    return f"Kafka lets {place.kafka.sasl_username or 'everybody'} in; brokers: {len(place.brokers)}"


def _target(place: Place, address: str, setting: str = "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS") -> Target:
    return contact.target(address, 9092, setting, tls=place.kafka.security_protocol.endswith("SSL"))


def advertised(place: Place) -> str:
    """Does each address that the brokers give to their clients lead to Kafka from here?"""
    kafka = place.kafka
    bootstrap = {each.strip() for each in kafka.bootstrap_servers.split(",")}
    addresses = {f"{host}:{port}": broker for broker, host, port in place.brokers}
    others = [each for each in addresses if each not in bootstrap]

    def use(address: str) -> None:
        to = _target(place, address, "advertised")
        contact.connected(to).close()
        contact.kafka(replace(kafka, bootstrap_servers=address), to, CONNECT_SECONDS)

    for address, wrong in zip(others, contact.at_once(use, others, 13), strict=True):
        if wrong is not None:
            facts = {"to": kafka.bootstrap_servers, "broker": addresses[address], "address": address}
            raise Wrong("kafka.advertised", **facts, said=wrong)
    return f"{', '.join(addresses)}{'' if others else ', the bootstrap address itself'}"


def topic(place: Place) -> str:
    """Does the topic exist, with a leader for each partition and as many of them as the settings say?"""
    place.topic = _described(place)
    name, count = place.kafka.topic, len(place.topic.partitions)
    if leaderless := [each.id for each in place.topic.partitions if each.leader is None]:
        raise Wrong("topic.leaderless", topic=name, partitions=leaderless)
    # Except next to its stack, a number that nobody set means nothing.
    chosen = hasattr(place, "stack") or "LOGBROOK_KAFKA_PARTITIONS" in place.given
    if chosen and count != place.kafka.partitions:
        code = "topic.partitions" if count < place.kafka.partitions else "topic.settings"
        facts = {"setting": "LOGBROOK_KAFKA_PARTITIONS", "wanted": place.kafka.partitions}
        raise Wrong(code, topic=name, count=count, said=f"has {count} partitions", **facts)
    return f"{name} has {count} partitions, each with a leader"


def _described(place: Place) -> TopicDescription:
    name, deadline = place.kafka.topic, time.monotonic() + ANSWER_SECONDS
    facts = {"to": place.kafka.bootstrap_servers, "topic": name, "user": place.kafka.sasl_username}
    while True:
        asked = place.admin.describe_topics(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=REQUEST_SECONDS
        )
        try:
            return cast(TopicDescription, asked[name].result())
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Wrong("topic.missing", **facts) from None
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise Wrong("kafka.rights", **facts, role=_role(place), missing="DESCRIBE") from None
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


def _role(place: Place) -> str:
    role = place.role or place.kafka.sasl_username
    return role if role in _OPERATIONS else "consumer"


def rights(place: Place) -> str:
    """Do the ACLs let this user do what its role needs?"""
    role, may = _role(place), set(place.topic.authorized_operations or ())
    if not may:
        raise NotCheckedError("Kafka does not say what this user may do with the topic")
    if missing := ", ".join(sorted(each.name for each in _OPERATIONS[role] - may)):
        user = place.kafka.sasl_username
        raise Wrong("kafka.rights", user=user, role=role, missing=missing, topic=place.kafka.topic)
    return f"everything that a {role} needs"


def retention(place: Place) -> str:
    """Does the topic keep what the settings say, and does that fit the brokers' disks?"""
    resource = ConfigResource(ResourceType.TOPIC, place.kafka.topic)
    found = place.admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    per_partition, hours = int(found["retention.bytes"].value), int(found["retention.ms"].value) / 3_600_000
    for name, here, wanted in (
        ("LOGBROOK_KAFKA_RETENTION_BYTES", per_partition, place.kafka.retention_bytes),
        ("LOGBROOK_KAFKA_RETENTION_HOURS", hours, place.kafka.retention_hours),
    ):
        if name in place.given and here != wanted:
            raise Wrong("topic.settings", topic=place.kafka.topic, said=f"keeps {here:g}", setting=name, wanted=wanted)
    if place.kafka.security_protocol != "PLAINTEXT":
        raise NotCheckedError("a broker tells the size of its disk only over a listener without a password")
    disks = [(broker, *disk) for broker, host, port in place.brokers for disk in log_dirs(host, port)]
    if not disks:
        raise NotCheckedError("no broker tells the size of its disk")
    kept = per_partition * len(place.topic.partitions) / len(place.brokers)
    limit = f"the topic may keep {kept / _GIB:.1f} GiB of it" if per_partition >= 0 else "the topic has no limit"
    for broker, path, total, free in disks:
        said = f"broker {broker}, {path}: {free / _GIB:.1f} of {total / _GIB:.1f} GiB are free"
        if free < _FULL * total:
            raise Wrong("kafka.disk", said=said)
        if per_partition < 0 or kept > total:
            raise Wrong("kafka.retention", said=f"{said}, and {limit}")
    return f"{said}; {limit} for {hours:g} h"


def log_dirs(host: str, port: int) -> list[tuple[str, int, int]]:
    """Path, total bytes, and free bytes of each of a broker's log directories: librdkafka lacks this request.

    DescribeLogDirs, key 35, version 4 (KIP-827), by clients/src/main/resources/common/message/DescribeLogDirs*.json
    of apache/kafka 3.9.1. Raises OSError.
    """
    # Header: key, version, correlation id, client id (null), no tags. Body: an array of no topics, no tags.
    request = struct.pack(">hhih", 35, 4, 1, -1) + b"\x00\x01\x00"
    with socket.create_connection((host, port), CONNECT_SECONDS) as connection, connection.makefile("rb") as answer:
        connection.sendall(struct.pack(">i", len(request)) + request)

        def varint() -> int:
            byte = answer.read(1)[0]
            return byte if byte < 0x80 else byte & 0x7F | varint() << 7

        answer.read(4 + 4 + 1 + 4 + 2)  # size, correlation id, tags, throttle time, error
        found = []
        for _ in range(varint() - 1):
            answer.read(2)  # error
            path = answer.read(varint() - 1).decode()
            # Between an array of no topics and the tags.
            found.append((path, *struct.unpack(">xqqx", answer.read(18))))
    return found


def members(place: Place) -> str:
    """Does the consumer group have members, and do they own all partitions? A rebalance gets time to finish."""
    name, group = place.kafka.topic, place.group
    everything, deadline = {each.id for each in place.topic.partitions}, time.monotonic() + _WATCH_SECONDS
    while True:
        asked = place.admin.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS)
        said = cast(ConsumerGroupDescription, asked[group].result())
        has = [{at.partition for at in each.assignment.topic_partitions if at.topic == name} for each in said.members]
        missing = sorted(everything.difference(*has))
        if not missing:
            place.members = has
            return f"all {len(everything)} partitions are assigned; members: {len(has)}"
        if time.monotonic() > deadline:
            code = "group.unassigned" if said.members else "group.none"
            raise Wrong(code, group=group, state=said.state.name, partitions=missing)
        time.sleep(_POLL_SECONDS)


def lag(place: Place) -> str:
    """Do the consumers commit anything while messages are pending?"""
    with span.reader(place.reached, place.group) as reader:
        at, before = span.spans(reader, place.reached, span.Bounds())
        if still := span.stalled(reader, at, before, time.monotonic() + _WATCH_SECONDS):
            _, now = span.spans(reader, place.reached, span.Bounds())
            if [each.committed for each in now] == [each.committed for each in before]:
                count = sum(each.pending for each in now if each.partition in still)
                raise Wrong("group.stuck", count=count, seconds=_WATCH_SECONDS)
    return f"the lag is {sum(each.pending for each in before):,}"
