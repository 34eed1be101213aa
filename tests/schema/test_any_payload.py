"""Whatever bytes arrive: no event is lost, none is made up, and nothing in it goes missing."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema import model
from tests.schema.conftest import Row, Store

# One insert an example: many payloads in each make up for few examples.
whole_batches = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.one_of(
    st.sampled_from(
        [
            *("timestamp", "time", "ts", "level", "severity", "severity_number", "levelno", "service", "logger"),
            *("body", "message", "msg", "log", "trace_id", "span_id", "trace_flags", "event_name", "resource"),
            *("scope", "attributes", "resource_schema_url"),
        ]
    ),
    text,
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
    st.datetimes().map(str),
    st.datetimes().map(lambda time: time.isoformat() + "Z"),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))
objects = st.dictionaries(names, values, max_size=6)
fragments = st.one_of(
    st.binary(max_size=30),
    objects.map(lambda event: json.dumps(event).encode()),
    objects.map(lambda event: json.dumps(event, indent=1, ensure_ascii=False).encode()),
    st.lists(objects, max_size=3).map(lambda events: json.dumps(events).encode()),
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b"\n", b"\r\n", b" ", b"\t", b"{}", b"\xef\xbb\xbf", b'"', b",", b"0", b"\\"]
    ),
    st.sampled_from([b"2024-05-06 12:00:00 INFO ", b"May  6 12:00:00 a b[1]: ", b"<13>", b"9999-99-99T99:99:99Z"]),
)
# Times in the shapes that are looked for, with numbers that no calendar has.
stamps = st.one_of(
    st.from_regex(
        rb"\A(<[0-9]{1,3}>1? ?)?[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}[T ][0-9]{2}(:[0-9]{2}){2}([,.][0-9]{1,9})?"
    ),
    st.from_regex(rb"\A\[?(Mon|Xyz) (Jan|Feb|Xyz) [ 0-9][0-9] [0-9]{2}(:[0-9]{2}){2} [0-9]{4}"),
    st.from_regex(rb"\A(x )?[0-9]{1,2} (Jan|Feb|Xyz) [0-9]{4} [0-9]{2}(:[0-9]{2}){2}"),
    st.from_regex(rb"\Aa b c \[[0-9]{2}/(Jan|Feb|Xyz)/[0-9]{4}(:[0-9]{2}){3} [+-][0-9]{4}\]"),
    st.from_regex(rb"\A[0-9]{2}/[0-9]{2}/[0-9]{2} [0-9]{2}(:[0-9]{2}){2}"),
    st.from_regex(rb"\A[0-9]{2}-[0-9]{2} [0-9]{2}(:[0-9]{2}){2}\.[0-9]{3,9}  1 2 [DIWEF] "),
    st.from_regex(rb"\A(<[0-9]{1,3}>)?(Jan|Feb|Xyz) [ 0-9][0-9] [0-9]{2}(:[0-9]{2}){2} host a\[1\]: "),
    st.from_regex(rb"\A[IWEF][0-9]{4} [0-9]{2}(:[0-9]{2}){2}\.[0-9]{6} "),
    st.from_regex(rb"\A[0-9]{2}(:[0-9]{2}){2}[.,][0-9]{3,9} "),
)
payloads = st.one_of(
    stamps,
    st.binary(max_size=60).map(
        lambda value: json.dumps({"time": value.decode("latin-1"), "level": value.hex()}).encode()
    ),
    stamps.map(lambda value: json.dumps({"timestamp": value.decode("latin-1"), "msg": "m"}).encode()),
    st.binary(max_size=100),
    st.lists(fragments, max_size=6).map(b"".join),
    st.lists(fragments, max_size=6).map(b"\n".join),
)


@whole_batches
@given(batch=st.lists(payloads, min_size=1, max_size=60))
def test_every_message_has_its_events(store: Store, batch: list[bytes]) -> None:
    """Any bytes give as many events as the rule says, numbered from 0, with their coordinates."""
    for payload, rows in zip(batch, store(batch), strict=True):
        assert len(rows) == model.events(payload)
        assert [row["KafkaIndex"] for row in rows] == list(range(len(rows)))
        assert {(row["KafkaTopic"], row["KafkaPartition"], row["Source"]) for row in rows} == {("logs", 3, "shop")}


@whole_batches
@given(
    batch=st.lists(
        # What begins with an escape may be a color, which is taken out.
        st.binary(min_size=1, max_size=200)
        .map(lambda b: b.replace(b"\x1b", b"x"))
        .filter(lambda b: b.strip(model.MARKED_BLANK)[:1] not in (b"{", b"[")),
        min_size=1,
        max_size=60,
    )
)
def test_text_is_kept_byte_for_byte(store: Store, batch: list[bytes]) -> None:
    """The body of a text is the text, whatever its bytes are."""
    for payload, rows in zip(batch, store(batch), strict=True):
        assert [row["Body"] for row in rows] == [payload]


def leaves(value: Any) -> list[Any]:
    """The scalars in a JSON value."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def held(row: Row) -> str:
    """All that a row holds of its event, as text."""
    maps = [row["LogAttributes"], row["ResourceAttributes"], row["ScopeAttributes"]]
    texts = [value for each in maps for value in each.values()]
    columns = ["ServiceName", "ScopeName", "ScopeVersion", "ScopeSchemaUrl", "ResourceSchemaUrl", "EventName"]
    return "\0".join([row["Body"].decode(), *texts, *(row[name] for name in columns)])


plain_names = st.text("abcxyz_.-", min_size=1, max_size=6).filter(lambda name: name not in {"a", "app", "ts"})


def shapes(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nested objects and arrays with such leaves."""
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_names, inner, max_size=4), max_leaves=12
    )


@whole_batches
@given(
    batch=st.lists(
        st.dictionaries(
            st.sampled_from(
                ["x", "y.z", "body", "message", "log", "service", "resource", "scope", "attributes", "event_name"]
            ),
            shapes(st.text("abc é{}[]:1", min_size=1, max_size=8)),
            max_size=6,
        ),
        min_size=1,
        max_size=40,
    )
)
def test_every_value_of_an_object_is_found_again(store: Store, batch: list[dict[str, Any]]) -> None:
    """Each scalar of an event is in some column of its row, at whatever depth and under whatever name it was."""
    for event, rows in zip(batch, store([json.dumps(each).encode() for each in batch]), strict=True):
        [row] = rows
        assert row["ParseError"] == ""
        found = held(row)
        assert [leaf for leaf in leaves(event) if leaf not in found] == []
