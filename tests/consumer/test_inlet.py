"""The delivery protocol against the real engine: one writer at a time, and it knows what is stored."""

from collections.abc import Iterable

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from logbrook import clickhouse, config
from logbrook.clickhouse import HttpClient
from logbrook.consumer.batch import Batch
from logbrook.consumer.inlet import Inlet, Position, Topic, fence, stored_offsets, take_over
from tests.consumer.test_batch import Fake

TOPIC = Topic("logs", "id-of-its-first-incarnation")
START = Position(0, 0)


@pytest.fixture
def client(database: config.ClickHouse) -> HttpClient:
    """A connection to a fresh database."""
    return clickhouse.connect(database)


def insert(inlet: Inlet, partition: int, offsets: Iterable[int]) -> None:
    """Store a one-event message at each of these offsets."""
    batch = Batch()
    batch.add([Fake((partition, offset), b'{"body": "m%d"}' % offset) for offset in offsets])
    inlet.insert(batch.rows)


def inlets(client: HttpClient) -> set[str]:
    """Everything of an inlet that is in the database."""
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'inlet%'")
    return {name for (name,) in rows.result_rows}


def test_a_batch_arrives_with_its_coordinates(client: HttpClient) -> None:
    """What goes through an inlet is in otel_logs, under the topic's name and id, its partition and offset."""
    inlet = take_over(client, TOPIC, {3: START})

    insert(inlet, 3, [7, 8])

    rows = client.query(
        "SELECT KafkaTopic, KafkaTopicId, KafkaPartition, KafkaOffset, KafkaIndex, Body FROM otel_logs"
        " ORDER BY KafkaOffset"
    ).result_rows
    assert rows == [(TOPIC.name, TOPIC.id, 3, 7, 0, "m7"), (TOPIC.name, TOPIC.id, 3, 8, 0, "m8")]


def test_a_former_owner_can_not_write(client: HttpClient) -> None:
    """After a take-over of a shared partition the former inlet refuses with UNKNOWN_TABLE and stores nothing."""
    former = take_over(client, TOPIC, {0: START, 1: START})
    take_over(client, TOPIC, {1: START, 2: START})

    with pytest.raises(DatabaseError) as refusal:
        insert(former, 0, [1])

    assert clickhouse.error_code(refusal.value) == clickhouse.UNKNOWN_TABLE
    assert client.query("SELECT count() FROM otel_logs").result_rows == [(0,)]


def test_owners_of_other_partitions_go_on(client: HttpClient) -> None:
    """A take-over leaves inlets alone that share no partition, are for another topic, or belong to a replay."""
    other = take_over(client, TOPIC, {0: START})
    elsewhere = take_over(client, Topic("metrics", "another"), {1: START})
    replay = take_over(client, TOPIC, {1: START}, writer="replay")

    take_over(client, TOPIC, {1: START})

    for inlet, partition in ((other, 0), (elsewhere, 1), (replay, 1)):
        insert(inlet, partition, [1])
    assert client.query("SELECT count() FROM otel_logs").result_rows == [(3,)]


def test_what_is_stored_is_a_set_with_its_holes(client: HttpClient) -> None:
    """A new owner is told each stored offset at or above its position, and no hole is taken for stored."""
    former = take_over(client, TOPIC, {0: START, 1: START})
    insert(former, 0, [1, 2, 3, 5, 6, 9])
    insert(former, 1, [4])

    inlet = take_over(client, TOPIC, {0: Position(2, 0), 1: Position(5, 0)})

    assert inlet.stored == {0: [range(2, 4), range(5, 7), range(9, 10)]}


def test_rows_of_another_incarnation_do_not_count(client: HttpClient) -> None:
    """A recreated topic starts at offset 0 again: what its predecessor stored there is not taken for its own."""
    insert(take_over(client, TOPIC, {0: START}), 0, range(5))

    inlet = take_over(client, Topic(TOPIC.name, "id-of-its-second-incarnation"), {0: START})

    assert inlet.stored == {}


