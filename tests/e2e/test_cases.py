"""Each folder in cases/ is one promise: its input, sent as its name says, answers its query as expected.

`input.<route>.<extension>`: the route is a module of logbrook/gateway/formats, or `kafka` (one message). What has the
extension `gzip` or `zstd` is sent compressed. In query.sql, `events` are the rows of what was sent.
"""

import gzip
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import httpx
import pytest
import zstandard
from confluent_kafka import Producer

from logbrook.gateway.formats.format import Format
from logbrook.kafka import producer_config
from tests.e2e.pipeline import Pipeline, eventually

CASES = sorted(path for path in Path(__file__).with_name("cases").iterdir() if path.is_dir())
COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gzip": gzip.compress, ".zstd": zstandard.compress}


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
    form: Format = import_module(f"logbrook.gateway.formats.{route}").FORMAT
    headers = {"Authorization": f"Bearer {pipeline.token}", "Content-Type": "".join(form.content_types[:1])}
    if compress := COMPRESS.get(file.suffix):
        data, headers["Content-Encoding"] = compress(data), file.suffix[1:]
    answer = httpx.post(pipeline.gateway_url + form.path, content=data, headers=headers)
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
