"""OTLP's two encodings as canonical events."""

import base64
import json
import math
import re
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import otlp, otlp_json, otlp_protobuf
from tests.gateway import reading

SETTINGS = Gateway(allow_anonymous=True)
TIME = 1_757_930_000_123_456_789

TEXT = st.text(max_size=8)
SCALARS = st.one_of(
    st.just(AnyValue()),
    TEXT.map(lambda value: AnyValue(string_value=value)),
    st.booleans().map(lambda value: AnyValue(bool_value=value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: AnyValue(int_value=value)),
    st.floats().map(lambda value: AnyValue(double_value=value)),
    st.binary(max_size=8).map(lambda value: AnyValue(bytes_value=value)),
)


def pairs(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[list[KeyValue]]:
    """Attributes."""
    made = st.dictionaries(TEXT, values, max_size=3)
    return made.map(lambda found: [KeyValue(key=key, value=value) for key, value in found.items()])


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: AnyValue(array_value=ArrayValue(values=found))),
        pairs(inner).map(lambda found: AnyValue(kvlist_value=KeyValueList(values=found))),
    ),
    max_leaves=5,
)
RECORDS = st.builds(
    LogRecord,
    time_unix_nano=st.integers(0, 2**64 - 1),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    severity_number=st.integers(0, 24),
    severity_text=TEXT,
    body=VALUES,
    attributes=pairs(VALUES),
    dropped_attributes_count=st.integers(0, 3),
    flags=st.integers(0, 2**32 - 1),
    trace_id=st.sampled_from([b"", bytes(16)]) | st.binary(min_size=16, max_size=16),
    span_id=st.sampled_from([b"", bytes(8)]) | st.binary(min_size=8, max_size=8),
    event_name=TEXT,
)


@st.composite
def requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    """Requests of several resources and scopes."""
    request = ExportLogsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_logs = request.resource_logs.add(schema_url=draw(TEXT))
        resource_logs.resource.attributes.extend(draw(pairs(VALUES)))
        for _ in range(draw(st.integers(0, 2))):
            scope_logs = resource_logs.scope_logs.add(schema_url=draw(TEXT))
            scope_logs.scope.name, scope_logs.scope.version = draw(TEXT), draw(TEXT)
            scope_logs.scope.attributes.extend(draw(pairs(VALUES)))
            scope_logs.log_records.extend(draw(st.lists(RECORDS, max_size=3)))
    return request


def as_json(request: ExportLogsServiceRequest) -> bytes:
    """OTLP's JSON: protobuf's own, with ids in hexadecimal and enums as numbers."""
    made = json_format.MessageToDict(request, use_integers_for_enums=True)
    for resource_logs in made.get("resourceLogs", []):
        for scope_logs in resource_logs.get("scopeLogs", []):
            for record in scope_logs.get("logRecords", []):
                for name in ("traceId", "spanId"):
                    if name in record:
                        record[name] = base64.b64decode(record[name]).hex().upper()
    return json.dumps(made).encode()


def from_protobuf(request: ExportLogsServiceRequest, settings: Gateway = SETTINGS) -> Batch:
    """The batch of a request in protobuf."""
    return otlp.read(otlp_protobuf.groups(request.SerializeToString(), settings), settings)


def from_json(body: bytes | dict[str, Any], settings: Gateway = SETTINGS) -> Batch:
    """The batch of a request in JSON."""
    return otlp.read(
        otlp_json.groups(body if isinstance(body, bytes) else json.dumps(body).encode(), settings), settings
    )


def one(**record: Any) -> dict[str, Any]:
    """A request in JSON with one record."""
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


def request_of(*records: LogRecord) -> ExportLogsServiceRequest:
    """A request in protobuf with these records, of a service."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="shop")))
    resource_logs.scope_logs.add().log_records.extend(records)
    return request


def nested(depth: int) -> AnyValue:
    """A list in a list in a list ..."""
    value = AnyValue(int_value=1)
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


@given(requests())
def test_json_has_two_spellings_of_a_name(request: ExportLogsServiceRequest) -> None:
    """Names in snake case, which protobuf's own library writes on demand, mean the same as those in camel case."""
    camel = as_json(request)
    snake = re.sub(
        rb'"([a-z]+[A-Z]\w*)"(?=:)', lambda key: re.sub(rb"[A-Z]", lambda one: b"_" + one[0].lower(), key[0]), camel
    )

    assert from_json(snake) == from_json(camel)


def test_an_attribute_that_is_there_twice_keeps_both_values() -> None:
    """OTLP's attributes are a list: of two with the same key, the second one says so in its name."""
    request = request_of(LogRecord(attributes=[KeyValue(key="k", value=AnyValue(int_value=n)) for n in (1, 2, 3)]))

    [event] = reading.events(from_protobuf(request).messages)

    assert event["attributes"] == {"k": 1, "k#2": 2, "k#3": 3}
    assert from_json(as_json(request)) == from_protobuf(request)