def test_a_bound_on_time_does_not_hide_what_was_just_stored(client: HttpClient) -> None:
    """With the time of the last commit known, rows stored since then are still found."""
    insert(take_over(client, TOPIC, {0: START}), 0, range(3))
    (now,) = client.query("SELECT toUnixTimestamp(now())").result_rows[0]

    assert stored_offsets(client, TOPIC, {0: Position(0, now)}) == {0: [range(3)]}


def test_ranges_that_lie_behind_are_forgotten(client: HttpClient) -> None:
    """Once the reader is past a stored range, it no longer costs a look-up; what is ahead stays."""
    inlet = Inlet(client, TOPIC, "inlet_0", {0: [range(2, 4), range(8, 9)], 1: [range(3)]})

    inlet.forget({0: 5, 1: 3})

    assert inlet.stored == {0: [range(8, 9)]}


def test_an_insert_is_one_part(client: HttpClient) -> None:
    """A batch of the largest size makes exactly one part, so that it is stored as a whole or not at all."""
    inlet = take_over(client, TOPIC, dict.fromkeys(range(8), START))
    batch = Batch()
    lines = b"\n".join(b'{"body": "event %d", "service": "s%d"}' % (n, n % 50) for n in range(500))
    batch.add([Fake((n % 8, n), lines) for n in range(400)])
    client.command("SYSTEM STOP MERGES otel_logs")

    inlet.insert(batch.rows)

    parts = client.query(
        "SELECT sum(rows), count() FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'otel_logs' AND active"
    ).result_rows
    assert parts == [(200_000, 1)]


def test_closing_leaves_nothing(client: HttpClient) -> None:
    """A consumer that leaves takes its inlet and the view with it."""
    take_over(client, TOPIC, {0: START}).close()

    assert inlets(client) == set()


def test_what_an_interrupted_fence_left_is_removed(client: HttpClient) -> None:
    """A fence that was killed between table and view leaves a view: the next take-over removes it."""
    former = take_over(client, TOPIC, {0: START})
    client.command(f"DROP TABLE {former.name}")

    inlet = take_over(client, TOPIC, {5: START})

    assert inlets(client) == {inlet.name, f"{inlet.name}_view"}


def test_fencing_twice_is_harmless(client: HttpClient) -> None:
    """Two that fence the same inlet at once both succeed: dropping what is gone is no error."""
    former = take_over(client, TOPIC, {0: START})

    fence(client, [former.name])
    fence(client, [former.name])

    assert inlets(client) == set()


def keyed(*messages: tuple[int, str]) -> Batch:
    """Messages of partition 0 as (offset, idempotency key)."""
    batch = Batch()
    batch.add([Fake((0, offset), extra=[("idempotency-key", key.encode())]) for offset, key in messages])
    return batch


def test_of_one_key_the_lowest_offset_counts(client: HttpClient) -> None:
    """Repetitions within a batch and across batches are named; the first one is not, however often it is looked at."""
    inlet = take_over(client, TOPIC, {0: START})
    first = keyed((1, "a"), (2, "b"), (3, "a"))

    assert inlet.repeated(first) == {(0, 3)}
    assert inlet.repeated(first) == {(0, 3)}
    assert inlet.repeated(keyed((4, "b"), (5, "c"), (6, "a"))) == {(0, 4), (0, 6)}


def test_keys_of_another_incarnation_do_not_count(client: HttpClient) -> None:
    """A key recorded for a deleted topic does not make the new topic's message a repetition."""
    take_over(client, TOPIC, {0: START}).repeated(keyed((1, "a")))

    anew = take_over(client, Topic(TOPIC.name, "id-of-its-second-incarnation"), {0: START})

    assert anew.repeated(keyed((9, "a"))) == set()


def test_many_keys_are_looked_up_in_one_go(client: HttpClient) -> None:
    """More keys than fit into one statement are all compared."""
    inlet = take_over(client, TOPIC, {0: START})
    inlet.repeated(keyed(*((offset, f"key-{offset:032}") for offset in range(2500))))

    again = keyed(*((offset + 2500, f"key-{offset:032}") for offset in range(2500)))

    assert len(inlet.repeated(again)) == 2500
