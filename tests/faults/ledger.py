"""What was acknowledged, and whether exactly that is stored: the invariants of docs/delivery.md.

I1 every acknowledged id is present; I2 each once, by identity and by id; I3 as it was sent; I4 nothing that was never
sent; I5 the committed offset never passes a missing one. (I6, the lag returns to 0, is `Place.drain`; I7, bounded
memory, is measured where it matters.)
"""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from logbrook.config import Kafka
from logbrook.kafka import IDEMPOTENCY_KEY_HEADER, producer_config
from tests.faults.processes import until
from tests.faults.stack import Place

_SHOWN = 8


def digest(body: str) -> int:
    """What ClickHouse's halfMD5 makes of a body."""
    return int.from_bytes(hashlib.md5(body.encode()).digest()[:8])


@dataclass
class Ledger:
    """Events by id: all that were ever sent, with their bodies' hashes, and those that were acknowledged."""

    sent: dict[str, int] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    in_kafka_at_ms: dict[str, float] = field(default_factory=dict)
    """When the first acknowledgement of Kafka came, Unix time; not of what a follower of files promised."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def event(self, rng: random.Random, timestamp: int | str | None = None) -> tuple[str, bytes]:
        """A new event: its id, and its JSON. Bodies have the lengths and letters of real ones, and some odd ones."""
        letters = "abc xyz äß€ \t'\"\\{}[]\u0000\u202e"
        with self.lock:
            name = f"e{len(self.sent)}"
            body = f"{name} " + "".join(rng.choices(letters, k=rng.randrange(200)))
            self.sent[name] = digest(body)
        event = {
            "timestamp": timestamp or time.time_ns(),
            "severity_text": "INFO",
            "body": body,
            "attributes": {"id": name},
        }
        return name, json.dumps(event).encode()

    def acknowledge(self, names: list[str], *, by_kafka: bool = True) -> None:
        """They are promised."""
        now_ms = time.time() * 1000
        with self.lock:
            self.acknowledged.update(names)
            for name in names if by_kafka else ():
                self.in_kafka_at_ms.setdefault(name, now_ms)


class Sender:
    """A thread that sends events straight to Kafka: alone and many in a message, some with a key and some of those
    twice, as a client does that never saw the answer."""

    def __init__(self, ledger: Ledger, kafka: Kafka, seed: int, messages_per_second: float = 150.0) -> None:
        self.ledger, self.kafka, self.rng = ledger, kafka, random.Random(seed)
        self.pace = messages_per_second
        self.stamp: str | None = None
        """The events' timestamp; None for now."""
        self.refused: list[str] = []
        # Long enough to outlive a broker that is down for a while.
        self._producer = Producer(producer_config(kafka, 120.0) | {"log_level": 0})
        self._again: list[tuple[bytes, list[str], bytes, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender")

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send as long as the block lasts; afterwards everything is acknowledged or refused."""
        self._thread.start()
        try:
            yield
        finally:
            self.finish()

    def finish(self) -> None:
        """Stop sending and wait for the last acknowledgements."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        left = self._producer.flush(120)
        assert left == 0, f"Kafka did not answer for {left} messages"

    def send(self, messages: int, events: int | None = None, *, partition: int = -1) -> None:
        """Send some messages now, with so many events each (None: a mixture), and wait for the acknowledgements."""
        for _ in range(messages):
            self._send(events, partition)
        assert self._producer.flush(120) == 0, "Kafka did not answer"

    def send_later(self, events: int) -> None:
        """Send a message, and do not wait for its acknowledgement."""
        self._send(events, -1)

    def send_keyed(self, key: bytes) -> None:
        """Send an event with a key, twice."""
        name, data = self.ledger.event(self.rng)
        for _ in range(2):
            self._produce(data, [name], key, int(name[1:]) % self.kafka.partitions)

    def send_this(self, payload: bytes, names: list[str]) -> None:
        """Send a message that holds these events."""
        self._produce(payload, names, None, -1)

    def _run(self) -> None:
        started, count = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - started) * self.pace)
            for _ in range(min(due - count, 1000)):
                self._send(None, -1)
            count = due
            self._producer.poll(0.02)

    def _send(self, events: int | None, partition: int) -> None:
        number = events or (self.rng.randrange(2, 40) if self.rng.random() < 0.1 else 1)
        made = [self.ledger.event(self.rng, self.stamp) for _ in range(number)]
        names, payload = [name for name, _ in made], b"\n".join(data for _, data in made)
        if events is None and partition < 0 and self.rng.random() < 0.15:
            key = names[0].encode()
            partition = int(names[0][1:]) % self.kafka.partitions
            self._produce(payload, names, key, partition)
            if self.rng.random() < 0.5:
                self._again.append((payload, names, key, partition))
        else:
            self._produce(payload, names, None, partition)
        if self._again and self.rng.random() < 0.1:
            self._produce(*self._again.pop(self.rng.randrange(len(self._again))))

    def _produce(self, payload: bytes, names: list[str], key: bytes | None, partition: int) -> None:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is None:
                self.ledger.acknowledge(names)
            else:
                self.refused.append(str(error))

        headers: dict[str, str | bytes | None] = {IDEMPOTENCY_KEY_HEADER: key} if key else {}
        try:
            self._producer.produce(self.kafka.topic, payload, headers=headers, partition=partition, on_delivery=report)
        except KafkaException as error:
            # For a moment after its restart, a broker does not know its topics: these were never sent.
            self.refused.append(str(error))
        self._producer.poll(0)