@given(requests())
def test_both_encodings_give_the_same_events(request: ExportLogsServiceRequest) -> None:
    """One request, as protobuf and as JSON, becomes byte for byte the same messages, each of them valid JSON."""
    batch = from_protobuf(request)

    assert from_json(as_json(request)) == batch
    records = sum(len(scope.log_records) for each in request.resource_logs for scope in each.scope_logs)
    assert batch.events == len(reading.events(batch.messages)) == records
    for event in reading.events(batch.messages):
        assert isinstance(event, dict)


def test_every_field_has_its_place() -> None:
    """A full record becomes a canonical event."""
    request = request_of(
        LogRecord(
            time_unix_nano=TIME,
            observed_time_unix_nano=TIME + 1,
            severity_number=SeverityNumber.SEVERITY_NUMBER_ERROR,
            severity_text="ERROR",
            body=AnyValue(string_value="no \u20ac"),
            attributes=[KeyValue(key="user.id", value=AnyValue(int_value=2**63 - 1))],
            trace_id=bytes(range(16)),
            span_id=bytes(range(8)),
            flags=0x101,
            event_name="payment.failed",
            dropped_attributes_count=2,
        )
    )
    request.resource_logs[0].schema_url = "https://resource"
    scope = request.resource_logs[0].scope_logs[0]
    scope.schema_url, scope.scope.name, scope.scope.version = "https://scope", "app.pay", "1.2"
    scope.scope.attributes.append(KeyValue(key="team", value=AnyValue(string_value="pay")))

    assert reading.events(from_protobuf(request).messages) == [
        {
            "timestamp": TIME,
            "observed_timestamp": TIME + 1,
            "severity_text": "ERROR",
            "severity_number": 17,
            "body": "no \u20ac",
            "trace_id": "000102030405060708090a0b0c0d0e0f",
            "span_id": "0001020304050607",
            "trace_flags": 1,
            "event_name": "payment.failed",
            "attributes": {"user.id": 2**63 - 1},
            "dropped_attributes_count": 2,
            "resource": {"service.name": "shop"},
            "resource_schema_url": "https://resource",
            "scope": {
                "name": "app.pay",
                "version": "1.2",
                "attributes": {"team": "pay"},
                "schema_url": "https://scope",
            },
        }
    ]


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"stringValue": ""}, ""),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 5}, 5),
        ({"doubleValue": 0.1}, 0.1),
        ({"doubleValue": 3}, 3.0),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"doubleValue": "-Infinity"}, "-Infinity"),
        ({"doubleValue": "1.5e3"}, 1500.0),
        ({"bytesValue": "-_8"}, "+/8="),
        ({"arrayValue": {"values": [{"intValue": 1}, {}, {"stringValue": "a"}]}}, [1, None, "a"]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"kvlistValue": {"values": []}}}, {"key": "b"}]}},
         {"a": {}, "b": None}),
    ],
)  # fmt: skip
def test_every_kind_of_value_is_json(value: dict[str, Any], body: object) -> None:
    """Integers are exact, bytes are base64, values that are not numbers have names, lists and maps nest."""
    [event] = reading.events(from_json(one(body=value)).messages)

    assert event == {"body": body}


def test_json_is_read_leniently() -> None:
    """Numbers or text for integers, names for severities, null, unknown fields: all as OTLP wants receivers to be."""
    record = {
        "timeUnixNano": TIME,
        "observedTimeUnixNano": str(TIME),
        "severityNumber": "SEVERITY_NUMBER_WARN",
        "traceId": "ABCDEF0123456789abcdef0123456789",
        "spanId": None,
        "attributes": None,
        "body": None,
        "fromTheFuture": {"a": [1]},
    }

    [event] = reading.events(from_json(one(**record)).messages)

    assert event == {
        "timestamp": TIME,
        "observed_timestamp": TIME,
        "severity_number": 13,
        "trace_id": "abcdef0123456789abcdef0123456789",
    }


def test_an_empty_request_is_fine() -> None:
    """Nothing in it is no error: there is nothing to send."""
    assert from_json({}) == from_protobuf(ExportLogsServiceRequest()) == Batch([], 0)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"body": {"stringValue": "x" * 3000}}, "3011 bytes"),
        ({"attributes": [{"key": str(number)} for number in range(1001)]}, "1001 attributes"),
        ({"timeUnixNano": "yesterday"}, "'yesterday' is not an integer"),
        ({"body": {"intValue": "1" * 30}}, "64-bit"),
        ({"body": {"doubleValue": "big"}}, "'big' is not a double"),
        ({"body": {"bytesValue": "!"}}, "base64"),
    ],
)
def test_a_record_that_does_not_fit_leaves_the_others(record: dict[str, Any], reason: str) -> None:
    """The records that can be taken are taken; how many could not, and why, is said."""
    request = one(body={"stringValue": "fine"})
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].append(record)

    batch = from_json(request, Gateway(max_message_bytes=3000))

    assert reading.events(batch.messages) == [{"body": "fine"}]
    assert (batch.events, batch.rejected) == (1, 1)
    assert batch.reason.startswith("record 1 (counted from 0)")
    assert reason in batch.reason


