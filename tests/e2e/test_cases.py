"""Each folder in cases/ is one promise: its input, sent as its name says, answers its query as expected.

`input.<route>.<extension>`: the route is `http` (POST /ingest), `gzip` or `zstd` (the same, compressed), one of PATHS,
or `kafka` (one message). In query.sql, `events` are the rows of what was sent.
"""

import gzip
import time
from pathlib import Path

import httpx
import pytest
import zstandard
from confluent_kafka import Producer

from logbrook.kafka import producer_config
from tests.e2e.pipeline import Pipeline, eventually

CASES = sorted(path for path in Path(__file__).with_name("cases").iterdir() if path.is_dir())
TYPES = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".bin": "text/plain",
    ".snappy": "application/x-protobuf",
}
PATHS = {
    "otlp": "/v1/logs",
    "loki": "/loki/api/v1/push",
    "bulk": "/_bulk",
    "splunk": "/services/collector",
    "datadog": "/api/v2/logs",
    "gelf": "/gelf",
    "pubsub": "/pubsub",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(pipeline: Pipeline, case: Path) -> None:
    """What goes in comes out as the case says."""
    [file] = case.glob("input.*")
    before = pipeline.position()
    send(pipeline, file)
    query = (case / "query.sql").read_text()
    eventually(lambda: before.query(query), (case / "expected").read_text())


def send(pipeline: Pipeline, file: Path) -> None:
    """Send a case's input by its route; it must be accepted."""
    data = file.read_bytes()
    _, route, _ = file.name.split(".")
    if route == "kafka":
        to_kafka(pipeline, data)
        return
    headers = {"Authorization": f"Bearer {pipeline.token}", "Content-Type": TYPES[file.suffix]}
    if route == "gzip":
        data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
    elif route == "zstd":
        data, headers["Content-Encoding"] = zstandard.compress(data), "zstd"
    answer = httpx.post(pipeline.gateway_url + PATHS.get(route, "/ingest"), content=data, headers=headers)
    assert answer.is_success, answer.text


def to_kafka(pipeline: Pipeline, payload: bytes) -> None:
    """One message, acknowledged."""
    producer = Producer(producer_config(pipeline.kafka, 30))
    producer.produce(pipeline.kafka.topic, payload)
    deadline = time.monotonic() + 60
    while producer.flush(1):
        assert time.monotonic() < deadline


def test_every_case_is_complete() -> None:
    """There are cases, and each has its three files."""
    assert len(CASES) > 8
    for case in CASES:
        names = sorted(path.name for path in case.iterdir())
        assert names[0] == "expected"
        assert names[1].startswith("input.")
        assert names[2:] == ["query.sql"]
