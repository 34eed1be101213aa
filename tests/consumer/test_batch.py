"""Batches: what becomes a row, and what is left out of one."""

import re
import struct
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from logbrook.consumer.batch import Batch, Fetched
from logbrook.gateway.topic import chunk_key
from logbrook.kafka import fixed_key


@dataclass
class Fake:
    """A fetched message."""

    at: tuple[int, int]
    payload: bytes | None = b"{}"
    sent_ms: int = 1_700_000_000_000
    extra: list[tuple[str, bytes | str | None]] = field(default_factory=list)

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def value(self) -> bytes | None:
        return self.payload

    def headers(self) -> list[tuple[str, bytes | str | None]] | None:
        return self.extra or None

    def timestamp(self) -> tuple[int, int]:
        return (1, self.sent_ms)


def decode(rows: list[bytes]) -> list[tuple[int, int, int, bytes, bytes, bytes]]:
    """RowBinary read back by its definition: fixed numbers, then strings behind LEB128 lengths."""
    data, at, decoded = b"".join(rows), 0, []

    def string() -> bytes:
        nonlocal at
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += length
        return data[at - length : at]

    while at < len(data):
        partition, offset, sent_ms = struct.unpack_from("<iqq", data, at)
        at += 20
        decoded.append((partition, offset, sent_ms, string(), string(), string()))
    return decoded


payloads = st.one_of(
    st.binary(max_size=300), st.integers(0, 40_000).map(lambda size: b"x" * size), st.just(b"y" * (2**21 + 1))
)
texts = st.text(max_size=200).map(str.encode)


@given(st.lists(st.tuples(payloads, texts, texts), max_size=8))
def test_rows_are_rowbinary(messages: list[tuple[bytes, bytes, bytes]]) -> None:
    """Coordinates, headers and payload of any length come back exactly when the rows are read by the format's rules."""
    batch = Batch()
    fetched: list[Fetched] = [
        Fake((index % 3, index), payload, index, [("source", source), ("idempotency-key", key)])
        for index, (payload, source, key) in enumerate(messages)
    ]

    batch.add(fetched)

    assert decode(batch.rows) == [
        (index % 3, index, index, source, key and fixed_key(key), payload)
        for index, (payload, source, key) in enumerate(messages)
    ]
    assert batch.size_bytes == len(b"".join(batch.rows))


def test_a_message_without_payload_or_headers_is_a_row() -> None:
    """A null payload is no reason to lose an offset: it becomes an empty row."""
    batch = Batch()

    batch.add([Fake((2, 7), None)])

    assert decode(batch.rows) == [(2, 7, 1_700_000_000_000, b"", b"", b"")]
    assert batch.next_offsets == {2: 8}


# Keys that are alike to each other and to the gateway's, among any others.
key_bytes = st.lists(st.sampled_from([b"\\", b"\\xff", b"\xff", b"xff", b"0" * 32, b"A" * 32]) | st.binary(max_size=3))


@given(st.sets(key_bytes.map(b"".join).filter(bool), min_size=2, max_size=20))
def test_different_keys_stay_different(keys: set[bytes]) -> None:
    """Idempotency keys are any bytes: no two of them are taken for the same, and each has the one fixed form."""
    batch = Batch()

    batch.add([Fake((0, offset), extra=[("idempotency-key", key)]) for offset, key in enumerate(keys)])

    assert len(set(batch.keys.values())) == len(keys)
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in batch.keys.values())
    assert [row[4].decode() for row in decode(batch.rows)] == list(batch.keys.values())


def test_keys_of_the_gateway_stay_as_they_are() -> None:
    """What the gateway made has the fixed form already, as recorded by every version before."""
    key = chunk_key("shop", b"request 17", 0, b"{}")
    batch = Batch()

    batch.add([Fake((0, 0), extra=[("idempotency-key", key)])])

    assert batch.keys == {(0, 0): key.decode()}


def test_what_is_stored_is_left_out_and_still_committed() -> None:
    """Stored offsets are taken out of the rows by set difference, holes included; the offset to commit stays."""
    batch = Batch()
    batch.add([Fake((0, offset)) for offset in range(10)] + [Fake((1, 5))])

    fresh = batch.without({0: [range(2), range(4, 7)]})

    assert fresh.coordinates == [(0, 2), (0, 3), (0, 7), (0, 8), (0, 9), (1, 5)]
    assert fresh.next_offsets == {0: 10, 1: 6}


def test_a_partition_given_up_leaves_nothing_behind() -> None:
    """Rows, keys and offsets of partitions that are no longer owned go."""
    batch = Batch()
    batch.add([Fake((0, 1), extra=[("idempotency-key", b"a")]), Fake((1, 1), extra=[("idempotency-key", b"b")])])

    kept = batch.of({1})

    assert (kept.coordinates, kept.keys, kept.next_offsets) == ([(1, 1)], {(1, 1): fixed_key(b"b").decode()}, {1: 2})
    assert kept.size_bytes == len(kept.rows[0])


@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30), max_size=6))
def test_set_difference_is_exact(stored: set[int], bounds: list[int]) -> None:
    """Whatever the ranges, the rows left are those whose offset is in none of them."""
    batch = Batch()
    batch.add([Fake((0, offset)) for offset in range(31)])
    ranges = [range(offset, offset + 1) for offset in sorted(stored)]
    ranges += [range(min(pair), max(pair)) for pair in zip(bounds[::2], bounds[1::2], strict=False)]

    fresh = batch.without({0: ranges})

    assert [offset for _, offset in fresh.coordinates] == [
        offset for offset in range(31) if not any(offset in each for each in ranges)
    ]
