"""ClickHouse's own code reads our configuration: here that of chdb, which merges files as the server does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from logbrook import config
from native.front import app as front
from native.front import guard
from tests.compose.compose_file import CLOUD_FILE, COMPOSE_FILE, ROOT, load, required, services
from tests.compose.stand_in import clickhouse_config

CONFIGURATION = ROOT / "compose" / "clickhouse"
# As the image has it in /etc/clickhouse-server; each file names its source.
IMAGE = Path(__file__).parent / "stand_in" / "clickhouse"
SERVER_FILES = "/etc/clickhouse-server/"
ASK = """
import json, sys
import chdb

directory, *statements = sys.argv[1:]
connection = chdb.connect(f"file:{directory}/data?config-file={directory}/config.xml")
print(json.dumps([connection.query(each, "JSON").bytes().decode() for each in statements]))
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What Compose gives to the container, and start.sh to the server."""
    given = {name: str(value) for name, value in services()["clickhouse"]["environment"].items()}
    return given | {f"CLICKHOUSE_{name}PASSWORD_SHA256": "0" * 64 for name in ("", "READER_", "VIEWS_", "WRITER_")}


def laid_out(directory: Path, *overrides: Path) -> Path:
    """The server's folder as the container has it: the image's files, and what Compose mounts over them."""
    shutil.copytree(IMAGE, directory, dirs_exist_ok=True)
    (directory / "config.d").mkdir()
    (directory / "users.d").mkdir()
    shutil.move(directory / "docker_related_config.xml", directory / "config.d")
    for file in (COMPOSE_FILE, *overrides):
        for volume in load(file, required(file))["services"]["clickhouse"]["volumes"]:
            source, target, *_ = volume.split(":")
            if target.startswith(SERVER_FILES):
                shutil.copy(COMPOSE_FILE.parent / source, directory / target.removeprefix(SERVER_FILES))
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> ET.Element:
    """The server's configuration, merged as the server does it."""
    return clickhouse_config.load(laid_out(tmp_path_factory.mktemp("server")) / "config.xml", environment)


def test_the_server_writes_no_log_file(server: ET.Element) -> None:
    """Its log goes to the console: the image's default files lie on the read-only root, and the server would end."""
    assert server.find("logger/log") is None
    assert server.find("logger/errorlog") is None
    assert server.findtext("logger/console") == "true"


def test_the_server_writes_on_its_volume_alone(server: ET.Element) -> None:
    """Every path of the merged configuration lies on the data volume."""
    paths = {element.tag: element.text or "" for element in server.iter() if (element.text or "").startswith("/")}

    assert paths
    assert {text for tag, text in paths.items() if tag != "endpoint"} <= {
        text for text in paths.values() if text.startswith("/var/lib/clickhouse/")
    }


def test_the_server_opens_the_ports_that_we_mean(server: ET.Element) -> None:
    """HTTP, the native protocol for clickhouse-client in the container, and metrics; on all of its addresses."""
    ports = {element.tag: element.text for element in server if element.tag.endswith("_port")}

    assert ports == {"http_port": "8123", "tcp_port": "9000"}
    assert server.findtext("prometheus/port") == "9363"
    assert [element.text for element in server.findall("listen_host")] == ["::", "0.0.0.0"]


def test_the_server_keeps_to_itself(server: ET.Element) -> None:
    """It reports no crashes to anybody, and keeps those logs about itself that have a limit in time."""
    assert server.findtext("send_crash_reports/enabled") == "false"
    logs = {element.tag: element for element in server if element.tag.endswith("_log")}
    assert set(logs) == {"query_log", "part_log", "error_log", "metric_log", "crash_log"}
    assert {element.findtext("ttl") for element in logs.values()} == {"event_date + INTERVAL 7 DAY DELETE"}


@pytest.mark.parametrize("overrides", [(), (CLOUD_FILE,)], ids=["local", "cloud"])
def test_users_come_from_hashes(tmp_path: Path, environment: dict[str, str], overrides: tuple[Path, ...]) -> None:
    """Nobody but `default`, who can log in from inside alone and only read, is without a password; none is in clear."""
    users = clickhouse_config.load(laid_out(tmp_path, *overrides) / "users.xml", environment).find("users")

    assert users is not None
    for user in users:
        if user.tag == "default":
            assert [element.text for element in user.iter("ip")] == ["127.0.0.1"]
            assert user.findtext("profile") == "readonly"
            assert user.find("access_management") is None
        else:
            assert user.findtext("password_sha256_hex") == "0" * 64
            assert user.find("password") is None


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> list[dict[str, str]]:
    """Names and values of the server's, MergeTree's and the known query settings, as the engine has them."""
    directory = laid_out(tmp_path_factory.mktemp("configuration"))
    on_the_data_volume_of_this_test(directory)
    # chdb reads the users without `access_control_improvements`, which a server looks at first: ClickHouse's
    # src/Access/AccessControl.cpp, `setupFromMainConfig` (read 2026-11-28).
    users = directory / "users.d/10-logbrook.xml"
    users.write_text(users.read_text().replace("<changeable_in_readonly/>", ""))
    statements = [
        f"SELECT name, toString(value) AS value FROM system.{table}"
        for table in ("server_settings", "merge_tree_settings", "settings")
    ]
    statements.append("SELECT name, toString(keep_free_space) AS value FROM system.disks")
    command = [sys.executable, "-c", ASK, str(directory), *statements]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents: list[dict[str, Any]] = [json.loads(each) for each in json.loads(done.stdout.splitlines()[-1])]
    return [{row["name"]: row["value"] for row in document["data"]} for document in documents]


