"""Follow log files as `tail -F` does, through rotation and truncation, and resume where an earlier run stopped.

A chunk (some whole events of a file) is first written down as pending, then sent under keys made of the file's id and
the chunk's place, and counted as done once all of it is acknowledged. Whenever the process dies, the same bytes are
sent again under the same keys: nothing is lost, and the consumer stores none twice.
"""

import io
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from logbrook.errors import ConfigError
from logbrook.produce.files import READ_BYTES, STDIN, UTF_8_MARK, UTF_16, partition_of
from logbrook.produce.lines import Reading, complete, encode
from logbrook.produce.positions import Position, Positions
from logbrook.produce.target import Batch, Stop

_LOOK_EVERY_SECONDS = 0.2
# An event whose next line may still belong to it waits this long for it.
_SETTLED_SECONDS = 0.5
# How long a rotated file is read after its last change: its writer may still have it open.
_ROTATED_SECONDS = 5.0
_COMPRESSED = {".gz", ".zst", ".bz2", ".xz"}


@dataclass(frozen=True)
class Follow:
    """Files to follow, and where to remember how far they were sent (None: nowhere); see run.Source."""

    paths: Sequence[str]
    reading: Reading
    state: Path | None = None
    patient: ClassVar[bool] = True

    def total(self) -> int | None:
        """There is no end."""
        return None

    def batches(self, stop: Stop) -> Iterator[Batch | None]:
        """What is appended to the files, until the user stops. None: go on once everything before is acknowledged."""
        if STDIN in self.paths:
            raise ConfigError("--follow needs files: standard input ends when its writer does")
        positions = Positions(self.state)
        names: list[_Name] = []
        try:
            names.extend(_Name(path, self.reading.of(path), positions) for path in self.paths)
            yield from _rounds(names, positions, stop)
        finally:
            for name in names:
                name.close()


def _rounds(names: Sequence["_Name"], positions: Positions, stop: Stop) -> Iterator[Batch | None]:
    """Look at all files in turns. What is pending is recorded before it is sent, what is done before the next turn."""
    ending = False
    while not ending:
        ending = bool(stop.level)
        chunks = [(tail, data) for name in names for tail in name.tails() if (data := tail.next(ending=ending))]
        positions.save(tail.position for name in names for tail in name.open)
        for tail, data in chunks:
            yield from tail.batches(data)
        yield None
        for tail, _ in chunks:
            tail.done()
        if not chunks and not ending:
            time.sleep(_LOOK_EVERY_SECONDS)
    positions.save(tail.position for name in names for tail in name.open)


