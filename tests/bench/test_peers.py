"""The comparison with VictoriaLogs gives figures: both engines stored everything, and found the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components import REPOSITORY
from tests.tools import build

# The sizes of two corpora, and what users ask for.
ROWS = 2 * 4 + 9


def test_every_row_has_figures(tmp_path: Path) -> None:
    """No row is void, and each has a figure of each engine and their ratio."""
    if not build.find("victoria-logs"):
        pytest.skip(build.missing("victoria-logs"))

    file = tmp_path / "figures.json"
    sizes = ("--rows=5000", "--events=5000", "--rounds=2")
    command = [sys.executable, "-m", "bench.peers", *sizes, f"--json={file}"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / each) for each in ("service", "compose", ""))
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert [row["void"] for row in rows] == [""] * ROWS
    for row in rows:
        assert set(row["figures"]) == {"Logbrook", "VictoriaLogs"}
        assert all(each[0] > 0 for each in row["figures"].values()), row
        assert len(row["ratio"]) == len(row["figures"]["Logbrook"])
        assert row["work"] in done.stdout
