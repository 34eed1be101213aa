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

_DIAGNOSES = "<!-- From here on made by `make docs` from service/logbrook/doctor: edit that. -->"
_VOCABULARY = "<!-- From here on made by `make docs` from service/logbrook/schema/vocabulary.toml: edit that. -->"
_COLUMNS = "<!-- From here on made by `make docs` from service/logbrook/query/columns.py: edit that. -->"
_NOTE = "<!-- Made by `make docs` from {source}: edit that. -->\n"


def settings_page() -> str:
    """docs/configuration.md: every setting under the section that reads it."""
    lines = [
        "# Configuration",
        _NOTE.format(source="service/logbrook/config.py"),
        "Every process is configured by environment variables alone. If a variable that begins with `LOGBROOK_` is",
        "unknown, or a value is invalid, the process does not start and names the variable. Units are in the names.",
        "Secrets are marked, and never logged. A secret can be in a file instead: add `_FILE` to the variable's name.",
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
        "Every process serves Prometheus metrics at `/metrics`. Units are in the names. They are counted per request,",
        "batch or job, never per event.",
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


def with_vocabulary(page: str) -> str:
    """docs/schema.md with what the parser recognizes: its levels, and a row for each time format."""
    lines = ["## Levels", "", "| Number | Text | Values, in any case |", "|---|---|---|"]
    for number, words in parsing.VOCABULARY["levels"].items():
        values = ", ".join(f"`{word}`" for word in words)
        lines.append(f"| {number} | {parsing.LEVEL_TEXTS[int(number) - 1]} | {values} |")
    in_text, marked = (
        ", ".join(f"`{word}`" for word in words) for words in parsing.VOCABULARY["levels_in_text"].values()
    )
    lines += [
        "",
        "In text these words count, in capitals before a blank, and in any case before a bracket, colon, bar, slash, "
        f"tab, or two blanks: {in_text}; and these where such a mark follows: {marked}.",
        "",
        "## Formats of times in text",
        "",
        "The first that fits counts.",
        "",
        "| Format | Example |",
        "|---|---|",
    ]
    lines += [f"| {each['name']} | `{each['example'][0]}` |" for each in parsing.TIMES]
    return page.partition(_VOCABULARY)[0] + "\n".join([_VOCABULARY, "", *lines]) + "\n"


def with_columns(page: str) -> str:
    """docs/query.md with a row for each field of an event."""
    lines = ["## Fields", "", "| In answers | In queries | Column | |", "|---|---|---|---|"]
    for each in columns.COLUMNS:
        typed = ", ".join(f"`{name}`" for name in each.typed)
        lines.append(f"| `{each.name}` | {typed} | `{each.sql}` | {each.meaning} |")
    return page.partition(_COLUMNS)[0] + "\n".join([_COLUMNS, "", *lines]) + "\n"


def with_diagnoses(page: str) -> str:
    """docs/doctor.md with its table as the code has it: one row for each diagnosis."""
    rows = [
        f"| `{each.code}` | {each.severity} | {each.wrong} | {each.remedy.format(command='COMMAND')} |"
        for each in diagnosis.CATALOG.values()
    ]
    head = ["", "| Diagnosis | | What is wrong | What to change |", "|---|---|---|---|"]
    return page.partition(_DIAGNOSES)[0] + "\n".join([_DIAGNOSES, *head, *rows]) + "\n"


PAGES: dict[str, Callable[[], str]] = {"configuration.md": settings_page, "metrics.md": metrics_page}
# Pages whose beginning is written by hand.
PARTLY: dict[str, Callable[[str], str]] = {
    "doctor.md": with_diagnoses,
    "query.md": with_columns,
    "schema.md": with_vocabulary,
}


def main(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, page in PAGES.items():
        (folder / name).write_text(page())
    for name, completed in PARTLY.items():
        (folder / name).write_text(completed((folder / name).read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
