"""The gateway as a process: senders of all kinds, and the ways in which it leaves."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from logbrook import rereading
from logbrook.config import Gateway, Kafka, load
from logbrook.connection import MAX_HEAD_BYTES
from logbrook.errors import RejectedError
from logbrook.gateway import server
from logbrook.tokens import issue
from native import ports
from tests.gateway import reading
from tests.gateway.collecting import CollectingTopic
from tests.gateway.process import Process, answer_of, running, start, wait_until


def curl(process: Process, *arguments: str, stdin: bytes = b"") -> Any:
    """The JSON that curl gets from /ingest."""
    command = ["curl", "-sS", "--fail-with-body", *arguments, f"{process.url}/ingest"]
    return json.loads(subprocess.run(command, input=stdin, capture_output=True, check=True).stdout)


def nowhere() -> Kafka:
    """A Kafka that is not there."""
    [port] = ports.free(1)
    return Kafka(bootstrap_servers=f"127.0.0.1:{port}")


def half_a_request(process: Process, body: bytes) -> http.client.HTTPConnection:
    """A request of which the last byte is still to come; it is being worked on."""
    before = process.metric("gateway_requests_in_flight")
    connection = process.connect()
    connection.putrequest("POST", "/ingest")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-1])
    # The request for the metrics is one itself.
    wait_until(lambda: process.metric("gateway_requests_in_flight") > before, "the request")
    return connection


def in_background(work: Any) -> "Future[Any]":
    """The outcome of `work`, which runs in a thread."""
    threads = ThreadPoolExecutor(1)
    future = threads.submit(work)
    threads.shutdown(wait=False)
    return future


def test_curl_delivers(topic: Kafka, tmp_path: Path) -> None:
    """curl's ways of sending, with the content types that it makes up, arrive as what they are."""
    with running(topic, tmp_path / "log") as gateway:
        assert curl(gateway, "-d", '{"way": "data"}') == {"accepted": 1}
        assert curl(gateway, "--json", '[{"way": "array"}, {"way": "array"}]') == {"accepted": 2}
        text = b"INFO one\nERROR two\n\tat a.B(C.java:1)\n"
        assert curl(gateway, "--data-binary", "@-", stdin=text) == {"accepted": 2}
        many = b"".join(b'{"way": "big", "number": %d}\n' % number for number in range(50_000))
        # Above 1 MB curl asks first whether it may send (Expect: 100-continue).
        assert curl(gateway, "--data-binary", "@-", stdin=many) == {"accepted": 50_000}

    messages = [each.value for each in reading.kept(topic, 4)]
    events = reading.events(messages)
    assert sorted(event["body"] for event in events if "body" in event) == [
        "ERROR two\n\tat a.B(C.java:1)",
        "INFO one",
    ]
    assert {event["way"] for event in events if "way" in event} == {"data", "array", "big"}
    assert {event["number"] for event in events if "number" in event} == set(range(50_000))
    assert len(messages) < 10


def test_a_request_repeated_after_a_kill_has_the_same_key(topic: Kafka, tmp_path: Path) -> None:
    """A client that got no answer repeats its request to the next gateway: same keys, same partitions."""
    body = b"".join(b'{"number": %d}\n' % number for number in range(200))
    for number in range(2):
        with running(topic, tmp_path / f"log{number}", max_message_bytes=1000) as gateway:
            assert gateway.post(body, idempotency_key="request-1")[0] == 200
            gateway.signal(signal.SIGKILL)
            gateway.left()

    kept = sorted(reading.kept(topic, 8), key=lambda each: (each.value, each.partition))
    assert kept[::2] == kept[1::2]
    assert len({each.key for each in kept}) == len(kept) // 2 > 2


