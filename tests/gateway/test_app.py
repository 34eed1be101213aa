"""The gateway's HTTP: what is admitted, what is answered, and in what form."""

import asyncio
import gzip
import json
import threading
from typing import Any

import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.gateway import app, bodies
from logbrook.tokens import issue
from tests.gateway.door import Door

JSON, PROTOBUF, NDJSON = "application/json", "application/x-protobuf", "application/x-ndjson"
RECORD = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}
OTLP_JSON = json.dumps(RECORD).encode()


def error_of(answer: object) -> dict[str, object]:
    """The `error` of an answer's JSON."""
    found = json.loads(answer.content)["error"]  # type: ignore[attr-defined]
    assert isinstance(found, dict)
    return found


def test_events_are_answered_for_when_the_topic_has_them(door: Door) -> None:
    """200 and the number of events, which are then in the topic with their source."""
    answer = door.ingest(b'{"a": 1}\n{"a": 2}\n', NDJSON)

    assert (answer.status_code, answer.json()) == (200, {"accepted": 2})
    assert door.events == [{"a": 1}, {"a": 2}]
    assert {each.source for each in door.topic.kept} == {b"anonymous"}


def test_the_source_comes_from_the_token() -> None:
    """Whatever an event says about itself, its source is who sent it."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry))

    answer = door.ingest(b'{"source": "bank"}', authorization=f"Bearer {shop.token}")

    assert answer.status_code == 200
    assert [each.source for each in door.topic.kept] == [b"shop"]


@pytest.mark.parametrize("content_type", [JSON, PROTOBUF, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/ingest", "/v1/logs"])
def test_no_token_no_entry(path: str, content_type: str) -> None:
    """Without a good token nothing is read, and the answer says how one is sent."""
    door = Door.open(Gateway(tokens=issue("shop").entry))

    answer = door.request("POST", path, OTLP_JSON, content_type=content_type)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"Bearer" in answer.content
    assert door.messages == []


@pytest.mark.parametrize(
    ("encoding", "content"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_a_compressed_body_is_inflated(door: Door, encoding: str, content: object) -> None:
    """Events arrive as they were before compression."""
    assert callable(content)
    answer = door.ingest(content(b'{"a": 1}'), NDJSON, content_encoding=encoding)

    assert answer.status_code == 200
    assert door.messages == [b'{"a": 1}']


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/elsewhere", 404, "no_such_path"),
        ("POST", "/v1/traces", 404, "no_such_path"),
        ("GET", "/ingest", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_a_wrong_address_is_answered_with_the_right_one(
    door: Door, method: str, path: str, status: int, code: str
) -> None:
    """404 and 405 are JSON as all errors are, and 405 names the method."""
    answer = door.request(method, path)

    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert status == 404 or answer.headers["allow"] in ("GET, HEAD", "POST")


def test_a_large_body_is_refused_before_it_is_read() -> None:
    """A declared length over the limit is answered 413 at once."""
    door = Door.open(Gateway(allow_anonymous=True, max_body_bytes=10))

    answer = door.ingest(b'{"a": "0123456789"}')

    assert (answer.status_code, error_of(answer)["limit"]) == (413, 10)


def test_bodies_of_all_requests_are_bounded() -> None:
    """When other requests hold the memory for bodies the answer is 429, and when to come again."""
    door = Door.open(Gateway(allow_anonymous=True, max_buffered_bytes=10))

    answer = door.ingest(b'{"a": "0123456789"}')

    assert (answer.status_code, error_of(answer)["code"]) == (429, "too_busy")
    assert int(answer.headers["retry-after"]) > 0


class Slow:
    """Holds who takes a long body apart until told to go on, and knows in which thread it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []
        split = app._split

        def wait(body: bodies.Body, *arguments: Any) -> Any:
            if body.is_longer(256 * 1024):
                self.threads.append(threading.current_thread())
                self.entered.set()
                assert self.go_on.wait(30)
            return split(body, *arguments)

        monkeypatch.setattr(app, "_split", wait)


LONG = gzip.compress(b'{"a": 1}\n' * 50_000)


