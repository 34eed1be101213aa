"""ClickHouse's own compression for `compress=1` and `decompress=1`: blocks with a checksum, as in its native protocol.

A block: CityHash128 of the rest (16 bytes, little-endian), a byte for the method, the compressed size including these 9
bytes, the uncompressed size, and the data. Source, read 2026-11-28:
https://clickhouse.com/docs/guides/clickhouse/data-modelling/compression/compression-modes
"""

import struct
from collections.abc import Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from native.front.errors import EngineError

_HEAD = struct.Struct("<BII")
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_METHODS = {"LZ4": _LZ4, "LZ4HC": _LZ4, "ZSTD": _ZSTD, "NONE": _NONE}
# Like a server: max_compress_block_size.
_BLOCK_BYTES = 2**20
_MAX_BLOCK_BYTES = 2**30
_CHECKSUM_BYTES = 16


def compressed(data: bytes, method: str) -> bytes:
    """The data as blocks. Raises EngineError for an unknown method."""
    number = _METHODS.get(method.upper())
    if number is None:
        raise EngineError(36, f"Unknown compression method {method}: LZ4, ZSTD and NONE are known")
    return b"".join(_block(data[at : at + _BLOCK_BYTES], number) for at in range(0, len(data), _BLOCK_BYTES))


def _block(data: bytes, method: int) -> bytes:
    if method == _LZ4:
        packed: bytes = lz4.block.compress(data, store_size=False)
    else:
        packed = zstandard.ZstdCompressor(level=1).compress(data) if method == _ZSTD else data
    rest = _HEAD.pack(method, _HEAD.size + len(packed), len(data)) + packed
    return _checksum(rest) + rest


def _checksum(rest: bytes) -> bytes:
    number: int = CityHash128(rest)
    return struct.pack("<QQ", number >> 64, number & (2**64 - 1))


class Inflater:
    """A streaming decompressor of blocks."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece. Raises EngineError if it is broken."""
        self._held += data
        return b"".join(self._whole_blocks())

    def finish(self) -> None:
        """Raise EngineError if the data ends within a block."""
        if self._held:
            raise EngineError(354, "The body ends in the middle of a compressed block")

    def _whole_blocks(self) -> Iterator[bytes]:
        while len(self._held) >= _CHECKSUM_BYTES + _HEAD.size:
            method, packed, size = _HEAD.unpack_from(self._held, _CHECKSUM_BYTES)
            if max(packed, size) > _MAX_BLOCK_BYTES or packed < _HEAD.size:
                raise EngineError(271, "Cannot decompress the body: a block has an impossible size")
            end = _CHECKSUM_BYTES + packed
            if len(self._held) < end:
                return
            block, self._held = self._held[:end], self._held[end:]
            yield _data(block, method, size)


def _data(block: bytes, method: int, size: int) -> bytes:
    rest = block[_CHECKSUM_BYTES:]
    if _checksum(rest) != block[:_CHECKSUM_BYTES]:
        raise EngineError(40, "Checksum doesn't match: corrupted data", "CHECKSUM_DOESNT_MATCH")
    packed = rest[_HEAD.size :]
    try:
        if method == _LZ4:
            data: bytes = lz4.block.decompress(packed, uncompressed_size=size)
        elif method == _ZSTD:
            data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        elif method == _NONE:
            data = packed
        else:
            raise EngineError(89, f"Unknown compression method {method:#x}")
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise EngineError(271, f"Cannot decompress the body: {error}") from None
    return data