def post(ledger: Ledger, url: str, rng: random.Random, *, events: int, key: str, tries: int = 40) -> list[int | str]:
    """Send a request to a gateway until it is acknowledged, as a client with an Idempotency-Key does; all outcomes."""
    made = [ledger.event(rng) for _ in range(events)]
    body, outcomes = b"\n".join(data for _, data in made), list[int | str]()
    headers = {"Idempotency-Key": key, "Content-Type": "application/x-ndjson"}
    for _ in range(tries):
        try:
            outcomes.append(httpx.post(f"{url}/ingest", content=body, headers=headers, timeout=30).status_code)
        except httpx.HTTPError as error:
            outcomes.append(type(error).__name__)
        if outcomes[-1] in {200, 202, 204}:
            ledger.acknowledge([name for name, _ in made])
            return outcomes
        assert outcomes[-1] not in {400, 401, 404, 413}, f"refused for good: {outcomes}"
        time.sleep(0.25)
    return outcomes


@dataclass(frozen=True)
class Verdict:
    """What a comparison of ledger and table found. Counts are of events."""

    acknowledged: int
    stored: int
    missing: list[str]
    double: list[str]
    changed: list[str]
    unknown: list[str]
    passed: list[str]
    """Partitions whose committed offset passes a missing one."""

    @property
    def harmless(self) -> bool:
        """What must hold while consumers are at work, too: some may be missing yet, but never for ever."""
        return not (self.double or self.changed or self.unknown or self.passed)

    @property
    def clean(self) -> bool:
        """Whether all invariants hold."""
        return self.harmless and not self.missing

    def __str__(self) -> str:
        lines = [f"{self.acknowledged} acknowledged, {self.stored} rows stored"]
        for name in ("missing", "double", "changed", "unknown", "passed"):
            found = getattr(self, name)
            if found:
                lines.append(f"{name}: {len(found)}: {', '.join(found[:_SHOWN])}{' ...' * (len(found) > _SHOWN)}")
        return "; ".join(lines)


def compare(ledger: Ledger, place: Place) -> Verdict:
    """Compare the whole table with the ledger. I5 holds at any time, I1 once the consumers are through."""
    committed = {partition: at for partition, (at, _) in place.offsets().items()}
    rows = place.client.query(
        "SELECT LogAttributes['id'] AS id, halfMD5(Body) AS hash, count() AS times,"
        " uniqExact(KafkaTopicId, KafkaPartition, KafkaOffset, KafkaIndex) AS identities"
        " FROM otel_logs GROUP BY id, hash"
    ).result_rows
    with ledger.lock:
        sent, acknowledged = dict(ledger.sent), set(ledger.acknowledged)
    times = Counter[str]()
    for name, _, count, _ in rows:
        times[name] += count
    return Verdict(
        acknowledged=len(acknowledged),
        stored=times.total(),
        missing=sorted(acknowledged - times.keys()),
        double=sorted(name for name, count in times.items() if count > 1),
        changed=sorted(name for name, hash_, _, _ in rows if sent.get(name, hash_) != hash_),
        unknown=sorted(times.keys() - sent.keys()),
        passed=_passed(place, committed),
    )


def _passed(place: Place, committed: Mapping[int, int]) -> list[str]:
    """I5: the partitions with an offset below the committed one that is neither stored nor a repeat of its key."""
    accounted = place.client.query(
        "WITH (SELECT argMax(KafkaTopicId, IngestedAt) FROM otel_logs) AS topic_id"
        " SELECT partition, groupUniqArray(offset) FROM ("
        "  SELECT KafkaPartition AS partition, KafkaOffset AS offset FROM otel_logs WHERE KafkaTopicId = topic_id"
        "  UNION ALL SELECT partition, offset FROM (SELECT partition, offset, min(offset) OVER"
        "   (PARTITION BY idempotency_key, partition) AS first FROM idempotency_keys WHERE topic_id = topic_id)"
        "   WHERE offset > first) GROUP BY partition"
    ).result_rows
    found = {partition: set(offsets) for partition, offsets in accounted}
    return [
        f"partition {partition} is committed up to {end} without {sorted(holes)[:_SHOWN]}"
        for partition, end in sorted(committed.items())
        if (holes := set(range(end)) - found.get(partition, set()))
    ]


def check(ledger: Ledger, place: Place, *, drain_seconds: float = 60.0) -> Verdict:
    """Wait until the consumers are through, and assert I1 to I6."""
    place.drain(drain_seconds)
    # Of a consumer that was stopped or killed: it could still store something twice.
    until(lambda: not place.insert_queries(), drain_seconds, "the last insert ends")
    verdict = compare(ledger, place)
    assert verdict.clean, str(verdict)
    assert verdict.acknowledged > 0, "nothing was sent: the test tests nothing"
    return verdict