def test_a_long_body_is_inflated_and_split_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 256 KiB no step of it is done in the thread that answers everybody else, and /healthz is answered."""
    door, slow, main = Door.open(Gateway(allow_anonymous=True)), Slow(monkeypatch), threading.current_thread()
    add = bodies._Output.add
    steps: list[tuple[int, threading.Thread]] = []

    def noted(output: bodies._Output, piece: bytes) -> None:
        steps.append((output.size, threading.current_thread()))
        add(output, piece)

    monkeypatch.setattr(bodies, "_STEP_BYTES", 64 * 1024)
    monkeypatch.setattr(bodies._Output, "add", noted)

    async def send() -> tuple[int, int]:
        async with door.client() as client:
            long = asyncio.create_task(client.post("/ingest", content=LONG, headers={"content-encoding": "gzip"}))
            await asyncio.to_thread(slow.entered.wait, 30)
            alive = await client.get("/healthz")
            slow.go_on.set()
            return (await long).status_code, alive.status_code

    assert asyncio.run(send()) == (200, 200)
    assert main not in slow.threads
    assert {thread for size, thread in steps if size > 256 * 1024} == set(slow.threads)
    assert len(door.events) == 50_000


@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_long_body_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch, is_stopping: bool) -> None:
    """429 with Retry-After if other bodies take too long, 503 if the gateway is leaving; short ones do not wait."""
    door = Door.open(Gateway(allow_anonymous=True, wait_seconds=60 if is_stopping else 0.01))
    slow = Slow(monkeypatch)
    headers = {"content-encoding": "gzip"}

    async def send() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        async with door.client() as client:
            first = asyncio.create_task(client.post("/ingest", content=LONG, headers=headers))
            await asyncio.to_thread(slow.entered.wait, 30)
            other = asyncio.create_task(client.post("/ingest", content=LONG, headers=headers))
            while is_stopping and not door.app._waiting:
                await asyncio.sleep(0.01)
            short = await client.post("/v1/logs", content=OTLP_JSON, headers={"content-type": JSON})
            door.app.draining = is_stopping
            if is_stopping:
                door.app.hurry()
            answer = await other
            slow.go_on.set()
            return await first, answer, short

    first, other, short = asyncio.run(send())

    assert (first.status_code, short.status_code) == (200, 200)
    code = (503, "stopping") if is_stopping else (429, "too_busy")
    assert (other.status_code, error_of(other)["code"]) == code
    assert int(other.headers["retry-after"]) > 0


def test_a_topic_that_fails_makes_the_sender_try_again(door: Door) -> None:
    """503 with Retry-After, in both of the gateway's languages, and nothing is counted as taken."""
    door.topic.failure = "no broker"

    plain = door.ingest(b"x")
    otlp = door.request("POST", "/v1/logs", OTLP_JSON, content_type=JSON)

    assert (plain.status_code, error_of(plain)["code"], plain.headers["retry-after"]) == (503, "not_acknowledged", "5")
    assert (otlp.status_code, otlp.json()["code"], otlp.headers["retry-after"]) == (503, 14, "5")


def test_a_full_queue_takes_all_of_a_request_or_nothing() -> None:
    """429 with Retry-After, before anything is sent."""
    door = Door.open(Gateway(allow_anonymous=True, max_queued_bytes=100))

    answer = door.ingest(b"x")

    assert (answer.status_code, error_of(answer)["code"]) == (429, "queue_full")
    assert "retry-after" in answer.headers
    assert door.messages == []


def test_otlp_is_answered_in_its_own_encoding(door: Door) -> None:
    """Success is an ExportLogsServiceResponse, in protobuf or JSON as the request was."""
    as_json = door.request("POST", "/v1/logs", OTLP_JSON, content_type="application/json; charset=utf-8")
    as_protobuf = door.request("POST", "/v1/logs", b"", content_type=PROTOBUF)

    assert (as_json.status_code, as_json.content, as_json.headers["content-type"]) == (200, b"{}", JSON)
    assert (as_protobuf.status_code, as_protobuf.content) == (200, b"")
    assert as_protobuf.headers["content-type"] == PROTOBUF
    assert ExportLogsServiceResponse.FromString(as_protobuf.content) == ExportLogsServiceResponse()
    assert door.events == [{"body": "hello"}]


