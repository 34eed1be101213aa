"""Batches into the topic, acknowledged by all in-sync replicas, in order and without repeats per run."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from logbrook import kafka
from logbrook.config import Kafka
from logbrook.errors import ConfigError, KafkaUnavailableError
from logbrook.produce.target import Batch, Stop, StoppedError, Tally

_LOOK_UP_SECONDS = 10.0
_MAX_QUEUED_KILOBYTES = 64 * 1024


class KafkaTarget:
    """Sends batches to Kafka; see Target."""

    def __init__(self, settings: Kafka, stop: Stop, timeout_seconds: float) -> None:
        """`timeout_seconds` may be infinite.

        Raises UnavailableError if no broker answers, ConfigError if the topic does not exist.
        """
        self.tally = Tally()
        self._stop = stop
        self._settings, self._topic = settings, settings.topic
        self._errors: list[str] = []
        self._producer = Producer(
            # librdkafka's word for "never" is 0.
            kafka.producer_config(settings, timeout_seconds if math.isfinite(timeout_seconds) else 0)
            | {"queue.buffering.max.kbytes": _MAX_QUEUED_KILOBYTES, "error_cb": self._note, "log_level": 0}
        )
        self._look_up()
        self._report: Callable[[int], Any] = lru_cache(1024)(lambda events: partial(self._delivered, events))

    def _look_up(self) -> None:
        """Check that the topic exists."""
        try:
            found = self._producer.list_topics(self._topic, timeout=_LOOK_UP_SECONDS).topics[self._topic]
        except KafkaException as error:
            self._producer.poll(0)
            reason = self._errors[-1] if self._errors else error.args[0].str()
            place = self._settings.bootstrap_servers
            raise KafkaUnavailableError(f"Kafka at {place} does not answer: {reason}") from error
        if found.error is not None or not found.partitions:
            raise ConfigError(
                f"Kafka at {self._settings.bootstrap_servers} has no topic {self._topic}: run `logbrook migrate`."
            )
        if len(found.partitions) < self._settings.partitions:
            raise ConfigError(
                f"The topic {self._topic} has {len(found.partitions)} partitions, LOGBROOK_KAFKA_PARTITIONS says "
                f"{self._settings.partitions}: run `logbrook migrate`."
            )

    def _note(self, error: KafkaError) -> None:
        self._errors = [*self._errors[-9:], error.str()]

    def _delivered(self, events: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.tally.acknowledge(events, len(message))
        else:
            reason = self._errors[-1] if self._errors else ""
            self.tally.refuse(events, f"Kafka: {error.str()}{': ' + reason if reason else ''}")

    def send(self, batch: Batch) -> None:
        """See Target. A batch that is too large for a message is counted as refused at once."""
        options: dict[str, Any] = {}
        if batch.key is not None:
            options["headers"] = [(kafka.IDEMPOTENCY_KEY_HEADER, batch.key.encode())]
        if batch.partition is not None:
            # By the setting, not by what the topic has: a repeated key must go where it went before.
            options["partition"] = batch.partition % self._settings.partitions
        while True:
            try:
                self._producer.produce(self._topic, batch.payload, on_delivery=self._report(batch.events), **options)
            except BufferError:
                if self._stop.level:
                    raise StoppedError from None
                self._producer.poll(0.1)
            except KafkaException as error:
                self.tally.hand_over(batch.events)
                self.tally.refuse(batch.events, f"Kafka: {error.args[0].str()} ({len(batch.payload)} bytes)")
                return
            else:
                self.tally.hand_over(batch.events)
                self._producer.poll(0)
                return

    def wait(self) -> None:
        """See Target."""
        self._producer.poll(0.05)

    def close(self) -> None:
        """See Target. What is still waiting is given up."""
        if self.tally.waiting:
            self._producer.purge()
            self._producer.poll(0)
