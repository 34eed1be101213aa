"""`python -m grafana FOLDER PAGE`: write every dashboard as JSON, and the page that explains their panels."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import node, overview, pipeline

BOARDS = {"logs": overview.build, "pipeline": pipeline.build, "node": node.build}
# Characters for each of the grid's 24 columns.
_WIDTH = 4


def document(name: str) -> str:
    """One dashboard as Grafana reads it."""
    return json.dumps(BOARDS[name]().build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def page() -> str:
    """docs/dashboards.md: every dashboard's layout, and every panel's meaning."""
    lines = [
        "# Dashboards",
        "<!-- Made by `make dashboards` from compose/grafana: edit that. -->",
        "",
        "What each panel shows, and what is normal; [operations](operations.md) says what to do otherwise.",
        "Where the dashboards are: [observability](observability.md#dashboards).",
    ]
    for name in BOARDS:
        board = json.loads(document(name))
        lines += [
            "",
            f"## {board['title']}",
            "",
            board["description"],
            "",
            "```text",
            *_layout(board["panels"]),
            "```",
            "",
        ]
        lines += ["| Panel | Shows | Normal |", "|---|---|---|"]
        for panel in board["panels"]:
            if panel["type"] != "row":
                shows, _, normal = panel["description"].partition("\n\n**Normal:** ")
                lines.append(f"| {panel['title']} | {shows} | {normal} |")
    return "\n".join(lines) + "\n"


def _layout(panels: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A drawing of where the panels are, line by line, made from the grid."""
    for _, line in groupby(panels, key=lambda panel: panel["gridPos"]["y"]):
        cells = list(line)
        if cells[0]["type"] == "row":
            yield f"── {cells[0]['title']} ".ljust(24 * _WIDTH + 1, "─")
        else:
            widths = ((panel["title"], panel["gridPos"]["w"] * _WIDTH) for panel in cells)
            yield "".join(f"│ {title[: width - 3]}".ljust(width) for title, width in widths) + "│"


def main(folder: Path, explained: Path) -> None:
    """Write all dashboards into `folder`, and the page."""
    for name in BOARDS:
        (folder / f"{name}.json").write_text(document(name))
    explained.write_text(page())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
