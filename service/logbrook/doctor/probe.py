"""The two HTTP services, and an event of our own that is sent like any other and looked for at each hop."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AclOperation

from logbrook.consumer import span
from logbrook.doctor import contact
from logbrook.doctor.diagnosis import NotCheckedError, Wrong
from logbrook.doctor.place import Place
from logbrook.kafka import SOURCE_HEADER, producer_config

NO_TOKEN = "the gateway requires a token, and there is none here (LOGBROOK_TOKEN)"  # noqa: S105 - a sentence
SERVICE = "logbrook-doctor"
Value = TypeVar("Value")
# The objective is 5; a very busy machine has been seen to take more than ten.
_WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.1
_SEND_SECONDS = 20.0


def address(part: str) -> Callable[[Place], str]:
    """Can the port of `gateway` or `query` be reached?"""
    return lambda place: contact.reach(contact.target(getattr(place, part), 80, f"LOGBROOK_{part.upper()}_URL"))


def ready(part: str) -> Callable[[Place], str]:
    """Can the gateway send to Kafka? Does the query API reach ClickHouse?"""

    def ask(place: Place) -> str:
        url = getattr(place, part)
        _expect(200, contact.http("GET", f"{url}/readyz"))
        return f"{url} is ready"

    return ask


def _expect(status: int, answer: Any) -> None:
    if answer.status_code != status:
        raise Wrong("http.unexpected", url=answer.url, said=f"{answer.status_code} instead of {status}")


def token(place: Place) -> str:
    """Does the gateway accept the token? It checks the token before it complains that there is no event."""
    answer = contact.http("POST", f"{place.gateway}/ingest", place.token)
    if answer.status_code == 401 and not place.token:
        raise NotCheckedError(NO_TOKEN)
    if answer.status_code == 401:
        raise Wrong("gateway.token", url=place.gateway)
    _expect(400, answer)
    return "it accepts the token" if place.token else "it accepts events without a token"


def probe(place: Place) -> str:
    """Does an event sent to the gateway (or Kafka, if no gateway is known) arrive, and when does it reach each hop?"""
    mark, sent = secrets.token_hex(12), time.time()
    event = {"service": SERVICE, "level": "info", "message": f"probe {mark}"}
    (_through_gateway if hasattr(place, "gateway") else _through_kafka)(place, event)
    hops = {"acknowledged": time.time()}
    if hasattr(place, "clickhouse"):
        with contact.database(place) as rows:
            stored = _wait(lambda: _stored(rows, mark), sent)
        if stored is None:
            raise Wrong("probe.lost", said="not in ClickHouse", seconds=_WAIT_SECONDS, mark=mark)
        at, partition, offset = stored
        if created := _created(place, partition, offset):
            hops["in Kafka"] = created
            # How far that is from the range in which it should be.
            place.message_offset_seconds = min(0.0, created - sent) or max(0.0, created - hops["acknowledged"])
        hops["stored"] = at
    if hasattr(place, "query"):
        if _wait(lambda: _found(place, mark), sent) is None:
            code, said = "probe.unseen" if "stored" in hops else "probe.lost", f"{place.query} does not find it"
            raise Wrong(code, said=said, seconds=_WAIT_SECONDS, mark=mark)
        hops["found by the query API"] = time.time()
    told = ", ".join(f"{hop} after {1000 * (at - sent):.0f} ms" for hop, at in hops.items())
    return told if len(hops) > 1 else f"{told}; nothing here can check whether it was stored"


def _through_gateway(place: Place, event: dict[str, str]) -> None:
    url = f"{place.gateway}/ingest"
    try:
        answer = contact.http("POST", url, place.token, json=event, timeout=_SEND_SECONDS)
    except Wrong as wrong:
        raise Wrong("probe.refused", said=wrong) from None
    if answer.status_code == 401 and not place.token:
        raise NotCheckedError(NO_TOKEN)
    if answer.status_code != 200:
        raise Wrong("probe.refused", said=f"{url}: {answer.status_code} {answer.text[:300]}")


def _through_kafka(place: Place, event: dict[str, str]) -> None:
    topic = getattr(place, "topic", None)
    if topic is None or AclOperation.WRITE not in (topic.authorized_operations or ()):
        raise NotCheckedError("nothing here knows the gateway, or may write to the topic")
    errors: list[object] = []
    producer = Producer(producer_config(place.kafka, _SEND_SECONDS) | {"log_level": 0})
    producer.produce(
        place.kafka.topic,
        json.dumps(event).encode(),
        headers=[(SOURCE_HEADER, SERVICE.encode())],
        on_delivery=lambda error, _message: errors.append(error),
    )
    producer.flush(_SEND_SECONDS)
    if errors != [None]:
        raise Wrong("probe.refused", said=f"{place.kafka.bootstrap_servers}: {errors or 'no answer'}")


def _wait(look: Callable[[], Value | None], since: float) -> Value | None:
    """What `look` finds, retried until _WAIT_SECONDS after `since`; after that its diagnosis, if it has one."""
    while True:
        try:
            if (found := look()) is not None:
                return found
        except Wrong:
            if time.time() > since + _WAIT_SECONDS:
                raise
        if time.time() > since + _WAIT_SECONDS:
            return None
        time.sleep(_POLL_SECONDS)


def _stored(rows: Callable[..., Any], mark: str) -> tuple[float, int, int] | None:
    """When (by ClickHouse's clock) it was stored, and its coordinates in Kafka."""
    found = rows(
        "SELECT toUnixTimestamp64Milli(IngestedAt), KafkaPartition, KafkaOffset FROM otel_logs"
        " WHERE IngestedAt > now() - 600 AND ServiceName = {service:String} AND Body = {body:String}",
        service=SERVICE,
        body=f"probe {mark}",
    )
    return (found[0][0] / 1000, found[0][1], found[0][2]) if found else None


def _found(place: Place, mark: str) -> bool | None:
    """Whether the query API finds it."""
    parameters = {"query": f'service:{SERVICE} "{mark}"', "from": "10m", "limit": "1"}
    answer = contact.http("GET", f"{place.query}/v1/search", place.query_token, params=parameters)
    _expect(200, answer)
    return True if answer.json()["events"] else None


def _created(place: Place, partition: int, offset: int) -> float | None:
    """The message's time in Kafka, Unix seconds; None if it can't be read from here."""
    if not hasattr(place, "reached"):
        return None
    with span.reader(place.reached, SERVICE) as reader:
        reader.assign([TopicPartition(place.kafka.topic, partition, offset)])
        message = reader.poll(contact.ANSWER_SECONDS)
        return message.timestamp()[1] / 1000 if message is not None and message.error() is None else None
