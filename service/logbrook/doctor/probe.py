"""An event of our own, sent as every event is, and found again at each hop."""

import json
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation

from logbrook.clickhouse import HttpClient
from logbrook.doctor import doors
from logbrook.doctor.diagnosis import Answer, Diagnosis, Found, NotCheckedError
from logbrook.doctor.place import ANSWER_SECONDS, Place
from logbrook.kafka import SOURCE_HEADER, client_config, producer_config

REFUSED = Diagnosis(
    "probe.refused",
    "Neither the gateway nor Kafka takes an event.",
    "It says why. 429: more waits for Kafka than it may hold. 503: Kafka did not acknowledge in time.",
)
LOST = Diagnosis(
    "probe.lost",
    "An event was acknowledged, and did not become queryable in time.",
    "Kafka has it. Look at the consumer's lag and log; `logbrook audit` says whether anything is missing. If the group "
    "above is in order, gateway and consumer do not have the same topic or cluster.",
)
UNSEEN = Diagnosis(
    "probe.unseen",
    "An event is stored, and the query API does not find it.",
    "The query API reads another ClickHouse or database: compare LOGBROOK_CLICKHOUSE_HOST and _DATABASE of both.",
)
SERVICE = "logbrook-doctor"
Value = TypeVar("Value")
# The objective is 5; a machine that is very busy was seen to take more than ten.
_WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.1
_SEND_SECONDS = 20.0


def probe(place: Place) -> Answer:
    """Send one event through the gateway (or Kafka, if no gateway is known), and say when it was where."""
    mark, sent = secrets.token_hex(12), time.time()
    event = {"service": SERVICE, "level": "info", "message": f"probe {mark}"}
    refused = _through_gateway(place, event) if place.parts.get("gateway") else _through_kafka(place, event)
    if refused is not None:
        return refused
    hops = {"acknowledged": time.time()}
    if place.parts.get("clickhouse"):
        client = place.client()
        stored = _wait(lambda: _stored(client, mark), sent)
        client.close()
        if stored is None:
            return LOST.found(f"acknowledged, and not in ClickHouse {_WAIT_SECONDS:g} s later: probe {mark}")
        at, partition, offset = stored
        if created := _created(place, partition, offset):
            hops["in Kafka"] = created
            place.learned["message_offset_seconds"] = _outside(created, sent, hops["acknowledged"])
        hops["stored"] = at
    if place.parts.get("query"):
        if _wait(lambda: _found(place, mark), sent) is None:
            kind = UNSEEN if place.parts.get("clickhouse") else LOST
            return kind.found(f"{place.query} does not find it {_WAIT_SECONDS:g} s later: probe {mark}")
        hops["found by the query API"] = time.time()
    told = ", ".join(f"{hop} after {1000 * (at - sent):.0f} ms" for hop, at in hops.items())
    return told if len(hops) > 1 else f"{told}; nothing here can look whether it was stored"


def _through_gateway(place: Place, event: dict[str, str]) -> Found | None:
    token, url = place.parts["token"], f"{place.gateway}/ingest"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(url, json=event, headers=headers, timeout=_SEND_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return REFUSED.found(f"{url}: {type(error).__name__}")
    if answer.status_code == 401 and not token:
        raise NotCheckedError(doors.NO_TOKEN)
    return None if answer.status_code == 200 else REFUSED.found(f"{url}: {answer.status_code} {answer.text[:300]}")


def _through_kafka(place: Place, event: dict[str, str]) -> Found | None:
    if AclOperation.WRITE not in (place.topic.authorized_operations or ()):
        raise NotCheckedError("nothing here says where the gateway is, and this user may not write into the topic")
    errors: list[object] = []
    producer = Producer(producer_config(place.kafka, _SEND_SECONDS) | {"log_level": 0})
    producer.produce(
        place.kafka.topic,
        json.dumps(event).encode(),
        headers=[(SOURCE_HEADER, SERVICE.encode())],
        on_delivery=lambda error, _message: errors.append(error),
    )
    producer.flush(_SEND_SECONDS)
    return None if errors == [None] else REFUSED.found(f"{place.kafka.bootstrap_servers}: {errors or 'no answer'}")


def _wait(look: Callable[[], Value | None], since: float) -> Value | None:
    """What `look` finds, asked again until _WAIT_SECONDS after `since`."""
    while (found := look()) is None and time.time() < since + _WAIT_SECONDS:
        time.sleep(_POLL_SECONDS)
    return found


def _stored(client: HttpClient, mark: str) -> tuple[float, int, int] | None:
    """When (by ClickHouse's clock) it was stored, and its coordinates in Kafka."""
    rows = client.query(
        "SELECT toUnixTimestamp64Milli(IngestedAt), KafkaPartition, KafkaOffset FROM otel_logs"
        " WHERE IngestedAt > now() - 600 AND ServiceName = {service:String} AND Body = {body:String}",
        parameters={"service": SERVICE, "body": f"probe {mark}"},
    ).result_rows
    return (rows[0][0] / 1000, rows[0][1], rows[0][2]) if rows else None


def _found(place: Place, mark: str) -> bool | None:
    """Whether the query API finds it."""
    parameters = {"query": f'service:{SERVICE} "{mark}"', "from": "10m", "limit": "1"}
    answer = httpx.get(f"{place.query}/v1/search", params=parameters, timeout=ANSWER_SECONDS, trust_env=False)
    answer.raise_for_status()
    return True if answer.json()["events"] else None


def _created(place: Place, partition: int, offset: int) -> float | None:
    """The time of the message in Kafka, Unix seconds; None if it can't be read from here."""
    if "admin" not in place.learned:
        return None
    reader = Consumer(client_config(place.kafka) | {"group.id": SERVICE, "enable.auto.commit": False, "log_level": 0})
    try:
        reader.assign([TopicPartition(place.kafka.topic, partition, offset)])
        message = reader.poll(ANSWER_SECONDS)
        return message.timestamp()[1] / 1000 if message is not None and message.error() is None else None
    finally:
        reader.close()


def _outside(at: float, earliest: float, latest: float) -> float:
    """How far a time is from the span in which it should lie."""
    return min(0.0, at - earliest) or max(0.0, at - latest)
