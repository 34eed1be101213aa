"""Loki's push requests: what Promtail, Alloy, Vector, Fluent Bit, and logging libraries send.

What Loki itself takes and answers: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs, and
pkg/loghttp/push/push.go, pkg/distributor/http.go, and pkg/push/push.proto of https://github.com/grafana/loki.
"""

import json
from typing import Any
from unittest.mock import patch

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.config import Gateway
from logbrook.gateway.formats import loki_protobuf, wire
from logbrook.tokens import issue
from tests.gateway import push
from tests.gateway.door import Door

PATH, JSON, PROTOBUF = "/loki/api/v1/push", "application/json", "application/x-protobuf"
NOON = 1_769_860_800_000_000_000
# Of the documentation of Loki's API, with a label for the level and structured metadata.
REQUEST = {
    "streams": [
        {
            "stream": {"job": "varlogs", "filename": "/var/log/app.log", "level": "warn"},
            "values": [
                [str(NOON), "disk is 91% full", {"trace_id": "0242ac120002", "user": "superUser123"}],
                [str(NOON + 1), 'said "no"\t\u00e9'],
            ],
        },
        {"stream": {}, "values": [[str(NOON + 2), "alone"]]},
    ]
}
WARNED = {
    "severity_text": "warn",
    "resource": {"service.name": "varlogs", "job": "varlogs", "filename": "/var/log/app.log", "level": "warn"},
}
EVENTS = [
    {"timestamp": str(NOON), "body": "disk is 91% full", "trace_id": "0242ac120002", "user": "superUser123"} | WARNED,
    {"timestamp": str(NOON + 1), "body": 'said "no"\t\u00e9'} | WARNED,
    {"timestamp": str(NOON + 2), "body": "alone"},
]
TEXTS = st.text(max_size=20)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
REQUESTS = st.fixed_dictionaries(
    {
        "streams": st.lists(
            st.fixed_dictionaries(
                {
                    "stream": st.dictionaries(NAMES, TEXTS, max_size=3),
                    "values": st.lists(
                        st.tuples(st.integers(0, 2**62).map(str), TEXTS, st.dictionaries(NAMES, TEXTS, max_size=3)),
                        max_size=4,
                    ),
                }
            ),
            max_size=3,
        )
    }
)


def sent(door: Door, request: Any, kind: str = JSON, **headers: str) -> tuple[int, str]:
    """Status and text of the answer."""
    body = json.dumps(request).encode() if kind == JSON else push.compressed(push.from_json(request))
    answer = door.request("POST", PATH, body, content_type=kind, **headers)
    return answer.status_code, answer.text


@pytest.mark.parametrize("kind", [JSON, PROTOBUF, ""])
def test_labels_are_the_resource_and_metadata_are_fields(door: Door, kind: str) -> None:
    """Each line is an event with its stream's labels, its time to the nanosecond, and its structured metadata."""
    assert sent(door, REQUEST, kind) == (204, "")

    assert door.events == EVENTS


@given(REQUESTS)
def test_both_encodings_are_the_same_events(request: dict[str, Any]) -> None:
    """Whatever stands in labels, lines, and metadata: nothing of it is changed on the way, and nothing breaks out."""
    as_json, as_protobuf, in_parts = (Door.open(Gateway(allow_anonymous=True)) for _ in range(3))
    expected = [
        (each["stream"], time, line, metadata) for each in request["streams"] for time, line, metadata in each["values"]
    ]

    assert sent(as_json, request)[0] == sent(as_protobuf, request, PROTOBUF)[0] == 204
    with patch.object(wire, "_PART_BYTES", 48):
        assert sent(in_parts, request, PROTOBUF)[0] == 204

    assert as_protobuf.events == as_json.events == in_parts.events
    found = as_json.events
    assert [(event["timestamp"], event["body"]) for event in found] == [each[1:3] for each in expected]
    for event, (labels, _, _, metadata) in zip(found, expected, strict=True):
        assert labels.items() <= event.get("resource", {}).items()
        # Of two keys that are the same, a reader that knows only one takes the last.
        assert metadata.items() <= event.items()


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"job": "j", "app": "a"}, "a"),
        ({"service_name": "s", "app": "a"}, "s"),
        ({"container": "c"}, "c"),
        ({"service.name": "own", "app": "a"}, "own"),
        ({"filename": "f"}, None),
    ],
)
def test_the_service_is_where_loki_looks_for_it(door: Door, labels: dict[str, str], service: str | None) -> None:
    """In `service_name`, or in what `discover_service_name` of Loki's limits_config has by default."""
    sent(door, {"streams": [{"stream": labels, "values": [[str(NOON), "x"]]}]})

    assert door.events[0]["resource"].get("service.name") == service


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ('{a="b", c_1 = "d",}', {"a": "b", "c_1": "d"}),
        (r'{a="q\"\\\n\t\u00e9\x41"}', {"a": 'q"\\\n\t\u00e9A'}),
        ("{a=`q\\n`}", {"a": "q\\n"}),
        ('{a="{b=\\"c\\"}, d"}', {"a": '{b="c"}, d'}),
        ("{a}", {"stream": "{a}"}),
        ('{a="b" c', {"stream": '{a="b" c'}),
        (r'{a="\8"}', {"a": r"\8"}),
        ("{" + "a" * 2**20, {"stream": "{" + "a" * 2**20}),
        ('{a="' + "\\" * 2**20, {"stream": '{a="' + "\\" * 2**20}),
    ],
    ids=range(10),
)
def test_labels_are_read_as_go_writes_them(text: str, expected: dict[str, str]) -> None:
    """What can't be read is kept as it is, and long nonsense takes no long time."""
    assert loki_protobuf.labels(text) == expected


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_a_line_that_is_too_long_leaves_the_others(kind: str) -> None:
    """As Loki does: what can be stored is stored, and 400 says what is not."""
    door = Door.open(Gateway(allow_anonymous=True, max_message_bytes=500))
    values = [[str(NOON), "a"], [str(NOON), "x" * 600], [str(NOON), "b"]]

    status, text = sent(door, {"streams": [{"stream": {"app": "x"}, "values": values}]}, kind)

    assert status == 400
    assert text.startswith("1 entries are not stored, 2 are. entry 1 (counted from 0): it has 6")
    assert [event["body"] for event in door.events] == ["a", "b"]


