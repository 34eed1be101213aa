"""Pub/Sub's push requests, and the entries of Cloud Logging in them.

What is pushed: https://docs.cloud.google.com/pubsub/docs/push#receive_push. Entries:
https://docs.cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry.
"""

import base64
import json
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logbrook.config import Gateway
from tests.gateway.door import Door

ENTRY = {
    "insertId": "42",
    "logName": "projects/my-project/logs/stderr",
    "timestamp": "2026-01-31T12:00:00.123456789Z",
    "receiveTimestamp": "2026-01-31T12:00:00.5Z",
    "severity": "ERROR",
    "resource": {"type": "cloud_run_revision", "labels": {"service_name": "checkout", "location": "us-central1"}},
    "labels": {"instanceId": "i-1"},
    "textPayload": "payment failed",
    "trace": "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736",
    "spanId": "00f067aa0ba902b7",
    "traceSampled": True,
}
REQUEST = {"requestMethod": "GET", "requestUrl": "https://shop.example/cart", "status": 503, "latency": "0.4s"}
CALL = {
    "methodName": "storage.buckets.delete",
    "resourceName": "projects/_/buckets/b",
    "authenticationInfo": {"principalEmail": "eve@example.org"},
}


def push(door: Door, data: bytes, message_id: str = "7", **message: Any) -> httpx.Response:
    """Send what Pub/Sub makes of a message with this data."""
    message = {
        "data": base64.b64encode(data).decode(),
        "messageId": message_id,
        "publishTime": "2026-01-31T12:00:01Z",
    } | message
    body = {"message": message, "subscription": "projects/my-project/subscriptions/s", "deliveryAttempt": 1}
    return door.request("POST", "/pubsub", json.dumps(body).encode(), content_type="application/json")


def entry(door: Door, **changes: Any) -> dict[str, Any]:
    """The event that an entry with these changes becomes; None takes a field out."""
    found = {name: value for name, value in (ENTRY | changes).items() if value is not None}
    assert push(door, json.dumps(found).encode()).status_code == 200
    event: dict[str, Any] = door.events[-1]
    return event


def test_an_entry_is_an_event(door: Door) -> None:
    """Its trace, span, and resource stand where OpenTelemetry has them; the rest keeps Google's names."""
    assert entry(door) == {
        "insertId": "42",
        "logName": "projects/my-project/logs/stderr",
        "timestamp": "2026-01-31T12:00:00.123456789Z",
        "receiveTimestamp": "2026-01-31T12:00:00.5Z",
        "severity": "ERROR",
        "resource": {
            "service.name": "checkout",
            "cloud.provider": "gcp",
            "gcp.resource_type": "cloud_run_revision",
            "gcp.service_name": "checkout",
            "cloud.region": "us-central1",
        },
        "labels": {"instanceId": "i-1"},
        "textPayload": "payment failed",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7",
        "trace_flags": 1,
    }


@pytest.mark.parametrize(
    ("labels", "own", "service"),
    [
        ({"container_name": "shop", "pod_name": "shop-1"}, {}, "shop"),
        ({"container_name": "main", "pod_name": "shop-1"}, {"k8s-pod/app": "shop"}, "shop"),
        ({"function_name": "resize"}, {}, "resize"),
        ({"module_id": "default"}, {}, "default"),
        ({"instance_id": "123"}, {}, "gce_instance"),
    ],
)
def test_the_service_is_what_a_resource_is_called(
    door: Door, labels: dict[str, str], own: dict[str, str], service: str
) -> None:
    """By what runs there: a pod's app, a container, a function, a module; otherwise the type of the resource."""
    event = entry(door, resource={"type": "gce_instance", "labels": labels}, labels=own)

    assert event["resource"]["service.name"] == service


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"httpRequest": REQUEST, "textPayload": None}, "GET https://shop.example/cart 503 0.4s"),
        ({"protoPayload": CALL, "textPayload": None}, "storage.buckets.delete projects/_/buckets/b eve@example.org"),
        ({"httpRequest": REQUEST}, None),
        ({"textPayload": None}, None),
        ({"jsonPayload": {"message": "m"}, "protoPayload": CALL, "textPayload": None}, None),
    ],
)
def test_an_entry_without_a_text_says_what_happened(door: Door, changes: dict[str, Any], body: str | None) -> None:
    """A request, or a call of an API and who made it. An entry that has a text keeps it."""
    assert entry(door, **changes).get("body") == body


