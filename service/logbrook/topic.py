"""Kafka's topic: created, or brought in line with its settings."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from logbrook import config
from logbrook.errors import KafkaUnavailableError, SchemaError
from logbrook.kafka import admin_client, in_words, unavailable
from logbrook.waiting import WAIT_SECONDS, up_to

log = structlog.get_logger()

_KAFKA_TIMEOUT_SECONDS = 10.0
# Errors that pass although librdkafka does not call them retriable: a broker returns the first while its session with
# ZooKeeper is renewed, the second right afterwards (retriable according to
# kafka.apache.org/protocol#protocol_error_codes).
_PASSING = {KafkaError.UNKNOWN, KafkaError.NOT_CONTROLLER}


def create_topic(kafka: config.Kafka, wait_seconds: float = WAIT_SECONDS) -> bool:
    """Create the topic, or bring an existing one's settings in line; True if it was created.

    The number of partitions is raised if configured higher, but never lowered: Kafka can't do that.
    Raises SchemaError if Kafka refuses, UnavailableError if it does not answer within `wait_seconds`.
    """
    admin, settings = admin_client(kafka), _settings(kafka)
    timeout_seconds = min(wait_seconds, _KAFKA_TIMEOUT_SECONDS)
    return up_to(wait_seconds, "Kafka", lambda: _created(admin, kafka, settings, timeout_seconds))


def plan(kafka: config.Kafka) -> list[str]:
    """What `create_topic` would change, in words. Raises UnavailableError if Kafka does not answer."""
    admin, settings = admin_client(kafka), _settings(kafka)
    partitions = _partitions(admin, kafka)
    if partitions == 0:
        return [f"create the topic with {kafka.partitions} partitions"]
    resource = ConfigResource(ResourceType.TOPIC, kafka.topic)
    asked = admin.describe_configs([resource])
    _done(asked, kafka.topic)
    present = asked[resource].result()
    changes = [
        f"{name} = {value}, now {present[name].value}"
        for name, value in settings.items()
        if present[name].value != value
    ]
    return changes + [f"{kafka.partitions} partitions, now {partitions}"] * (partitions < kafka.partitions)


def _settings(kafka: config.Kafka) -> dict[str, str]:
    return {
        "retention.ms": str(kafka.retention_hours * 3_600_000),
        "retention.bytes": str(kafka.retention_bytes),
        # Kafka deletes whole segments, once their newest event is old enough, and never the one that it writes to. With
        # few events, that one would be closed only after its default of a week.
        "segment.ms": str(kafka.retention_hours * 3_600_000 // 4),
    }


def _created(admin: AdminClient, kafka: config.Kafka, settings: Mapping[str, str], timeout_seconds: float) -> bool:
    """The same, once; UnavailableError while the topic neither exists nor is gone."""
    if _partitions(admin, kafka, timeout_seconds) == 0:
        topic = NewTopic(kafka.topic, kafka.partitions, kafka.replication_factor, config=dict(settings))
        if _done(admin.create_topics([topic]), kafka.topic, tolerated=KafkaError.TOPIC_ALREADY_EXISTS):
            return True
    # It exists, but is not known: somebody else is creating it, or an old topic with this name is being deleted.
    _alter(admin, kafka.topic, settings)
    partitions = _partitions(admin, kafka)
    if partitions == 0:
        raise KafkaUnavailableError(f"Kafka no longer knows the topic {kafka.topic!r}")
    if partitions < kafka.partitions:
        wanted = NewPartitions(kafka.topic, kafka.partitions)
        # Somebody else may have added them in the meantime.
        if _done(admin.create_partitions([wanted]), kafka.topic, tolerated=KafkaError.INVALID_PARTITIONS):
            log.info("partitions added", topic=kafka.topic, before=partitions, now=kafka.partitions)
    elif partitions > kafka.partitions:
        log.warning(
            "the topic has more partitions than configured, and Kafka can't remove any: raise the setting to match",
            setting="LOGBROOK_KAFKA_PARTITIONS",
            topic=kafka.topic,
            partitions=partitions,
            configured=kafka.partitions,
        )
    return False


def _partitions(admin: AdminClient, kafka: config.Kafka, timeout_seconds: float = _KAFKA_TIMEOUT_SECONDS) -> int:
    """How many partitions the topic has, 0 if it does not exist; UnavailableError if Kafka does not answer."""
    try:
        topics = admin.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        raise unavailable(kafka, error) from error
    return len(topics[kafka.topic].partitions) if kafka.topic in topics else 0


def _alter(admin: AdminClient, topic: str, settings: Mapping[str, str]) -> None:
    """Change the topic's settings; UnavailableError if Kafka does not know it yet."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    if not _done(admin.incremental_alter_configs([resource]), topic, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART):
        raise KafkaUnavailableError(f"Kafka does not know the topic {topic!r} yet")


def _done(futures: Mapping[Any, Future[Any]], topic: str, tolerated: int | None = None) -> bool:
    """Wait for Kafka's answer: True if it did what was asked, False if it returned the tolerated error.

    Raises UnavailableError for a temporary error, or if no answer comes.
    """
    try:
        for future in futures.values():
            future.result(_KAFKA_TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise KafkaUnavailableError(
            f"topic {topic!r}: Kafka did not answer within {_KAFKA_TIMEOUT_SECONDS:g} s"
        ) from error
    except KafkaException as error:
        if error.args[0].code() == tolerated:
            return False
        if error.args[0].retriable() or error.args[0].code() in _PASSING:
            raise KafkaUnavailableError(f"topic {topic!r}: Kafka {in_words(error)}") from error
        raise SchemaError(f"topic {topic!r}: Kafka {in_words(error)}") from error
    return True
