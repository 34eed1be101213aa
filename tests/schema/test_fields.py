"""What becomes of the fields of a JSON event: one row of the table below is one promise."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.schema.conftest import ARRIVAL, Row, Store


@dataclass(frozen=True)
class Case:
    """A JSON event, and the columns that it must lead to. Columns that are not named must be empty."""

    promise: str
    event: Any
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def has_other_keys(self) -> bool:
        """Whether a key at the top became an attribute."""
        return any(
            key in self.columns.get("LogAttributes", {}) or (isinstance(self.event[key], dict) and key not in WHOLE)
            for key in self.event
        )


WHOLE = {"resource", "scope", "attributes", "service", "trace"}
TRACE = "a1b2c3d4e5f678901234567890abcdef"
NOON = "2024-05-06 12:00:00.000000000"

FALLBACKS: list[tuple[str, Any, dict[str, Any]]] = [
    ("no time", {"timestamp": "N/A", "time": "2024-05-06T12:00:00Z"}, {"LogAttributes": {"timestamp": "N/A"}}),
    (
        "Go's zero",
        {"timestamp": "0001-01-01T00:00:00Z", "ts": 1714996800},
        {"LogAttributes": {"timestamp": "0001-01-01T00:00:00Z"}},
    ),
    (
        "Unix's zero",
        {"timestamp": "1970-01-01T00:00:00Z", "ts": 1714996800},
        {"LogAttributes": {"timestamp": "1970-01-01T00:00:00Z"}},
    ),
    ("a day and a time of day", {"date": "2024-05-06", "time": "12:00:00"}, {"LogAttributes": {"date": "2024-05-06"}}),
    ("unset", {"timestamp": 0, "observed_timestamp": 1714996800}, {"LogAttributes": {"timestamp": "0"}}),
    (
        "ahead",
        {"timestamp": "2030-01-01", "observed_timestamp": 1714996800},
        {"LogAttributes": {"timestamp": "2030-01-01"}},
    ),
]

SENDERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("Fluent Bit", {"date": 1714996800.0, "log": "m\n"}, {}),
    ("log4j2", {"instant": {"epochSecond": 1714996800, "nanoOfSecond": 0}, "message": "m"}, {}),
    (
        "the logging agent",
        {"timestampSeconds": 1714996800, "timestampNanos": 5, "message": "m"},
        {"Timestamp": "2024-05-06 12:00:00.000000005"},
    ),
    (
        "CLEF",
        {"@t": "2024-05-06T12:00:00.0Z", "@m": "m", "@l": "Warning", "@tr": TRACE},
        {"SeverityText": "WARN", "SeverityNumber": 13, "TraceId": TRACE},
    ),
    (
        "journald",
        {"__REALTIME_TIMESTAMP": "1714996800000000", "MESSAGE": "m", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "a"},
        {"SeverityText": "ERROR", "SeverityNumber": 17, "ServiceName": "a"},
    ),
    (
        "MongoDB",
        {"t": {"$date": "2024-05-06T12:00:00.000+00:00"}, "s": "W", "msg": "m"},
        {"SeverityText": "WARN", "SeverityNumber": 13},
    ),
    (
        "GELF",
        {"timestamp": 1714996800.0, "short_message": "m", "level": 4},
        {"SeverityText": "WARN", "SeverityNumber": 13},
    ),
    (
        "Cloud Logging",
        {"timestamp": "2024-05-06T12:00:00Z", "severity": "ERROR", "textPayload": "m"},
        {"SeverityText": "ERROR", "SeverityNumber": 17},
    ),
    (
        "MongoDB, debugging",
        {"t": {"$date": "2024-05-06T12:00:00.000+00:00"}, "s": "D2", "msg": "m"},
        {"SeverityText": "DEBUG", "SeverityNumber": 5},
    ),
    (
        "journald without the time of arrival",
        {"_SOURCE_REALTIME_TIMESTAMP": "1714996800000000", "MESSAGE": "m", "PRIORITY": "4"},
        {"SeverityText": "WARN", "SeverityNumber": 13},
    ),
    (
        "Monolog",
        {"message": "m", "level": 400, "datetime": {"date": "2024-05-06 12:00:00.000000", "timezone": "UTC"}},
        {"SeverityText": "ERROR", "SeverityNumber": 17, "LogAttributes": {"datetime.timezone": "UTC"}},
    ),
    (
        "Windows",
        {"TimeCreated": "2024-05-06T12:00:00.0000000Z", "LevelDisplayName": "Error", "Message": "m"},
        {"SeverityText": "ERROR", "SeverityNumber": 17},
    ),
    ("Kubernetes' audit log", {"requestReceivedTimestamp": "2024-05-06T12:00:00.000000Z", "message": "m"}, {}),
    ("Envoy", {"start_time": "2024-05-06T12:00:00.000Z", "message": "m"}, {}),
]

CASES = [
    Case(
        "the example of the README arrives with every field in its place",
        {
            "timestamp": 1714996800.1,
            "log_level": "INFO",
            "service": "test-producer",
            "message": "m",
            "trace_id": "a1b2c3d4-e5f6-7890-1234-567890abcdef",
            "user_id": "user-3",
        },
        {
            "Timestamp": "2024-05-06 12:00:00.100000000",
            "SeverityText": "INFO",
            "SeverityNumber": 9,
            "ServiceName": "test-producer",
            "Body": b"m",
            "TraceId": TRACE,
            "LogAttributes": {"user_id": "user-3"},
        },
    ),
    Case(
        "an event as our gateway writes it fills every column",
        {
            "timestamp": 1714996800123456789,
            "severity_text": "WARN",
            "severity_number": 14,
            "body": "low on stock",
            "trace_id": TRACE,
            "span_id": "00f067aa0ba902b7",
            "trace_flags": 1,
            "event_name": "stock.low",
            "resource": {"service.name": "inventory", "host.name": "web-1", "process": {"pid": 7}},
            "resource_schema_url": "https://opentelemetry.io/schemas/1.24.0",
            "scope": {"name": "stock", "version": "1.2", "schema_url": "https://s", "attributes": {"a": "b"}, "x": 1},
            "attributes": {"sku": "A-1", "left": 3, "level": "shelf", "tags": ["a", 1], "size": {"w": 1.5}},
        },
        {
            "Timestamp": "2024-05-06 12:00:00.123456789",
            "SeverityText": "WARN",
            "SeverityNumber": 14,
            "Body": b"low on stock",
            "TraceId": TRACE,
            "SpanId": "00f067aa0ba902b7",
            "TraceFlags": 1,
            "EventName": "stock.low",
            "ServiceName": "inventory",
            "ResourceAttributes": {"service.name": "inventory", "host.name": "web-1", "process.pid": "7"},
            "ResourceSchemaUrl": "https://opentelemetry.io/schemas/1.24.0",
            "ScopeName": "stock",
            "ScopeVersion": "1.2",
            "ScopeSchemaUrl": "https://s",
            "ScopeAttributes": {"a": "b", "x": "1"},
            "LogAttributes": {"sku": "A-1", "left": "3", "level": "shelf", "tags": '["a",1]', "size.w": "1.5"},
        },
    ),
    # Times
    *(
        Case(f"a time as {value!r} is understood", {"timestamp": value}, {"Timestamp": expected})
        for value, expected in [
            (1714996800, NOON),
            ("1714996800", NOON),
            (1714996800.5, "2024-05-06 12:00:00.500000000"),
            ("1714996800.123456789", "2024-05-06 12:00:00.123456789"),
            (1714996800000, NOON),
            (1714996800123.25, "2024-05-06 12:00:00.123250000"),
            (1714996800000000, NOON),
            (1714996800000000000, NOON),
            ("1714996800123456789", "2024-05-06 12:00:00.123456789"),
            ("1.7149968e9", NOON),
            ("2024-05-06T12:00:00Z", NOON),
            ("2024-05-06T12:00:00.123456789Z", "2024-05-06 12:00:00.123456789"),
            ("2024-05-06T14:00:00.5+02:00", "2024-05-06 12:00:00.500000000"),
            ("2024-05-06T04:30:00-0730", NOON),
            ("2024-05-06T12:00:00", NOON),
            ("2024-05-06 12:00:00,123", "2024-05-06 12:00:00.123000000"),
            ("2024-05-06 12:00:00.123456", "2024-05-06 12:00:00.123456000"),
            ("2024-05-06 12:00:00 UTC", NOON),
            ("2024/05/06 12:00:00", NOON),
            ("2024-05-06", "2024-05-06 00:00:00.000000000"),
            ("Mon, 06 May 2024 12:00:00 GMT", NOON),
            ("1980-01-01T00:00:00Z", "1980-01-01 00:00:00.000000000"),
            ("2024-05-06t12:00:00z", NOON),
            ("2024-05-06 13:00:00 +0100 CET", NOON),
            ("2024-05-06T13:00:00+01:00[Europe/Berlin]", NOON),
            ("06/May/2024:13:00:00 +0100", NOON),
            ("20240506T120000Z", NOON),
            ("Mon May  6 13:00:00 CET 2024", NOON),
            (" 2024-05-06T12:00:00Z ", NOON),
            ("\t2024-05-06T12:00:00Z\n", NOON),
            ("'2024-05-06T12:00:00Z'", NOON),
            ("May  6 12:00:00", NOON),
            ("Monday, May 6, 2024 12:00:00 PM", NOON),
            ("/Date(1714996800000)/", NOON),
            ("2025-03-01T12:05:00Z", "2025-03-01 12:05:00.000000000"),
        ]
    ),
    *(
        Case(f"a time may be called {name}", {name: "2024-05-06T12:00:00Z"}, {"Timestamp": NOON})
        for name in [
            "timestamp",
            "@timestamp",
            "time",
            "ts",
            "Timestamp",
            "timeUnixNano",
            "observed_timestamp",
            "datetime",
        ]
    ),
    *(
        Case(
            f"{value!r} is no time: it stays an attribute, and the event gets the time of its arrival",
            {"timestamp": value, "message": "m"},
            {
                "Body": b"m",
                "LogAttributes": {"timestamp": stored},
                "ParseError": "unusable timestamp",
            },
        )
        for value, stored in [
            ("yesterday", "yesterday"),
            (0, "0"),
            (12, "12"),
            (-1714996800, "-1714996800"),
            (7258118400, "7258118400"),
            (7258118400000, "7258118400000"),
            (9223372036854775807, "9223372036854775807"),
            (1e300, "1e300"),
            ("1e-300", "1e-300"),
            ("9" * 60, "9" * 60),
            (-9223372036854775808, "-9223372036854775808"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2200-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
            ("2262-04-12T00:00:00Z", "2262-04-12T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("2024-13-45T00:00:00Z", "2024-13-45T00:00:00Z"),
            ("2024", "2024"),
            (True, "true"),
            ([1, 2], "[1,2]"),
            ("12:00:00", "12:00:00"),
            ("2024-05-06T25:00:00Z", "2024-05-06T25:00:00Z"),
            ("2024-05-06T12:61:00Z", "2024-05-06T12:61:00Z"),
            ("2024-00-06T12:00:00Z", "2024-00-06T12:00:00Z"),
            ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
            ("2024-05-06T12:00:00+25:00", "2024-05-06T12:00:00+25:00"),
            ("2024-05-06 12:00:00 IST", "2024-05-06 12:00:00 IST"),
            ("2025-03-01T12:05:01Z", "2025-03-01T12:05:01Z"),
            (1740830701, "1740830701"),
        ]
    ),
    Case("a time that is an object is flattened", {"time": {"seconds": 5}}, {"LogAttributes": {"time.seconds": "5"}}),
    *(
        Case(f"{promise}: the first name whose value is understood counts", event, {"Timestamp": NOON, **columns})
        for promise, event, columns in FALLBACKS
    ),
    *(
        Case(f"{name}'s time is found under its default name", event, {"Timestamp": NOON, "Body": b"m", **columns})
        for name, event, columns in SENDERS
    ),
    Case(
        "a date of something else is not an error",
        {"date": "tomorrow", "msg": "m"},
        {"Body": b"m", "LogAttributes": {"date": "tomorrow"}},
    ),
    Case(
        "a status is a level if it is a word",
        {"status": "error", "msg": "m"},
        {"Body": b"m", "SeverityText": "ERROR", "SeverityNumber": 17},
    ),
    Case(
        "a status that is a number is not one",
        {"status": 3, "msg": "m"},
        {"Body": b"m", "LogAttributes": {"status": "3"}},
    ),
    # Several events, or one, in another
    Case(
        "Docker's line end is not the body's",
        {"log": "m\n", "stream": "stdout"},
        {"Body": b"m", "LogAttributes": {"stream": "stdout"}},
    ),
    Case("nor is that of Docker on Windows", {"log": "m\r\n"}, {"Body": b"m"}),
    Case(
        "JSON in the text of a body is opened",
        {"log": '{"level":"error","msg":"m","order":{"id":7}}\n', "time": "2024-05-06T12:00:00Z"},
        {
            "Timestamp": NOON,
            "Body": b"m",
            "SeverityText": "ERROR",
            "SeverityNumber": 17,
            "LogAttributes": {"order.id": "7"},
        },
    ),
    Case(
        "JSON in the text of a body that has no message stays the body",
        {"message": '{"order":7}'},
        {"Body": b'{"order":7}', "LogAttributes": {"order": "7"}},
    ),
    Case(
        "the message and the level in an object are the event's",
        {"event": {"severity": "ERROR", "message": "m"}, "host": "h"},
        {"Body": b"m", "SeverityText": "ERROR", "SeverityNumber": 17, "LogAttributes": {"host": "h"}},
    ),
    Case(
        "an envelope of several events says so",
        {"logEvents": [{"message": "a"}, {"message": "b"}]},
        {
            "ParseError": "envelope of several events",
            "LogAttributes": {"logEvents": '[{"message":"a"},{"message":"b"}]'},
            "Body": b'{"logEvents": [{"message": "a"}, {"message": "b"}]}',
        },
    ),
    Case(
        "an array of events beside a message is not an envelope",
        {"msg": "m", "records": [{"id": 1}]},
        {"Body": b"m", "LogAttributes": {"records": '[{"id":1}]'}},
    ),
    Case(
        "an array of other things is not one either",
        {"records": [1, 2]},
        {"Body": b'{"records": [1, 2]}', "LogAttributes": {"records": "[1,2]"}},
    ),
    Case(
        "keys that fold to one name keep their values",
        {"Message": "a", "message": "b", "Level": "info", "level": "error"},
        {
            "Body": b"a",
            "SeverityText": "INFO",
            "SeverityNumber": 9,
            "LogAttributes": {"message": "b", "level": "error"},
        },
    ),
    Case(
        "a key with a dot and a nested one keep their values",
        {"msg": "m", "a.b": 1, "a": {"b": 2}},
        {"Body": b"m", "LogAttributes": {"a.b": "1", "a.b#2": "2"}},
    ),
    Case(
        "colors are not part of what is shown and searched",
        {"msg": "\x1b[31mred\x1b[0m"},
        {"Body": b"red", "LogAttributes": {"log.record.original": "\x1b[31mred\x1b[0m"}},
    ),
    *(
        Case(
            f"the level {value!r} is understood without its decoration",
            {"level": value},
            {"SeverityText": "WARN", "SeverityNumber": 13},
        )
        for value in [
            "WARN ",
            "[warn]",
            "\x1b[33mwarn\x1b[39m",
            "WARN+2",
            "<Warning>",
            "\x1b[1;33mWARN \x1b[0m",
            "'warn'",
            "*WARN*",
            "LogLevel.Warning",
            "LOG_WARNING",
            "WARN2",
        ]
    ),
    Case("null is no time", {"timestamp": None, "msg": "m"}, {"Body": b"m"}),
    Case(
        "of several times the preferred one counts, the others stay attributes",
        {"observed_timestamp": "2024-05-06T12:00:01Z", "time": "late", "timestamp": "2024-05-06T12:00:00Z"},
        {"Timestamp": NOON, "LogAttributes": {"observed_timestamp": "2024-05-06T12:00:01Z", "time": "late"}},
    ),
    # Levels
    *(
        Case(f"{name} {value!r} is {number}", {name: value}, {"SeverityText": text, "SeverityNumber": number})
        for name, value, text, number in [
            ("level", "trace", "TRACE", 1),
            ("level", "Debug", "DEBUG", 5),
            ("severity", "INFO", "INFO", 9),
            ("severity", "Information", "INFO", 9),
            ("severity", "NOTICE", "INFO", 10),
            ("log_level", "warn", "WARN", 13),
            ("loglevel", "WARNING", "WARN", 13),
            ("levelname", "ERROR", "ERROR", 17),
            ("level_name", "err", "ERROR", 17),
            ("lvl", "E", "ERROR", 17),
            ("log.level", "critical", "FATAL", 21),
            ("severity_text", "Fatal", "FATAL", 21),
            ("severityText", "EMERGENCY", "FATAL", 24),
            ("level", 10, "TRACE", 1),
            ("level", 20, "DEBUG", 5),
            ("level", 30, "INFO", 9),
            ("level", 40, "WARN", 13),
            ("level", 50, "ERROR", 17),
            ("level", 60, "FATAL", 21),
            ("level", "30", "INFO", 9),
            ("level", 0, "FATAL", 24),
            ("level", 3, "ERROR", 17),
            ("level", 7, "DEBUG", 5),
            ("level", 13, "WARN", 13),
            ("levelno", 10, "DEBUG", 5),
            ("levelno", 20, "INFO", 9),
            ("levelno", 25, "INFO", 9),
            ("levelno", 30, "WARN", 13),
            ("levelno", 40, "ERROR", 17),
            ("levelno", 50, "FATAL", 21),
            ("severity_number", 1, "TRACE", 1),
            ("severityNumber", 10, "INFO", 10),
            ("severity_number", "24", "FATAL", 24),
        ]
    ),
    Case("a severity number of 0 says nothing", {"severity_number": 0}),
    Case(
        "a name that nobody knows is kept beside a number",
        {"severity_text": "Spam", "severity_number": 3},
        {"SeverityText": "Spam", "SeverityNumber": 3},
    ),
    Case(
        "a finer number wins over the name",
        {"severity_text": "WARN", "severity_number": 15},
        {"SeverityText": "WARN", "SeverityNumber": 15},
    ),
    *(
        Case(
            f"{name} {value!r} is no level: it stays an attribute",
            {name: value},
            {"LogAttributes": {name: stored}, "ParseError": reason},
        )
        for name, value, stored, reason in [
            ("severity", "purple", "purple", "unusable severity"),
            ("level", 99, "99", "unusable severity"),
            ("level", True, "true", "unusable severity"),
            ("level", ["INFO"], '["INFO"]', "unusable severity"),
            ("levelno", 3, "3", "unusable severity"),
            ("levelno", -20, "-20", "unusable severity"),
            ("severity_number", 25, "25", "unusable severity number"),
            ("severity_number", "high", "high", "unusable severity number"),
        ]
    ),
    *(
        Case(f"{value} stands for no level", {"level": value}, {"LogAttributes": {"level": value}})
        for value in ["DEFAULT", "NOTSET", "RequestResponse"]
    ),
    # Services
    *(
        Case(f"{name} names the service", {name: "shop"}, {"ServiceName": "shop"})
        for name in [
            "service",
            "service.name",
            "service_name",
            "serviceName",
            "app",
            "application",
            "app_name",
            "logger",
        ]
    ),
    Case("a nested service.name names the service", {"service": {"name": "shop"}}, {"ServiceName": "shop"}),
    Case(
        "of service and logger the service counts",
        {"logger": "com.shop.Cart", "service": "cart"},
        {"ServiceName": "cart", "LogAttributes": {"logger": "com.shop.Cart"}},
    ),
    Case(
        "the resource's service wins over the event's",
        {"service": "a", "resource": {"service.name": "b"}},
        {"ServiceName": "b", "LogAttributes": {"service": "a"}, "ResourceAttributes": {"service.name": "b"}},
    ),
    # Bodies
    *(
        Case(f"{name} is the body", {name: "hello"}, {"Body": b"hello"})
        for name in ["body", "message", "msg", "log", "text", "event", "Message", "MSG"]
    ),
    Case("newlines and escapes of a body are kept", {"msg": "a\n\tb\0é\u2028"}, {"Body": "a\n\tb\0é\u2028".encode()}),
    Case("an object as body stays JSON", {"body": {"a": {"b": [1, None]}}}, {"Body": b'{"a":{"b":[1,null]}}'}),
    Case("an array as body stays JSON", {"message": ["a", 1]}, {"Body": b'["a",1]'}),
    Case("a number as body is its text", {"msg": 42}, {"Body": b"42"}),
    Case(
        "an object as body stays JSON also beside other nested values",
        {"message": {"a": 1}, "x": {"y": 2}},
        {"Body": b'{"a":1}', "LogAttributes": {"x.y": "2"}},
    ),
    Case(
        "log as an object is no body: Elastic's names in it are found",
        {"log": {"level": "error", "logger": "x"}, "message": "m"},
        {"Body": b"m", "SeverityText": "ERROR", "SeverityNumber": 17, "LogAttributes": {"log.logger": "x"}},
    ),
    # Ids
    *(
        Case(f"{name} {value!r} is the trace", {name: value}, {"TraceId": expected})
        for name, value, expected in [
            ("trace_id", TRACE, TRACE),
            ("traceId", TRACE.upper(), TRACE),
            ("TraceId", TRACE, TRACE),
            ("trace.id", "a1b2c3d4-e5f6-7890-1234-567890abcdef", TRACE),
            ("traceid", "00f067aa0ba902b7", "000000000000000000f067aa0ba902b7"),
            ("trace_id", "0" * 32, ""),
            ("trace", {"id": TRACE}, TRACE),
        ]
    ),
    *(
        Case(f"{name} {value!r} is the span", {name: value}, {"SpanId": expected})
        for name, value, expected in [
            ("span_id", "00f067aa0ba902b7", "00f067aa0ba902b7"),
            ("spanId", "00F067AA0BA902B7", "00f067aa0ba902b7"),
            ("span.id", "0" * 16, ""),
        ]
    ),
    *(
        Case(
            f"{name} {value!r} is unusable: it stays an attribute",
            {name: value},
            {"LogAttributes": {name: str(value)}, "ParseError": f"unusable {what}"},
        )
        for name, value, what in [
            ("trace_id", "abc", "trace id"),
            ("trace_id", "g" * 32, "trace id"),
            ("trace_id", 12345, "trace id"),
            ("span_id", TRACE, "span id"),
            ("trace_flags", 256, "trace flags"),
            ("trace_flags", "sampled", "trace flags"),
        ]
    ),
    Case("trace flags may be text", {"traceFlags": "1"}, {"TraceFlags": 1}),
    Case("the name of an event has a column", {"eventName": "login"}, {"EventName": "login"}),
    # Everything else
    Case(
        "other keys are attributes; numbers, booleans and arrays as their text, null as nothing",
        {"i": 1, "f": 0.5, "t": True, "n": None, "a": [1, {"b": None}], "s": "x", "e": "", "o": {}},
        {
            "LogAttributes": {
                "i": "1",
                "f": "0.5",
                "t": "true",
                "n": "",
                "a": '[1,{"b":null}]',
                "s": "x",
                "e": "",
                "o": "{}",
            }
        },
    ),
    Case(
        "nested keys are joined with dots, five deep; what is deeper stays JSON",
        {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}, "n": None, "q": 'say "é"\n'}},
        {"LogAttributes": {"a.b.c.d.e": '{"f":1}', "a.n": "", "a.q": 'say "é"\n'}},
    ),
    Case(
        "text that looks like JSON stays text",
        {"a": '{"b":1}', "c": {"d": '{"e":2}'}},
        {"LogAttributes": {"a": '{"b":1}', "c.d": '{"e":2}'}},
    ),
    Case(
        "names of fields mean nothing within attributes",
        {"attributes": {"timestamp": "yesterday", "message": "no", "x": {"level": "purple"}}},
        {"LogAttributes": {"timestamp": "yesterday", "message": "no", "x.level": "purple"}},
    ),
    Case(
        "resource, scope and attributes that are no objects are attributes",
        {"resource": "/cart", "scope": 1, "attributes": ["a"]},
        {"LogAttributes": {"resource": "/cart", "scope": "1", "attributes": '["a"]'}},
    ),
    Case(
        "a text with a brace in front is no object, wherever an object may stand",
        {
            "resource": "{x",
            "scope": '{"a":1}',
            "attributes": "{}",
            "service": "{",
            "y": {"z": "{", "{q": '{"a":{"b":1}}'},
        },
        {
            "ServiceName": "{",
            "LogAttributes": {
                "resource": "{x",
                "scope": '{"a":1}',
                "attributes": "{}",
                "y.z": "{",
                "y.{q": '{"a":{"b":1}}',
            },
        },
    ),
    Case(
        "attributes and other keys come together",
        {"attributes": {"a": 1}, "b": 2},
        {"LogAttributes": {"a": "1", "b": "2"}},
    ),
    Case("a number beyond 64 bits keeps its digits", {"n": 2**70}, {"LogAttributes": {"n": str(2**70)}}),
    Case("an empty object is an event", {}),
    Case("an empty key is a key", {"": "x"}, {"LogAttributes": {"": "x"}}),
]

EMPTY: Row = {
    "Timestamp": ARRIVAL,
    "TraceId": "",
    "SpanId": "",
    "TraceFlags": 0,
    "SeverityText": "",
    "SeverityNumber": 0,
    "ServiceName": "",
    "Body": b"",
    "ResourceSchemaUrl": "",
    "ResourceAttributes": {},
    "ScopeSchemaUrl": "",
    "ScopeName": "",
    "ScopeVersion": "",
    "ScopeAttributes": {},
    "LogAttributes": {},
    "EventName": "",
    "KafkaTopic": "logs",
    "KafkaTopicId": "topic-id",
    "KafkaPartition": 3,
    "KafkaIndex": 0,
    "Source": "shop",
    "IdempotencyKey": "",
    "ParseError": "",
}


@pytest.fixture(scope="module")
def outcomes(store: Store) -> dict[str, list[Row]]:
    """The rows of every case, by its promise."""
    rows = store([json.dumps(case.event).encode() for case in CASES])
    return {case.promise: found for case, found in zip(CASES, rows, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_fields(case: Case, outcomes: dict[str, list[Row]]) -> None:
    """An event's fields come out as its row of the table says, and nothing else does."""
    [row] = outcomes[case.promise]
    # An event without a message has its JSON as its body, so that its words are found.
    body = json.dumps(case.event).encode() if case.has_other_keys else b""
    assert {name: row[name] for name in EMPTY} == EMPTY | {"Body": body} | case.columns