@pytest.mark.parametrize("depth", [40, 45])
def test_a_value_that_is_nested_too_deeply_leaves_the_others(depth: int) -> None:
    """Depth is bounded alike in both encodings, and costs one record only."""
    request = request_of(LogRecord(body=nested(depth)), LogRecord(body=nested(10)))

    batch = from_protobuf(request)

    assert (batch.events, batch.rejected) == (1, 1)
    assert from_json(as_json(request)) == batch


def test_a_resource_is_not_multiplied_without_end() -> None:
    """A large resource with many records is refused: each event carries it, so a small body would become a huge one."""
    request = request_of(*[LogRecord(severity_text="INFO")] * 10_000)
    request.resource_logs[0].resource.attributes[0].value.string_value = "x" * 100_000

    with pytest.raises(RejectedError) as refused:
        from_protobuf(request)

    assert (refused.value.status, refused.value.code) == (413, "inflated_too_large")


def test_too_many_records_are_refused() -> None:
    """The number of records in a request is bounded."""
    with pytest.raises(RejectedError) as refused:
        from_protobuf(request_of(*[LogRecord()] * 11), Gateway(max_request_events=10))

    assert refused.value.status == 413


@pytest.mark.parametrize("body", [b"\xff", b"not protobuf at all", b"\x0a\xff\xff\xff\xff\x0f"])
def test_broken_protobuf_is_refused(body: bytes) -> None:
    """Bytes that are no request are answered 400."""
    with pytest.raises(RejectedError) as refused:
        list(otlp_protobuf.groups(body, SETTINGS))

    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "truncated$"),
        (b"[]", "Expected `object`, got `array`$"),
        (b"{", "truncated$"),
        (b'{"resourceLogs": 5}', r" at `\$\.resourceLogs`$"),
        (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [7]}]}]}', r" at `.*scopeLogs\[0\]\.logRecords\[0\]`$"),
        (b"[" * 99_999, "Expected `object`, got `array`$"),
        (b'{"logs": [{"body": "x"}]}', "has no resourceLogs, but logs$"),
        (
            b'{"resourceLogs": [{"resource": {}, "instrumentationLibraryLogs": [{"logs": [{}]}]}]}',
            "has no scopeLogs, but instrumentationLibraryLogs$",
        ),
        (b'{"resourceLogs": [{"scopeLogs": [{"scope": {}, "logRecord": [{}]}]}]}', "has no logRecords, but logRecord$"),
    ],
)
def test_broken_json_is_refused(body: bytes, where: str) -> None:
    """JSON that is not a request is answered 400, and the message says where it is wrong."""
    with pytest.raises(RejectedError, match=where) as refused:
        from_json(body)

    assert refused.value.status == 400


def test_a_broken_resource_is_refused() -> None:
    """A resource belongs to all of its records: if it can't be taken, none of them can."""
    attributes = [{"key": "k", "value": {"intValue": "x"}}]

    with pytest.raises(RejectedError, match="resource"):
        from_json({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": [{}]}]}]})


def test_text_that_is_no_unicode_is_mended() -> None:
    """Half a surrogate or an invalid byte in one record does not cost the sender the whole request."""
    half = json.dumps(one(body={"stringValue": "cut \ud83d"})).encode()
    byte = json.dumps(one(body={"stringValue": "cut X"})).encode().replace(b"X", b"\xf0\x9f")

    assert reading.events(from_json(half).messages) == [{"body": "cut \ufffd"}]
    assert reading.events(from_json(byte).messages) == [{"body": "cut \ufffd"}]


def test_text_that_is_no_unicode_is_mended_in_protobuf_too() -> None:
    """Senders whose protobuf library does not check, as the collector's, send such strings."""
    body = request_of(LogRecord(body=AnyValue(string_value="cut XX"))).SerializeToString().replace(b"XX", b"\xf0\x9f")

    batch = otlp.read(otlp_protobuf.groups(body, SETTINGS), SETTINGS)

    assert [event["body"] for event in reading.events(batch.messages)] == ["cut \ufffd"]


def test_records_with_ids_make_a_batch_that_is_known_again() -> None:
    """An attribute `event_id` on every record is enough for a repeated body to be known."""
    named = LogRecord(attributes=[KeyValue(key="event_id", value=AnyValue(string_value="1"))])

    assert from_protobuf(request_of(named, named)).named
    assert not from_protobuf(request_of(named, LogRecord())).named


@pytest.mark.parametrize(("value", "text"), [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN")])
def test_what_is_no_number_has_a_name(value: float, text: str) -> None:
    """JSON has no infinity: it is written as protobuf's JSON does."""
    [event] = reading.events(from_protobuf(request_of(LogRecord(body=AnyValue(double_value=value)))).messages)

    assert event["body"] == text


@pytest.mark.parametrize("text", ["¹", "é", "a", "a b", "\ud800"])
def test_bytes_that_are_not_base64(text: str) -> None:
    """Letters of any kind cost the one record, with its place, and no more."""
    records = [{"body": {"bytesValue": text}}, {"body": {"stringValue": "kept"}}]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    batch = otlp.read(otlp_json.groups(body, SETTINGS), SETTINGS)
    assert (batch.events, batch.rejected) == (1, 1)
    assert batch.reason.startswith("record 0 (counted from 0): a value's bytes are not base64")
