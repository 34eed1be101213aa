"""`logs`: the processes' output, past and new."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from native.processes import tail

_LOOK_EVERY_SECONDS = 0.2


def lines(files: Sequence[Path], count: int) -> Iterator[tuple[str, str]]:
    """The last lines of each, as (name, line)."""
    for file in files:
        for line in tail(file, count).splitlines():
            yield file.stem, line


def follow(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """What is appended from now on, until interrupted. A file that was truncated is read from its beginning."""
    places = {file: file.stat().st_size if file.exists() else 0 for file in files}
    rest = dict.fromkeys(files, b"")
    while True:
        for file in files:
            if not file.exists():
                continue
            size = file.stat().st_size
            if size < places[file]:
                places[file], rest[file] = 0, b""
            if size > places[file]:
                with file.open("rb") as handle:
                    handle.seek(places[file])
                    data = handle.read(size - places[file])
                places[file] += len(data)
                *whole, rest[file] = (rest[file] + data).split(b"\n")
                for line in whole:
                    yield file.stem, line.decode(errors="replace")
        time.sleep(_LOOK_EVERY_SECONDS)
