"""Ids and cursors, whatever characters the id of the topic has."""

import base64
import hashlib
from urllib.parse import quote

import pytest

from logbrook import config
from tests.query.door import Door, event, store

# librdkafka's alphabet (standard base64) and Kafka's own (URL-safe), each with all of its characters over the ids.
IDS = [
    encode(hashlib.md5(bytes([number])).digest()).decode().rstrip("=")
    for number in range(40)
    for encode in (base64.b64encode, base64.urlsafe_b64encode)
]


def test_the_ids_have_every_character() -> None:
    """Together they hold both alphabets of base64."""
    assert {*"+/-_"} < set("".join(IDS))


@pytest.mark.parametrize("topic_id", sorted({each for each in IDS if set(each) & {*"+/-_"}})[::6])
def test_what_the_api_gave_out_it_takes_back(service: Door, database: config.ClickHouse, topic_id: str) -> None:
    """An event's id leads back to it, in the path and as a parameter, encoded or not; a cursor to the next page."""
    store(database, [event(number, KafkaTopicId=topic_id) for number in range(3)])

    page = service.search(limit=2)
    newest = page["events"][0]["id"]

    assert service.get(f"events/{quote(newest, safe='')}")["event"]["offset"] == 2
    assert service.client.get(f"/v1/events/{newest}").status_code == 200
    assert service.get("context", id=newest)["event"]["offset"] == 2
    assert service.client.get(f"/v1/context?id={newest}").status_code == 200
    assert [each["offset"] for each in service.search(limit=2, cursor=page["cursor"])["events"]] == [0]
