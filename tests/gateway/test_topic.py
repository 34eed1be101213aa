"""Into the topic: the collecting one of the other tests, and Kafka, keep the same promises."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from hypothesis import given
from hypothesis import strategies as st

from logbrook.config import Gateway, Kafka
from logbrook.errors import UnavailableError
from logbrook.gateway.batch import Batch
from logbrook.gateway.topic import KafkaTopic, Topic, chunk_key, partition_of
from native import ports
from tests.gateway import reading
from tests.gateway.collecting import CollectingTopic, Kept

SETTINGS = Gateway(allow_anonymous=True, delivery_timeout_seconds=20)
Use = Callable[[Topic], Awaitable[None]]


def with_kafka(kafka: Kafka, use: Callable[[KafkaTopic], Awaitable[Any]], settings: Gateway = SETTINGS) -> Any:
    """Use a topic of Kafka's in a loop of its own, and close it."""

    async def run() -> Any:
        topic = KafkaTopic(settings, kafka)
        try:
            return await use(topic)
        finally:
            await topic.close(0.0)

    return asyncio.run(run())


class Collecting:
    """What the contract needs of the collecting topic."""

    def __init__(self, settings: Gateway) -> None:
        self.topic = CollectingTopic(settings)

    def use(self, use: Use) -> None:
        """Run `use`."""
        asyncio.run(cast(Any, use(self.topic)))

    def kept(self, count: int) -> list[Kept]:
        """What is in the topic."""
        assert len(self.topic.kept) >= count
        return self.topic.kept


class OfKafka:
    """The same of Kafka; each use is a gateway of its own."""

    def __init__(self, settings: Gateway, kafka: Kafka) -> None:
        self._settings, self._kafka = settings, kafka

    def use(self, use: Use) -> None:
        """Run `use`."""
        with_kafka(self._kafka, use, self._settings)

    def kept(self, count: int) -> list[Kept]:
        """What is in the topic."""
        return reading.kept(self._kafka, count)


@pytest.fixture(params=["collecting", "kafka"])
def side(request: pytest.FixtureRequest) -> Collecting | OfKafka:
    """Each of the two topics."""
    settings = replace(SETTINGS, max_queued_bytes=5000)
    if request.param == "collecting":
        return Collecting(settings)
    return OfKafka(settings, request.getfixturevalue("topic"))


def test_a_batch_is_in_the_topic_when_send_returns(side: Collecting | OfKafka) -> None:
    """Every message, with its source and no key."""
    messages = [b'{"a":1}\n{"a":2}', b"plain", b"\xff\x00"]

    side.use(lambda topic: topic.send("shop", Batch([*messages], 4), None))

    kept = side.kept(3)
    assert sorted(each.value for each in kept) == sorted(messages)
    assert {(each.source, each.key) for each in kept} == {(b"shop", None)}


def test_a_key_goes_with_each_message_to_the_same_place(side: Collecting | OfKafka) -> None:
    """The same request sent twice, by two gateways one after the other, has the same keys in the same partitions."""
    messages = [b"one", b"two", b"three"]

    for _ in range(2):
        side.use(lambda topic: topic.send("shop", Batch([*messages], 3), b"key:1"))

    kept = side.kept(6)
    for index, message in enumerate(messages):
        name = chunk_key("shop", b"key:1", index, message)
        assert [each for each in kept if each.value == message] == 2 * [
            Kept(message, b"shop", name, partition_of(name, 8))
        ]


def test_a_batch_is_all_in_or_all_out(side: Collecting | OfKafka) -> None:
    """When the queue has no room for the whole batch nothing of it is sent."""

    async def use(topic: Topic) -> None:
        with pytest.raises(UnavailableError) as refused:
            await topic.send("shop", Batch([b"a", b"b" * 5000], 2), None)
        assert (refused.value.status, refused.value.code) == (429, "queue_full")
        await topic.send("shop", Batch([b"c"], 1), None)

    side.use(use)

    assert [each.value for each in side.kept(1)] == [b"c"]


def test_a_topic_that_is_there_is_ready(side: Collecting | OfKafka) -> None:
    """No reason not to send."""

    async def use(topic: Topic) -> None:
        assert await topic.not_ready() is None

    side.use(use)


@given(st.text(max_size=5), st.binary(max_size=5), st.integers(0, 3), st.binary(max_size=5))
def test_keys_do_not_run_into_each_other(source: str, key: bytes, index: int, message: bytes) -> None:
    """Source, key, number and bytes are kept apart: moving a byte from one to the next gives another key."""
    made = chunk_key(source, key, index, message)

    assert made == chunk_key(source, key, index, message)
    others = [
        chunk_key(source + "a", key, index, message),
        chunk_key(source, b"a" + key, index, message),
        chunk_key(source, key + b"1", index, message),
        chunk_key(source, key, 10 + index, message),
        chunk_key(source, key, index, b"1" + message),
    ]
    assert len({made, *others}) == 6
    assert len(made) == 32
    assert 0 <= partition_of(made, 8) < 8


