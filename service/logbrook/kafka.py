"""librdkafka settings and names that the gateway, the consumer, and the command line share."""

import hashlib
import logging
import re
from collections.abc import Iterable
from concurrent.futures import Future
from functools import cache
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from logbrook import google
from logbrook.config import Kafka
from logbrook.errors import KafkaUnavailableError, LogbrookError

# Header of a message: who sent it. The gateway sets it from the token, the payload can't; but any client that may write
# to the topic can set any value.
SOURCE_HEADER = "source"
# Header of a message: a repeated one is stored once (see docs/delivery.md).
IDEMPOTENCY_KEY_HEADER = "idempotency-key"


_KEY = re.compile(rb"[0-9a-f]{32}")
# Which of these librdkafka gives for a broker that it can't reach depends on what it was doing. Why, it logs itself.
_SILENT = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
}


def fixed_key(given: bytes) -> bytes:
    """The idempotency key for the one in a message's header: 32 hexadecimal digits, whatever was given.

    The gateway's keys have that form and stay as they are; those of Kafka clients may be anything.
    """
    return given if _KEY.fullmatch(given) else hashlib.blake2b(given, digest_size=16).hexdigest().encode()


def client_config(settings: Kafka) -> dict[str, Any]:
    """What every librdkafka client needs to reach the brokers."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "logbrook",
        "security.protocol": settings.security_protocol,
        # A broker that comes back is noticed within a second, not after the default ten.
        "reconnect.backoff.max.ms": 1000,
        # Its own lines on standard error would be neither JSON nor at the configured level.
        "logger": logging.getLogger("librdkafka"),
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism == "OAUTHBEARER":
            config["oauth_cb"] = google.kafka_token
        else:
            config["sasl.username"] = settings.sasl_username
            config["sasl.password"] = settings.sasl_password
    return config


def producer_config(settings: Kafka, delivery_timeout_seconds: float) -> dict[str, Any]:
    """A producer whose acknowledgement means: stored by all in-sync replicas, once, in order."""
    return client_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "delivery.timeout.ms": int(delivery_timeout_seconds * 1000),
        "linger.ms": 5,
        "compression.type": "lz4",
    }


def in_words(error: KafkaException | KafkaError) -> str:
    """What Kafka does, to follow its name in a sentence."""
    known = error.args[0] if isinstance(error, KafkaException) else error
    if known.code() in _SILENT:
        return "does not answer"
    return f'reports "{known.str().removeprefix("Broker: ").removeprefix("Local: ")}"'


def unavailable(settings: Kafka, error: KafkaException) -> KafkaUnavailableError:
    """The error to raise from one of librdkafka's."""
    what = f"Kafka at {settings.bootstrap_servers} {in_words(error)}"
    return KafkaUnavailableError(f"{what}. `logbrook doctor` says what is wrong.")


def topic_id(settings: Kafka, timeout_seconds: float) -> str:
    """The topic's id, which is different each time a topic with that name is created.

    Raises LogbrookError if there is no such topic, UnavailableError if the brokers do not answer.
    """
    return topic_shape(settings, timeout_seconds)[0]


def topic_shape(settings: Kafka, timeout_seconds: float) -> tuple[str, int]:
    """The topic's id and how many partitions it has. Raises what `topic_id` raises."""
    wanted = TopicCollection([settings.topic])
    admin = _lookups(settings)
    admin.poll(0)  # hands on what it has logged
    try:
        described = admin.describe_topics(wanted, request_timeout=timeout_seconds)[settings.topic].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise LogbrookError(f"topic {settings.topic!r} does not exist: run `logbrook migrate` first") from error
        raise unavailable(settings, error) from error
    return str(described.topic_id), len(described.partitions)


def end_offsets(
    settings: Kafka,
    partitions: Iterable[int],
    timeout_seconds: float = 10.0,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[int, Future[Any]]:
    """By partition, where its messages end (`.offset` of the result), according to the broker; returns at once.

    With READ_COMMITTED, those behind the beginning of an open transaction do not count: they can't be read yet.
    """
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(settings.topic, partition): latest for partition in partitions}
    admin = _lookups(settings)
    admin.poll(0)  # as above: without it, the lines of an outage pile up
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=timeout_seconds)
    return {place.partition: answer for place, answer in answers.items()}


def admin_client(settings: Kafka) -> AdminClient:
    """A client that describes and changes what the brokers have."""
    admin = AdminClient(client_config(settings))
    if settings.sasl_mechanism == "OAUTHBEARER":
        admin.poll(1)  # serves the request for a token, which nothing else does for this kind of client
    return admin


_lookups = cache(admin_client)
"""One connection for all lookups."""
