"""GELF over HTTP: https://go2docs.graylog.org/current/getting_in_log_data/gelf.html."""

import json
import zlib

import pytest

from tests.gateway.door import Door

# Of Graylog's documentation.
MESSAGE = {
    "version": "1.1",
    "host": "example.org",
    "short_message": "A short message that helps you identify what is going on",
    "full_message": "Backtrace here\n\nmore stuff",
    "timestamp": 1385053862.3072,
    "level": 1,
    "_user_id": 9001,
}


@pytest.mark.parametrize("count", [1, 3])
def test_a_message_is_an_event(door: Door, count: int) -> None:
    """As it was sent, alone or on a line each, compressed as Graylog's libraries do."""
    body = zlib.compress("\n".join([json.dumps(MESSAGE)] * count).encode())

    answer = door.request("POST", "/gelf", body, content_encoding="deflate", content_type="application/json")

    assert (answer.status_code, answer.content) == (202, b"")
    assert door.events == [MESSAGE] * count


@pytest.mark.parametrize("body", [b"", b"text", b'{"short_message":'])
def test_what_is_no_json_is_refused(door: Door, body: bytes) -> None:
    """400, and nothing is stored."""
    assert door.request("POST", "/gelf", body).status_code == 400
    assert door.messages == []


def test_it_is_answered_when_kafka_has_it(door: Door) -> None:
    """Not before, as over UDP."""
    door.topic.failure = "down"

    assert door.request("POST", "/gelf", json.dumps(MESSAGE).encode()).status_code == 503
