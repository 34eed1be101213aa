"""The components that all other tests stand on."""

from confluent_kafka import Consumer, Producer

from logbrook import clickhouse as connection
from logbrook import config
from logbrook.kafka import client_config, producer_config
from tests.components import ClickHouseServer


def test_clickhouse_answers_the_service_client(clickhouse: ClickHouseServer) -> None:
    """The service's own client connects, and gets an error's code."""
    client = connection.connect(clickhouse.settings())
    assert client.query("SELECT {a:UInt8} + 1", parameters={"a": 2}).result_rows == [(3,)]


def test_kafka_keeps_what_it_acknowledged(topic: config.Kafka) -> None:
    """A message that was acknowledged can be read again."""
    producer = Producer(producer_config(topic, 20))
    producer.produce(topic.topic, b"hello", partition=3)
    assert producer.flush(20) == 0
    consumer = Consumer(client_config(topic) | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic.topic])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert (message.value(), message.partition()) == (b"hello", 3)
