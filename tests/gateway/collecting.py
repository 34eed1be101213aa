"""A topic that keeps what it is given, and fails when it is told to. It passes the same tests as the real one."""

from dataclasses import dataclass, field

from logbrook.config import Gateway, Kafka
from logbrook.errors import UnavailableError
from logbrook.gateway.batch import Batch
from logbrook.gateway.topic import chunk_key, partition_of, queue_full, queued_size


@dataclass(frozen=True)
class Kept:
    """A message as a consumer gets it."""

    value: bytes
    source: bytes | None
    key: bytes | None
    partition: int


@dataclass
class CollectingTopic:
    """See logbrook.gateway.topic.Topic."""

    settings: Gateway
    kafka: Kafka = field(default_factory=Kafka)
    kept: list[Kept] = field(default_factory=list)
    # Set to make it refuse: as if Kafka did not answer.
    failure: str | None = None

    async def send(self, source: str, batch: Batch, key: bytes | None) -> None:
        """Keep a batch."""
        if queued_size(batch.messages) > self.settings.max_queued_bytes:
            raise queue_full()
        if self.failure is not None:
            raise UnavailableError("not_acknowledged", self.failure, 5)
        for index, message in enumerate(batch.messages):
            name = chunk_key(source, key, index, message) if key is not None else None
            partition = partition_of(name, self.kafka.partitions) if name else 0
            self.kept.append(Kept(message, source.encode(), name, partition))
        batch.messages.clear()

    async def not_ready(self) -> str | None:
        """Ready unless it fails."""
        return self.failure
