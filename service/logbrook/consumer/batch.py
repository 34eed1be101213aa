"""Messages on their way into one insert: RowBinary rows and their coordinates.

The rows are the columns of an inlet (see inlet.py) in ClickHouse's RowBinary format: numbers little-endian, strings
after their length (clickhouse.com/docs/interfaces/formats/RowBinary).
"""

import struct
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from logbrook import leb128
from logbrook.kafka import IDEMPOTENCY_KEY_HEADER, SOURCE_HEADER, fixed_key

ROW_COLUMNS = ("partition", "offset", "timestamp_ms", "source", "idempotency_key", "payload")
"""The columns of a batch's rows, in this order."""
_COORDINATES = struct.Struct("<iqq")
_NO_HEADERS = b"\0\0"


# Lengths up to 16 KiB are looked up: encoding them again would cost more than the rest of a row.
_SHORT = [leb128.encoded(number) for number in range(1 << 14)]
Coordinate = tuple[int, int]
"""Partition and offset of a message."""


class Fetched(Protocol):
    """What a batch needs from a fetched confluent_kafka.Message that has no error."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | str | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass
class Batch:
    """Messages in the order in which they were fetched, at most one for each coordinate."""

    rows: list[bytes] = field(default_factory=list)
    coordinates: list[Coordinate] = field(default_factory=list)
    keys: dict[Coordinate, str] = field(default_factory=dict)
    """Idempotency keys (`fixed_key`) of the messages that have one."""
    next_offsets: dict[int, int] = field(default_factory=dict)
    """By partition: the offset to commit once all rows are stored."""
    size_bytes: int = 0
    """Length of all rows."""
    opened_at: float = field(default_factory=time.monotonic)

    def add(self, messages: Sequence[Fetched]) -> None:
        """Append messages; the caller makes sure that none is a repetition."""
        rows, coordinates, next_offsets = self.rows.append, self.coordinates.append, self.next_offsets
        size = 0
        for message in messages:
            partition, offset, payload = message.partition(), message.offset(), message.value() or b""
            headers = message.headers()
            length = len(payload)
            row = (
                _COORDINATES.pack(partition, offset, message.timestamp()[1])
                + (self._headers((partition, offset), dict(headers)) if headers else _NO_HEADERS)
                + (_SHORT[length] if length < 16384 else leb128.encoded(length))
                + payload
            )
            rows(row)
            size += len(row)
            coordinates((partition, offset))
            next_offsets[partition] = offset + 1
        self.size_bytes += size

    def _headers(self, coordinate: Coordinate, headers: Mapping[str, bytes | str | None]) -> bytes:
        """The row's `source` and `idempotency_key`."""
        source = headers.get(SOURCE_HEADER) or b""
        key = headers.get(IDEMPOTENCY_KEY_HEADER) or b""
        source = source.encode() if isinstance(source, str) else source
        key = key.encode() if isinstance(key, str) else key
        if key:
            key = fixed_key(key)
            self.keys[coordinate] = key.decode()
        return leb128.string(source) + leb128.string(key)

    def first_made_at(self) -> float | None:
        """When the first message was created, Unix time; None if there are no messages, or it does not say."""
        made_at_ms: int = _COORDINATES.unpack_from(self.rows[0])[2] if self.rows else 0
        return made_at_ms / 1000 if made_at_ms > 0 else None

    def of(self, partitions: Collection[int]) -> "Batch":
        """The batch without the messages of other partitions."""
        if self.next_offsets.keys() <= set(partitions):
            return self
        kept = self._keep([partition in partitions for partition, _ in self.coordinates])
        kept.next_offsets = {p: offset for p, offset in self.next_offsets.items() if p in partitions}
        return kept

    def without(self, stored: Mapping[int, Sequence[range]]) -> "Batch":
        """The batch without the messages whose offset is in one of their partition's `stored` ranges."""
        if not any(stored.get(partition) for partition in self.next_offsets):
            return self
        return self._keep(
            [not any(offset in each for each in stored.get(partition, ())) for partition, offset in self.coordinates]
        )

    def without_coordinates(self, repeated: Collection[Coordinate]) -> "Batch":
        """The batch without the messages at these coordinates."""
        if not repeated:
            return self
        return self._keep([coordinate not in repeated for coordinate in self.coordinates])

    def _keep(self, wanted: Sequence[bool]) -> "Batch":
        pairs = [pair for pair, keep in zip(zip(self.rows, self.coordinates, strict=True), wanted, strict=True) if keep]
        coordinates = [coordinate for _, coordinate in pairs]
        remaining = set(coordinates)
        return Batch(
            rows=[row for row, _ in pairs],
            coordinates=coordinates,
            keys={coordinate: key for coordinate, key in self.keys.items() if coordinate in remaining},
            next_offsets=dict(self.next_offsets),
            size_bytes=sum(len(row) for row, _ in pairs),
            opened_at=self.opened_at,
        )
