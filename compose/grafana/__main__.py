"""`python -m grafana FOLDER`: write every dashboard as JSON."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import node, overview, pipeline

BOARDS = {"logs": overview.build, "pipeline": pipeline.build, "node": node.build}


def document(name: str) -> str:
    """One dashboard as Grafana reads it."""
    return json.dumps(BOARDS[name]().build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def main(folder: Path) -> None:
    """Write all of them into `folder`."""
    for name in BOARDS:
        (folder / f"{name}.json").write_text(document(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