@pytest.mark.parametrize(
    "entry", [["1"], "text", [], {}, None, [str(NOON), "x", None], [str(NOON), "x", ["y"]]], ids=str
)
def test_an_entry_that_is_none_leaves_the_others(door: Door, entry: Any) -> None:
    """It is counted as not stored."""
    status, text = sent(door, {"streams": [{"stream": {}, "values": [entry, [str(NOON), "b"]]}]})

    assert (status, text[:2]) == (400, "1 ")
    assert [event["body"] for event in door.events] == ["b"]


def test_what_is_not_unicode_is_mended(door: Door) -> None:
    """Go's clients do not check: one byte must not cost a batch."""
    body = push.stream(b'{a="\xff"}', [push.entry(NOON, b"caf\xe9", [(b"k", b"\xff")])])

    answer = door.request("POST", PATH, push.compressed(body))
    in_json = b'{"streams":[{"stream":{"a":"\xff\\ud800"},"values":[["1","x"]]}]}'
    other = door.request("POST", PATH, in_json, content_type=JSON)

    assert (answer.status_code, other.status_code) == (204, 204)
    first, second = door.events
    assert (first["body"], first["k"], first["resource"]) == ("caf\ufffd", "\ufffd", {"a": "\ufffd"})
    assert second["resource"] == {"a": "\ufffd\ufffd"}


def test_json_over_several_lines_stays_an_event_a_line(door: Door) -> None:
    """Line ends between the tokens do not split an event."""
    answer = door.request("POST", PATH, json.dumps(REQUEST, indent=1).replace("\n", "\r\n").encode(), content_type=JSON)

    assert answer.status_code == 204
    assert door.events == EVENTS


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"streams":[1]}', JSON, 400),
        (b'{"streams":[{"stream":[],"values":[]}]}', JSON, 400),
        (b'{"streams":[{"stream":' + b'{"a":' * 2_000 + b"1", JSON, 400),
        (b"", PROTOBUF, 400),
        (b"\x05abc", PROTOBUF, 400),
        (push.compressed(b"\xff" * 20), PROTOBUF, 400),
        # 4 GiB by its own account: nothing of it is inflated.
        (b"\xff\xff\xff\xff\x0f", PROTOBUF, 413),
        (push.compressed(bytes(2**20)), PROTOBUF, 413),
        (push.compressed(push.field(1, push.field(2, b"")) * 11), PROTOBUF, 413),
        (b'{"streams":[' + b'{"values":[["1","x"]]},' * 10 + b'{"values":[["1","x"]]}]}', JSON, 413),
    ],
)
def test_what_is_no_push_request_is_refused_as_text(body: bytes, kind: str, status: int) -> None:
    """The reason is a line of text, which Loki's clients write into their own log; nothing is stored."""
    door = Door.open(Gateway(allow_anonymous=True, max_inflated_bytes=2**20 - 1, max_request_events=10))

    answer = door.request("POST", PATH, body, content_type=kind)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert answer.text.endswith("\n")
    assert door.messages == []


def test_snappy_may_be_named_and_is_not_undone_twice(door: Door) -> None:
    """Some clients say `Content-Encoding: snappy`; another one is refused, since Loki expects snappy in it."""
    assert sent(door, REQUEST, PROTOBUF, content_encoding="snappy")[0] == 204
    assert sent(door, REQUEST, PROTOBUF, content_encoding="gzip")[0] == 415
    assert door.events == EVENTS


def test_any_route_takes_snappy(door: Door) -> None:
    """As a Content-Encoding, in the block format."""
    body = bytes(cramjam.snappy.compress_raw(b"a\nb"))

    assert door.ingest(body, "text/plain", content_encoding="snappy").json() == {"accepted": 2}


def test_the_token_is_the_password() -> None:
    """Loki's clients know Basic and Bearer; the tenant that they may name is not looked at."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry))
    headers = {"authorization": f"Bearer {shop.token}", "x_scope_orgid": "tenant-1"}

    assert sent(door, REQUEST, **headers) == (204, "")
    assert sent(door, REQUEST)[0] == 401
    assert {each.source for each in door.topic.kept} == {b"shop"}


def test_kafka_away_is_said_as_loki_says_it(door: Door) -> None:
    """503 as text, so that clients try again: nothing is acknowledged that Kafka does not have."""
    door.topic.failure = "down"

    assert sent(door, REQUEST) == (503, "down\n")
    assert door.request("GET", "/ready").status_code == 503
