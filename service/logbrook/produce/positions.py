"""How far each followed file was sent: remembered in a file that survives a crash at any moment."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from logbrook.errors import ConfigError

_HEAD_BYTES = 256


@dataclass
class Position:
    """One file, known by device, inode and first bytes (a name moves on, an inode is used again).

    `offset` comes after the last byte that was acknowledged. `pending` is the end of what was being sent: exactly these
    bytes are sent again under the same key, so that they are stored once. `id` makes keys unique: a file that was
    truncated is a new one.
    """

    path: str
    device: int
    inode: int
    head_size: int = 0
    head: str = ""
    offset: int = 0
    pending: int | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def look(self, file: int) -> bool:
        """Whether an open file is still the one that this position is in; learn more of its first bytes."""
        if self.head_size and _digest(os.pread(file, self.head_size, 0)) != self.head:
            return False
        size = os.fstat(file).st_size
        if size < max(self.offset, self.pending or 0):
            return False
        if self.head_size < _HEAD_BYTES:
            head = os.pread(file, _HEAD_BYTES, 0)
            self.head_size, self.head = len(head), _digest(head)
        return True


class Positions:
    """All positions, by file, on disk."""

    def __init__(self, path: Path | None) -> None:
        """`path` None remembers nothing. Raises ConfigError if what is there is not readable."""
        self._path = path
        self._saved: dict[str, list[Position]] = {}
        self._written = ""
        if path is None or not path.exists():
            return
        try:
            # Earlier versions remembered a format, too.
            for entry in json.loads(path.read_bytes())["files"]:
                self._saved.setdefault(entry["path"], []).append(
                    Position(**{key: value for key, value in entry.items() if key != "format"})
                )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} does not hold positions of `logbrook produce --follow`: {error}") from None

    @property
    def remembered(self) -> bool:
        """Whether positions outlive the process."""
        return self._path is not None

    def of(self, path: str) -> list[Position]:
        """What is known of a file and of those that had its name before, oldest first."""
        return self._saved.get(path, [])

    def save(self, positions: Iterable[Position]) -> None:
        """Replace what is on disk, all or nothing, if it changed; otherwise touch it, as a sign of life."""
        text = json.dumps({"files": [asdict(position) for position in positions]}, indent=1)
        if self._path is None:
            return
        if text == self._written and self._path.exists():
            os.utime(self._path)
            return
        draft = self._path.with_name(self._path.name + ".new")
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._written = text


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
