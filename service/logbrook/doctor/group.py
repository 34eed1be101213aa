"""The consumer group, as Kafka says it: who has which partitions, and does the lag move?"""

import time
from collections.abc import Mapping
from typing import cast

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import ConsumerGroupDescription, OffsetSpec

from logbrook.consumer import span
from logbrook.doctor.diagnosis import Answer, Diagnosis
from logbrook.doctor.place import REQUEST_SECONDS, Place

NONE = Diagnosis(
    "group.none",
    "No consumer runs: Kafka keeps what arrives, for as long as its retention allows, and nothing new can be queried.",
    "Start one, or look why it ends: `make local-logs NAME=consumer`, `docker compose logs consumer`, on GCP the "
    "worker pool's logs and its number of instances.",
)
UNASSIGNED = Diagnosis(
    "group.unassigned",
    "Consumers run, but some partitions belong to none of them: their events are not stored.",
    "Look at the consumers' logs: they have another topic (LOGBROOK_KAFKA_TOPIC), or they take partitions from each "
    "other again and again (LOGBROOK_CONSUMER_SESSION_TIMEOUT_SECONDS).",
)
STUCK = Diagnosis(
    "group.stuck",
    "Events wait in Kafka, and the consumers do not get on.",
    "The consumer's log says what it waits for; with ClickHouse in order it is the consumer itself: restart it. "
    "docs/operations.md, The lag grows.",
)
_POLL_SECONDS = 0.2
# A consumer commits twice a second; on a machine that is very busy, it was seen to take five.
_WATCH_SECONDS = 10.0


def members(place: Place) -> Answer:
    """Whether the group has members, and they have all partitions. A rebalance is given time to end."""
    topic, group = place.kafka.topic, place.parts["group"]
    everything, deadline = {each.id for each in place.topic.partitions}, time.monotonic() + _WATCH_SECONDS
    while True:
        asked = place.admin.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS)
        said = cast(ConsumerGroupDescription, asked[group].result())
        has = [{at.partition for at in each.assignment.topic_partitions if at.topic == topic} for each in said.members]
        missing = everything.difference(*has)
        if not missing:
            place.learned["members"] = has
            return f"all {len(everything)} partitions are assigned; members: {len(has)}"
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    if said.members:
        return UNASSIGNED.found(f"of the group {group!r} ({said.state.name}) nobody has {sorted(missing)}")
    return NONE.found(f"the group {group!r} has no member")


def lag(place: Place) -> Answer:
    """Whether anything is committed while something waits."""
    before, deadline = _waiting(place), time.monotonic() + _WATCH_SECONDS
    now = before
    while waiting := sum(messages for messages, _ in now.values()):
        if any(now[each][1] != before[each][1] for each in before):
            break
        if time.monotonic() > deadline:
            waiting = _readable(place, now)
            if not waiting:
                break
            return STUCK.found(f"{waiting:,} messages wait, and nothing was committed in {_WATCH_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
        now = _waiting(place)
    return f"{waiting:,} messages wait"


def _readable(place: Place, waiting: Mapping[int, tuple[int, int]]) -> int:
    """Of what seems to wait, what can be read: the end of a transaction can't."""
    reader = span.reader(place.kafka, place.parts["group"])
    try:
        offsets = {partition: committed for partition, (messages, committed) in waiting.items() if messages}
        found = span.readable(reader, place.kafka.topic, offsets)
    finally:
        reader.close()
    return sum(waiting[partition][0] for partition in found)


def _waiting(place: Place) -> dict[int, tuple[int, int]]:
    """By partition: how many messages are above the committed offset, and that offset."""
    admin, group = place.admin, place.parts["group"]
    partitions = [TopicPartition(place.kafka.topic, each.id) for each in place.topic.partitions]
    wanted = [ConsumerGroupTopicPartitions(group, partitions)]
    asked = admin.list_consumer_group_offsets(wanted, request_timeout=REQUEST_SECONDS)[group]
    first, end = (
        admin.list_offsets(dict.fromkeys(partitions, which), request_timeout=REQUEST_SECONDS)
        for which in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
    )
    found = {}
    for each in asked.result().topic_partitions:
        at = TopicPartition(each.topic, each.partition)
        committed = max(each.offset, first[at].result().offset)
        found[each.partition] = (end[at].result().offset - committed, committed)
    return found