def test_sigterm_lets_open_requests_finish_and_refuses_others(topic: Kafka, tmp_path: Path) -> None:
    """A request under way is taken whole; one that comes later, on an open connection too, is answered 503."""
    with running(topic, tmp_path / "log") as gateway:
        idle = gateway.connect()
        idle.request("GET", "/healthz")
        answer_of(idle)
        open_request = half_a_request(gateway, b'{"was": "open"}')

        gateway.signal()
        wait_until(lambda: bool(gateway.saying("stopping")), "draining")
        idle.request("POST", "/ingest", b'{"was": "late"}')
        late_status, late_headers, late = answer_of(idle)
        ready, _ = gateway.get("/readyz")
        open_request.send(b"}")
        status, headers, taken = answer_of(open_request)

        assert (late_status, late["error"]["code"], ready) == (503, "stopping", 503)
        assert (late_headers["connection"], late_headers["retry-after"]) == ("close", "1")
        assert (status, taken, headers["connection"]) == (200, {"accepted": 1}, "close")
        assert gateway.left() == 0
    assert [each.value for each in reading.kept(topic, 1)] == [b'{"was": "open"}']
    assert gateway.saying("gateway stopped")[0]["unacknowledged_messages"] == 0


def test_a_body_that_does_not_come_is_not_waited_for(topic: Kafka, tmp_path: Path) -> None:
    """When the time for draining is over a request without its body is answered 503, and the gateway leaves."""
    with running(topic, tmp_path / "log", drain_seconds=1) as gateway:
        open_request = half_a_request(gateway, b'{"was": "open"}')
        gateway.signal()

        status, headers, _ = answer_of(open_request)

        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
        assert gateway.left() == 0


