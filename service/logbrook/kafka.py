"""librdkafka settings and names that gateway, consumer and command line share."""

from typing import Any

from logbrook.config import Kafka

# Header of a message: who sent it. The gateway sets it from the token; the payload can't.
SOURCE_HEADER = "source"
# Header of a message: a repeated one is stored once (see docs/delivery.md).
IDEMPOTENCY_KEY_HEADER = "idempotency-key"


def client_config(settings: Kafka) -> dict[str, Any]:
    """What every librdkafka client needs to reach the brokers."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "logbrook",
        "security.protocol": settings.security_protocol,
        # A broker that came back is noticed within a second, not after the default's ten.
        "reconnect.backoff.max.ms": 1000,
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism != "OAUTHBEARER":
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
