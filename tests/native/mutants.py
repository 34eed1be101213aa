"""The front with a guard taken out: `python -m tests.native.mutants NAME`, then the front's own arguments."""

import sys
from collections.abc import Callable
from pathlib import Path

from native.front import __main__ as front
from native.front import metadata
from native.front.disk import Disk
from native.supervisor import Supervised


def _no_disk_check() -> None:
    """What was written is not looked at again."""
    Disk.check = lambda self, began: None  # type: ignore[method-assign]


def _no_disk_reserve() -> None:
    """Nothing is kept free, and so nothing counts as low."""
    text = front._CONFIG_FILE.read_text().replace(">33554432<", ">0<").replace(">1048576<", ">0<")
    changed = Path(sys.argv[sys.argv.index("--data") + 1] + ".xml")
    changed.write_text(text)
    front._CONFIG_FILE = changed


def _no_mending() -> None:
    """The engine meets definitions that were cut short."""
    metadata.mend = lambda data: None


def _hangs_on() -> None:
    """What does not answer is not started again: a part of the supervisor, not of the front."""
    Supervised._restart = lambda self, why: None  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "no_disk_check": _no_disk_check,
    "no_disk_reserve": _no_disk_reserve,
    "no_mending": _no_mending,
    "hangs_on": _hangs_on,
}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    front.main()
