"""What the images refuse, the stand-ins refuse: each mutation of the Compose file keeps its service from starting.

A stand-in that is kinder than the image would hide such a mistake until somebody starts the real one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose import stack
from tests.compose.compose_file import COMPOSE_FILE
from tests.compose.stack import Stack, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

Service = dict[str, Any]
LOG_FILES_REMOVED = ('<log remove="remove"/>', '<errorlog remove="remove"/>')


def log_files_left(service: Service, directory: Path) -> None:
    """ClickHouse's configuration no longer takes the image's log files out."""
    text = (COMPOSE_FILE.parent / "clickhouse" / "server.xml").read_text()
    for removed in LOG_FILES_REMOVED:
        assert removed in text
        text = text.replace(removed, "")
    (directory / "server.xml").write_text(text)
    replaced = [each.replace("./clickhouse/server.xml", f"{directory}/server.xml") for each in service["volumes"]]
    service["volumes"] = replaced


def without_tmpfs(path: str) -> Callable[[Service, Path], None]:
    """A path that is written lies on the read-only root."""

    def mutate(service: Service, _: Path) -> None:
        kept = [each for each in service["tmpfs"] if each.split(":")[0] != path]
        assert len(kept) == len(service["tmpfs"]) - 1
        service["tmpfs"] = kept

    return mutate


def as_user(user: str) -> Callable[[Service, Path], None]:
    """The container runs as somebody whom the paths do not belong to."""

    def mutate(service: Service, _: Path) -> None:
        service["user"] = user

    return mutate


def read_only(volume: str) -> Callable[[Service, Path], None]:
    """A volume that is written is mounted read-only."""

    def mutate(service: Service, _: Path) -> None:
        service["volumes"] = [f"{each}:ro" if each.startswith(f"{volume}:") else each for each in service["volumes"]]

    return mutate


def checked_with(*words: str) -> Callable[[Service, Path], None]:
    """The health check calls a program that the image lacks."""

    def mutate(service: Service, _: Path) -> None:
        service["healthcheck"] |= {"test": ["CMD", *words], "start_period": "1s", "interval": "1s", "retries": 2}

    return mutate


def with_environment(**changes: str | None) -> Callable[[Service, Path], None]:
    """Variables are changed, or taken away."""

    def mutate(service: Service, _: Path) -> None:
        service["environment"] |= changes
        service["environment"] = {name: text for name, text in service["environment"].items() if text is not None}

    return mutate


# Service, what is done to it, and what it or its health check says then.
MUTATIONS = {
    "clickhouse-log-files": ("clickhouse", log_files_left, "/var/log/clickhouse-server/"),
    "clickhouse-read-only": ("clickhouse", read_only("clickhouse-data"), "/var/lib/clickhouse"),
    "clickhouse-curl": ("clickhouse", checked_with("curl", "-f", "http://127.0.0.1:8123/ping"), '"curl"'),
    "kafka-no-tmpfs": ("kafka", without_tmpfs("/etc/kafka"), "dub path /etc/kafka/ writable"),
    "kafka-other-user": ("kafka", as_user("1001:1001"), "writable] FAILED"),
    "zookeeper-no-tmpfs": ("zookeeper", without_tmpfs("/etc/kafka"), "dub path /etc/kafka/ writable"),
    "zookeeper-gc-log": ("zookeeper", with_environment(LOG_DIR=None, EXTRA_ARGS=None), "/usr/logs"),
    "prometheus-other-user": ("prometheus", as_user("1000:1000"), "permission denied"),
    "prometheus-bash": ("prometheus", checked_with("bash", "-c", "true"), '"bash"'),
    "alertmanager-no-tmpfs": ("alertmanager", without_tmpfs("/tmp"), "/tmp/token"),
    "node-curl": ("node", checked_with("curl", "http://127.0.0.1:9100/"), '"curl"'),
    "grafana-read-only": ("grafana", read_only("grafana-data"), "not writable"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_keeps_the_service_from_starting(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    """`up` fails, and the container says why, as the image's would."""
    if reason := stack.why_not():
        pytest.skip(f"no stack in containers here: {reason}")
    service, mutate, says = MUTATIONS[name]
    document = yaml.safe_load(COMPOSE_FILE.read_text())
    mutated = document["services"][service]
    # So that its end is seen at once.
    mutated["restart"] = "no"
    mutate(mutated, tmp_path)
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(document))

    with stack.running(tmp_path, {"services": {}}, request, tmp_path / "compose.yaml") as started:
        with pytest.raises(AssertionError):
            started.compose("up", "--detach", "--wait", "--wait-timeout", "60", "--no-deps", service)

        assert says in said(started, service)


def said(started: Stack, service: str) -> str:
    """What the container printed, and what its health check said."""
    [container] = started.containers(service)
    health = [each["Output"] for each in container["State"].get("Health", {}).get("Log") or []]
    return "\n".join([started.compose("logs", "--no-color", service), *health, docker("ps", "--all")])
