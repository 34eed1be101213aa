"""Clients of ClickHouse in other languages store through the native front what they say, and read it back."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.components import ClickHouseServer

_CLIENTS = Path(__file__).parent / "clients"
# Programs that a client needs, how it is installed, how it is run, and how often it stores and reads.
_COMMANDS = {
    "node": (("node", "npm"), "npm ci --no-audit --no-fund", "node smoke.js", 2),
    "go": (("go",), "go build -o smoke .", "./smoke", 3),
    "java": (
        ("java", "mvn"),
        "mvn -q -B -C dependency:copy-dependencies -DoutputDirectory=lib",
        "java -cp lib/* Smoke.java",
        1,
    ),
}


@pytest.mark.parametrize("language", _COMMANDS)
def test_a_client_stores_and_reads(language: str, clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """2,500 rows each time, with each compression that it has; and a refusal arrives with ClickHouse's code."""
    programs, install, run, times = _COMMANDS[language]
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    place = tmp_path / language
    shutil.copytree(_CLIENTS / language, place)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "GOFLAGS"},
        "MAVEN_OPTS": "-Xmx256m",
        "CLICKHOUSE_PASSWORD": clickhouse.password,
    }

    def output(command: str) -> str:
        done = subprocess.run(
            command.split(), cwd=place, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    output(install)
    lines = output(f"{run} {clickhouse.host}:{clickhouse.port}").splitlines()

    assert lines == [f"2500 {2500 * 2499 // 2} 2500 2500 47"] * times
