"""Clients of ClickHouse in other languages store through the native front what they say, and read it back."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from logbrook import clickhouse as connection
from tests.collector.collector import program
from tests.components import ClickHouseServer, until

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


def test_the_collectors_exporter_stores_every_record(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """The OpenTelemetry Collector's clickhouseexporter makes its own table, and 2,500 lines are 2,500 rows."""
    (tmp_path / "app.log").write_text("".join(f"line {number}\n" for number in range(2_500)))
    exporter = {
        "endpoint": f"http://{clickhouse.host}:{clickhouse.port}",
        "username": "default",
        "password": clickhouse.password,
        "database": "collector",
    }
    configuration = {
        "receivers": {"filelog": {"include": [str(tmp_path / "app.log")], "start_at": "beginning"}},
        "exporters": {"clickhouse": exporter},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["filelog"], "exporters": ["clickhouse"]}},
        },
    }
    (tmp_path / "collector.yaml").write_text(yaml.safe_dump(configuration))
    command = [str(program()), "--config", str(tmp_path / "collector.yaml")]
    counts = "SELECT count(), uniqExact(Body) FROM collector.otel_logs"
    with connection.connect(clickhouse.settings()) as client, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: client.command("EXISTS collector.otel_logs") == 1)
            until(lambda: client.query(counts).result_rows == [(2_500, 2_500)])
        finally:
            process.terminate()
            process.wait(30)
            client.command("DROP DATABASE IF EXISTS collector SYNC")
