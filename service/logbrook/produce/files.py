"""Log files as batches: each from its start to its end, then done."""

import codecs
import io
import select
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from logbrook.errors import ConfigError
from logbrook.produce.lines import Reading, complete, encode
from logbrook.produce.target import Batch, Stop

STDIN = "-"
UTF_8_MARK = codecs.BOM_UTF8
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
READ_BYTES = 1024 * 1024
# An event that has not ended by then is sent as it is: bounds the memory.
MAX_OPEN_BYTES = 8 * 1024 * 1024
# What a pipe delivered is sent after this time without more.
_IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Files:
    """Files to send, `-` being standard input; see run.Source."""

    paths: Sequence[str]
    reading: Reading
    patient: ClassVar[bool] = False

    def total(self) -> int | None:
        """Not known before they are read."""
        return None

    def batches(self, stop: Stop) -> Iterator[Batch]:
        """The events of all files, each file's in order and in one partition.

        Raises ConfigError if one can't be opened, before anything is sent.
        """
        with ExitStack() as stack:
            files = [(path, stack.enter_context(open_file(path))) for path in self.paths]
            for path, file in files:
                for batch in _read(file, self.reading.of(path), stop):
                    yield replace(batch, partition=partition_of(path))


def partition_of(path: str) -> int:
    """A number of a file's own that keeps its events in one partition, and so in order."""
    return zlib.crc32(path.encode())


def open_file(path: str) -> io.FileIO:
    """Open a file, or standard input for `-`. Raises ConfigError."""
    try:
        if path == STDIN:
            return io.FileIO(0, closefd=False)
        if Path(path).is_dir():
            raise ConfigError(f"{path}: is a directory; give its files")
        return io.FileIO(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def whole(held: bytes, reading: Reading) -> int:
    """How many bytes from the start of `held` to send now: whole events, or all of one that grows too long."""
    end = complete(held, reading)
    if end == 0 and len(held) > MAX_OPEN_BYTES:
        return held.rfind(b"\n") + 1 or len(held)
    return end


def _read(file: io.FileIO, reading: Reading, stop: Stop) -> Iterator[Batch]:
    held = b""
    for data in _utf8(_pieces(file, stop)):
        held += data
        end = whole(held, reading) if data else held.rfind(b"\n") + 1
        yield from encode(held[:end], reading)
        held = held[end:]
    if held and not stop.level:
        yield from encode(held, reading)


def _utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A file as UTF-8, also if its first two bytes say that it is UTF-16, and without a byte order mark."""
    decoder = None
    for number, data in enumerate(pieces):
        if number == 0 and data.startswith(UTF_16):
            decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        yield decoder.decode(data).encode() if decoder else data.removeprefix(UTF_8_MARK if number == 0 else b"")


def _pieces(file: io.FileIO, stop: Stop) -> Iterator[bytes]:
    """What can be read, until the end or until the user stops; b"" when nothing came for a while."""
    while not stop.level:
        if not select.select([file], [], [], _IDLE_SECONDS)[0]:
            yield b""
            continue
        data = file.read(READ_BYTES)
        if not data:
            return
        yield data