class _Tail:
    """One file, wherever its name went."""

    def __init__(self, file: io.FileIO, position: Position, reading: Reading, *, remembered: bool) -> None:
        self.position = position
        self.rotated = False
        self._file, self._reading, self._remembered = file, reading, remembered
        self._size = -1
        self._changed = time.monotonic()

    def is_file(self, device: int, inode: int) -> bool:
        """Whether this is that file."""
        return (self.position.device, self.position.inode) == (device, inode)

    def next(self, *, ending: bool) -> bytes:
        """The bytes to send now, marked as pending; none if there are none yet.

        `ending` takes what the last line has so far if nobody will remember where it began.
        """
        position, number = self.position, self._file.fileno()
        size = os.fstat(number).st_size
        if size != self._size:
            self._size, self._changed = size, time.monotonic()
            if not position.look(number):
                position = self.position = Position(position.path, position.device, position.inode)
                position.look(number)
        if position.pending is not None:
            return os.pread(number, position.pending - position.offset, position.offset)
        data = os.pread(number, READ_BYTES, position.offset)
        # Wherever it is read from: following begins at the end of a file that is there.
        if data and os.pread(number, 2, 0) in UTF_16:
            raise ConfigError(f"{position.path} is UTF-16 and can't be followed: send it as it is, without --follow")
        end = self._end(data, last=ending and not self._remembered)
        position.pending = position.offset + end if end else None
        return data[:end]

    def _end(self, data: bytes, *, last: bool) -> int:
        """How much of `data` can be sent: whole events; an open one after a while, or when it is too long."""
        idle = time.monotonic() - self._changed
        if last or (self.rotated and idle > _ROTATED_SECONDS):
            return len(data)
        end = complete(data, self._reading)
        if len(data) == READ_BYTES:
            return end or data.rfind(b"\n") + 1 or len(data)
        return data.rfind(b"\n") + 1 if idle > _SETTLED_SECONDS else end

    def batches(self, data: bytes) -> Iterator[Batch]:
        """What `next` returned, under keys that a repetition will have, too."""
        position = self.position
        partition = partition_of(position.path)
        key = f"{position.id}-{position.offset}-{position.pending}" if self._remembered else None
        if position.offset == 0:
            data = data.removeprefix(UTF_8_MARK)
        for index, batch in enumerate(encode(data, self._reading)):
            yield replace(batch, partition=partition, key=f"{key}-{index}" if key else None)

    def done(self) -> None:
        """What `next` returned is acknowledged."""
        self.position.offset, self.position.pending = self.position.pending or self.position.offset, None

    def skip_to_end(self) -> None:
        """Leave out what is there already, but for the start of a line that is still being written."""
        number = self._file.fileno()
        size = os.fstat(number).st_size
        start = max(0, size - READ_BYTES)
        self.position.offset = start + os.pread(number, size - start, start).rfind(b"\n") + 1

    def finished(self) -> bool:
        """Close the file if it was rotated and nothing came for a while; whether it is closed."""
        idle = time.monotonic() - self._changed
        if self.rotated and idle > _ROTATED_SECONDS and self._size == self.position.offset:
            self.close()
        return self._file.closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Name:
    """A path, and the files that have or had that name and are still read."""

    def __init__(self, path: str, reading: Reading, positions: Positions) -> None:
        self._path, self._reading, self._positions = Path(path).absolute(), reading, positions
        self.open: list[_Tail] = []
        if positions.remembered:
            self._resume(positions.of(str(self._path)))
        elif (file := _open(self._path)) is not None:
            # Without a memory, what is in the file already is old news; what comes later is read from its start.
            self._add(file).skip_to_end()

    def tails(self) -> list[_Tail]:
        """The open files, oldest first, after a look at what the name stands for now."""
        self.open = [tail for tail in self.open if not tail.finished()]
        try:
            status = self._path.stat()
        except OSError:
            status = None
        current = status is not None and any(tail.is_file(status.st_dev, status.st_ino) for tail in self.open)
        if not current:
            for tail in self.open:
                tail.rotated = True
            if status is not None and (file := _open(self._path)) is not None:
                self._add(file)
        return self.open

    def close(self) -> None:
        """Close all files."""
        for tail in self.open:
            tail.close()

    def _add(self, file: io.FileIO, position: Position | None = None) -> _Tail:
        if position is None:
            status = os.fstat(file.fileno())
            position = Position(str(self._path), status.st_dev, status.st_ino)
        tail = _Tail(file, position, self._reading, remembered=self._positions.remembered)
        self.open.append(tail)
        return tail

    def _resume(self, known: Sequence[Position]) -> None:
        """Find the files of an earlier run, under their new names if they were rotated, and any in between."""
        newest_ns = None
        for position in known:
            for path in (self._path, *self._rotated()):
                file = _open(path)
                if file is None:
                    continue
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) == (position.device, position.inode) and position.look(file.fileno()):
                    tail = self._add(file, position)
                    tail.rotated = path != self._path
                    newest_ns = status.st_mtime_ns if tail.rotated else None
                    break
                file.close()
        if newest_ns is None:
            return
        inodes = {position.inode for position in known}
        missed = [path for path in self._rotated() if path.stat().st_ino not in inodes]
        for path in sorted(missed, key=lambda path: path.stat().st_mtime_ns):
            if path.stat().st_mtime_ns > newest_ns and (file := _open(path)) is not None:
                self._add(file).rotated = True

    def _rotated(self) -> list[Path]:
        """The files beside the path that logrotate and its like name after it: app.log.1, app.log-20260131."""
        pattern = re.compile(re.escape(self._path.name) + r"[.-]\d.*")
        found = sorted(self._path.parent.glob(self._path.name + "*")) if self._path.parent.is_dir() else []
        return [path for path in found if pattern.fullmatch(path.name) and path.suffix not in _COMPRESSED]


def _open(path: Path) -> io.FileIO | None:
    """The file, or None while there is none. Raises ConfigError if it can't be read."""
    try:
        return io.FileIO(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