def test_otlp_says_which_records_it_could_not_take(door: Door) -> None:
    """A partial success has the number of records left out and the reason."""
    bad = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "x"}, {}]}]}]}

    answer = door.request("POST", "/v1/logs", json.dumps(bad).encode(), content_type=JSON)

    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    assert "record 0" in answer.json()["partialSuccess"]["errorMessage"]
    assert len(door.events) == 1


def test_an_otlp_error_is_a_status_in_the_requests_encoding(door: Door) -> None:
    """google.rpc.Status: code and message, as OTLP's clients show them."""
    as_json = door.request("POST", "/v1/logs", b"{", content_type=JSON)
    as_protobuf = door.request("POST", "/v1/logs", b"\xff" * 200, content_type=PROTOBUF)

    assert (as_json.status_code, as_json.json()["code"]) == (400, 3)
    assert (as_protobuf.status_code, as_protobuf.headers["content-type"]) == (400, PROTOBUF)
    status = Status.FromString(as_protobuf.content)
    assert status.code == 3
    assert status.message.startswith("The body is not an ExportLogsServiceRequest")


@pytest.mark.parametrize("content_type", ["text/plain", ""])
def test_otlp_of_another_type_is_refused(door: Door, content_type: str) -> None:
    """415 names the types that are taken."""
    answer = door.request("POST", "/v1/logs", OTLP_JSON, content_type=content_type)

    assert answer.status_code == 415
    assert PROTOBUF in str(error_of(answer)["message"])


def test_a_key_makes_messages_known_again(door: Door) -> None:
    """The same key gives the same keys and partitions, another key or another part of the request others."""
    settings = Gateway(allow_anonymous=True, max_message_bytes=20)
    body = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}'
    first, again, other = Door.open(settings), Door.open(settings), Door.open(settings)

    for each, key in ((first, "k-1"), (again, "k-1"), (other, "k-2")):
        assert each.ingest(body, NDJSON, idempotency_key=key).status_code == 200

    assert first.topic.kept == again.topic.kept
    keys = [each.key for each in first.topic.kept]
    assert len(set(keys)) == len(keys) == 2
    assert not set(keys) & {each.key for each in other.topic.kept}
    assert {len(key or b"") for key in keys} == {32}


def test_a_key_used_twice_by_mistake_loses_nothing(door: Door) -> None:
    """Other events under a key that was used before are not taken for the ones that were sent then."""
    for body in (b"one", b"other"):
        door.ingest(body, idempotency_key="always-the-same")

    assert len({each.key for each in door.topic.kept}) == 2


def test_two_sources_may_use_the_same_key() -> None:
    """A key says something about its sender's requests only."""
    one, two = issue("one"), issue("two")
    door = Door.open(Gateway(tokens=f"{one.entry},{two.entry}"))

    for each in (one, two):
        door.ingest(b"x", idempotency_key="k", authorization=f"Bearer {each.token}")

    assert len({each.key for each in door.topic.kept}) == 2


def test_ids_of_events_are_as_good_as_a_key(door: Door) -> None:
    """Where each event has an `event_id` the same bytes are the same request; without, they may be sent twice."""
    named, unnamed = b'{"event_id": "1"}', b'{"id": "1"}'

    for body in (named, named, named + b"\n", unnamed):
        door.ingest(body, NDJSON)
    door.ingest(gzip.compress(named), NDJSON, content_encoding="gzip")

    keys = [each.key for each in door.topic.kept]
    assert keys[0] == keys[1] == keys[4]
    assert keys[2] not in (None, keys[0])
    assert keys[3] is None


@pytest.mark.parametrize("key", ["", "x" * 257, "tab\there", "caf\u00e9"])
def test_a_key_is_short_printable_text(door: Door, key: str) -> None:
    """Anything else is answered 400, and nothing is sent."""
    answer = door.ingest(b"x", idempotency_key=key)

    assert (answer.status_code, error_of(answer)["code"]) == (400, "bad_idempotency_key")
    assert door.messages == []


