"""ClickHouse away for long while events keep coming: bounded memory, and nobody needed afterwards (I6, I7)."""

import time

import pytest
from confluent_kafka import Producer

from logbrook.kafka import producer_config
from tests.faults.campaign import Progress
from tests.faults.parts import EVERYTHING, in_full
from tests.faults.processes import until
from tests.faults.stack import Place

_LIMIT_BYTES = 512 * 2**20
_PAD = "the quick brown fox jumps over the lazy dog " * 6


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    "per_message", [pytest.param(1, id="one_event"), pytest.param(2000, id="many_events", marks=in_full)]
)
def test_clickhouse_away(per_message: int, place: Place, progress: Progress) -> None:
    """With ClickHouse down and 2 million events waiting, the consumer stays below 512 MiB, and drains by itself."""
    events, seconds = (2_000_000, 300.0 if per_message == 1 else 60.0) if EVERYTHING else (100_000, 20.0)
    consumer = place.consumer()
    consumer.spawn()
    until(lambda: "took over" in consumer.log, 40, "the consumer works")
    place.stack.clickhouse.kill()
    began = time.monotonic()
    send(place, events, per_message)
    highest = 0
    try:
        while time.monotonic() < began + seconds:
            highest = max(highest, consumer.rss_bytes)
            time.sleep(0.2)
    finally:
        place.stack.clickhouse.start()
    while not place.drained():
        highest = max(highest, consumer.rss_bytes)
        assert time.monotonic() < began + seconds + 600, "the lag does not return to 0"
        time.sleep(0.2)
    progress(f"{events} events waited {seconds:.0f} s: at most {highest / 2**20:.0f} MiB")
    assert consumer.starts == 1
    assert stored(place) == (events, events, 0), "rows, distinct ids, changed bodies"
    assert highest < _LIMIT_BYTES, f"{highest / 2**20:.0f} MiB"


def send(place: Place, events: int, per_message: int) -> None:
    """Events with the ids 0 to `events`, acknowledged; they compress as well as logs do."""
    producer = Producer(producer_config(place.kafka, 120) | {"linger.ms": 50, "batch.size": 900_000})
    for first in range(0, events, per_message):
        payload = "\n".join(
            f'{{"body": "{number} {_PAD}", "attributes": {{"id": "{number}"}}}}'
            for number in range(first, min(first + per_message, events))
        )
        while True:
            try:
                producer.produce(place.kafka.topic, payload.encode())
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0


def stored(place: Place) -> tuple[int, int, int]:
    """Rows, distinct ids, and rows whose body is not the one that was sent."""
    row = place.client.query(
        "SELECT count(), uniqExact(LogAttributes['id']),"
        f" countIf(Body != concat(LogAttributes['id'], ' {_PAD}')) FROM otel_logs"
    ).result_rows[0]
    return int(row[0]), int(row[1]), int(row[2])
