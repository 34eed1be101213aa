"""Elasticsearch's bulk requests: what Filebeat, Logstash, Fluent Bit, Vector, and Elastic's clients send and ask.

What Elasticsearch itself takes and answers: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.config import Gateway
from logbrook.tokens import issue
from tests.gateway.door import Door

NDJSON = "application/x-ndjson"
# Two events as Filebeat 8 sends them: https://www.elastic.co/docs/reference/beats/filebeat/exported-fields
EVENT = {
    "@timestamp": "2026-01-31T12:00:00.123Z",
    "log": {"offset": 0, "file": {"path": "/var/log/app.log"}},
    "message": "disk is 91% full",
    "host": {"name": "web-1"},
    "ecs": {"version": "8.0.0"},
}


def bulk(*pairs: tuple[dict[str, Any], Any]) -> bytes:
    """The lines of a request."""
    return b"".join(json.dumps(each).encode() + b"\n" for pair in pairs for each in pair)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_document_is_an_event(door: Door, method: str) -> None:
    """As it was sent, with its index; each action has an item in the answer."""
    pairs = [({"create": {"_index": "logs-app"}}, EVENT), ({"index": {"_index": "x", "_id": "1"}}, {"message": "b"})]

    answer = door.request(method, "/_bulk", bulk(*pairs), content_type=NDJSON)

    assert (answer.status_code, answer.headers["x-elastic-product"]) == (200, "Elasticsearch")
    assert answer.json() == {
        "took": 0,
        "errors": False,
        "items": [
            {"create": {"_index": "logs-app", "status": 201, "result": "created"}},
            {"index": {"_index": "x", "_id": "1", "status": 201, "result": "created"}},
        ],
    }
    assert door.events == [{"_index": "logs-app"} | EVENT, {"_index": "x", "_id": "1", "message": "b"}]


@pytest.mark.parametrize("path", ["/logs-app/_bulk", "/a-b.c/_bulk"])
def test_the_index_may_stand_in_the_path(door: Door, path: str) -> None:
    """It is that of the actions that name none."""
    door.request("POST", path, bulk(({"index": {}}, {"a": 1}), ({"index": {"_index": "own"}}, {"a": 2})))

    assert door.events == [{"_index": path.split("/")[1], "a": 1}, {"_index": "own", "a": 2}]


def test_what_can_not_be_taken_has_an_error_in_its_item(door: Door) -> None:
    """The others are stored: shippers read the items, and keep or drop those with an error by their status."""
    door = Door.open(Gateway(allow_anonymous=True, max_message_bytes=100))
    body = (
        b'{"index":{}}\n{"n":1}\n{"delete":{"_id":5}}\n{"update":{"_id":"6"}}\n{"doc":{}}\n'
        b'{"create":{}}\n"text"\n{"create":{}}\n{"x":"%b"}\n{"index":{}}\n{"n":2}\n' % (b"x" * 100)
    )

    answer = door.request("POST", "/_bulk", body).json()

    items = [(name, item["status"], item.get("_id")) for each in answer["items"] for name, item in each.items()]
    assert items == [
        ("index", 201, None),
        ("delete", 400, "5"),
        ("update", 400, "6"),
        ("create", 400, None),
        ("create", 413, None),
        ("index", 201, None),
    ]
    assert answer["errors"] is True
    assert [set(item["error"]) for each in answer["items"] for item in each.values() if item["status"] > 201] == [
        {"type", "reason"}
    ] * 4
    assert door.events == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("line", ["{}", "{ }", '{"a": 1}', '\t{"a":\r', '{"broken'])
def test_documents_are_passed_on_as_bytes(door: Door, line: str) -> None:
    """Whatever stands in one, it stays a line; one that is broken is stored, and flagged there, as any line of JSON."""
    accepted = door.request("POST", "/i/_bulk", f'{{"index":{{}}}}\n{line}\n{{"index":{{}}}}\n{{"b":2}}'.encode())

    assert len(accepted.json()["items"]) == 2
    assert len([item for each in accepted.json()["items"] for item in each.values() if item["status"] == 201]) == len(
        door.events
    )
    assert door.events[-1] == {"_index": "i", "b": 2}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["index", "create"]),
            st.text(min_size=1, max_size=20),
            st.none() | st.text(max_size=9),
            st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=3),
        ),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_documents_come_out_as_they_went_in(pairs: list[tuple[str, str, str | None, Any]], end: str) -> None:
    """In their order, one item each, whatever their index, id, and fields are."""
    door = Door.open(Gateway(allow_anonymous=True))
    lines = [
        json.dumps(line)
        for action, index, given_id, document in pairs
        for line in ({action: {"_index": index} | ({} if given_id is None else {"_id": given_id})}, document)
    ]

    answer = door.request("POST", "/_bulk", (end.join(lines) + end).encode())

    assert [next(iter(each)) for each in answer.json()["items"]] == [action for action, *_ in pairs]
    expected = [
        {"_index": index} | ({} if given_id is None else {"_id": given_id}) | document
        for _, index, given_id, document in pairs
    ]
    assert door.events == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"text",
        b"{}\n{}",
        b'{"index":{}}',
        b'{"index":1}\n{}',
        b'{"index":{},"create":{}}\n{}',
        b'{"drop":{}}\n{}',
        b'{"index":{"_index":1}}\n{}',
        b'{"index":{"_index":"%b"}}\n{}' % (b"x" * 256),
        b'{"index":{"_id":"%b"}}\n{}' % (b"x" * 513),
        b'{"index":{"_id":%b}}\n{}' % (b"1" * 5_000),
        b'{"index":{"_index":"\xff"}}\n{}',
        b'{"index":{"_index":"\\ud800"}}\n{}',
        b'{"index":' + b'{"a":' * 2_000,
    ],
)
def test_lines_that_are_no_pairs_are_refused_as_a_whole(door: Door, body: bytes) -> None:
    """As Elasticsearch does: with 400 and its form of an error, and nothing is stored."""
    answer = door.request("POST", "/_bulk", b'{"index":{}}\n{"a":1}\n' + body if body.strip() else body)

    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    error = answer.json()["error"]
    assert error["type"] == error["root_cause"][0]["type"] == "illegal_argument_exception"
    assert error["reason"]
    assert door.messages == []


def test_too_many_documents_are_refused(door: Door) -> None:
    """413, upon which shippers send smaller batches; also of those that would not be taken."""
    door = Door.open(Gateway(allow_anonymous=True, max_request_events=10))

    for pair in (b'{"index":{}}\n{"a":1}\n', b'{"delete":{}}\n'):
        assert door.request("POST", "/_bulk", pair * 11).status_code == 413
    assert door.messages == []
    assert door.request("POST", "/_bulk", b'{"index":{}}\n{"a":1}\n' * 10).status_code == 200


def test_ids_make_a_repeated_request_known(door: Door) -> None:
    """Where each document has an id, the same bytes are the same request, and are stored once."""
    for target in ({"_id": "1"}, {"_id": "1"}, dict[str, str]()):
        door.request("POST", "/_bulk", bulk(({"index": target}, EVENT)))

    keys = [each.key for each in door.topic.kept]
    assert keys[0] == keys[1] is not None
    assert keys[2] is None


@pytest.mark.parametrize("path", ["/", "/_license", "/_cluster/health"])
def test_what_shippers_ask_first_is_answered(path: str) -> None:
    """With the header that official clients insist on; only who has a token gets an answer."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry))
    token = {"authorization": f"Bearer {shop.token}"}

    asked, head, stranger = (
        door.request("GET", path, b"", **token),
        door.request("HEAD", path, b"", **token),
        door.request("GET", path),
    )

    assert (asked.status_code, head.status_code, stranger.status_code) == (200, 200, 401)
    assert asked.headers["x-elastic-product"] == "Elasticsearch"
    if path == "/":
        assert int(asked.json()["version"]["number"].partition(".")[0]) == 8


@pytest.mark.parametrize(("failure", "status"), [("down", 503), (None, 401)])
def test_errors_are_those_of_elasticsearch(failure: str | None, status: int) -> None:
    """Also of what goes wrong before a body is read, and when Kafka is away: clients show the reason, or try again."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry))
    door.topic.failure = failure

    headers = {"authorization": f"ApiKey {shop.token}"} if status == 401 else {"authorization": f"Bearer {shop.token}"}
    answer = door.request("POST", "/_bulk", bulk(({"index": {}}, EVENT)), **headers)

    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert answer.json()["error"]["reason"]
