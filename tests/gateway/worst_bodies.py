"""The worst bodies that the gateway's limits let in, and the memory that its process takes for them.

`make bench-memory` prints the table of docs/gateway.md. Each is sent alone, then three times at once while messages for
a Kafka that is away fill the queue, and other bodies, whose ends are still to come, fill the rest of the buffer.
"""

import argparse
import gzip
import http.client
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import grpc
import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logbrook.config import Gateway, Kafka
from logbrook.gateway.rpc import PATH as GRPC
from native import ports
from tests.gateway.process import Process, running, wait_until

MIB = 2**20
# What docs/gateway.md says is enough.
DOCUMENTED_BYTES = 512 * MIB
# Almost all that LOGBROOK_GATEWAY_MAX_INFLATED_BYTES admits.
SIZE = Gateway.max_inflated_bytes - MIB
PUSH = "/loki/api/v1/push"
NDJSON, JSON, TEXT, PROTOBUF = "application/x-ndjson", "application/json", "text/plain", "application/x-protobuf"


@dataclass(frozen=True)
class Body:
    """One of them."""

    path: str
    content_type: str
    make: Callable[[], bytes]
    encoding: str = "gzip"
    at_once: int = 3

    def compressed(self) -> bytes:
        """As it is sent; gRPC compresses what it sends by itself."""
        body = self.make()
        if self.encoding == "snappy":
            return bytes(cramjam.snappy.compress_raw(body))
        return gzip.compress(body, 1) if self.encoding == "gzip" else body


@dataclass(frozen=True)
class Peak:
    """The most memory that the process had while it worked on a body, and what it answered how often.

    `unread` is how many of the bodies were refused because of others, before anybody looked into them.
    """

    name: str
    alone_bytes: int
    together_bytes: int
    answers: dict[int, int]
    unread: int


