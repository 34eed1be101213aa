"""Table definitions that a full disk truncated: set aside before the engine opens the directory.

The engine answers CREATE before the definition is safely on disk, and does not start if there is one that it can't
parse.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from native.front.errors import EngineError

_LOG = logging.getLogger("native.front")
_WHOLE = re.compile(rb"ATTACH .*(?:\nENGINE = |\nAS |\nLIFETIME).*\n", re.DOTALL)
_UUID = re.compile(rb"UUID '([-0-9a-f]{36})'")
_ASIDE = "broken_definitions"


def broken(data: Path, since: float = 0.0) -> list[Path]:
    """Definitions written since then (a file system time) that are incomplete."""
    return [path for path in _definitions(data) if _changed_at(path) >= since and not _is_whole(path)]


def mend(data: Path) -> None:
    """Make a directory usable again, and log what was done.

    A table that was never filled is set aside, as if its CREATE had failed; a database's definition is rewritten.
    Raises EngineError, and changes nothing, if rows may belong to a definition that is lost.
    """
    found = broken(data)
    if not found:
        return
    tables = [path for path in found if path.parent != data / "metadata"]
    if tables and (orphans := _orphans(data)):
        raise EngineError(
            243,
            f"The definition of {tables[0].stem} is cut short, and rows of a table without a definition are in "
            f"{orphans[0]}. Restore a backup (make restore), or delete {data} and read Kafka again (logbrook replay).",
            "NOT_ENOUGH_SPACE",
        )
    for path in found:
        if path in tables:
            aside = data / _ASIDE
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)
            _LOG.warning("the definition of %s was cut short by a full disk: set aside in %s", path.stem, aside)
        else:
            uuid = path.with_suffix("").readlink().name
            path.write_text(f"ATTACH DATABASE _ UUID '{uuid}'\nENGINE = Atomic\n")
            _LOG.warning("the definition of the database %s was cut short by a full disk: rewritten", path.stem)


def _definitions(data: Path) -> Iterator[Path]:
    yield from (data / "metadata").glob("*.sql")
    yield from data.glob("store/*/*/*.sql")


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return -1.0


def _is_whole(path: Path) -> bool:
    try:
        return bool(_WHOLE.fullmatch(path.read_bytes()))
    except FileNotFoundError:
        return True


def _orphans(data: Path) -> list[Path]:
    """Directories with rows that no definition refers to; those of dropped tables have theirs elsewhere."""
    texts = [path.read_bytes() for path in (*_definitions(data), *data.glob("metadata_dropped/*.sql"))]
    known = {uuid.decode() for text in texts for uuid in _UUID.findall(text)}
    tables = (path.parent for path in data.glob("store/*/*/format_version.txt"))
    return [table for table in tables if table.name not in known and any(table.glob("*_*_*_*/count.txt"))]
