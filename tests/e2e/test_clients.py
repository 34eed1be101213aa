"""Other people's clients deliver into the pipeline: kcat, curl, OpenTelemetry's exporter, kafka-python."""

import shutil
import subprocess
import sys
import uuid

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

from tests.e2e.pipeline import Pipeline, eventually

EVENT = '{"timestamp": "2026-01-31T12:00:00Z", "level": "info", "service": "%s", "message": "line %d"}'
# In a process of its own: importing it warns about what newer Pythons dropped.
KAFKA_PYTHON = """
import sys
from kafka import KafkaProducer
producer = KafkaProducer(bootstrap_servers=sys.argv[1], acks="all", compression_type="gzip", linger_ms=20)
sent = [producer.send(sys.argv[2], line.rstrip(b"\\n")) for line in sys.stdin.buffer]
for each in sent:
    each.get(30)
producer.close()
"""
NOON_NS = 1_769_860_800_000_000_000
HAS_KCAT = shutil.which("kcat") is not None


def expected(service: str, count: int) -> list[tuple[str, bytes, str]]:
    """The rows of `count` EVENTs."""
    return [(service, f"line {number}".encode(), "INFO") for number in range(count)]


def arrived(pipeline: Pipeline, service: str, count: int, send: list[str]) -> None:
    """Run a command with EVENTs on standard input, and wait for exactly their rows."""
    before = pipeline.position()
    lines = "".join(EVENT % (service, number) + "\n" for number in range(count))
    done = subprocess.run(send, input=lines.encode(), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done
    eventually(lambda: sorted(before.rows("ServiceName, Body, SeverityText")), sorted(expected(service, count)))


@pytest.mark.skipif(not HAS_KCAT, reason="kcat is not installed: apt-get install kcat")
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_kcat(pipeline: Pipeline, codec: str) -> None:
    """kcat sends a message a line, compressed in each of Kafka's ways: the broker has to read all of them."""
    kafka = pipeline.kafka
    send = ["kcat", "-P", "-b", kafka.bootstrap_servers, "-t", kafka.topic, "-z", codec]
    arrived(pipeline, f"from-kcat-{codec}", 20, send)


@pytest.mark.parametrize("how", ["file", "chunked"])
def test_curl(pipeline: Pipeline, how: str) -> None:
    """curl sends lines of JSON, without saying what they are, in one body or in chunks."""
    curl = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {pipeline.token}", "--data-binary", "@-"]
    if how == "chunked":
        curl += ["-H", "Transfer-Encoding: chunked"]
    arrived(pipeline, f"from-curl-{how}", 20, [*curl, f"{pipeline.gateway_url}/ingest"])


def test_kafka_python(pipeline: Pipeline) -> None:
    """The pure Python client, which shares no code with librdkafka, sends compressed batches."""
    kafka = pipeline.kafka
    arrived(
        pipeline, "from-kafka-python", 20, [sys.executable, "-c", KAFKA_PYTHON, kafka.bootstrap_servers, kafka.topic]
    )


@pytest.mark.parametrize("way", ["HTTP", "HTTP, gzip", "gRPC"])
def test_opentelemetry_sdk(pipeline: Pipeline, way: str) -> None:
    """The OpenTelemetry SDK and its OTLP exporters (protobuf), with attributes, an event name and an exception."""
    before = pipeline.position()
    service = f"otel-{uuid.uuid4().hex[:6]}"
    provider = LoggerProvider(resource=Resource({"service.name": service, "service.version": "1.2"}))
    exporter: LogRecordExporter
    headers = {"authorization": f"Bearer {pipeline.token}"}
    if way == "gRPC":
        exporter = grpc.OTLPLogExporter(endpoint=pipeline.grpc_address, headers=headers, insecure=True)
    else:
        exporter = OTLPLogExporter(
            endpoint=f"{pipeline.gateway_url}/v1/logs",
            headers=headers,
            compression=Compression.Gzip if "gzip" in way else Compression.NoCompression,
        )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.disk", "2.0")
    logger.emit(
        timestamp=NOON_NS,
        severity_number=SeverityNumber.WARN,
        body="disk is 91% full",
        attributes={"disk": "sda", "used": 0.91, "tags": ["a", "b"]},
        event_name="disk.full",
    )
    logger.emit(timestamp=NOON_NS, severity_number=SeverityNumber.ERROR, body="failed", exception=ValueError("broken"))
    assert provider.force_flush(30_000)
    provider.shutdown()
    columns = (
        "ServiceName, Body, SeverityText, SeverityNumber, ResourceAttributes['service.version'], ScopeName, EventName,"
        " LogAttributes['disk'], LogAttributes['exception.message'], toUnixTimestamp64Nano(Timestamp), ParseError"
    )
    eventually(
        lambda: before.rows(columns),
        [
            (service, b"disk is 91% full", "WARN", 13, "1.2", "shop.disk", "disk.full", "sda", "", NOON_NS, ""),
            (service, b"failed", "ERROR", 17, "1.2", "shop.disk", "", "", "broken", NOON_NS, ""),
        ],
    )
