"""`make local-up` on a Docker engine: what does not come up is named, and changed files reach their containers."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from native import containers, mounts, runtime
from native.failure import Failure
from tests.compose import stack
from tests.compose.compose_file import COMPOSE_FILE
from tests.compose.stack import Stack
from tests.compose.test_mutations import log_files_left

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


def on(started: Stack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `make local-up` work on a test's stack; its file of variables."""
    monkeypatch.setattr(runtime, "command", lambda _: ["docker", *started.command])
    for name in [each for each in os.environ if each.startswith(("LOGBROOK_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    return started.env_file


@pytest.fixture(autouse=True)
def engine() -> None:
    """Skip where there is none."""
    if reason := stack.why_not():
        pytest.skip(f"no stack in containers here: {reason}")


def changed(directory: Path, **services: Any) -> Path:
    """A Compose file of these services alone."""
    document = yaml.safe_load(COMPOSE_FILE.read_text())
    document["services"] = services or document["services"]
    path = directory / "compose.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_what_does_not_come_up_is_named(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ClickHouse that ends at each start is named with its last lines, long before Compose gives up."""
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    log_files_left(services["clickhouse"], tmp_path)
    file = changed(tmp_path, clickhouse=services["clickhouse"], node=services["node"])
    with stack.running(tmp_path, {"services": {}}, request, file) as started:
        env_file, began = on(started, monkeypatch), time.monotonic()

        with pytest.raises(Failure, match="clickhouse") as failed:
            containers.up(env_file, print)

        assert "/var/log/clickhouse-server" in failed.value.what
        assert "make local-logs NAME=clickhouse" in failed.value.advice
        # Compose alone would wait for the health check's start period and all of its retries: 150 s.
        assert time.monotonic() - began < 60


def test_what_hangs_is_named(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that neither ends nor gets healthy is shown with its last lines, while Compose goes on waiting for it."""
    node = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["node"]
    node["entrypoint"] = ["sh", "-c", "echo reading the whole disk; exec sleep 600"]
    node["healthcheck"]["start_period"] = "300s"

    def say(text: str) -> None:
        raise Failure(text, "")

    with stack.running(tmp_path, {"services": {}}, request, changed(tmp_path, node=node)) as started:
        env_file, began = on(started, monkeypatch), time.monotonic()

        with pytest.raises(Failure, match=r"node is not healthy yet\. It says:\nreading the whole disk"):
            containers.up(env_file, say)

        assert time.monotonic() - began < 60


def test_the_first_image_that_cannot_be_pulled_is_named(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for the other images."""
    node = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["node"]
    file = changed(tmp_path, node=node)
    override = {"services": {"node": {"image": "127.0.0.1:1/nowhere:1.0.0"}}}
    named = pytest.raises(Failure, match=r"127\.0\.0\.1:1/nowhere:1\.0\.0 can't be pulled")
    with stack.running(tmp_path, override, request, file) as started, named:
        runtime.pull(on(started, monkeypatch))


def test_a_changed_file_starts_its_service_anew(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus gets its new rules; what mounts nothing that changed goes on; nothing changed changes nothing."""
    (tmp_path / "prometheus").mkdir()
    configuration = tmp_path / "prometheus" / "prometheus.yml"
    configuration.write_text("global: {scrape_interval: 10s}\n")
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    services["prometheus"]["volumes"] = ["prometheus-data:/prometheus", f"{configuration.parent}:/etc/prometheus:ro"]
    file = changed(tmp_path, prometheus=services["prometheus"], node=services["node"])
    with stack.running(tmp_path, {"services": {}}, request, file) as started:
        env_file = on(started, monkeypatch)
        monkeypatch.setattr(runtime, "COMPOSE_FILE", file)

        def up() -> dict[str, str]:
            mounts.write(env_file)
            containers.up(env_file, print)
            return {each.service: each.id for each in containers.containers(env_file)}

        first, second = up(), up()
        # As editors and git do it: a new file under the old name.
        new = configuration.with_suffix(".new")
        new.write_text("global: {scrape_interval: 20s}\n")
        new.replace(configuration)
        third = up()
        # What is left of a stack that was killed: exit code 137, and a health check that last found nobody.
        stack.docker("kill", third["prometheus"])
        fourth = up()

        assert fourth == third
        assert first == second
        assert third["node"] == first["node"]
        assert third["prometheus"] != first["prometheus"]
        assert "scrape_interval: 20s" in started.compose(
            "exec", "--no-TTY", "prometheus", "cat", "/etc/prometheus/prometheus.yml"
        )
