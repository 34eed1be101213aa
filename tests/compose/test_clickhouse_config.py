"""ClickHouse's own code reads our configuration: here that of chdb, which merges files as the server does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.compose.compose_file import ROOT, services

CONFIGURATION = ROOT / "compose" / "clickhouse"
# What the image's own file has, as far as ours changes or removes it.
IMAGE = """
<clickhouse>
  <logger><level>trace</level></logger>
  <mysql_port>9004</mysql_port>
  <postgresql_port>9005</postgresql_port>
  <interserver_http_port>9009</interserver_http_port>
  <mark_cache_size>5368709120</mark_cache_size>
  <query_log><database>system</database><table>query_log</table></query_log>
  <trace_log><database>system</database><table>trace_log</table></trace_log>
</clickhouse>
"""
ASK = """
import json, sys
import chdb

directory, *statements = sys.argv[1:]
connection = chdb.connect(f"file:{directory}/data?config-file={directory}/config.xml")
print(json.dumps([connection.query(each, "JSON").bytes().decode() for each in statements]))
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What Compose gives to the container."""
    return {name: str(value) for name, value in services()["clickhouse"]["environment"].items()}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> list[dict[str, str]]:
    """Names and values of the server's, MergeTree's and the known query settings, as the engine has them."""
    directory = tmp_path_factory.mktemp("configuration")
    (directory / "config.d").mkdir()
    (directory / "config.xml").write_text(IMAGE)
    (directory / "config.d" / "logbrook.xml").write_bytes((CONFIGURATION / "server.xml").read_bytes())
    statements = [
        f"SELECT name, toString(value) AS value FROM system.{table}"
        for table in ("server_settings", "merge_tree_settings", "settings")
    ]
    command = [sys.executable, "-c", ASK, str(directory), *statements]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents: list[dict[str, Any]] = [json.loads(each) for each in json.loads(done.stdout)]
    return [{row["name"]: row["value"] for row in document["data"]} for document in documents]


def test_the_server_takes_its_sizes_from_the_environment(
    answers: list[dict[str, str]], environment: dict[str, str]
) -> None:
    """The memory that the budget allots is what the server allows itself."""
    server = answers[0]

    assert server["max_server_memory_usage"] == environment["CLICKHOUSE_SERVER_MEMORY_BYTES"]
    assert server["mark_cache_size"] == environment["CLICKHOUSE_MARK_CACHE_BYTES"]


def test_merges_fit_the_small_pool(answers: list[dict[str, str]]) -> None:
    """The server refuses to start if these thresholds are above twice the pool."""
    server, merge_tree, _ = answers
    thresholds = {int(value) for name, value in merge_tree.items() if name.startswith("number_of_free_entries_in_pool")}

    assert max(thresholds) < 2 * int(server["background_pool_size"])


def test_every_setting_of_the_profiles_exists(answers: list[dict[str, str]]) -> None:
    """A name that ClickHouse doesn't know would keep the server from starting."""
    profiles = ET.parse(CONFIGURATION / "users.xml").findall("profiles/*")

    assert {each.tag for each in profiles} == {"default", "reader"}
    assert {setting.tag for each in profiles for setting in each} <= set(answers[2])


@pytest.mark.parametrize(
    "file", [CONFIGURATION / "server.xml", ROOT / "compose/native/front/engine.xml"], ids=lambda f: f.name
)
def test_what_grows_is_compressed_better(tmp_path: Path, environment: dict[str, str], file: Path) -> None:
    """In both runtimes a fresh part is compressed quickly, and the big one that merges make of several is small."""
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.xml").write_text(IMAGE)
    (tmp_path / "config.d" / "logbrook.xml").write_bytes(file.read_bytes())
    statements = [
        "CREATE TABLE default.logs (body String) ENGINE = MergeTree ORDER BY tuple()",
        *["INSERT INTO default.logs SELECT randomPrintableASCII(99) FROM numbers(500000)"] * 2,
        "SELECT DISTINCT default_compression_codec AS codec FROM system.parts WHERE table = 'logs' AND active",
        "OPTIMIZE TABLE default.logs FINAL",
        "SELECT DISTINCT default_compression_codec AS codec FROM system.parts WHERE table = 'logs' AND active",
    ]
    command = [sys.executable, "-c", ASK, str(tmp_path), *statements]
    variables = os.environ | environment | {"CLICKHOUSE_BACKUPS": str(tmp_path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fresh, grown = (json.loads(answer)["data"] for answer in json.loads(done.stdout)[3::2])
    assert (fresh, grown) == ([{"codec": "LZ4"}], [{"codec": "ZSTD(1)"}])
