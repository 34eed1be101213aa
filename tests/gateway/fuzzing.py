"""Bodies that nobody should send, to every route and over gRPC: `make fuzz`, or `python -m tests.gateway.fuzzing`.

`--count 10000` bodies of each kind, always the same for a `--seed`.

No answer is a 5xx, and what is answered as accepted is as many rows in ClickHouse. It starts a ClickHouse of its own.
"""

import argparse
import asyncio
import base64
import copy
import gzip
import json
import random
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import zstandard
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logbrook import clickhouse, config, migrate
from logbrook.config import Gateway
from logbrook.gateway.app import FORMATS, App
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats.format import Format
from logbrook.gateway.rpc import PATH as GRPC
from logbrook.gateway.rpc import Rpc
from logbrook.tokens import Tokens
from native import ports
from native.clickhouse import clickhouse as service
from tests.components import REPOSITORY, running
from tests.gateway import push
from tests.gateway.collecting import CollectingTopic

SETTINGS = Gateway(allow_anonymous=True, max_message_bytes=2_000, max_inflated_bytes=1_000_000)
COLUMNS = ["topic", "topic_id", "partition", "offset", "timestamp_ms", "source", "idempotency_key", "payload"]
_AT_ONCE = 1_000

NASTY = [
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\r", b"\x0b", b"\x0c", b"\x1e"),
    *(b"\\ud800", b"\\udc00\\ud800", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"{}", b"[]", b"null"),
    *(b"\n{", b"\n[", b"1e400", b"-1e400", b"1" * 25, b"1" * 5_000, b"NaN", b"0x10", b"\xc2\xb9", b"[" * 40),
    *(b"[" * 1_100, b'{"a":' * 40, b'{"a":1}\n{"a":1,}'),
    *(b"\n\tat a.B(C.java:1)", b"\nCaused by: x", b'{"timestamp":', b"\xe2\x80\xa8"),
]  # fmt: skip
VALUES: list[Any] = [
    *(None, True, 0, -1, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, "", "x", "1e400", "9" * 5_000, "é", "¹", "\ud800"),
    *("NaN", "Infinity", "-0", "1_000", " 7 ", "0x7", [], {}, [[]], [None], {"values": None}, {"values": [None]}, [{}]),
    *("====", "A"),
]  # fmt: skip
RECORD = {
    "timeUnixNano": "1757930000123456789", "observedTimeUnixNano": 1757930000123456789, "severityNumber": 9,
    "severityText": "INFO", "body": {"stringValue": "text"}, "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174", "flags": 1, "eventName": "e", "droppedAttributesCount": 1,
    "attributes": [
        {"key": "i", "value": {"intValue": "5"}}, {"key": "d", "value": {"doubleValue": 0.5}},
        {"key": "b", "value": {"bytesValue": "aGk="}}, {"key": "t", "value": {"boolValue": True}},
        {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
        {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": 1}}]}}},
    ],
}  # fmt: skip
OTLP = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeLogs": [{"scope": {"name": "n", "version": "1"}, "logRecords": [RECORD, RECORD], "schemaUrl": "u"}],
            "schemaUrl": "u",
        }
    ]
}
LINES = [
    b'{"timestamp":1757930000123456789,"severity_text":"INFO","body":"a","attributes":{"k":"v"}}',
    b'{"level":"warn","msg":"b","n":1.5,"nested":{"a":[1,{"b":2}]}}',
    b"2025-09-15 12:00:00 ERROR plain text",
    b"\tat a.B(C.java:1)",
    b'{"message":"caf\xc3\xa9 \\u00e9","event_id":"1"}',
    b"",
]
PUSH = "/loki/api/v1/push"
LOKI = {
    "streams": [
        {
            "stream": {"job": "shop", "level": "info"},
            "values": [["1757930000123456789", "text", {"trace_id": "5b8efff798038103d269b633813fc60c"}], ["1", "x"]],
        },
        {"stream": {}, "values": [["1757930000123456789", "y"]]},
    ]
}
ACTIONS = [
    *(
        b'{"index":{}}',
        b'{"create":{"_index":"logs"}}',
        b'{"index":{"_index":"logs","_id":"1"}}',
        b'{"delete":{"_id":1}}',
    ),
    b'{"update":{"_id":"\xc3\xa9"}}',
]
BULK = [
    each
    for pair in zip(ACTIONS[:3] * 2, [*LINES[:2], *LINES[4:5], b"{}", b"{ }", b'{"a":1'], strict=True)
    for each in pair
]
HEC = [
    {"time": 1757930000.123, "host": "h", "sourcetype": "t", "event": "text", "fields": {"k": "v"}},
    {"event": {"message": "m", "severity": "warn", "nested": {"a": [1]}}},
]
DATADOG = [
    {"ddsource": "nginx", "ddtags": "env:prod", "hostname": "h", "message": "m", "service": "s", "status": "info"},
    {"message": '{"level":"warn"}', "timestamp": 1757930000123, "nested": {"a": [1]}},
]
ENTRY = {
    "logName": "projects/p/logs/l", "insertId": "i", "timestamp": "2026-01-31T12:00:00Z", "severity": "ERROR",
    "resource": {"type": "gce_instance", "labels": {"zone": "z"}}, "labels": {"a": "b"},
    "trace": "projects/p/traces/4b", "traceSampled": True, "jsonPayload": {"message": "m", "n": 1},
    "httpRequest": {"requestMethod": "GET", "status": 200},
    "protoPayload": {"methodName": "m", "authenticationInfo": {"principalEmail": "e"}, "status": {}},
}  # fmt: skip
GELF = {
    "version": "1.1", "host": "h", "short_message": "m", "full_message": "m\n\tat x", "level": 3, "_k": "v",
    "timestamp": 1757930000.123,
}  # fmt: skip
CASES = sorted(file for file in (REPOSITORY / "tests/e2e/cases").glob("*/input.*") if ".kafka." not in file.name)
TYPES = ["", "application/json", "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded", "text/json"]