def test_what_an_entry_does_not_say_is_not_made_up(door: Door) -> None:
    """DEFAULT means that there is no severity; without a time the one of its receipt or its push counts."""
    assert "severity" not in entry(door, severity="DEFAULT")
    assert entry(door, timestamp=None)["timestamp"] == "2026-01-31T12:00:00.5Z"
    assert entry(door, timestamp=None, receiveTimestamp=None)["timestamp"] == "2026-01-31T12:00:01Z"
    assert entry(door, trace="not a resource name")["trace"] == "not a resource name"


def test_an_entry_that_comes_again_has_the_same_key(door: Door) -> None:
    """By its log, time, and insertId, as Cloud Logging itself tells entries apart, whatever number its message has."""
    for message_id, insert_id in (("1", "a"), ("2", "a"), ("3", "b")):
        push(door, json.dumps(ENTRY | {"insertId": insert_id}).encode(), message_id)

    first, again, other = [each.key for each in door.topic.kept]

    assert first == again != other
    assert None not in (first, other)


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b'{"a": 1}', [{"a": 1, "pubsub": {"tenant": "t"}}]),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        (b"two\nlines", [{"body": "two"}, {"body": "lines"}]),
        (b'{"cut off', [{"body": '{"cut off'}]),
        (b"\xff", [b"\xff"]),
        (b"", [{"timestamp": "2026-01-31T12:00:01Z", "attributes": {"tenant": "t"}}]),
    ],
)
def test_any_message_of_a_topic_is_taken(door: Door, data: bytes, events: list[Any]) -> None:
    """JSON, lines, text, or nothing but attributes. A second push of the same message has the same key."""
    for _ in range(2):
        assert push(door, data, attributes={"tenant": "t"}).status_code == 200

    assert door.events == events * 2
    assert len({each.key for each in door.topic.kept}) == 1
    assert door.topic.kept[0].key is not None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"message": 5}', b'{"message": {"data": "%"}}', b'{"message": {"data": 5}}']
)
def test_what_pubsub_does_not_push_is_refused(door: Door, body: bytes) -> None:
    """With 400: no message is lost by it."""
    answer = door.request("POST", "/pubsub", body, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "broken_push")


@given(
    st.binary(max_size=40)
    | st.builds(
        lambda each: json.dumps(ENTRY | each).encode(),
        st.dictionaries(
            st.sampled_from(
                ["resource", "labels", "trace", "traceSampled", "timestamp", "protoPayload", "httpRequest", "severity"]
            ),
            st.none()
            | st.integers()
            | st.text(max_size=3)
            | st.dictionaries(st.sampled_from(["labels", "status"]), st.integers()),
        ),
    )
)
@example(b'{"logName":"\\ud800"}')
def test_no_message_is_refused_for_what_it_says(data: bytes) -> None:
    """It would come again and again. Whatever Pub/Sub pushes becomes at least one event."""
    door = Door.open(Gateway(allow_anonymous=True))

    assert push(door, data).status_code == 200
    assert door.events


@pytest.mark.parametrize("depth", [100, 255, 1000, 5000])
@pytest.mark.parametrize(
    "form", ['{"a":%s}', '{"logName":"l","insertId":%s}', '{"logName":"l","jsonPayload":%s}', "%s"]
)
def test_no_message_is_refused_for_its_depth(door: Door, form: str, depth: int) -> None:
    """Deeper than JSON can be written again, it is stored as it came."""
    data = (form % ("[" * depth + "]" * depth)).encode()

    assert push(door, data).status_code == 200
    assert data.startswith(b"[") or b"[" * depth in door.messages[-1]


def test_a_checked_source_needs_no_token() -> None:
    """Cloud Run has checked Pub/Sub's token and passes it on: it is not one of ours, and is not looked at."""
    door = Door.open(Gateway(checked_source="google-cloud"))

    answer = door.request(
        "POST",
        "/pubsub",
        b'{"message": {"data": "YQ=="}}',
        authorization="Bearer header.payload.SIGNATURE_REMOVED_BY_GOOGLE",
    )

    assert answer.status_code == 200
    assert {each.source for each in door.topic.kept} == {b"google-cloud"}