def on_the_data_volume_of_this_test(directory: Path) -> None:
    """Make the directories of a configuration's data this test's own."""
    config = directory / "config.xml"
    config.write_text(config.read_text().replace("/var/lib/clickhouse/", f"{directory}/var/lib/clickhouse/"))


def test_the_server_takes_its_sizes_from_the_environment(
    answers: list[dict[str, str]], environment: dict[str, str]
) -> None:
    """The memory that the budget allots is what the server allows itself."""
    server = answers[0]

    assert server["max_server_memory_usage"] == environment["CLICKHOUSE_SERVER_MEMORY_BYTES"]
    assert server["mark_cache_size"] == environment["CLICKHOUSE_MARK_CACHE_BYTES"]


def test_the_engine_merges_the_files_as_our_reader_does(answers: list[dict[str, str]], server: ET.Element) -> None:
    """What ClickHouse's own code made of the files is what the stand-in's reader makes of them."""
    # chdb always logs everything, and limits no number of statements. The data lie where this test has them.
    names = {name for name in answers[0] if not name.endswith(("path", "_queries")) and name != "logger.level"}
    ours = {name: server.findtext(name.replace(".", "/")) for name in names}
    as_numbers = {"true": "1", "false": "0"}

    common = {name: as_numbers.get(text, text) for name, text in ours.items() if text and text.strip()}

    assert {name: answers[0][name] for name in common} == common
    assert {"max_server_memory_usage", "logger.size", "background_schedule_pool_size", "listen_try"} <= set(common)


def test_inserts_have_places_of_their_own(server: ET.Element, answers: list[dict[str, str]]) -> None:
    """Reading statements never take all that may run at the same time, and the query API's own limits lie below."""
    names = ("max_concurrent_queries", "max_concurrent_select_queries")
    assert set(names) <= set(answers[0])
    most, reads = (int(server.findtext(name, "")) for name in names)
    query = config.Query

    assert 0 < query.max_concurrent_statements + query.max_concurrent_sql + query.max_streams < reads < most
    assert (most, reads) == (front.MAX_STATEMENTS, front.MAX_READS)


@pytest.mark.parametrize("file", ["users.xml", "cloud-users.xml"])
def test_the_reader_may_lower_some_limits_and_raise_none(server: ET.Element, file: str) -> None:
    """What the query API sends with /v1/sql lies within the profile, which lets exactly that change, and no further.

    `changeable_in_readonly` needs `settings_constraints_replace_previous`:
    clickhouse.com/docs/operations/settings/constraints-on-settings (read 2026-11-28).
    """
    profile = ET.parse(CONFIGURATION / file).find("profiles/reader")
    assert profile is not None
    constraints = [each for each in profile.findall("constraints/*") if each.find("changeable_in_readonly") is not None]
    # Only the filter has no bounds: whatever it says, it leaves out events.
    assert [each.tag for each in constraints if each.find("max") is None] == [guard.FILTERS]
    changeable = {
        each.tag: (each.findtext("min"), each.findtext("max") or each.find("max").get("from_env"))  # type: ignore[union-attr]
        for each in constraints
        if each.tag != guard.FILTERS
    }

    assert server.findtext("access_control_improvements/settings_constraints_replace_previous") == "true"
    assert changeable == {
        "max_execution_time": ("1", profile.findtext("max_execution_time")),
        "max_memory_usage": ("1", profile.find("max_memory_usage").get("from_env")),  # type: ignore[union-attr]
        "max_threads": ("1", profile.findtext("max_threads")),
        "os_threads_nice_value_query": ("0", "19"),
    }
    assert {name: (str(low), str(high)) for name, (low, high) in guard.CHANGEABLE.items()} == {
        **changeable,
        "max_memory_usage": ("1", guard.SETTINGS["max_memory_usage"]),
    }


def test_merges_fit_the_small_pool(answers: list[dict[str, str]]) -> None:
    """The server refuses to start if these thresholds are above twice the pool."""
    server, merge_tree, *_ = answers
    thresholds = {int(value) for name, value in merge_tree.items() if name.startswith("number_of_free_entries_in_pool")}

    assert max(thresholds) < 2 * int(server["background_pool_size"])


def test_the_last_of_the_disk_is_kept(answers: list[dict[str, str]]) -> None:
    """Inserts are refused, and merges wait, while something is still free."""
    assert answers[3] == {"default": str(256 * 2**20)}
    assert int(answers[1]["min_free_disk_bytes_to_perform_insert"]) > 0


def test_every_setting_of_the_profiles_exists(answers: list[dict[str, str]]) -> None:
    """A name that ClickHouse doesn't know would keep the server from starting."""
    profiles = ET.parse(CONFIGURATION / "users.xml").findall("profiles/*")

    assert {each.tag for each in profiles} == {"default", "reader", "views"}
    assert {setting.tag for each in profiles for setting in each} - {"constraints"} <= set(answers[2])
    assert {setting.tag for each in profiles for setting in each.iterfind("constraints/*")} <= set(answers[2])


@pytest.mark.parametrize(
    "file", [CONFIGURATION / "server.xml", ROOT / "compose/native/front/engine.xml"], ids=lambda f: f.name
)
def test_what_grows_is_compressed_better(tmp_path: Path, environment: dict[str, str], file: Path) -> None:
    """In both runtimes a fresh part is compressed quickly, and the big one that merges make of several is small."""
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.xml").write_text("<clickhouse/>")
    shutil.copy(file, tmp_path / "config.d")
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
    fresh, grown = (json.loads(answer)["data"] for answer in json.loads(done.stdout.splitlines()[-1])[3::2])
    assert (fresh, grown) == ([{"codec": "LZ4"}], [{"codec": "ZSTD(1)"}])
