"""The gateway's way into Kafka: a request's messages are all in or all out, and answered for only when acknowledged."""

import asyncio
import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from logbrook.config import Gateway, Kafka
from logbrook.errors import BusyError, UnavailableError
from logbrook.gateway.batch import Batch
from logbrook.kafka import IDEMPOTENCY_KEY_HEADER, SOURCE_HEADER, in_words, producer_config, unavailable
from logbrook.metrics import gateway_queued_bytes

log = structlog.get_logger()

# What librdkafka keeps for a message besides its bytes, so that many small ones count as what they cost.
MESSAGE_OVERHEAD_BYTES = 512
_ANY_PARTITION = -1
_METADATA_TIMEOUT_SECONDS = 2.0
_METADATA_FRESH_SECONDS = 2.0
_RETRY_AFTER_SECONDS = 5


class Topic(Protocol):
    """Where events go."""

    async def send(self, source: str, batch: Batch, key: bytes | None) -> None:
        """Return once every message is acknowledged. The batch is emptied: its messages are not kept twice.

        Raises UnavailableError: 429 if nothing was sent, else 503.
        """

    async def not_ready(self) -> str | None:
        """Why nothing can be sent now; None if it can."""


def chunk_key(source: str, key: bytes, index: int, message: bytes) -> bytes:
    """The idempotency key of a request's message number `index`, the same whenever the request is repeated.

    The message's bytes are part of it: a client that uses a key for two different requests by mistake, or another
    `max_message_bytes` between two attempts, can make an event appear twice, but never make one disappear.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (source.encode(), key, str(index).encode(), message):
        digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest().encode()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a message with an idempotency key: the one where a repeated one is looked for."""
    return int(key[:16], 16) % partitions


def queued_size(messages: list[bytes]) -> int:
    """The bytes that messages take of `max_queued_bytes`."""
    return sum(map(len, messages)) + MESSAGE_OVERHEAD_BYTES * len(messages)


def queue_full() -> UnavailableError:
    """The answer when `max_queued_bytes` has no room for a request."""
    return BusyError("queue_full", "Too many bytes are waiting for Kafka. Send the request again in a moment.")


