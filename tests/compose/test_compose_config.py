"""Compose itself, where it is installed, reads the file: no engine is needed for that."""

import json
from pathlib import Path

import pytest

from tests.compose.compose_file import COMPOSE_FILE, REQUIRED, STAND_IN_FILE, services
from tests.compose.stack import docker


@pytest.fixture(scope="module", autouse=True)
def compose() -> None:
    """Skip where Compose is missing."""
    try:
        docker("compose", "version")
    except (AssertionError, FileNotFoundError) as error:
        pytest.skip(f"no docker compose here: {str(error).splitlines()[0]}")


@pytest.mark.parametrize("override", [None, STAND_IN_FILE], ids=["alone", "stand-in"])
def test_compose_accepts_the_file(tmp_path: Path, override: Path | None) -> None:
    """The file is valid, alone and with the override; each memory limit reaches the engine."""
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in REQUIRED.items()))
    files = [word for file in (COMPOSE_FILE, override) if file for word in ("--file", str(file))]

    read = json.loads(
        docker("compose", "--env-file", str(tmp_path / ".env"), *files, "--profile", "*", "config", "--format", "json")
    )

    assert set(read["services"]) == set(services())
    assert all(int(service["mem_limit"]) >= 128 * 2**20 for service in read["services"].values())


def test_compose_refuses_to_run_without_a_password(tmp_path: Path) -> None:
    """The error tells what makes a password."""
    (tmp_path / ".env").touch()

    with pytest.raises(AssertionError, match="run make local-up"):
        docker("compose", "--env-file", str(tmp_path / ".env"), "--file", str(COMPOSE_FILE), "config", "--quiet")
