"""Request bodies: a statement is read from the beginning, an INSERT's data goes to a file that the engine reads.

The data goes to memory-backed /dev/shm while it is small, and to the data directory otherwise; it never passes through
Python objects beyond the current chunk.
"""

import bz2
import lzma
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import lz4.frame
import zstandard

from native.front import blocks
from native.front.errors import EngineError

# A server's max_query_size: how much of the body can be the statement itself.
MAX_STATEMENT_BYTES = 256 * 1024
MEMORY_BYTES = 64 * 2**20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - files in it are created exclusively, with mode 0600
# HTTP's names of the codecs that the engine itself inflates while it reads a file. With others it reads the first
# member or frame and drops the rest.
ENGINE_CODECS = {"br": "br"}

Receive = Callable[[], Awaitable[Any]]


class ClientLeftError(Exception):
    """The client closed the connection before its request was complete."""


class _Stream(Protocol):
    """What the decompressors of one member or frame have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_STREAMS: dict[str, Callable[[], _Stream]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "xz": lzma.LZMADecompressor,
    "bz2": bz2.BZ2Decompressor,
}
_BROKEN = (zlib.error, zstandard.ZstdError, lzma.LZMAError, RuntimeError, EOFError, OSError)


class Members:
    """A streaming decompressor for a Content-Encoding, of one member or frame after the other."""

    def __init__(self, codec: str) -> None:
        if codec not in _STREAMS:
            raise EngineError(48, f"Content-Encoding '{codec}' is not supported for a statement in the body")
        self._codec, self._start = codec, _STREAMS[codec]
        self._stream: _Stream | None = None

    def feed(self, data: bytes) -> bytes:
        """The next piece. Raises EngineError if it is broken."""
        pieces = []
        while data:
            stream = self._stream = self._stream or self._start()
            try:
                pieces.append(stream.decompress(data))
            except _BROKEN as error:
                raise EngineError(354, f"Cannot decompress the body as {self._codec}: {error}") from None
            data = b""
            if stream.eof:
                data, self._stream = stream.unused_data or b"", None
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise EngineError if the data ends within a member."""
        if self._stream is not None:
            raise EngineError(354, f"The body ends in the middle of its {self._codec} stream")


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises ClientLeftError if it breaks off."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        if message["body"]:
            yield message["body"]
        if not message.get("more_body", False):
            return


async def inflated(source: AsyncIterator[bytes], codec: str | None, *, in_blocks: bool = False) -> AsyncIterator[bytes]:
    """The same without its compression; `in_blocks` is ClickHouse's own, inside HTTP's."""
    layers: list[Members | blocks.Inflater] = [Members(codec)] if codec is not None else []
    if in_blocks:
        layers.append(blocks.Inflater())
    async for chunk in source:
        piece = chunk
        for layer in layers:
            piece = layer.feed(piece)
        yield piece
    for layer in layers:
        layer.finish()


class Spool:
    """A file for data on its way to the engine; use it in a `with` block, which deletes it."""

    def __init__(self, directory: Path, expected_bytes: int) -> None:
        self._directory = directory
        small = expected_bytes <= MEMORY_BYTES and SHARED_MEMORY.is_dir()
        # Never use up the memory: another process may need it.
        self._in_memory = small and shutil.disk_usage(SHARED_MEMORY).free > 2 * MEMORY_BYTES
        self.path = (SHARED_MEMORY if self._in_memory else directory) / f"logbrook-{os.getpid()}-{os.urandom(8).hex()}"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append; a body that turns out to be big moves to the data directory."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
        if self._in_memory and self.size > MEMORY_BYTES:
            self._move()

    async def read(self) -> AsyncIterator[bytes]:
        """What was written, from the beginning."""
        at = 0
        while piece := os.pread(self._file, 2**20, at):
            at += len(piece)
            yield piece

    def _move(self) -> None:
        old, self._in_memory = self.path, False
        self.path = self._directory / old.name
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.lseek(self._file, 0, os.SEEK_SET)
        while os.sendfile(file, self._file, None, 2**30):
            pass
        os.close(self._file)
        old.unlink()
        self._file = file

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        self.path.unlink(missing_ok=True)


def sweep(directory: Path) -> None:
    """Delete what a killed front left behind."""
    for place in (SHARED_MEMORY, directory):
        for path in place.glob("logbrook-*-*"):
            owner = path.name.split("-")[1]
            if not Path("/proc", owner).exists():
                path.unlink(missing_ok=True)