@dataclass(frozen=True)
class Sent:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes


def requests(count: int, seed: int) -> Iterator[Sent]:
    """So many requests of each kind, in turn, always the same for a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        for kind in KINDS:
            yield _encoded(chance, kind(chance))


def _lines(chance: random.Random) -> Sent:
    kind = chance.choice(LINES)
    some = [kind if chance.random() < 0.5 else chance.choice(LINES) for _ in range(chance.randint(1, 8))]
    if chance.random() < 0.5:
        # Each of them broken in the same way.
        at, what = chance.random(), chance.choice(NASTY)
        some = [line[: int(at * len(line))] + what + line[int(at * len(line)) :] for line in some]
    return Sent("/ingest", {"content-type": chance.choice(TYPES)}, _mutated(chance, b"\n".join(some)))


def _array(chance: random.Random) -> Sent:
    value = [chance.choice([*VALUES, {"msg": "x", "v": chance.choice(VALUES)}]) for _ in range(chance.randint(0, 5))]
    text = json.dumps(value, indent=chance.choice((None, 1))).encode()
    return Sent("/ingest", {"content-type": chance.choice(TYPES)}, _mutated(chance, text))


def _otlp_json(chance: random.Random) -> Sent:
    """Well-formed JSON with a value in it that does not belong there."""
    return Sent("/v1/logs", {"content-type": "application/json"}, json.dumps(_misplaced(chance, OTLP)).encode())


def _misplaced(chance: random.Random, request: Any) -> Any:
    """A copy with some of its values replaced."""
    copied = json.loads(json.dumps(request))
    for _ in range(chance.randint(0, 3)):
        container, key = chance.choice(list(_places(copied)) or [({}, 0)])
        container[key] = copy.deepcopy(chance.choice(VALUES))
    return copied


def _otlp_json_bytes(chance: random.Random) -> Sent:
    return Sent("/v1/logs", {"content-type": "application/json"}, _mutated(chance, json.dumps(OTLP).encode()))


def _protobuf(chance: random.Random) -> Sent:
    body = json_format.Parse(json.dumps(OTLP), ExportLogsServiceRequest()).SerializeToString()
    return Sent("/v1/logs", {"content-type": "application/x-protobuf"}, _mutated(chance, body))


def _grpc(chance: random.Random) -> Sent:
    """The same over gRPC, which compresses by itself."""
    return Sent(GRPC, {"grpc-encoding": "gzip"} if chance.random() < 0.2 else {}, _protobuf(chance).body)


def _loki(chance: random.Random) -> Sent:
    """Well-formed JSON with a value in it that does not belong there, or bytes that do not."""
    body = json.dumps(_misplaced(chance, LOKI), indent=chance.choice((None, 1))).encode()
    return Sent(PUSH, {"content-type": "application/json"}, _mutated(chance, body) if chance.random() < 0.5 else body)


def _loki_protobuf(chance: random.Random) -> Sent:
    body = push.compressed(_mutated(chance, push.from_json(LOKI)))
    return Sent(PUSH, {}, _mutated(chance, body) if chance.random() < 0.2 else body)


def _bulk(chance: random.Random) -> Sent:
    """Pairs of actions and documents, one of them out of its place."""
    lines = [chance.choice((*ACTIONS, *LINES)) if chance.random() < 0.1 else each for each in BULK]
    some = b"\n".join(lines[: chance.randint(1, len(lines))])
    return Sent(chance.choice(("/_bulk", "/index/_bulk")), {}, _mutated(chance, some))


def _splunk(chance: random.Random) -> Sent:
    """Events one after the other, one of them with a value that does not belong there, or text."""
    some = [json.dumps(_misplaced(chance, chance.choice(HEC)), indent=chance.choice((None, 1))) for _ in range(3)]
    body = chance.choice(("", "\n", " ")).join(some).encode()
    path = chance.choice(
        ("/services/collector", "/services/collector/raw?host=h&sourcetype=t", "/services/collector/ack")
    )
    return Sent(path, {}, _mutated(chance, body if chance.random() < 0.9 else b'{"acks":[0,1]}'))


def _datadog(chance: random.Random) -> Sent:
    """Logs, one of them with a value that does not belong there."""
    logs = _misplaced(chance, chance.choice((DATADOG, DATADOG[0], [])))
    body = json.dumps(logs, indent=chance.choice((None, 1))).encode()
    return Sent(chance.choice(("/api/v2/logs", "/v1/input?ddsource=a&ddtags=b:c")), {}, _mutated(chance, body))


def _gelf(chance: random.Random) -> Sent:
    """Messages on a line each, one of them with a value that does not belong there."""
    some = [json.dumps(_misplaced(chance, GELF)) for _ in range(chance.randint(1, 3))]
    return Sent("/gelf", {}, _mutated(chance, "\n".join(some).encode()))


def _pubsub(chance: random.Random) -> Sent:
    """An entry of Cloud Logging, or another message of a topic, with a value that does not belong there."""
    some: Any = _misplaced(chance, chance.choice((ENTRY, GELF, [GELF])))
    data = base64.b64encode(_mutated(chance, json.dumps(some).encode())).decode()
    push = {"message": {"data": data, "messageId": str(chance.random()), "attributes": {"a": "b"}}, "subscription": "s"}
    return Sent(
        "/pubsub", {}, _mutated(chance, json.dumps(push).encode()) if chance.random() < 0.3 else orjson.dumps(push)
    )


def _case(chance: random.Random) -> Sent:
    """What a case of tests/e2e sends, with bytes in it that do not belong there."""
    file = chance.choice(CASES)
    form: Format = import_module(f"logbrook.gateway.formats.{file.name.split('.')[1]}").FORMAT
    return Sent(form.path, {"content-type": "".join(form.content_types[:1])}, _mutated(chance, file.read_bytes()))


def _noise(chance: random.Random) -> Sent:
    form = chance.choice(FORMATS)
    path, kind = chance.choice((form.path, *form.also)), chance.choice((*form.content_types, *TYPES))
    return Sent(path, {"content-type": kind}, chance.randbytes(chance.randint(0, 200)))


KINDS = (
    _lines,
    _array,
    _otlp_json,
    _otlp_json_bytes,
    _protobuf,
    _grpc,
    _loki,
    _loki_protobuf,
    _bulk,
    _splunk,
    _datadog,
    _gelf,
    _pubsub,
    _case,
    _noise,
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All containers in it, with each of their keys."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _mutated(chance: random.Random, body: bytes) -> bytes:
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at, length = chance.randint(0, len(body)), chance.choice((0, 0, 1, 8, 60))
        new = chance.choice((chance.choice(NASTY), chance.randbytes(1), b"", body[at : at + 30]))
        body = body[:at] + new + body[at + length :]
    return body


def _encoded(chance: random.Random, sent: Sent) -> Sent:
    """The same, compressed now and then, rarely without a fault."""
    if chance.random() < 0.8 or sent.path in (PUSH, GRPC):
        return sent
    name = chance.choice(("gzip", "zstd", "deflate", "snappy"))
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
        "snappy": push.compressed,
    }
    body = compress[name](sent.body) + (compress[name](sent.body) if chance.random() < 0.2 else b"")
    if chance.random() < 0.3:
        body = _mutated(chance, body)
    return Sent(sent.path, {**sent.headers, "content-encoding": name}, body)


@dataclass
class Outcome:
    """What became of a request: its status, the events that were accepted, the messages that they are in."""

    sent: Sent
    status: int
    accepted: int
    messages: list[bytes]


class _Counting(CollectingTopic):
    """A topic that also keeps how many events the gateway takes a batch for."""

    events = 0

    async def send(self, source: str, batch: Batch, key: bytes | None) -> None:
        self.events += batch.events
        await super().send(source, batch, key)


async def _status(channel: grpc.aio.Channel, sent: Sent) -> int:
    """The status over HTTP that comes nearest to the code over gRPC."""
    compression = grpc.Compression.Gzip if sent.headers else grpc.Compression.NoCompression
    call: Any = channel.unary_unary(GRPC)
    try:
        await call(sent.body, timeout=60, compression=compression)
    except grpc.RpcError as error:
        return 400 if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED) else 500
    return 200


async def _answers(found: list[Sent]) -> list[Outcome]:
    settings = replace(SETTINGS, grpc_port=ports.free(1)[0])
    topic = _Counting(settings)
    app = App(settings, Tokens(settings.tokens, allow_anonymous=True), topic)
    outcomes = []
    rpc = Rpc(settings, app)
    await rpc.start()
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel,
    ):
        for sent in found:
            topic.events, first = 0, len(topic.kept)
            if sent.path == GRPC:
                status = await _status(channel, sent)
                outcomes.append(Outcome(sent, status, topic.events, [each.value for each in topic.kept[first:]]))
                continue
            answer = await client.post(sent.path, content=sent.body, headers=sent.headers)
            if sent.path == "/ingest" and answer.status_code == 200:
                assert answer.json()["accepted"] == topic.events
            if sent.path.endswith("_bulk") and answer.status_code == 200:
                items = [item["status"] for each in answer.json()["items"] for item in each.values()]
                assert (items.count(201), any(each > 201 for each in items)) == (
                    topic.events,
                    answer.json()["errors"],
                )
            messages = [each.value for each in topic.kept[first:]]
            outcomes.append(Outcome(sent, answer.status_code, topic.events, messages))
    await rpc.stop()
    return outcomes


def _stored(client: clickhouse.HttpClient, messages: list[bytes]) -> list[int]:
    """How many rows each message becomes."""
    client.command("TRUNCATE TABLE otel_logs")
    rows = [["t", "", 0, offset, 1_757_930_000_000, "s", "", message] for offset, message in enumerate(messages)]
    if rows:
        client.insert("arrivals", rows, COLUMNS)
    found = client.query("SELECT KafkaOffset, count() FROM otel_logs GROUP BY KafkaOffset").result_rows
    counts = [0] * len(messages)
    for offset, count in found:
        counts[offset] = count
    return counts


def faults(database: config.ClickHouse, count: int, seed: int) -> Iterator[tuple[int, list[str]]]:
    """Send `count` bodies of each kind; now and then how many have been sent, and what was wrong with the last ones."""
    client = clickhouse.connect(database)
    waiting = requests(count, seed)
    done = 0
    while some := [sent for _, sent in zip(range(_AT_ONCE), waiting, strict=False)]:
        outcomes = asyncio.run(_answers(some))
        rows = iter(_stored(client, [message for outcome in outcomes for message in outcome.messages]))
        wrong = []
        for outcome in outcomes:
            stored = sum(next(rows) for _ in outcome.messages)
            if outcome.status >= 500 or stored != outcome.accepted:
                wrong.append(f"{outcome.status}: accepted {outcome.accepted}, stored {stored}: {outcome.sent}")
        done += len(some)
        yield done, wrong
    client.close()


def main() -> int:
    """Run it; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.fuzzing", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="bodies of each kind (default: 10,000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        [port] = ports.free(1)
        # What is wrong is what becomes of a body, not how long a busy machine takes for a thousand of them.
        database = config.ClickHouse(port=port, password="fuzzing", database="default", timeout_seconds=300)
        found: list[str] = []
        with running(service(Path(directory, "data"), port, "fuzzing"), Path(directory, "log")):
            migrate.apply(config.Schema(), database)
            for done, wrong in faults(database, arguments.count, arguments.seed):
                found += wrong
                print(f"{done} bodies, {len(found)} faults", flush=True)
                for each in wrong[:5]:
                    print("  " + each[:2_000], flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
