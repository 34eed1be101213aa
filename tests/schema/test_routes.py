"""The short way and the long one make the same rows of the same messages."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logbrook.produce.generator import Events
from tests.schema.conftest import Row, Store
from tests.schema.test_any_payload import scalars, text, values, whole_batches

START_NS = 1_757_930_000_000_000_000
# After all times that are near each other, so that none lies ahead.
ARRIVED_MS = START_NS // 1_000_000 + 1_000_000

hexadecimal = st.text("0123456789abcdef", min_size=15, max_size=33)
# Of each field values as the gateway writes them, and some that are nearly so.
fields: dict[str, st.SearchStrategy[Any]] = {
    "observed_timestamp": st.integers(0, 2 * START_NS) | scalars,
    "severity_text": st.sampled_from(["TRACE", "INFO", "WARN", "FATAL", "info", "Warning", ""]) | values,
    "severity_number": st.integers(0, 30) | st.sampled_from(["9", "09", "+9", 9.0, True, "13 "]) | scalars,
    "body": text | values | st.sampled_from(["{", '{"a":1}', "a {b} c", "\u0000"]),
    "trace_id": hexadecimal | st.sampled_from(["0" * 32, "AB" * 16, "ab" * 16, "ab" * 16 + "\n"]) | scalars,
    "span_id": hexadecimal | st.sampled_from(["0" * 16, "AB" * 8, "ab" * 8]) | scalars,
    "trace_flags": st.integers(0, 300) | st.sampled_from(["1", "01", 1.0, True]) | scalars,
    "event_name": text | values,
    "resource_schema_url": text | values,
    "resource": st.dictionaries(text | st.just("service.name"), text | values, max_size=3),
    "scope": st.dictionaries(st.sampled_from(["name", "version", "schema_url", "attributes"]) | text, text | values),
    "attributes": st.dictionaries(text, text | values, max_size=4),
}
times = st.integers(START_NS, START_NS + 10**12) | st.sampled_from([1, 1.5, 2 * START_NS, "1757930000000000000", ""])
exact = {
    "severity_text": st.sampled_from(["TRACE", "INFO", "WARN", "FATAL"]),
    "severity_number": st.integers(1, 24),
    "body": text.filter(bool) | st.sampled_from(["{", '{"a":1}', "a {b} c"]),
    "trace_id": st.just("ab" * 16),
    "span_id": st.just("cd" * 8),
    "trace_flags": st.just(1),
    "resource": st.fixed_dictionaries({"service.name": text}, optional={"host.name": text}),
    "scope": st.fixed_dictionaries({"name": text}),
    "attributes": st.dictionaries(text, scalars | st.lists(scalars, max_size=2), min_size=1, max_size=4),
}


def events(of: dict[str, st.SearchStrategy[Any]], time: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Events that begin with their time, and then have any of the fields."""
    return st.tuples(time, st.fixed_dictionaries({}, optional=of), st.booleans()).map(
        lambda drawn: json.dumps(
            {"timestamp": drawn[0]} | drawn[1], separators=(",", ":"), ensure_ascii=drawn[2]
        ).encode()
    )


likely = events(exact, st.integers(START_NS, START_NS + 10**12))
lines = st.one_of(
    likely, likely, events(fields, times), st.binary(max_size=20).map(lambda tail: b'{"timestamp":' + tail)
)
# A field twice, one more field, and an end that is missing.
spoilt = st.tuples(likely, st.sampled_from([b',"body":"again"}', b',"more":1}', b"", b"}}", b"} "])).map(
    lambda drawn: drawn[0][:-1] + drawn[1]
)
payloads = st.lists(lines | spoilt, min_size=1, max_size=3).map(b"\n".join)


def without_arrival(rows: list[list[Row]]) -> list[list[Row]]:
    """The rows, but for when they were stored."""
    return [[{key: value for key, value in row.items() if key != "IngestedAt"} for row in events] for events in rows]


@whole_batches
@given(batch=st.lists(payloads, min_size=1, max_size=100))
def test_both_ways_make_the_same_rows(store: Store, batch: list[bytes]) -> None:
    """Events that are canonical, nearly so, or broken: all columns are equal, whichever way a message takes."""
    assert without_arrival(store(batch, ARRIVED_MS)) == without_arrival(store(batch, ARRIVED_MS, table="rest"))


def test_what_we_write_takes_the_short_way(store: Store, schema_client: Any) -> None:
    """Events of the producer arrive though the long way is closed; others would not."""
    made = Events(7).take(3_000, START_NS, 1_000).split(b"\n")
    schema_client.command("DETACH TABLE fields_view")
    try:
        stored = store([b"\n".join(made[:1_000]), *made[1_000:], b"a line of text"], ARRIVED_MS)
    finally:
        schema_client.command("ATTACH TABLE fields_view")
    assert [len(events) for events in stored] == [1_000, *[1] * 2_000, 0]


def test_a_batch_is_read_as_text_only_if_an_event_needs_it(store: Store, schema_client: Any) -> None:
    """With the stage for texts closed, events whose fields say all arrive; one that needs it takes its batch along."""
    whole = b'{"time":1740830400,"level":"warn","msg":"x"}'
    schema_client.command("DETACH TABLE text_view")
    try:
        alone = store([whole, b"\n".join([whole] * 500)])
        together = store([whole, b'{"msg":"without a time"}'])
    finally:
        schema_client.command("ATTACH TABLE text_view")
    assert [len(events) for events in alone] == [1, 500]
    assert [len(events) for events in together] == [0, 0]
