"""The documentation's reference pages, generated from the code that they describe: `python -m logbrook.reference`."""

import sys
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path

from prometheus_client import REGISTRY

from logbrook import config, metrics
from logbrook.doctor import diagnosis
from logbrook.query import columns
from logbrook.schema import parsing

_NOTE = "<!-- Made by `make docs` from {source}: edit that. -->\n"
_NOTE_BELOW = "<!-- From here on made by `make docs` from service/logbrook/{source}: edit that. -->"


def settings_page() -> str:
    """docs/configuration.md: every setting under the section that reads it."""
    lines = [
        "# Configuration",
        _NOTE.format(source="service/logbrook/config.py"),
        "Every process is configured only by environment variables. (Commands that people run [next to a local",
        "stack](operations.md) read its `.env`, too.) If a variable that begins with `LOGBROOK_` is unknown, or a",
        "value is invalid, the process names the variable and does not start. Units are in the names. Secrets",
        "are marked, and never logged. A secret can be in a file instead: add `_FILE` to the variable's name.",
    ]
    for section in config.SECTIONS:
        lines += ["", f"## {section.__name__}", "", section.__doc__ or ""]
        for owner, each, variable in config.declared():
            if owner is section:
                default = "required" if each.default is MISSING else f"default `{_shown(each.default)}`"
                secret = ", secret" if each.metadata["secret"] else ""
                lines += ["", f"### `{variable}`", "", f"{each.metadata['meaning']} ({default}{secret})"]
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) or "(empty)"


def metrics_page() -> str:
    """docs/metrics.md: every metric with its kind and meaning."""
    declared = {name for name in vars(metrics) if not name.startswith("_")}
    lines = [
        "# Metrics",
        _NOTE.format(source="service/logbrook/metrics.py"),
        "Every process serves Prometheus metrics at `/metrics`. Units are in the names. Metrics are updated per",
        "request, batch, or job, never per event.",
        "",
        "| Metric | Kind | Labels | Meaning |",
        "|---|---|---|---|",
    ]
    for family in REGISTRY.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if name in declared:
            labels = ", ".join(getattr(metrics, name)._labelnames)
            lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def vocabulary() -> list[str]:
    """For docs/schema.md, what the parser recognizes: its levels, and a row for each time format."""
    lines = ["## Levels", "", "| Number | Text | Values, in any case |", "|---|---|---|"]
    for number, words in parsing.VOCABULARY["levels"].items():
        values = ", ".join(f"`{word}`" for word in words)
        lines.append(f"| {number} | {parsing.LEVEL_TEXTS[int(number) - 1]} | {values} |")
    in_text, marked = (
        ", ".join(f"`{word}`" for word in words) for words in parsing.VOCABULARY["levels_in_text"].values()
    )
    lines += [
        "",
        "In text, these words count in capitals before a space, and in any case before a bracket, colon, bar, slash, "
        f"tab, or two spaces: {in_text}. These count only before such a mark: {marked}.",
        "",
        "## Formats of times in text",
        "",
        "The first that fits counts.",
        "",
        "| Format | Example |",
        "|---|---|",
    ]
    return lines + [f"| {each['name']} | `{each['example'][0]}` |" for each in parsing.TIMES]


def fields_of_events() -> list[str]:
    """For docs/query.md, a row for each field of an event."""
    lines = ["## Fields", "", "| In answers | In queries | Column | |", "|---|---|---|---|"]
    for each in columns.COLUMNS:
        typed = ", ".join(f"`{name}`" for name in each.typed)
        lines.append(f"| `{each.name}` | {typed} | `{each.sql}` | {each.meaning} |")
    return lines


def diagnoses() -> list[str]:
    """For docs/doctor.md, a row for each diagnosis."""
    rows = [
        f"| `{each.code}` | {each.severity} | {each.wrong} | {each.remedy.format(command='COMMAND')} |"
        for each in diagnosis.CATALOG.values()
    ]
    return ["| Diagnosis | | What is wrong | What to change |", "|---|---|---|---|", *rows]


PAGES: dict[str, Callable[[], str]] = {"configuration.md": settings_page, "metrics.md": metrics_page}
# Pages whose beginning is written by hand: where the rest comes from, and what it is.
PARTLY: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "doctor.md": ("doctor", diagnoses),
    "query.md": ("query/columns.py", fields_of_events),
    "schema.md": ("schema/vocabulary.toml", vocabulary),
}


def completed(name: str, page: str) -> str:
    """One of those pages, with its end made again."""
    source, lines = PARTLY[name]
    note = _NOTE_BELOW.format(source=source)
    return page.partition(note)[0] + "\n".join([note, "", *lines()]) + "\n"


def main(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, page in PAGES.items():
        (folder / name).write_text(page())
    for name in PARTLY:
        (folder / name).write_text(completed(name, (folder / name).read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