def test_a_gateway_that_is_stopping_sends_clients_elsewhere(door: Door) -> None:
    """Logs are answered 503 with Retry-After and the connection is closed; it is alive but not ready."""
    door.app.draining = True

    answer, ready, alive = door.ingest(b"x"), door.request("GET", "/readyz"), door.request("GET", "/healthz")

    assert (answer.status_code, error_of(answer)["code"]) == (503, "stopping")
    assert answer.headers["connection"] == "close"
    assert "retry-after" in answer.headers
    assert (ready.status_code, alive.status_code) == (503, 200)


def test_ready_means_that_the_topic_is_there(door: Door) -> None:
    """/readyz gives the reason when it is not."""
    assert door.request("GET", "/readyz").status_code == 200

    door.topic.failure = "no such topic"
    answer = door.request("GET", "/readyz")

    assert (answer.status_code, error_of(answer)["message"]) == (503, "no such topic")


@pytest.mark.parametrize(
    "headers", [{"origin": "https://elsewhere.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}]
)
@pytest.mark.parametrize("path", ["/ingest", "/v1/logs"])
def test_a_web_page_can_not_write_without_a_token(door: Door, path: str, headers: dict[str, str]) -> None:
    """A form or script of any page in a browser on this network could post otherwise; curl and the like may."""
    refused = door.request("POST", path, b"{}", content_type=JSON, **headers)
    taken = door.request("POST", path, b"{}", content_type=JSON, sec_fetch_site="none")

    assert (refused.status_code, taken.status_code) == (403, 200)
    assert "web pages" in refused.text
    assert len(door.messages) == (1 if path == "/ingest" else 0)


def test_a_page_that_has_a_token_may_write() -> None:
    """Who sends a token is no stranger, whatever it runs in."""
    shop = issue("shop")
    door = Door.open(Gateway(tokens=shop.entry, allow_anonymous=True))

    sent = door.ingest(b"{}", origin="https://shop.example", authorization=f"Bearer {shop.token}")

    assert sent.status_code == 200


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded"])
def test_metrics_are_not_for_who_comes_through_a_proxy(door: Door, header: str) -> None:
    """They name the sources: on Cloud Run everybody could read them."""
    assert door.request("GET", "/metrics", b"", **{header: "203.0.113.1"}).status_code == 404
    assert door.request("GET", "/metrics").status_code == 200


def test_metrics_count_what_was_answered(door: Door) -> None:
    """Events, bytes, requests and refusals are counted once the answer is known."""

    def events() -> float:
        return float(metrics.gateway_events_total.labels("anonymous")._value.get())

    before = events()
    door.ingest(b"a\nb")
    door.topic.failure = "down"
    door.ingest(b"c")
    text = door.request("GET", "/metrics").text

    assert events() == before + 2
    assert 'gateway_requests_total{route="/ingest",status="503"}' in text
    assert 'gateway_rejected_total{code="not_acknowledged"}' in text


def test_a_fault_of_our_own_is_an_answer_too(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is answered 500 as JSON, without its details."""

    async def fail(*_: object) -> None:
        raise ValueError("secret detail")

    monkeypatch.setattr(door.topic, "send", fail)
    answer = door.ingest(b"x")

    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal")
    assert b"secret" not in answer.content


TYPES = [JSON, PROTOBUF, NDJSON, "text/plain", "", "application/x-www-form-urlencoded", "nonsense"]


@given(
    st.sampled_from(["/ingest", "/v1/logs"]),
    st.sampled_from(TYPES),
    st.sampled_from([None, "gzip", "zstd", "deflate", "br"]),
    st.binary(max_size=200) | st.text(max_size=80).map(str.encode) | st.sampled_from([OTLP_JSON, b"{}", b"[{}]"]),
)
def test_any_request_has_a_clear_answer(path: str, content_type: str, encoding: str | None, body: bytes) -> None:
    """Whatever is sent: taken, or a 4xx that says why. Never 500."""
    door = Door.open(Gateway(allow_anonymous=True))
    headers = {"content_encoding": encoding} if encoding else {}

    answer = door.request("POST", path, body, content_type=content_type, **headers)

    assert answer.status_code in (200, 400, 413, 415)
    assert bool(door.messages) <= (answer.status_code == 200)
