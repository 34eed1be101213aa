"""Push requests of Loki in protobuf, written byte by byte after pkg/push/push.proto of https://github.com/grafana/loki.

Nothing of the service is used here: the same mistake on both sides would not be found.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cramjam

from tests.gateway.worst_bodies import varint


def field(number: int, content: bytes | int) -> bytes:
    """A field of a message: bytes with their length, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def entry(nanoseconds: int, line: bytes, metadata: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """An EntryAdapter."""
    time = field(1, nanoseconds // 10**9) + field(2, nanoseconds % 10**9)
    pairs = b"".join(field(3, field(1, name) + field(2, value)) for name, value in metadata)
    return field(1, time) + field(2, line) + pairs


def stream(labels: bytes, entries: Iterable[bytes]) -> bytes:
    """A StreamAdapter, as a field of the request."""
    return field(1, field(1, labels) + b"".join(field(2, each) for each in entries))


def compressed(request: bytes) -> bytes:
    """As it is sent."""
    return bytes(cramjam.snappy.compress_raw(request))


def written(labels: Mapping[str, str]) -> bytes:
    """Labels as text. JSON's escapes are also Go's."""
    return (
        "{" + ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()) + "}"
    ).encode()


def from_json(request: Mapping[str, Sequence[Any]]) -> bytes:
    """The same request as in JSON, not compressed."""
    return b"".join(
        stream(
            written(each["stream"]),
            [
                entry(int(time), line.encode(), [(k.encode(), v.encode()) for k, v in (rest or [{}])[0].items()])
                for time, line, *rest in each["values"]
            ],
        )
        for each in request["streams"]
    )
