"""OpenTelemetry's own Python SDK delivers through the gateway."""

import time
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from logbrook.config import Kafka
from logbrook.tokens import issue
from tests.gateway import reading
from tests.gateway.process import running

RECORDS = 300
TRACE_ID, SPAN_ID = 0xA1B2C3D4E5F67890A1B2C3D4E5F67890, 0x1234567890ABCDEF


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_sdk_delivers_every_record(topic: Kafka, tmp_path: Path, compression: Compression) -> None:
    """What an application logs through the SDK is in the topic, each record once and with every field."""
    token = issue("app")
    in_trace = set_span_in_context(NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, False, TraceFlags(1))))
    started = time.time_ns()
    with running(topic, tmp_path / "log", tokens=token.entry) as gateway:
        exporter = OTLPLogExporter(
            f"{gateway.url}/v1/logs", headers={"Authorization": f"Bearer {token.token}"}, compression=compression
        )
        provider = LoggerProvider(Resource({"service.name": "shop", "host.id": 7}), shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_export_batch_size=100))
        logger = provider.get_logger("shop.cart", "1.0", "https://schema", {"team": "cart"})
        for number in range(RECORDS):
            logger.emit(
                LogRecord(
                    timestamp=started + number,
                    context=in_trace,
                    severity_text="WARN",
                    severity_number=SeverityNumber.WARN,
                    body={"said": f"number {number}", "parts": [1, 2.5, True, b"\x01"]},
                    attributes={"number": number, "names": ["a", "b"]},
                    event_name="cart.changed",
                )
            )
        provider.shutdown()

    kept = reading.kept(topic, 3)
    events = sorted(reading.events([each.value for each in kept]), key=lambda event: int(event["timestamp"]))
    assert {each.source for each in kept} == {b"app"}
    assert [event["attributes"]["number"] for event in events] == list(range(RECORDS))
    first = events[0]
    observed = first.pop("observed_timestamp")
    assert started <= observed <= time.time_ns()
    resource = first.pop("resource")
    assert (resource["service.name"], resource["host.id"]) == ("shop", 7)
    assert first == {
        "timestamp": started,
        "severity_text": "WARN",
        "severity_number": 13,
        "body": {"said": "number 0", "parts": [1, 2.5, True, "AQ=="]},
        "trace_id": f"{TRACE_ID:032x}",
        "span_id": f"{SPAN_ID:016x}",
        "trace_flags": 1,
        "event_name": "cart.changed",
        "attributes": {"number": 0, "names": ["a", "b"]},
        "scope": {
            "name": "shop.cart",
            "version": "1.0",
            "attributes": {"team": "cart"},
            "schema_url": "https://schema",
        },
    }
