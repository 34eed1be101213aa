"""OTLP over gRPC: what OpenTelemetry's SDKs and Collectors send unless they are told to use HTTP.

What a server answers: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-response.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from logbrook.config import Gateway, Kafka
from logbrook.errors import ConfigError
from logbrook.gateway.rpc import PATH, Rpc
from logbrook.tokens import issue
from native import ports
from tests.gateway import reading
from tests.gateway.door import Door
from tests.gateway.process import running

RECORDS = 300


@contextmanager
def serving(door: Door, settings: Gateway) -> Iterator[grpc.Channel]:
    """A channel to a gRPC server beside this application."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def made() -> Rpc:
        return Rpc(settings, door.app)

    rpc = asyncio.run_coroutine_threadsafe(made(), loop).result(30)
    try:
        run(rpc.start())
        with grpc.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel:
            yield channel
        run(rpc.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def settings(**given: Any) -> Gateway:
    """Of a gateway that takes from everybody, on a free port."""
    return Gateway(**({"allow_anonymous": True, "grpc_port": ports.free(1)[0]} | given))


def export(channel: grpc.Channel, body: bytes, token: str | None = None, **options: Any) -> ExportLogsServiceResponse:
    """The answer to a request."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    method: Any = channel.unary_unary(PATH)
    return ExportLogsServiceResponse.FromString(method(body, metadata=metadata, timeout=30, **options))


def refused(channel: grpc.Channel, body: bytes, token: str | None = None) -> tuple[grpc.StatusCode, str, Status | None]:
    """Code, text, and details of an answer that is none."""
    with pytest.raises(grpc.RpcError) as error:
        export(channel, body, token)
    [*details] = [each.value for each in error.value.trailing_metadata() if each.key == "grpc-status-details-bin"]
    return error.value.code(), error.value.details() or "", Status.FromString(details[0]) if details else None


def request(*bodies: str) -> bytes:
    """A request with a record for each."""
    made = ExportLogsServiceRequest()
    records = made.resource_logs.add().scope_logs.add().log_records
    for body in bodies:
        records.add().body.string_value = body
    return made.SerializeToString()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_records_are_events_as_over_http(compression: grpc.Compression) -> None:
    """The same messages, and the same partial success for what can't be taken."""
    ours = settings(max_message_bytes=500)
    door, http = Door.open(ours), Door.open(ours)
    body = request("a", "x" * 600, "b")

    with serving(door, ours) as channel:
        answer = export(channel, body, compression=compression)

    by_http = http.request("POST", "/v1/logs", body, content_type="application/x-protobuf")
    assert answer == ExportLogsServiceResponse.FromString(by_http.content)
    assert answer.partial_success.rejected_log_records == 1
    assert door.topic.kept == http.topic.kept
    assert [event["body"] for event in door.events] == ["a", "b"]


def test_refusals_say_whether_to_try_again() -> None:
    """With RetryInfo where it helps, without where it does not: senders drop what they may not repeat."""
    shop, elsewhere = issue("shop"), issue("shop", ";paths=/ingest")
    ours = settings(tokens=f"{shop.entry},{elsewhere.entry}", allow_anonymous=False, max_queued_bytes=10_000)
    door = Door.open(ours)

    with serving(door, ours) as channel:
        answers = [refused(channel, request("a")), refused(channel, request("a"), elsewhere.token)]
        answers.append(refused(channel, b"\xff" * 99, shop.token))
        answers.append(refused(channel, request("x" * 20_000), shop.token))
        door.topic.failure = "down"
        answers.append(refused(channel, request("a"), shop.token))

    codes = grpc.StatusCode
    assert [code for code, *_ in answers] == [
        codes.UNAUTHENTICATED,
        codes.PERMISSION_DENIED,
        codes.INVALID_ARGUMENT,
        codes.RESOURCE_EXHAUSTED,
        codes.UNAVAILABLE,
    ]
    for code, text, status in answers:
        assert status is not None
        assert (status.code, status.message) == (code.value[0], text)
    delays = [_retry_seconds(status) for _, _, status in answers]
    assert delays[:3] == [None, None, None]
    assert all(delay is not None and delay > 0 for delay in delays[3:])
    assert door.messages == []


def _retry_seconds(status: Status | None) -> int | None:
    details: list[AnyMessage] = list(status.details) if status else []
    found = RetryInfo()
    return found.retry_delay.seconds if details and details[0].Unpack(found) else None


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_has_a_limit_as_sent_and_inflated(compression: grpc.Compression) -> None:
    """A larger one is refused for good, without its being inflated or read to the end."""
    ours = settings(grpc_max_message_bytes=10_000)
    door = Door.open(ours)

    with serving(door, ours) as channel, pytest.raises(grpc.RpcError) as error:
        export(channel, request("x" * 50_000_000), compression=compression)

    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in [each.key for each in error.value.trailing_metadata() or ()]
    assert door.messages == []


def test_bodies_of_all_requests_have_one_budget() -> None:
    """Without room for a message none is read: the sender is told to come again."""
    ours = settings(max_buffered_bytes=1_000)
    with serving(Door.open(ours), ours) as channel:
        code, _, status = refused(channel, request("a"))

    assert (code, _retry_seconds(status)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)


def test_who_sends_nothing_keeps_nobody_waiting() -> None:
    """Streams that stall hold room for messages that never come: those of one source no more than half of it."""
    slow, other = issue("slow"), issue("other")
    ours = settings(tokens=f"{slow.entry},{other.entry}", allow_anonymous=False)
    silent = threading.Event()
    with serving(Door.open(ours), ours) as channel:
        method: Any = channel.stream_unary(PATH)
        metadata = (("authorization", f"Bearer {slow.token}"),)
        stalled = [method.future((b"" for _ in iter(silent.wait, True)), metadata=metadata) for _ in range(20)]

        try:
            code, _, status = refused(channel, request("a"), slow.token)
            export(channel, request("a"), other.token)
        finally:
            silent.set()
            for each in stalled:
                each.cancel()
    assert (code, _retry_seconds(status)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)


def test_health_is_whether_kafka_answers() -> None:
    """As load balancers and Kubernetes ask: 1 is serving, 2 is not."""
    ours = settings()
    door = Door.open(ours)
    with serving(door, ours) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        healthy = check(b"", timeout=30)
        door.topic.failure = "down"
        unhealthy = check(b"", timeout=30)
        door.topic.failure, door.app.draining = None, True
        stopping = check(b"", timeout=30)
        code, _, status = refused(channel, request("a"))

    assert (healthy, unhealthy, stopping) == (b"\x08\x01", b"\x08\x02", b"\x08\x02")
    assert (code, _retry_seconds(status)) == (grpc.StatusCode.UNAVAILABLE, 1)


def test_a_gateway_that_stops_sends_senders_elsewhere(tmp_path: Path) -> None:
    """The process listens on both ports; told to stop, it refuses for now, and ends in order."""
    kafka_port, port = ports.free(2)
    away = Kafka(bootstrap_servers=f"127.0.0.1:{kafka_port}")
    with (
        running(away, tmp_path / "log", grpc_port=port, delivery_timeout_seconds=1) as process,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=30) == b"\x08\x02"
        first = refused(channel, request("a"))
        process.child.send_signal(signal.SIGTERM)
        second = refused(channel, request("a"))
        assert process.child.wait(30) == 0

    assert [code for code, *_ in (first, second)] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert _retry_seconds(first[2]) == 5


def test_a_port_that_is_taken_stops_the_start() -> None:
    """The message names the setting."""
    ours = settings()
    with (
        serving(Door.open(ours), ours),
        pytest.raises(ConfigError, match="LOGBROOK_GATEWAY_GRPC_PORT"),
        serving(Door.open(ours), ours),
    ):
        pass


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_sdk_delivers_every_record(topic: Kafka, tmp_path: Path, compression: grpc.Compression) -> None:
    """What an application logs through OpenTelemetry's own exporter is in the topic, each record once."""
    token, [port] = issue("app"), ports.free(1)
    with running(topic, tmp_path / "log", tokens=token.entry, grpc_port=port):
        exporter = OTLPLogExporter(
            f"127.0.0.1:{port}",
            insecure=True,
            headers={"authorization": f"Bearer {token.token}"},
            compression=compression,
        )
        provider = LoggerProvider(Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_export_batch_size=100))
        logger = provider.get_logger("shop.cart")
        for number in range(RECORDS):
            logger.emit(body=f"number {number}")
        provider.shutdown()

    kept = reading.kept(topic, 3)
    events = reading.events([each.value for each in kept])
    assert {each.source for each in kept} == {b"app"}
    assert sorted(int(event["body"].removeprefix("number ")) for event in events) == list(range(RECORDS))
    assert {event["resource"]["service.name"] for event in events} == {"shop"}
