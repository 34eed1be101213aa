"""Datadog's log intake: what its Agent, Vector, Fluent Bit, and libraries send.

What Datadog takes and answers: https://docs.datadoghq.com/api/latest/logs/#send-logs. What the Agent sends, and what it
makes of an answer: pkg/logs/client/http/destination.go of https://github.com/DataDog/datadog-agent.
"""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.config import Gateway
from logbrook.tokens import issue
from tests.gateway.door import Door

PATH = "/api/v2/logs"
# Of the documentation of the API.
LOG = {
    "ddsource": "nginx",
    "ddtags": "env:staging,version:5.1",
    "hostname": "i-012345678",
    "message": "2019-11-19T14:37:58,995 INFO [process.name][20081] Hello World",
    "service": "payment",
}


@pytest.mark.parametrize("path", [PATH, "/v1/input"])
@pytest.mark.parametrize("logs", [[LOG, {"message": "b"}], [LOG], LOG], ids=["some", "one", "object"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_log_is_an_event(door: Door, path: str, logs: Any, indent: int | None) -> None:
    """As it was sent, in an array or alone, over several lines or one, compressed or not."""
    body = gzip.compress(json.dumps(logs, indent=indent).encode())

    answer = door.request("POST", path, body, content_type="application/json", content_encoding="gzip")

    assert (answer.status_code, answer.json()) == (202, {})
    assert door.events == (logs if isinstance(logs, list) else [logs])


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=3), max_size=5))
def test_any_logs_come_out_as_they_went_in(logs: list[dict[str, Any]]) -> None:
    """In their order, with what the address says of all of them."""
    door = Door.open(Gateway(allow_anonymous=True))

    answer = door.request("POST", f"{PATH}?ddsource=a%22b&service=s", json.dumps(logs).encode())

    assert answer.status_code == 202
    assert door.events == [each | {"ddsource": 'a"b', "service": "s"} for each in logs]


def test_lines_of_text_are_events(door: Door) -> None:
    """As for `text/plain`, which the intake also takes."""
    answer = door.request("POST", f"{PATH}?ddtags=env:prod", b"one\ntwo", content_type="text/plain")

    assert answer.status_code == 202
    assert door.events == [{"body": "one", "ddtags": "env:prod"}, {"body": "two", "ddtags": "env:prod"}]


@pytest.mark.parametrize("body", [b"{}", b" { } ", b"[]"])
def test_the_agents_question_is_no_event(door: Door, body: bytes) -> None:
    """It sends an empty object to learn whether it may send, and takes no for a reason to use another protocol."""
    answer = door.request("POST", PATH, body, content_type="application/json")

    assert answer.status_code == 202
    assert door.messages == []


def test_a_log_that_is_too_large_leaves_the_others() -> None:
    """413 makes the Agent drop the request, so what fits of it has to be stored."""
    door = Door.open(Gateway(allow_anonymous=True, max_message_bytes=100))

    answer = door.request("POST", PATH, json.dumps([{"a": 1}, {"b": "x" * 100}, {"c": 2}]).encode())

    [error] = answer.json()["errors"]
    assert (answer.status_code, error["status"], error["title"]) == (413, "413", "Request Entity Too Large")
    assert error["detail"].startswith("1 logs are not stored, 2 are. log 1 (counted from 0): ")
    assert door.events == [{"a": 1}, {"c": 2}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[1,", 400),
        (b'{"a"', 400),
        (b'{"a":1}{"b":2}', 400),
        (b'[{"a":' * 3_000, 400),
        (json.dumps([LOG] * 11).encode(), 413),
        (json.dumps([{}] * 1_000).encode(), 413),
    ],
)
def test_other_bodies_are_refused_as_datadog_does(body: bytes, status: int) -> None:
    """With a list of errors; nothing is stored."""
    door = Door.open(Gateway(allow_anonymous=True, max_request_events=10))

    answer = door.request("POST", PATH, body)

    assert answer.status_code == status
    assert [set(each) for each in answer.json()["errors"]] == [{"status", "title", "detail"}]
    assert door.messages == []


def test_the_api_key_is_the_token() -> None:
    """Shippers may ask first whether it is right. The Agent retries 503, and drops what gets a 401."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry))
    key = {"dd_api_key": shop.token}

    assert door.request("GET", "/api/v1/validate", b"", **key).json() == {"valid": True}
    assert door.request("GET", "/api/v1/validate").status_code == 401
    assert door.request("POST", PATH, b'{"a":1}', **key).status_code == 202
    assert door.request("POST", PATH, b'{"a":1}', dd_api_key="wrong").status_code == 401
    door.topic.failure = "down"
    assert door.request("POST", PATH, b'{"a":1}', **key).status_code == 503
    assert [each.source for each in door.topic.kept] == [b"shop"]
