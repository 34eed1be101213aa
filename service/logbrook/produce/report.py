"""What the user sees: progress while events go out, and what became of them at the end."""

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from logbrook.produce.target import Tally

_LINE_EVERY_SECONDS = 5.0
_REDRAW_EVERY_SECONDS = 0.1


class Report:
    """A bar on a terminal, else a line every few seconds, on standard error; nothing with `quiet`."""

    def __init__(self, tally: Tally, count: int | None, *, quiet: bool) -> None:
        """`count` is the number of events to come, if it is known."""
        self._tally, self._count = tally, count
        self._began = self._shown = time.monotonic()
        self._bar: Progress | None = None
        self._lines = not quiet and not sys.stderr.isatty()
        if not quiet and not self._lines:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.completed:,.0f} events acknowledged"),
                *([BarColumn(), TaskProgressColumn()] if count else []),
                TextColumn("{task.fields[rate]:,.0f}/s"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                auto_refresh=False,
            )

    def __enter__(self) -> "Report":
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("", total=self._count, rate=0.0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._began

    def tick(self) -> None:
        """Show the state of things, if it is time to."""
        now = time.monotonic()
        if now - self._shown >= (_REDRAW_EVERY_SECONDS if self._bar is not None else _LINE_EVERY_SECONDS):
            self._shown = now
            self._show()

    def _show(self) -> None:
        done = self._tally.acknowledged
        rate = done / max(self.seconds, 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, rate=rate, refresh=True)
        elif self._lines:
            of = f" of {self._count:,}" if self._count else ""
            print(f"{done:,}{of} events acknowledged, {rate:,.0f}/s", file=sys.stderr, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Summary:
    """What became of the events."""

    events: int
    acknowledged: int
    failed: int
    bytes: int
    seconds: float
    events_per_second: int
    interrupted: bool
    error: str

    @classmethod
    def of(cls, tally: Tally, seconds: float, *, interrupted: bool) -> "Summary":
        """The summary of a tally after `seconds`."""
        return cls(
            events=tally.handed_over,
            acknowledged=tally.acknowledged,
            failed=tally.failed,
            bytes=tally.acknowledged_bytes,
            seconds=round(seconds, 3),
            events_per_second=round(tally.acknowledged / max(seconds, 1e-9)),
            interrupted=interrupted,
            error=tally.first_error,
        )

    def print(self, *, as_json: bool) -> None:
        """Write the summary to standard output."""
        if as_json:
            text: Any = json.dumps(vars(self))
        else:
            text = (
                f"{self.acknowledged:,} of {self.events:,} events acknowledged in {self.seconds:.1f} s "
                f"({self.events_per_second:,}/s, {self.bytes / 1e6:,.1f} MB)"
            )
            if self.failed:
                text += f"; {self.failed:,} were not: {self.error or 'stopped before the answer came'}"
        print(text, flush=True)  # noqa: T201 - the command's result