def test_requests_at_once_are_all_answered(topic: Kafka) -> None:
    """Many requests share a producer: each gets its own answer, and the queue is empty afterwards."""

    async def use(of_kafka: KafkaTopic) -> int:
        sends = [of_kafka.send("shop", Batch([b"%d-%d" % (n, i) for i in range(3)], 3), None) for n in range(200)]
        await asyncio.gather(*sends)
        return of_kafka.unacknowledged

    assert with_kafka(topic, use) == 0
    assert len({each.value for each in reading.kept(topic, 600)}) == 600


def nowhere() -> Kafka:
    """Settings of a Kafka that is not there."""
    [port] = ports.free(1)
    return Kafka(bootstrap_servers=f"127.0.0.1:{port}")


def test_without_a_broker_the_answer_is_503() -> None:
    """Once the time for delivery is over; the queue is free again then, and the reason is said on /readyz."""

    async def use(topic: KafkaTopic) -> str | None:
        for _ in range(2):
            with pytest.raises(UnavailableError) as refused:
                await topic.send("shop", Batch([b"x" * 900], 1), None)
            assert (refused.value.status, refused.value.code) == (503, "not_acknowledged")
            assert refused.value.retry_after_seconds > 0
        return await topic.not_ready()

    reason = with_kafka(nowhere(), use, Gateway(delivery_timeout_seconds=0.5, max_queued_bytes=1500))

    assert reason is not None
    assert "does not answer" in reason


def test_a_gateway_that_stops_does_not_wait_for_kafka() -> None:
    """Requests that wait are answered 503 when they are abandoned; close says how many messages were left."""

    async def run() -> int:
        topic = KafkaTopic(SETTINGS, nowhere())
        waiting = asyncio.create_task(topic.send("shop", Batch([b"a", b"b"], 2), None))
        await asyncio.sleep(0)
        topic.abandon()
        with pytest.raises(UnavailableError, match="stopping"):
            await waiting
        return await topic.close(0.0)

    assert asyncio.run(run()) == 2


def test_a_topic_that_is_missing_is_not_ready(topic: Kafka) -> None:
    """The reason says what creates it; nothing is created by asking."""
    missing = replace(topic, topic="no-such-topic")

    for _ in range(2):
        reason = with_kafka(missing, lambda each: each.not_ready())
        assert "logbrook migrate" in reason


def test_a_topic_with_too_few_partitions_is_not_ready(topic: Kafka) -> None:
    """Keys are spread over as many partitions as the settings say: all of them must be there."""
    assert "8 partitions" in with_kafka(replace(topic, partitions=9), lambda each: each.not_ready())


@dataclass
class FailingProducer:
    """A producer that takes one message, then fails for good."""

    error: BaseException
    calls: int = 0
    taken: list[Any] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def produce(self, *_: object, on_delivery: Any, **__: object) -> None:
        """Take a message, or fail."""
        self.calls += 1
        if self.calls > 1:
            raise self.error
        self.taken.append(on_delivery)
        self.arrived.set()

    def poll(self, timeout: float) -> int:
        """Acknowledge what was taken, or wait for it."""
        self.arrived.wait(timeout)
        while self.taken:
            self.taken.pop()(None, None)
        self.arrived.clear()
        return 0

    def __len__(self) -> int:
        return len(self.taken)


@pytest.mark.parametrize(
    "error", [BufferError("queue full"), KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))]
)
def test_a_producer_that_fails_half_way_answers_503(topic: Kafka, error: Exception) -> None:
    """A request of which only a part went out is answered 503; after a fatal error a new producer takes over."""
    made: list[object] = []

    def connect(settings: dict[str, Any]) -> Producer:
        made.append(FailingProducer(error) if not made else Producer(settings))
        return cast(Producer, made[-1])

    async def run() -> None:
        of_kafka = KafkaTopic(SETTINGS, topic, connect)
        with pytest.raises(UnavailableError) as refused:
            await of_kafka.send("shop", Batch([b"a", b"b"], 2), None)
        assert refused.value.status == 503
        if isinstance(error, KafkaException):
            await of_kafka.send("shop", Batch([b"c"], 1), None)
        await of_kafka.close(0.0)

    asyncio.run(run())

    assert len(made) == (2 if isinstance(error, KafkaException) else 1)
