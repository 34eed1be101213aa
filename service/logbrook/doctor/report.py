"""What `logbrook doctor` shows, and its exit status."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from logbrook.doctor import checks
from logbrook.doctor.checks import Finding
from logbrook.doctor.diagnosis import CATALOG
from logbrook.doctor.place import Place

_SIGNS = {"ok": "[green]✓[/]", "failed": "[bold red]✗[/]", "warning": "[yellow]![/]", "not checked": "[dim]-[/]"}
_AGAIN_SECONDS = 2.0
_FILE_COLUMNS = 200


def run(place: Place, *, only_quick: bool, wait_seconds: float, as_json: bool) -> int:
    """Check until nothing fails or `wait_seconds` have passed; print the findings. 0 if nothing failed, else 1."""
    wanted = [each for each in checks.CHECKS if each.quick or not only_quick]
    deadline = time.monotonic() + wait_seconds
    while True:
        with Console(stderr=True).status("checking") as status:
            findings = checks.examine(place, wanted, lambda name: status.update(f"checking: {name}"))
        passed = all(each.state != "failed" for each in findings)
        if passed or time.monotonic() > deadline:
            break
        time.sleep(_AGAIN_SECONDS)
    if as_json:
        print(json.dumps({"ok": passed, "findings": [asdict(each) for each in findings]}))  # noqa: T201 - asked for
    else:
        _show(findings)
    return int(not passed)


def _show(findings: Sequence[Finding]) -> None:
    # In a file or a pipe it would have 80 columns.
    console = Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS, highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("", "check", "what", ""):
        table.add_column(column, overflow="fold", max_width=24 if column == "check" else None)
    for (state, text, _), rows in groupby(findings, key=lambda each: (each.state, each.text, each.code)):
        together = list(rows)
        names = ", ".join(each.check for each in together)
        said = f"[dim]not checked {escape(text)}[/]" if state == "not checked" else escape(text)
        table.add_row(_SIGNS[state], names, said, f"[dim]{max(each.seconds for each in together):.1f} s[/]")
    console.print(table)
    for each in findings:
        if each.code:
            style = "red" if each.state == "failed" else "yellow"
            wrong = escape(CATALOG[each.code].wrong)
            console.print(f"\n[bold {style}]{each.check}: {wrong}[/] [dim]({each.code})[/]", soft_wrap=True)
            console.print(f"  {escape(each.text)}", soft_wrap=True)
            console.print(f"  [bold]To do:[/] {escape(each.remedy)}", soft_wrap=True)
    ok, failed, warning, skipped = (sum(each.state == state for each in findings) for state in _SIGNS)
    rest = f"{ok} passed, {skipped} not checked"
    if failed:
        rest = f"[bold red]{failed} failed[/], {warning} warnings, {rest}"
    else:
        rest = f"[yellow]{warning} warnings[/], {rest}" if warning else f"[green]Nothing is wrong[/]: {rest}"
    console.print(f"\n{rest}")
