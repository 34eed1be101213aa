"""How much room Kafka's disks have, in Kafka's own protocol: librdkafka lacks this request.

DescribeLogDirs, key 35, version 4 (KIP-827), by clients/src/main/resources/common/message/DescribeLogDirs*.json of
apache/kafka 3.9.1; needs a listener without a password.
"""

import socket
import struct

from logbrook.doctor.place import CONNECT_SECONDS


def disks(host: str, port: int) -> list[tuple[str, int, int]]:
    """Path, bytes in all and bytes free of each log directory of a broker. Raises OSError."""
    # Header: key, version, correlation id, client id (null), no tags. Body: an array of no topics, no tags.
    request = struct.pack(">hhih", 35, 4, 1, -1) + b"\x00\x01\x00"
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            (size,) = struct.unpack(">i", stream.read(4).rjust(4, b"\0"))
            body = stream.read(size)
    # After correlation id, tags, throttle time and error.
    count, at = _varint(body, 4 + 1 + 4 + 2)
    found = []
    for _ in range(count - 1):
        length, at = _varint(body, at + 2)
        path, at = body[at : at + length - 1].decode(), at + length - 1
        # After an array of no topics.
        found.append((path, *struct.unpack_from(">qq", body, at + 1)))
        at += 1 + 16 + 1
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