def test_without_a_broker_the_gateway_still_leaves_in_time(tmp_path: Path) -> None:
    """A request that waits for Kafka is answered 503 when the time for draining is over; exit status 1 says so."""
    with running(nowhere(), tmp_path / "log", drain_seconds=1, delivery_timeout_seconds=60) as gateway:
        waiting = in_background(lambda: gateway.post(b"x"))
        wait_until(lambda: gateway.metric("gateway_queued_bytes") > 0, "the request")
        gateway.signal()

        status, headers, answer = waiting.result(30)

        assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "not_acknowledged", "5")
        assert gateway.left() == 1
    assert gateway.saying("gateway stopped")[0]["unacknowledged_messages"] == 1


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Exit status 1, and the log says how many messages had no acknowledgement."""
    with running(nowhere(), tmp_path / "log", drain_seconds=60, delivery_timeout_seconds=60) as gateway:
        waiting = in_background(lambda: gateway.post(b"x"))
        wait_until(lambda: gateway.metric("gateway_queued_bytes") > 0, "the request")
        gateway.signal()
        wait_until(lambda: bool(gateway.saying("stopping")), "draining")
        gateway.signal(signal.SIGINT)

        assert gateway.left() == 1
        assert isinstance(waiting.exception(30), (OSError, http.client.HTTPException))
    assert gateway.saying("stopped at once by a second signal")[0]["unacknowledged_messages"] == 1


def test_a_broker_that_is_away_is_answered_503_in_time(tmp_path: Path) -> None:
    """Not a hanging request: the sender learns within the time for delivery that it has to come again."""
    with running(nowhere(), tmp_path / "log", delivery_timeout_seconds=1) as gateway:
        status, headers, answer = gateway.post(b"x")
        ready, reason = gateway.get("/readyz")

    assert (status, answer["error"]["code"]) == (503, "not_acknowledged")
    # A sender can do nothing with librdkafka's words: they are for the log.
    said = "Kafka did not take the events: it does not answer. Send the request again."
    assert answer["error"]["message"] == said
    assert "KafkaError{" in gateway.saying("request refused")[0]["cause"]
    assert int(headers["retry-after"]) > 0
    assert (ready, "does not answer" in reason, "KafkaError" in reason) == (503, True, False)


def test_slow_senders_are_shown_out(tmp_path: Path) -> None:
    """A body that does not arrive in time is answered 408; what is no request is cut off."""
    with running(nowhere(), tmp_path / "log", body_timeout_seconds=0.3) as gateway:
        status, headers, answer = answer_of(half_a_request(gateway, b'{"a": 1}'))
        assert (status, answer["error"]["code"], headers["connection"]) == (408, "slow_body", "close")

        with (
            socket.create_connection(("127.0.0.1", gateway.port), 30) as client,
            pytest.raises(OSError, match=r"reset|Broken pipe"),
        ):
            client.sendall(b"POST /ingest HTTP/1.1\r\nx: " + b"x" * (MAX_HEAD_BYTES * 1000))


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    """503 with Retry-After, whether or not it sends something; the others go on, and when one leaves there is room."""
    with running(nowhere(), tmp_path / "log", max_connections=3) as gateway, ExitStack() as open_ones:

        def connect() -> socket.socket:
            return open_ones.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 30))

        first, _ = connect(), connect()
        used = open_ones.enter_context(closing(gateway.connect()))
        used.request("GET", "/healthz")
        assert answer_of(used)[0] == 200

        assert connect().recv(12) == b"HTTP/1.1 503"
        status, headers, answer = gateway.post(b"x" * 1_000_000)
        assert (status, answer["error"]["code"]) == (503, "too_many_connections")
        assert (headers["connection"], headers["retry-after"]) == ("close", "1")

        used.request("GET", "/healthz")
        assert answer_of(used)[0] == 200
        first.close()
        wait_until(lambda: gateway.get("/healthz")[0] == 200, "room")
    assert len(gateway.saying("too many connections")) == 1


def test_the_log_is_not_flooded_and_keeps_secrets(tmp_path: Path) -> None:
    """Of many refusals of a kind one line is written; tokens, good or bad, never are."""
    shop = issue("shop")
    with running(nowhere(), tmp_path / "log", tokens=shop.entry) as gateway:
        for _ in range(20):
            assert gateway.post(b"x", authorization="Bearer wrong-secret")[0] == 401
        assert gateway.post(b"[", content_type="application/json", authorization=f"Bearer {shop.token}")[0] == 400

    assert [line["code"] for line in gateway.saying("request refused")] == ["unknown_token", "broken_json"]
    text = (tmp_path / "log").read_text()
    assert "wrong-secret" not in text
    assert shop.token not in text


def test_a_gateway_that_nobody_could_use_does_not_start(tmp_path: Path) -> None:
    """Without tokens the start stops, and the message says how to make one."""
    gateway = start(nowhere(), tmp_path / "log", tokens="")

    assert gateway.left() == 1
    assert "logbrook token NAME" in (tmp_path / "log").read_text()


def test_large_bodies_do_not_keep_others_waiting(topic: Kafka, tmp_path: Path) -> None:
    """While bodies of many events are taken apart the gateway goes on answering."""
    body = json.dumps([{"number": number} for number in range(50_000)]).encode()
    with running(topic, tmp_path / "log") as gateway:
        senders = [threading.Thread(target=gateway.post, args=(body,)) for _ in range(4)]
        for sender in senders:
            sender.start()
        answers = 0
        deadline = time.monotonic() + 30
        while any(sender.is_alive() for sender in senders) and time.monotonic() < deadline:
            answers += gateway.get("/healthz")[0] == 200
        for sender in senders:
            sender.join(30)

    assert answers > 0
    assert sum(len(reading.split(each.value)) for each in reading.kept(topic, 4)) == 200_000


def test_tokens_in_a_file_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is added or retired needs no restart; a file that is gone or broken changes nothing, but is named."""
    one, two, file = issue("one"), issue("two"), tmp_path / "tokens"
    file.write_text(one.entry)
    monkeypatch.setenv("LOGBROOK_GATEWAY_TOKENS_FILE", str(file))
    monkeypatch.setattr(rereading, "REREAD_SECONDS", 0.01)
    monkeypatch.setattr(server, "KafkaTopic", lambda settings, _kafka: CollectingTopic(settings))
    gateway = server.Process(load(Gateway), nowhere())
    said = ""

    async def until(words: str) -> None:
        nonlocal said
        while words not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
        await asyncio.sleep(0.1)

    async def changing() -> None:
        reading_again = asyncio.create_task(rereading.reread(file, gateway._tokens.renew))
        for change, words in ((f"{two.entry}\nthree", "has no `=`"), (None, "No such file"), (two.entry, "read again")):
            assert gateway._tokens.grant(one.token).source == "one"
            file.unlink() if change is None else file.write_text(change)
            await until(words)
        reading_again.cancel()

    asyncio.run(asyncio.wait_for(changing(), 30))
    assert gateway._tokens.grant(two.token).source == "two"
    with pytest.raises(RejectedError):
        gateway._tokens.grant(one.token)
    assert said.count("No such file") == 1
