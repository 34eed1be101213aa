"""Splunk's HTTP Event Collector: what Docker's driver, Vector, Fluent Bit, Fluentd, and logging libraries send to it.

What Splunk itself takes and answers: https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.config import Gateway
from logbrook.tokens import issue
from tests.gateway.door import Door

PATH = "/services/collector"
# Of "HTTP Event Collector examples" in Splunk's manual, with everything that may stand around an event.
EVENT = {
    "time": 1437522387.25,
    "host": "dataserver992.example.com",
    "source": "testapp",
    "sourcetype": "_json",
    "index": "main",
    "event": {"message": "Something happened", "severity": "INFO"},
    "fields": {"device": "macbook", "users": ["joe", "bob"]},
}
STORED = {
    "timestamp": 1437522387.25,
    "resource": {
        "host.name": "dataserver992.example.com",
        "com.splunk.source": "testapp",
        "com.splunk.sourcetype": "_json",
        "com.splunk.index": "main",
    },
    "message": "Something happened",
    "severity": "INFO",
    "device": "macbook",
    "users": ["joe", "bob"],
}
KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
EVENTS = st.lists(
    st.text(min_size=1, max_size=20) | st.dictionaries(KEYS, st.text(max_size=9) | st.integers(), max_size=3)
)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/event", f"{PATH}/event/1.0"])
@pytest.mark.parametrize("between", ["", "\n", " \r\n "])
def test_events_stand_one_after_the_other(door: Door, path: str, between: str) -> None:
    """With nothing between them or with white space, each with its time, its source, and its fields."""
    body = between.join([json.dumps(EVENT), json.dumps({"event": "text"}), json.dumps(EVENT, indent=2)]).encode()

    answer = door.request("POST", path, body)

    assert (answer.status_code, answer.json()) == (200, {"text": "Success", "code": 0})
    assert door.events == [STORED, {"body": "text"}, STORED]


@given(EVENTS, st.sampled_from(["", "\n", " "]))
def test_any_events_come_out_as_they_went_in(some: list[Any], between: str) -> None:
    """Texts as bodies, objects as themselves, in their order: braces and quotes in them end nothing."""
    door = Door.open(Gateway(allow_anonymous=True))

    answer = door.request("POST", PATH, between.join(json.dumps({"event": each}) for each in some).encode())

    assert answer.status_code == (200 if some else 400)
    assert door.events == [{"body": each} if isinstance(each, str) else each for each in some]


@pytest.mark.parametrize(
    ("event", "code", "text"),
    [
        ('{"fields":{}}', 12, "Event field is required"),
        ('{"event":null}', 12, "Event field is required"),
        ('{"event":""}', 13, "Event field cannot be blank"),
        ('[{"event":1}]', 6, "Invalid data format"),
        ('{"event":"%s"}' % ("x" * 200), 6, "Invalid data format"),
    ],
)
def test_an_event_that_can_not_be_taken_leaves_the_others(event: str, code: int, text: str) -> None:
    """400 with its number and Splunk's own code; what could be stored is stored."""
    door = Door.open(Gateway(allow_anonymous=True, max_message_bytes=100))

    answer = door.request("POST", PATH, f'{{"event":"a"}}{event}{{"event":"b"}}'.encode())

    said = answer.json()
    assert (answer.status_code, said["code"], said["text"], said["invalid-event-number"]) == (400, code, text, 1)
    assert [each["body"] for each in door.events] == ["a", "b"]


@pytest.mark.parametrize("rest", ['{"event":', "text", '{"event":"b"', '{"event":' + '{"a":' * 3_000])
def test_what_stands_before_a_break_is_stored(door: Door, rest: str) -> None:
    """Of a broken event nobody knows the end, so what follows is lost to it; what came before is not."""
    answer = door.request("POST", PATH, b'{"event":"a"}' + rest.encode())

    assert (answer.status_code, answer.json()["code"], answer.json()["invalid-event-number"]) == (400, 6, 1)
    assert door.events == [{"body": "a"}]


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_nothing_is_no_data(door: Door, body: bytes) -> None:
    """As Kinesis Data Firehose tests an address: with an empty body, for which it expects 400."""
    for path in (PATH, f"{PATH}/raw"):
        answer = door.request("POST", path, body)
        assert (answer.status_code, answer.json()["code"], answer.json()["text"]) == (400, 5, "No data")


