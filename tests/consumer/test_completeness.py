"""Consumers report how far each partition is stored: what they say is true, and saying it harms nothing."""

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from hypothesis import given
from hypothesis import strategies as st

from logbrook import clickhouse, config
from logbrook.consumer import completeness
from logbrook.consumer.completeness import Completeness
from logbrook.consumer.inlet import Topic, server_time
from logbrook.kafka import client_config
from logbrook.query.completeness import REPORTED
from tests.consumer.test_consumer import SETTINGS, bodies, consuming, eventually, numbered, send


def reported(database: config.ClickHouse) -> tuple[int, int, int, int]:
    """What the query API reads: complete until, reported at (both in ms), pending messages, and now."""
    client = clickhouse.connect(database)
    [row] = client.query(REPORTED).result_rows
    client.close()
    complete_ms, reported_ms, pending, now_ms = row
    return complete_ms, reported_ms, pending, now_ms


def now_ms(database: config.ClickHouse) -> int:
    """ClickHouse's time."""
    client = clickhouse.connect(database)
    now = int(server_time(client) * 1000)
    client.close()
    return now


def test_what_kafka_held_is_complete_once_it_is_stored(topic: config.Kafka, database: config.ClickHouse) -> None:
    """The time goes on without traffic; while inserts fail it stays before what is pending, and says how much that
    is; then it goes on."""
    client = clickhouse.connect(database)
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 100))
        acknowledged = now_ms(database)
        eventually(lambda: reported(database)[0] >= acknowledged)
        assert len(bodies(database)) == 100
        quiet = now_ms(database)
        eventually(lambda: reported(database)[0] >= quiet)

        client.command("RENAME TABLE arrivals TO elsewhere")
        before = now_ms(database)
        send(topic, *numbered(100, 150), partition=3)
        acknowledged = now_ms(database)
        eventually(lambda: reported(database)[2] == 50)
        eventually(lambda: reported(database)[0] >= before - 2000)
        assert reported(database)[0] <= acknowledged

        client.command("RENAME TABLE elsewhere TO arrivals")
        eventually(lambda: reported(database)[0] > acknowledged)
        assert len(bodies(database)) == 150
        assert reported(database)[2] == 0


def test_a_partition_without_a_report_is_not_complete(topic: config.Kafka, database: config.ClickHouse) -> None:
    """A partition that was added a moment ago belongs to nobody yet: from then on nothing is known to be complete."""
    with consuming(SETTINGS, topic, database):
        eventually(lambda: reported(database)[0] > 0)

        admin = AdminClient(client_config(topic))
        admin.create_partitions([NewPartitions(topic.topic, 9)])[topic.topic].result(30)
        send(topic, b"for nobody", partition=8)

        eventually(lambda: reported(database)[0] == 0)
    assert not bodies(database)


def test_who_takes_over_goes_on(topic: config.Kafka, database: config.ClickHouse) -> None:
    """When nobody owns the partitions, the time and its report stay as they are; the next owner lets both go on."""
    with consuming(SETTINGS, topic, database):
        send(topic, *numbered(0, 100))
        sent = now_ms(database)
        eventually(lambda: reported(database)[0] >= sent)
    left = reported(database)
    send(topic, *numbered(100, 200))
    assert reported(database)[:2] == left[:2]

    with consuming(SETTINGS, topic, database), consuming(SETTINGS, topic, database):
        returned = now_ms(database)
        eventually(lambda: reported(database)[0] >= returned)
        assert len(bodies(database)) == 200


def test_a_report_that_fails_harms_nothing(topic: config.Kafka, database: config.ClickHouse) -> None:
    """Without its table no report arrives, and events are stored as ever; with the table, reports arrive again."""
    client = clickhouse.connect(database)
    client.command("RENAME TABLE partition_progress TO elsewhere")
    with consuming(SETTINGS, topic, database) as running:
        send(topic, *numbered(0, 100))
        eventually(lambda: len(bodies(database)) == 100)
        assert running.loop.unready() is None

        client.command("RENAME TABLE elsewhere TO partition_progress")
        eventually(lambda: reported(database)[0] > 0)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), min_size=1, max_size=40),
    st.integers(2, 5),
)
def test_a_report_never_says_more_than_is_stored(turns: list[tuple[int, int]], most_ends: int) -> None:
    """However a partition grows, is stored, and however much of the past is forgotten: the time is one at which the
    partition ended where everything is stored, and the latest such time as long as nothing was forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completeness, "_MOST_ENDS", most_ends)
        reports = Completeness(Topic("logs", "id"), config.Kafka(), config.ClickHouse(password=""), dict)
        ends, end, stored = list[tuple[int, int]](), 0, 0
        for second, (more, done) in enumerate(turns):
            end, stored = end + more, min(end + more, max(stored, done))
            ends.append((1000 + second, end))

            [(partition, complete, *offsets)] = reports._rows(1000 + second, {7: end}, {7: stored})

            reached = [0, *(at for at, where in ends if where <= stored)]
            said = int(str(complete).removeprefix("fromUnixTimestamp64Milli(").removesuffix(")"))
            assert (partition, offsets) == (7, [stored, end])
            assert said in reached
            if len({where for _, where in ends}) <= most_ends:
                assert said == max(reached)


def test_what_is_given_up_starts_over() -> None:
    """A partition that comes back is not judged by where it ended before."""
    reports = Completeness(Topic("logs", "id"), config.Kafka(), config.ClickHouse(password=""), dict)
    reports._rows(1000, {1: 5, 2: 5}, {1: 5, 2: 0})
    reports._rows(2000, {1: 5}, {1: 5})

    assert reports._rows(3000, {2: 9}, {2: 4}) == [(2, "fromUnixTimestamp64Milli(0)", 4, 9)]
