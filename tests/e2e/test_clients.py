"""Other people's clients deliver into the pipeline: kcat, curl, OpenTelemetry's exporter, kafka-python."""

import logging
import shutil
import subprocess
import uuid

import pytest
from kafka import KafkaProducer
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.e2e.pipeline import Pipeline, eventually

EVENT = '{"timestamp": "2026-01-31T12:00:00Z", "level": "info", "service": "%s", "message": "line %d"}'
HAS_KCAT = shutil.which("kcat") is not None


def expected(service: str, count: int) -> list[tuple[str, bytes, str]]:
    """The rows of `count` EVENTs."""
    return [(service, f"line {number}".encode(), "INFO") for number in range(count)]


def arrived(pipeline: Pipeline, service: str, count: int, send: list[str] | None = None) -> None:
    """Run a command, if there is one, with EVENTs on standard input, and wait for exactly their rows."""
    before = pipeline.position()
    lines = "".join(EVENT % (service, number) + "\n" for number in range(count))
    if send is not None:
        done = subprocess.run(send, input=lines.encode(), capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done
    eventually(lambda: sorted(before.rows("ServiceName, Body, SeverityText")), sorted(expected(service, count)))


@pytest.mark.skipif(not HAS_KCAT, reason="kcat is not installed: apt-get install kcat")
def test_kcat(pipeline: Pipeline) -> None:
    """kcat sends a message a line, with other Kafka client code than ours."""
    kafka = pipeline.kafka
    arrived(pipeline, "from-kcat", 20, ["kcat", "-P", "-b", kafka.bootstrap_servers, "-t", kafka.topic])


@pytest.mark.parametrize("how", ["file", "chunked"])
def test_curl(pipeline: Pipeline, how: str) -> None:
    """curl sends lines of JSON, without saying what they are, in one body or in chunks."""
    curl = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {pipeline.token}", "--data-binary", "@-"]
    if how == "chunked":
        curl += ["-H", "Transfer-Encoding: chunked"]
    arrived(pipeline, f"from-curl-{how}", 20, [*curl, f"{pipeline.gateway_url}/ingest"])


def test_kafka_python(pipeline: Pipeline) -> None:
    """The pure Python client, which shares no code with librdkafka, sends compressed batches."""
    before = pipeline.position()
    producer = KafkaProducer(
        bootstrap_servers=pipeline.kafka.bootstrap_servers, acks="all", compression_type="gzip", linger_ms=20
    )
    for number in range(20):
        producer.send(pipeline.kafka.topic, (EVENT % ("from-kafka-python", number)).encode())
    producer.flush()
    producer.close()
    rows = sorted(expected("from-kafka-python", 20))
    eventually(lambda: sorted(before.rows("ServiceName, Body, SeverityText")), rows)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_opentelemetry_sdk(pipeline: Pipeline, compression: Compression) -> None:
    """Python's logging through the OpenTelemetry SDK and its OTLP exporter, with attributes and an exception."""
    before = pipeline.position()
    service = f"otel-{uuid.uuid4().hex[:6]}"
    provider = LoggerProvider(resource=Resource({"service.name": service, "service.version": "1.2"}))
    exporter = OTLPLogExporter(
        endpoint=f"{pipeline.gateway_url}/v1/logs",
        headers={"Authorization": f"Bearer {pipeline.token}"},
        compression=compression,
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger(f"test.{service}")
    logger.propagate = False
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.warning("disk is %d%% full", 91, extra={"disk": "sda"})
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("it failed")
    assert provider.force_flush(30_000)
    provider.shutdown()
    columns = (
        "ServiceName, Body, SeverityText, SeverityNumber, ResourceAttributes['service.version'], ScopeName,"
        " LogAttributes['disk'], LogAttributes['exception.type'], ParseError"
    )
    scope = f"test.{service}"
    eventually(
        lambda: before.rows(columns),
        [
            (service, b"disk is 91% full", "WARN", SeverityNumber.WARN.value, "1.2", scope, "sda", "", ""),
            (service, b"it failed", "ERROR", SeverityNumber.ERROR.value, "1.2", scope, "", "RuntimeError", ""),
        ],
    )
