"""How much of the disk is left: if a full disk kept data from being written, the answer is never success.

The engine in chDB ignores the error of a write that runs out of space: the INSERT succeeds and its part is broken. Its
own reserve (keep_free_space_bytes in engine.xml) keeps it from starting what does not fit. This module notices the
space that another program takes in the meantime.
"""

import asyncio
import json
import logging
import os
import threading
import time
from pathlib import Path

from native.front import metadata, sql
from native.front.engine import Engine
from native.front.errors import EngineError

_LOG = logging.getLogger("native.front")
_LOOK_EVERY_SECONDS = 0.2
# The clocks of the file system and of this process differ by a tick.
_CLOCK_SECONDS = 1.0
_NO_SUCH_PART = 232


class Disk:
    """Watches the disk under the data directory."""

    def __init__(self, engine: Engine, data: Path) -> None:
        """The reserve is what the engine was told to keep free."""
        self._engine, self._data = engine, data.resolve()
        self._reserve = int(engine.ask(b"SELECT max(keep_free_space) FROM system.disks"))
        self._low_at = self._dropped_at = self._merges_stopped_at = 0.0
        self._checking = threading.Lock()

    def admit(self) -> float:
        """Begin a statement that writes; returns the time. Raises EngineError (243) if no definition would fit."""
        if self._free() < self._reserve // 4:
            raise _full("The disk is full")
        return time.time()

    def check(self, began: float) -> None:
        """Raise EngineError (243) if what was written since `began` met a full disk; it is then removed."""
        self._look()
        if self._low_at < began:
            return
        for path in metadata.broken(self._data, began - _CLOCK_SECONDS):
            raise _full(f"The disk was full while the definition {path.name} was written")
        with self._checking:
            for table, name in self._broken_parts(began, b"level = 0"):
                try:
                    self._engine.ask(b"ALTER TABLE %s DROP PART %s" % (table, sql.literal(name)))
                except EngineError as error:
                    # Not even that fits. If nothing is answered, the engine leaves the part out by itself when it is
                    # reopened.
                    _LOG.error("the part %s is broken by a full disk, and can't be dropped: %s; ending", name, error)
                    os._exit(1)
                _LOG.warning("the part %s was written while the disk was full, and is broken: dropped", name)
                self._dropped_at = time.time()
        # It can't be told whose part it was: every statement that ran in the meantime may have lost one.
        if self._dropped_at >= began:
            raise _full("The disk was full while parts were written; those that are broken were dropped")

    async def watch(self) -> None:
        """Keep merges from writing to a disk that is filling up; runs until cancelled.

        Raises EngineError if one did anyway: the parts that it replaced are back when the engine is reopened.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            free = self._look()
            if free < self._reserve // 2 and not self._merges_stopped_at:
                self._merges_stopped_at = time.time()
                _LOG.warning("%d bytes are free on the disk: merges wait, and soon inserts are refused", free)
                await loop.run_in_executor(None, self._engine.ask, b"SYSTEM STOP MERGES")
            elif free >= self._reserve and self._merges_stopped_at:
                await loop.run_in_executor(None, self._resume, self._merges_stopped_at)

    def _resume(self, stopped_at: float) -> None:
        if broken := self._broken_parts(stopped_at, b"level > 0"):
            raise _full(f"The disk was full while {len(broken)} parts were merged")
        self._engine.ask(b"SYSTEM START MERGES")
        self._merges_stopped_at = 0.0
        _LOG.warning("there is room on the disk again: merges go on")

    def _look(self) -> int:
        free = self._free()
        if free < self._reserve // 2:
            self._low_at = time.time()
        return free

    def _free(self) -> int:
        found = os.statvfs(self._data)
        return found.f_bavail * found.f_frsize

    def _broken_parts(self, since: float, condition: bytes) -> list[tuple[bytes, str]]:
        """The parts (table, name) written since then that are not intact."""
        parts = self._engine.ask(
            b"SELECT database, table, name FROM system.parts WHERE active AND %s AND modification_time >= %d"
            % (condition, int(since - _CLOCK_SECONDS)),
            "JSONCompactEachRow",
        )
        found = []
        for database, table, name in map(json.loads, parts.splitlines()):
            place = sql.identifier(database) + b"." + sql.identifier(table)
            if not self._is_whole(place, name):
                found.append((place, name))
        return found

    def _is_whole(self, table: bytes, name: str) -> bool:
        try:
            return self._engine.ask(b"CHECK TABLE %s PART %s" % (table, sql.literal(name))) == b"1\n"
        except EngineError as error:
            # It was merged or dropped in the meantime.
            return error.code == _NO_SUCH_PART


def _full(what: str) -> EngineError:
    return EngineError(243, f"{what}. Free some space, or give it a bigger one.", "NOT_ENOUGH_SPACE")
