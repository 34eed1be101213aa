"""What people are told when Kafka fails: sentences, not librdkafka's codes."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from logbrook import kafka, topic
from logbrook.config import Kafka
from logbrook.errors import UnavailableError
from native import ports


def test_a_broker_that_is_away_does_not_answer() -> None:
    """Whatever was asked, and whatever librdkafka calls that; its own words are kept as the cause."""
    [port] = ports.free(1)
    settings = Kafka(bootstrap_servers=f"127.0.0.1:{port}")
    for ask in (lambda: kafka.topic_id(settings, 0.5), lambda: topic.create_topic(settings, wait_seconds=0.1)):
        with pytest.raises(UnavailableError) as raised:
            ask()

        said = f"Kafka at 127.0.0.1:{port} does not answer. `logbrook doctor` says what is wrong."
        assert str(raised.value).removeprefix("no answer within 0.1 s: ") == said
        assert raised.value.__cause__ is not None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.NOT_ENOUGH_REPLICAS, 'reports "Not enough in-sync replicas"'),
        (KafkaError._UNKNOWN_TOPIC, 'reports "Unknown topic"'),
    ],
)
def test_an_answer_is_quoted(code: int, said: str) -> None:
    """In its own words, without the code and the prefix that say where in librdkafka it came from."""
    assert kafka.in_words(KafkaError(code)) == kafka.in_words(KafkaException(KafkaError(code))) == said