def filled(unit: bytes, before: bytes = b"", after: bytes = b"") -> Callable[[], bytes]:
    """A body that consists of `unit`, but for its ends."""
    return lambda: before + unit * ((SIZE - len(before) - len(after)) // len(unit)) + after


def over_grpc(unit: bytes, *fields: int) -> Body:
    """The largest message of `embedded`, more of them at once than there is memory for."""
    return Body(GRPC, PROTOBUF, embedded(unit, *fields, size=Gateway.grpc_max_message_bytes), "grpc", at_once=100)


def varint(number: int) -> bytes:
    """Protobuf's varint."""
    some = bytearray()
    while number > 127:
        some.append(number & 127 | 128)
        number >>= 7
    return bytes(some) + bytes([number])


def embedded(unit: bytes, *fields: int, size: int = SIZE) -> Callable[[], bytes]:
    """Protobuf: `unit` again and again in messages within messages, of these field numbers."""

    def make() -> bytes:
        body = unit * ((size - 64) // len(unit))
        for field in reversed(fields):
            body = bytes([field << 3 | 2]) + varint(len(body)) + body
        return body

    return make


def protobuf_records() -> bytes:
    """As many records as a request may have, of as many bytes as it may have."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(Gateway.max_request_events):
        records.add(time_unix_nano=number + 1).body.string_value = "x" * (SIZE // Gateway.max_request_events - 45)
    return request.SerializeToString()


def json_records() -> bytes:
    """The same in JSON."""
    size = SIZE // Gateway.max_request_events - 60
    records = [{"timeUnixNano": "1", "body": {"stringValue": "x" * size}}] * Gateway.max_request_events
    return orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})


def loki_entries() -> bytes:
    """As many entries as a request may have, of as many bytes as it may have."""
    line = "x" * (SIZE // Gateway.max_request_events - 35)
    return orjson.dumps(
        {"streams": [{"stream": {}, "values": [["1757930000123456789", line]] * Gateway.max_request_events}]}
    )


def bulk_names() -> bytes:
    """As many documents as a request may have, each with the longest index and id."""
    names = (
        b'{"index":{"_index":"%s","_id":"%06d%s"}}\n{}\n' % (b"x" * 255, number, b"y" * 360)
        for number in range(100_000)
    )
    return b"".join(names)


# A stream of one empty entry, whose labels are nonsense of 500,000 bytes.
LABELS = b"\x0a" + varint(500_006) + b"\x0a" + varint(500_000) + b'{a="' + b"b" * 499_996 + b"\x12\x00"
LINE = b'{"message":"' + b"x" * (SIZE // Gateway.max_request_events - 12) + b'"}'
BODIES = {
    "lines of JSON": Body("/ingest", NDJSON, filled(LINE + b"\n")),
    "lines of JSON that end with CRLF": Body("/ingest", NDJSON, filled(LINE + b"\r\n")),
    "lines of JSON, `{}`": Body("/ingest", NDJSON, filled(b"{}\n")),
    "lines of JSON, each broken": Body("/ingest", NDJSON, filled(LINE[:-1] + b"\n")),
    "lines of JSON, mixed with letters": Body("/ingest", NDJSON, filled(b"a\n", b"{}\n")),
    "lines of text": Body("/ingest", TEXT, filled(LINE + b"\n")),
    "lines of text, one letter": Body("/ingest", TEXT, filled(b"a\n")),
    "lines of text, empty": Body("/ingest", TEXT, filled(b"\n", b"a\n", b"x" * MIB)),
    "lines of text, indented": Body("/ingest", TEXT, filled(b"\ta\n", b"a\n")),
    "lines of text, control characters": Body("/ingest", TEXT, filled(b"\1" * 600 + b"\n")),
    "lines of text, stack traces": Body("/ingest", TEXT, filled(b"a\n" + b"\tb\n" * 250)),
    "array": Body("/ingest", JSON, filled(LINE + b",", b"[", LINE + b"]")),
    "array of numbers": Body("/ingest", JSON, filled(b"1,", b"[", b"1]")),
    "array of halves of surrogates": Body("/ingest", JSON, filled(b'"\\ud800",', b"[", b"1]")),
    "array of escapes that does not end": Body("/ingest", JSON, filled(b"\\n", b'["')),
    "one JSON object": Body("/ingest", JSON, filled(b"\n", b'{"a":', b"1}")),
    "no content type, nearly JSON": Body("/ingest", "", filled(b"[1,\n", b"[")),
    "OTLP JSON, records": Body("/v1/logs", JSON, json_records),
    "OTLP JSON, resources `{}`": Body("/v1/logs", JSON, filled(b"{},", b'{"resourceLogs":[', b"{}]}")),
    "OTLP JSON, scopes `{}`": Body("/v1/logs", JSON, filled(b"{},", b'{"resourceLogs":[{"scopeLogs":[', b"{}]}]}")),
    "OTLP JSON, records `{}`": Body(
        "/v1/logs", JSON, filled(b"{},", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"{}]}]}]}")
    ),
    "OTLP JSON, attributes `{}`": Body(
        "/v1/logs", JSON, filled(b"{},", b'{"resourceLogs":[{"resource":{"attributes":[', b"{}]}}]}")
    ),
    "OTLP JSON, values `{}`": Body(
        "/v1/logs",
        JSON,
        filled(
            b'{"body":{"arrayValue":{"values":[' + b"{}," * 650_000 + b"{}]}}},",
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[',
            b"{}]}]}]}",
        ),
    ),
    "OTLP JSON, not UTF-8": Body("/v1/logs", JSON, filled(b"\xff", b'{"resourceLogs":[{"schemaUrl":"', b'"}]}')),
    "OTLP protobuf, records": Body("/v1/logs", PROTOBUF, protobuf_records),
    "OTLP protobuf, empty resources": Body("/v1/logs", PROTOBUF, embedded(b"\x0a\x00")),
    "OTLP protobuf, empty scopes": Body("/v1/logs", PROTOBUF, embedded(b"\x12\x00", 1)),
    "OTLP protobuf, empty records": Body("/v1/logs", PROTOBUF, embedded(b"\x12\x00", 1, 2)),
    "OTLP protobuf, empty attributes": Body("/v1/logs", PROTOBUF, embedded(b"\x32\x00", 1, 2, 2)),
    "OTLP protobuf, empty values": Body(
        "/v1/logs",
        PROTOBUF,
        # Records of 2 MB, whose body is a list.
        embedded(
            b"\x12" + varint(2_000_010) + b"\x2a" + varint(2_000_006) + b"\x2a" + varint(2_000_002)
            + b"\x0a\x00" * 1_000_001, 1, 2,
        ),
    ),
    "OTLP protobuf, not UTF-8": Body("/v1/logs", PROTOBUF, embedded(b"\x12\x04\x1a\x02\xff\xff", 1, 2)),
    "OTLP over gRPC, records": over_grpc(b"\x12\x84\x05\x2a\x81\x05\x0a\xfe\x04" + b"x" * 638, 1, 2),
    "OTLP over gRPC, empty resources": over_grpc(b"\x0a\x00"),
    "OTLP over gRPC, empty records": over_grpc(b"\x12\x00", 1, 2),
    "OTLP over gRPC, empty attributes": over_grpc(b"\x32\x00", 1, 2, 2),
    "Datadog, logs": Body("/api/v2/logs", JSON, filled(LINE + b",", b"[", LINE + b"]")),
    "Datadog, logs `{}`": Body("/api/v2/logs", JSON, filled(b"{},", b"[", b"{}]")),
    "Splunk, events": Body("/services/collector", JSON, filled(b'{"event":' + LINE[11:])),
    "Splunk, events `{}`": Body("/services/collector", JSON, filled(b"{}")),
    "Splunk, one event of line ends": Body("/services/collector", JSON, filled(b"\n", b'{"event":{"a":', b"1}}")),
    "Splunk, text": Body("/services/collector/raw?host=h", TEXT, filled(b"a\n")),
    "Elasticsearch, documents": Body("/_bulk", NDJSON, filled(b'{"index":{}}\n' + LINE[:12] + LINE[25:] + b"\n")),
    "Elasticsearch, documents `{}`": Body("/_bulk", NDJSON, filled(b'{"index":{}}\n{}\n')),
    "Elasticsearch, long names": Body("/_bulk", NDJSON, bulk_names),
    "GELF, lines": Body("/gelf", JSON, filled(b'{"_essage":' + LINE[11:] + b"\n")),
    "GELF, lines of own fields": Body("/gelf", JSON, filled(b'{"_a":1}\n')),
    "GELF, one message of own fields": Body("/gelf", JSON, filled(b'"_a":1,', b"{", b'"b":1}')),
    "Pub/Sub, one entry": Body("/pubsub", JSON, filled(b"W10=", b'{"message":{"data":"', b'"}}')),
    "Loki JSON, entries": Body(PUSH, JSON, loki_entries),
    "Loki JSON, streams `{}`": Body(PUSH, JSON, filled(b"{},", b'{"streams":[', b"{}]}")),
    "Loki JSON, entries `[]`": Body(PUSH, JSON, filled(b"[],", b'{"streams":[{"values":[', b"[]]}]}")),
    "Loki JSON, an entry of empty texts": Body(PUSH, JSON, filled(b'"",', b'{"streams":[{"values":[[', b'""]]}]}')),
    "Loki protobuf, entries": Body(PUSH, PROTOBUF, embedded(b"\x12\x84\x05\x12\x81\x05" + b"x" * 641, 1), "snappy"),
    "Loki protobuf, empty streams": Body(PUSH, PROTOBUF, embedded(b"\x0a\x00"), "snappy"),
    "Loki protobuf, empty entries": Body(PUSH, PROTOBUF, embedded(b"\x12\x00", 1), "snappy"),
    "Loki protobuf, labels": Body(PUSH, PROTOBUF, embedded(LABELS), "snappy"),
}  # fmt: skip


def peak(process: Process, *, anew: bool = False) -> int:
    """The most bytes of memory that the process has had; `anew` counts from now on."""
    directory = Path("/proc", str(process.child.pid))
    if anew:
        (directory / "clear_refs").write_text("5")
    lines = (directory / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def send(process: Process, body: Body, content: bytes) -> int:
    """The status of the answer to a compressed body; over gRPC, on a connection of its own as well, 200, 429 or 400."""
    if body.encoding == "grpc":
        address = f"127.0.0.1:{process.grpc_port}"
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            try:
                call: Any = channel.unary_unary(body.path)
                call(content, timeout=600, compression=grpc.Compression.Gzip)
            except grpc.RpcError as error:
                return 429 if error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE) else 400
            return 200
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=600)
    connection.request(
        "POST", body.path, content, {"Content-Encoding": body.encoding, "Content-Type": body.content_type}
    )
    status = connection.getresponse().status
    connection.close()
    return status


def too_busy(process: Process) -> int:
    """How many bodies were refused because of others so far."""
    start = 'gateway_rejected_total{code="too_busy"} '
    return next(
        (int(float(line[len(start) :])) for line in process.get("/metrics")[1].splitlines() if line.startswith(start)),
        0,
    )


@contextmanager
def full_queue(process: Process, senders: ThreadPoolExecutor) -> Iterator[None]:
    """Messages are waiting until there is room for no more; of large ones each byte of the queue is memory."""
    for size in (SIZE, MIB, 64 * 1024, 4096, 1):
        body = Body("/ingest", NDJSON, lambda: b"")
        content = gzip.compress((LINE + b"\n") * (size // len(LINE)) or b"{", 1)
        waiting: list[Future[int]] = []
        while not any(each.done() for each in waiting):
            before = process.metric("gateway_queued_bytes")
            waiting.append(senders.submit(send, process, body, content))
            wait_until(lambda: process.metric("gateway_queued_bytes") > before or waiting[-1].done(), "a request")  # noqa: B023
        assert waiting[-1].result() == 429
    yield


@contextmanager
def full_buffer(process: Process) -> Iterator[None]:
    """Bodies of which the last byte is missing take all memory that there is for bodies, but for one of SIZE."""
    left = Gateway.max_buffered_bytes - SIZE - 8 * MIB
    with ExitStack() as waiting:
        for _ in range(4):
            connection = process.connect()
            waiting.callback(connection.close)
            connection.putrequest("POST", "/ingest")
            connection.putheader("Content-Length", str(left // 4))
            connection.endheaders(b"x" * (left // 4 - 1))
        yield


def measure(log: Path, names: list[str]) -> Iterator[Peak]:
    """The peaks of the bodies with these names, of one process each for alone and for together."""
    port, grpc_port = ports.free(2)
    kafka = Kafka(bootstrap_servers=f"127.0.0.1:{port}")
    senders = ThreadPoolExecutor(64)
    alone: dict[str, int] = {}
    compressed = {name: BODIES[name].compressed() for name in names}
    with running(kafka, log, grpc_port=grpc_port, delivery_timeout_seconds=1) as process:
        for name in names:
            peak(process, anew=True)
            send(process, BODIES[name], compressed[name])
            alone[name] = peak(process)
    patient = {"delivery_timeout_seconds": 3600, "body_timeout_seconds": 3600, "wait_seconds": 3600}
    patient["grpc_port"] = grpc_port
    with running(kafka, log, **patient) as process, full_queue(process, senders), full_buffer(process):
        for name in names:
            peak(process, anew=True)
            unread = too_busy(process)
            some = range(BODIES[name].at_once)
            sent = [senders.submit(send, process, BODIES[name], compressed[name]) for _ in some]
            answers = Counter(each.result() for each in sent)
            yield Peak(name, alone[name], peak(process), dict(answers), too_busy(process) - unread)
        process.child.kill()


def main() -> int:
    """Print the table; the exit status is 1 if a peak is above what is documented."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print each as a line of JSON")
    parser.add_argument("names", nargs="*", default=list(BODIES), help="of bodies; all of them without")
    arguments = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as directory:
        for each in measure(Path(directory, "log"), arguments.names):
            worst = max(worst, each.alone_bytes, each.together_bytes)
            if arguments.json:
                print(json.dumps(each.__dict__), flush=True)
            else:
                print(
                    f"| {each.name} | {each.alone_bytes // MIB} | {each.together_bytes // MIB} "
                    f"| {', '.join(f'{count} x {status}' for status, count in sorted(each.answers.items()))} |",
                    flush=True,
                )
    return 1 if worst > DOCUMENTED_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
