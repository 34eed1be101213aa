"""Which way the stack runs, and why: with docker commands that are small scripts."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from native import containers, runtime
from native.failure import Failure


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` on PATH that fails at any command whose words are in the file `fails`."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nwhile read -r word; do case " $* " in *" $word "*) exit 1;; esac; done < {tmp_path}/fails\n'
        'case " $* " in *" config "*) echo \'{"services": {"clickhouse": {"image": "an/image"}}}\';; esac\n'
    )
    program.chmod(0o755)
    (tmp_path / "fails").touch()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "fails"


def test_compose_when_all_is_there(docker: Path) -> None:
    """An engine that answers, compose, and images: the real servers run."""
    assert runtime.choose("auto", docker.with_name(".env")).runtime == "compose"


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        ("info", "no Docker engine answers"),
        ("version", "docker compose is not installed"),
        ("inspect pull", "The image an/image can't be pulled: docker pull failed"),
        ("build", "the service's image can't be built here"),
    ],
)
def test_native_when_something_is_missing(docker: Path, fails: str, reason: str) -> None:
    """It says what is missing."""
    docker.write_text("\n".join([*fails.split(), ""]))
    choice = runtime.choose("auto", docker.with_name(".env"))
    assert (choice.runtime, choice.reason) == ("native", reason)


def test_native_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No docker command at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runtime.choose("auto", tmp_path / ".env").runtime == "native"


@pytest.mark.parametrize("wanted", ["native", "compose"])
def test_a_wish_is_followed(docker: Path, wanted: runtime.Runtime) -> None:
    """RUNTIME forces either, whatever there is."""
    docker.write_text("info\n")
    assert runtime.choose(wanted, docker.with_name(".env")).runtime == wanted


@pytest.mark.parametrize(
    "old", [{"exit_code": 137}, {"exit_code": 0, "health": "unhealthy"}], ids=["killed", "replaced"]
)
def test_how_a_container_ended_before_is_no_failure_of_this_start(
    old: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was killed yesterday, or is being replaced, is not named; one that ends in this start is."""
    shape: dict[str, Any] = {"out_of_memory": False, "restarts": 0, "health": "", "check": "", "exit_code": 0}
    before = containers.Container(**shape | old, id="1", service="prometheus", state="exited", started_at="09:00")
    now = dataclasses.replace(before, started_at="10:00", exit_code=1)
    monkeypatch.setattr(runtime, "command", lambda _: ["sh", "-c", "sleep 0.2", "--"])

    monkeypatch.setattr(containers, "containers", lambda _: [before])
    containers.up(tmp_path / ".env", print)

    looks = iter([[before]])
    monkeypatch.setattr(containers, "containers", lambda _: next(looks, [now]))
    with pytest.raises(Failure, match="prometheus exited with code 1"):
        containers.up(tmp_path / ".env", print)
