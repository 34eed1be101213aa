"""The front with a guard taken out: `python -m tests.native.mutants NAME`, then the front's own arguments."""

import sys
from collections.abc import Callable
from pathlib import Path

from native.front import __main__ as front
from native.front.disk import Disk


def _no_disk_check() -> None:
    """What was written is not looked at again."""
    Disk.check = lambda self, began: None  # type: ignore[method-assign]


def _no_disk_reserve() -> None:
    """Nothing is kept free, and so nothing counts as low."""
    text = front._CONFIG_FILE.read_text().replace(">33554432<", ">0<").replace(">1048576<", ">0<")
    changed = Path(sys.argv[sys.argv.index("--data") + 1] + ".xml")
    changed.write_text(text)
    front._CONFIG_FILE = changed


MUTANTS: dict[str, Callable[[], None]] = {"no_disk_check": _no_disk_check, "no_disk_reserve": _no_disk_reserve}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    front.main()
