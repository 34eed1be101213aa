"""Batches over HTTP: what is repeated, what stops the run, and what counts as acknowledged."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from logbrook.errors import ConfigError, LogbrookError
from logbrook.produce.target import TEXT, Batch, Stop, StoppedError
from logbrook.produce.to_gateway import GatewayTarget
from tests.produce.scripted_gateway import Answer, ScriptedGateway, always, scripted_gateway


@contextmanager
def target(url: str, *, timeout_seconds: float = 30, stop: Stop | None = None) -> Iterator[GatewayTarget]:
    """A target that is closed after the block."""
    opened = GatewayTarget(url, "secret", stop or Stop(), timeout_seconds)
    try:
        yield opened
    finally:
        opened.close()


def settle(gateway: GatewayTarget) -> None:
    """Wait until something is known about every event."""
    deadline = time.monotonic() + 30
    while gateway.tally.waiting:
        assert time.monotonic() < deadline, gateway.tally
        gateway.wait()


def send(url: str, count: int) -> GatewayTarget:
    """Send `count` batches of ten events, and wait for the outcome."""
    with target(url) as gateway:
        for number in range(count):
            gateway.send(Batch(b"\n".join([b'{"n":%d}' % number] * 10), 10))
        settle(gateway)
    return gateway


def stored(gateway: ScriptedGateway) -> Counter[bytes]:
    """The distinct bodies that came, with the number of keys that each came under."""
    return Counter(body for _, body in {(request.key, request.body) for request in gateway.requests})


def test_batches_arrive_as_they_are() -> None:
    """Path, type, token and body are what the gateway expects; each request has a key of its own."""
    with scripted_gateway(always(202)) as gateway:
        done = send(gateway.url + "/", 20)
    assert done.tally.acknowledged == done.tally.handed_over == 200
    assert len({request.key for request in gateway.requests}) == len(gateway.requests) == 20
    assert {request.path for request in gateway.requests} == {"/ingest"}
    assert {request.kind for request in gateway.requests} == {"application/x-ndjson"}
    assert {request.token for request in gateway.requests} == {"Bearer secret"}
    assert set(stored(gateway)) == {b"\n".join([b'{"n":%d}' % number] * 10) for number in range(20)}


def test_text_says_that_it_is_text() -> None:
    """A batch of text, and a key that was given, are passed on."""
    with scripted_gateway(always(200)) as gateway, target(gateway.url) as sender:
        sender.send(Batch(b"\xff", 1, TEXT, key="k"))
        settle(sender)
    [request] = gateway.requests
    assert (request.kind, request.body, request.key) == ("text/plain", b"\xff", "k")


@pytest.mark.parametrize("answer", [Answer(429), Answer(503, "0"), Answer(502), Answer(504), Answer(0)])
def test_what_may_pass_is_repeated_under_the_same_key(answer: Answer) -> None:
    """Refused for now, or cut off: the same request comes again until it is taken, and counts once."""
    with scripted_gateway(lambda times, _: answer if times < 2 else Answer(200)) as gateway:
        done = send(gateway.url, 3)
    assert done.tally.acknowledged == 30
    assert set(stored(gateway).values()) == {1}
    assert set(Counter(request.key for request in gateway.requests).values()) == {3}


def test_retry_after_is_kept() -> None:
    """The gateway's Retry-After is waited for."""
    times: list[float] = []

    def script(number: int, _: object) -> Answer:
        times.append(time.monotonic())
        return Answer(200) if number else Answer(503, "1")

    with scripted_gateway(script) as gateway:
        send(gateway.url, 1)
    first, second = times
    assert second - first >= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 500])
def test_what_will_not_pass_stops_the_run(status: int) -> None:
    """Any other refusal is an error with the status and the answer, and nothing counts as acknowledged."""
    with scripted_gateway(always(status)) as gateway, target(gateway.url) as sender:
        with pytest.raises(LogbrookError, match=rf"answered {status}: .*scripted") as caught:
            _send_until_refused(sender.send)
        assert sender.tally.acknowledged == 0
        assert sender.tally.failed == sender.tally.handed_over > 0
    assert ("LOGBROOK_TOKEN" in str(caught.value)) == (status == 401)


def _send_until_refused(send_batch: Callable[[Batch], None]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        send_batch(Batch(b"{}", 1))


def test_nobody_there() -> None:
    """When nothing answers within the time, events count as failed, and the reason is told."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = "{}:{}".format(*unused.getsockname())
        with target(f"http://{place}", timeout_seconds=0.3) as sender:
            sender.send(Batch(b"{}\n{}", 2))
            settle(sender)
            assert (sender.tally.acknowledged, sender.tally.failed) == (0, 2)
            assert place in sender.tally.first_error


def test_a_full_queue_can_be_stopped() -> None:
    """While the gateway takes nothing, the user can stop; the batch that found no room was not handed over."""
    stop = Stop()
    with scripted_gateway(always(503)) as gateway, target(gateway.url, stop=stop) as sender:
        stop.request(2)
        with pytest.raises(StoppedError):
            _send_until_refused(sender.send)
        # What was handed over is given up when the user insists, and is known to have failed.
        stop.request(2)
        settle(sender)
    assert sender.tally.failed == sender.tally.handed_over > 0


@pytest.mark.parametrize("url", ["", "localhost:4318", "ftp://x", "http://", "http://u:p@x", "http://x/?a=b"])
def test_a_bad_url_is_told(url: str) -> None:
    """What is no URL of a gateway stops the start, with the variable's name."""
    with pytest.raises(ConfigError, match="LOGBROOK_GATEWAY_URL"):
        GatewayTarget(url, "", Stop(), 1)