class KafkaTopic:
    """The real one. Used from one event loop; a thread of its own serves the delivery reports."""

    def __init__(
        self, settings: Gateway, kafka: Kafka, connect: Callable[[dict[str, Any]], Producer] = Producer
    ) -> None:
        self._settings, self._kafka, self._connect = settings, kafka, connect
        self._producer = self._start()
        self._retired: list[Producer] = []
        self._queued_bytes = 0
        self._open: set[_Request] = set()
        self._stopped = threading.Event()
        self._metadata: tuple[float, str | None] = (float("-inf"), None)
        self._asking = asyncio.Lock()
        self._poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        self._poller.start()

    def _start(self) -> Producer:
        largest = max(1_000_000, self._settings.max_message_bytes + 4096)
        return self._connect(
            producer_config(self._kafka, self._settings.delivery_timeout_seconds)
            | {
                "message.max.bytes": largest,
                # The queue is bounded by `max_queued_bytes`, for whole requests: librdkafka's own limits must not
                # be met in the middle of one.
                "queue.buffering.max.messages": 0,
                "queue.buffering.max.kbytes": 2**31 - 1,
            }
        )

    async def send(self, source: str, batch: Batch, key: bytes | None) -> None:
        """See Topic."""
        size = queued_size(batch.messages)
        if self._queued_bytes + size > self._settings.max_queued_bytes:
            raise queue_full()
        request = _Request(len(batch.messages), lambda: self._remove(request, size))
        self._add(request, size)
        self._produce(source, batch.messages, request, key)
        batch.messages.clear()
        error = await request.done
        if error is not None:
            cause = KafkaException(error) if isinstance(error, KafkaError) else None
            reason = f"it {in_words(cause)}" if cause else error
            raise UnavailableError(
                "not_acknowledged",
                f"Kafka did not take the events: {reason}. Send the request again.",
                _RETRY_AFTER_SECONDS,
            ) from cause

    def _produce(self, source: str, messages: list[bytes], request: "_Request", key: bytes | None) -> None:
        headers: list[tuple[str, str | bytes | None]] = [(SOURCE_HEADER, source.encode())]
        partition = _ANY_PARTITION
        for index, message in enumerate(messages):
            # librdkafka makes a copy: both together would be twice the request.
            messages[index] = b""
            if key is not None:
                name = chunk_key(source, key, index, message)
                headers = [*headers[:1], (IDEMPOTENCY_KEY_HEADER, name)]
                partition = partition_of(name, self._kafka.partitions)
            try:
                self._producer.produce(
                    self._kafka.topic, message, headers=headers, partition=partition, on_delivery=request.report
                )
            except (BufferError, KafkaException) as error:
                self._failed(request, len(messages) - index, error)
                return

    def _failed(self, request: "_Request", count: int, error: BufferError | KafkaException) -> None:
        """The last `count` messages can't go out. Those before are not taken back: the answer is 503 for all."""
        reason = error.args[0] if isinstance(error, KafkaException) else str(error)
        for _ in range(count):
            request.report(reason, None)
        if isinstance(reason, KafkaError) and reason.fatal():
            # librdkafka takes nothing any more: a new producer does.
            log.error("the producer failed, a new one takes over", reason=str(reason))
            self._retired = [each for each in self._retired if len(each)] + [self._producer]
            self._producer = self._start()

    def _add(self, request: "_Request", size: int) -> None:
        self._open.add(request)
        self._queued_bytes += size
        gateway_queued_bytes.set(self._queued_bytes)

    def _remove(self, request: "_Request", size: int) -> None:
        self._open.discard(request)
        self._queued_bytes -= size
        gateway_queued_bytes.set(self._queued_bytes)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(0.1)
            for producer in self._retired:
                producer.poll(0)

    async def not_ready(self) -> str | None:
        """Ask Kafka for the topic's metadata, at most every two seconds."""
        async with self._asking:
            asked, reason = self._metadata
            if time.monotonic() - asked > _METADATA_FRESH_SECONDS:
                reason = await asyncio.to_thread(self._ask)
                self._metadata = (time.monotonic(), reason)
            return reason

    def _ask(self) -> str | None:
        name = self._kafka.topic
        try:
            topic = self._producer.list_topics(name, timeout=_METADATA_TIMEOUT_SECONDS).topics[name]
        except KafkaException as error:
            return str(unavailable(self._kafka, error))
        if topic.error is not None:
            return f"The topic {name!r} can't be used: {topic.error.str()}. `logbrook migrate` creates it."
        if len(topic.partitions) < self._kafka.partitions:
            return (
                f"The topic {name!r} has {len(topic.partitions)} partitions, LOGBROOK_KAFKA_PARTITIONS says "
                f"{self._kafka.partitions}. Run `logbrook migrate`."
            )
        return None

    @property
    def unacknowledged(self) -> int:
        """Messages that Kafka has not answered for."""
        return sum(request.left for request in self._open)

    def abandon(self) -> None:
        """Answer open requests with 503 now: there is no time left to wait for Kafka."""
        for request in self._open:
            request.settle("the gateway is stopping")

    async def close(self, timeout_seconds: float) -> int:
        """Wait until the queue is empty, at most `timeout_seconds`; how many messages were still in it."""
        deadline = time.monotonic() + timeout_seconds
        while self.unacknowledged and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self._stopped.set()
        await asyncio.to_thread(self._poller.join)
        return self.unacknowledged


class _Request:
    """One request's messages under way. Reports come from any thread; the rest happens in the loop."""

    def __init__(self, count: int, completed: Callable[[], None]) -> None:
        """`completed` is called once Kafka has answered for every message, also if nobody waits any more."""
        self._count, self.left = count, count
        self._loop, self._completed = asyncio.get_running_loop(), completed
        self.done: asyncio.Future[KafkaError | str | None] = self._loop.create_future()
        self._error: KafkaError | str | None = None
        # `next` on it is atomic: exactly one report is the last.
        self._reports = itertools.count(1)

    def report(self, error: KafkaError | str | None, _message: Message | None) -> None:
        """What became of one message."""
        if error is not None:
            self._error = error
        number = next(self._reports)
        self.left = self._count - number
        if number == self._count:
            self._loop.call_soon_threadsafe(self._complete)

    def settle(self, outcome: KafkaError | str | None) -> None:
        """Set the outcome, unless there is one."""
        if not self.done.done():
            self.done.set_result(outcome)

    def _complete(self) -> None:
        self._completed()
        self.settle(self._error)