@pytest.mark.parametrize("path", [f"{PATH}/raw", f"{PATH}/raw/1.0"])
def test_raw_is_lines_of_text(door: Door, path: str) -> None:
    """Each is an event, with what the parameters say of all; a stack trace stays whole."""
    answer = door.request("POST", f"{path}?channel=c&host=web%201&sourcetype=app", b'one "1"\nTraceback:\n\tat x\ntwo')

    resource = {"host.name": "web 1", "com.splunk.sourcetype": "app"}
    assert answer.status_code == 200
    assert door.events == [{"body": text, "resource": resource} for text in ('one "1"', "Traceback:\n\tat x", "two")]
    door.topic.kept.clear()
    door.request("POST", path, b"alone")
    assert door.events == [{"body": "alone"}]


@pytest.mark.parametrize(
    "head", [("?channel=0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba", {}), ("", {"x_splunk_request_channel": "c"})]
)
def test_who_names_a_channel_may_ask_about_it(door: Door, head: tuple[str, dict[str, str]]) -> None:
    """The number of an acknowledgement is given out when Kafka has the events, so that each is true."""
    query, headers = head

    numbers = [door.request("POST", PATH + query, b'{"event":"a"}', **headers).json()["ackId"] for _ in range(3)]
    asked = door.request("POST", f"{PATH}/ack{query}", json.dumps({"acks": numbers}).encode(), **headers)

    assert len(set(numbers)) == 3
    assert asked.json() == {"acks": {str(number): True for number in numbers}}
    door.topic.failure = "down"
    assert "ackId" not in door.request("POST", PATH + query, b'{"event":"a"}', **headers).json()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"acks":1}', b'{"acks":["1"]}', b'{"acks":[%b]}' % (b"9" * 5_000)])
def test_another_question_is_refused(door: Door, body: bytes) -> None:
    """400, as an invalid format."""
    answer = door.request("POST", f"{PATH}/ack", body)

    assert (answer.status_code, answer.json()["code"]) == (400, 6)


def test_splunks_own_codes_say_who_may_not_and_when_to_try_again() -> None:
    """401 without a token, 403 with a wrong one, 503 while the collector is busy: clients act on these."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry, max_queued_bytes=5_000))
    right = {"authorization": f"Splunk {shop.token}"}

    answers = [
        door.request("POST", PATH, b'{"event":"a"}', **headers)
        for headers in (right, {}, {"authorization": "Splunk x"})
    ]
    answers.append(door.request("POST", PATH, b'{"event":"%b"}' % (b"x" * 10_000), **right))
    door.topic.failure = "down"
    answers.append(door.request("POST", PATH, b'{"event":"a"}', **right))

    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (200, 0),
        (401, 2),
        (403, 4),
        (503, 9),
        (503, 9),
    ]
    assert [each.source for each in door.topic.kept] == [b"shop"]
    assert "retry-after" in answers[-1].headers


@pytest.mark.parametrize("path", [f"{PATH}/health", f"{PATH}/health/1.0"])
def test_health_is_whether_kafka_answers(door: Door, path: str) -> None:
    """200 or 503, without a token, as load balancers and shippers ask."""
    assert door.request("GET", path).status_code == 200
    door.topic.failure = "down"
    assert door.request("GET", path).status_code == 503


@pytest.mark.parametrize("path", [f"{PATH}/event/1.0", PATH])
def test_docker_is_told_that_somebody_is_there(path: str) -> None:
    """Its driver asks with OPTIONS, without a token, before it starts a container; a page may still not send.

    https://github.com/moby/moby/blob/02b851b4974580bc659d6e4262d81073c9c90478/daemon/logger/splunk/splunk.go
    """
    answer = Door.open(Gateway(tokens=issue("shop").entry)).request("OPTIONS", path, origin="https://example.org")

    assert (answer.status_code, answer.content) == (200, b"")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
