"""The configuration files that the containers mount: well-formed, and in step with what mounts them."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from logbrook import config
from native import brokers
from tests.compose.compose_file import ROOT, services

COMPOSE = ROOT / "compose"
SCRIPTS = sorted(
    [*COMPOSE.glob("*/*.sh"), *(ROOT / "tests" / "compose").rglob("*.sh"), ROOT / ".ci" / "run"],
    key=str,
)


MOUNTED_XML = sorted(
    COMPOSE / source
    for source in (volume.split(":")[0] for volume in services()["clickhouse"]["volumes"])
    if source.endswith(".xml")
)


@pytest.mark.parametrize("path", MOUNTED_XML, ids=lambda path: path.name)
def test_clickhouse_finds_every_variable_in_its_environment(path: Path) -> None:
    """ClickHouse refuses to start when a from_env names a variable that isn't set: each one is."""
    given = set(services()["clickhouse"]["environment"]) | exported_by_the_start_script()

    asked = {node.attrib["from_env"] for node in ET.parse(path).iter() if "from_env" in node.attrib}

    assert asked
    assert asked <= given


def test_clickhouse_keeps_only_the_hash_of_the_password() -> None:
    """The server writes its merged configuration to the data volume: the password must not be in it."""
    users = ET.parse(COMPOSE / "clickhouse" / "users.xml")

    assert {node.tag for node in users.iter() if "password" in node.tag and node.attrib} == {"password_sha256_hex"}
    assert "LOGBROOK_CLICKHOUSE_PASSWORD" not in {node.attrib.get("from_env") for node in users.iter()}


def test_the_query_api_may_only_read_events() -> None:
    """Its user has the rights that it needs and none besides, and can't raise a limit."""
    users = ET.parse(COMPOSE / "clickhouse" / "users.xml")

    assert [node.text for node in users.iterfind("users/reader/grants/query")] == [
        "GRANT SELECT ON otel.otel_logs",
        "GRANT SELECT ON otel.partition_progress",
    ]
    assert users.findtext("users/reader/profile") == "reader"
    assert users.findtext("profiles/reader/readonly") == "1"
    assert services()["query"]["environment"]["LOGBROOK_CLICKHOUSE_USERNAME"] == "reader"


@pytest.mark.parametrize("file", ["users.xml", "cloud-users.xml"])
def test_saved_views_are_all_that_the_query_api_may_write(file: str) -> None:
    """Its second user may read and add rows of that table alone: it changes and removes none, and reads no events.

    A grant is for what it names, and INSERT "allows executing INSERT queries":
    https://clickhouse.com/docs/sql-reference/statements/grant (2026-11-29).
    """
    users = ET.parse(COMPOSE / "clickhouse" / file)

    assert [node.text for node in users.iterfind("users/views/grants/query")] == [
        "GRANT SELECT, INSERT ON otel.saved_views"
    ]
    assert users.findtext("users/views/profile") == "views"
    assert users.find("users/views/access_management") is None
    assert services()["query"]["environment"]["LOGBROOK_QUERY_VIEWS_PASSWORD"] == ""
    assert config.Query().views_username == "views"


def test_clickhouses_default_user_stays_inside() -> None:
    """The user without a password can log in from the container itself only, and can't change anything."""
    user = ET.parse(COMPOSE / "clickhouse" / "users.xml").find("users/default")

    assert user is not None
    assert user.attrib == {"replace": "replace"}
    assert [node.text for node in user.iter("ip")] == ["127.0.0.1"]
    assert user.findtext("profile") == "readonly"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shell_scripts_are_sound(path: Path) -> None:
    """Bash can read each script; ShellCheck, where it is installed, has nothing to say."""
    # Not every image has a bash, and pipefail is bash's.
    assert ("set -eu\n" if path.parent.name == "alertmanager" else "set -euo pipefail") in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--shell=bash", "--severity=warning", path], check=True)


@pytest.mark.parametrize("name", ["kafka", "zookeeper"])
def test_kafka_and_zookeeper_log_to_a_bounded_file(name: str) -> None:
    """Their logs go to the console and, rotated, to the volume from which Logbrook ships its own logs."""
    lines = (COMPOSE / name / "log4j.properties").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    assert settings["log4j.rootLogger"] == "INFO, console, file"
    assert settings["log4j.appender.file.File"] == f"/var/log/logbrook/{name}.log"
    assert settings["log4j.appender.file"] == "org.apache.log4j.RollingFileAppender"
    assert "own-logs:/var/log/logbrook" in services()[name]["volumes"]


def test_the_broker_is_set_up_as_the_native_one(tmp_path: Path) -> None:
    """The stack with and without Docker has one behavior: what both say of a setting of the broker is the same."""
    brokers.kafka(tmp_path, tmp_path, port=1, zookeeper_port=2)
    lines = (tmp_path / "server.properties").read_text().splitlines()
    native = dict(line.split("=", 1) for line in lines)
    compose = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in services()["kafka"]["environment"].items()
    }

    both = (set(native) & set(compose)) - {"broker.id", "listeners", "advertised.listeners", "zookeeper.connect"}

    assert {key: compose[key] for key in both} == {key: native[key] for key in both}
    assert {
        "auto.create.topics.enable",
        "group.initial.rebalance.delay.ms",
        "log.retention.hours",
        "log.segment.bytes",
        "offsets.topic.replication.factor",
        "min.insync.replicas",
    } <= both


def exported_by_the_start_script() -> set[str]:
    """What compose/clickhouse/start.sh adds to the environment."""
    script = (COMPOSE / "clickhouse" / "start.sh").read_text()
    return {line.split()[1].partition("=")[0] for line in script.splitlines() if line.startswith("export ")}
