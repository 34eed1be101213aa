"""The programs that tests drive are made once, outside of any test, and never half."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tools import build

NAME = "pulumi"
# What `go list` and `go build` report on standard error, and the program that the latter writes.
LIST = "echo a b example.org/main; echo go: downloading x v1 >&2"
BUILD = 'printf "a\\nb\\nexample.org/main\\n" >&2; while [ "$1" != -o ]; do shift; done; echo program > "$2"'
Go = Callable[..., None]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Puts a `go` alone on PATH that answers with these scripts; the cache is empty."""
    monkeypatch.setattr(build, "CACHE", tmp_path / "cache")

    def put(building: str = BUILD, version: str = "go1.26.1") -> None:
        program = tmp_path / "bin" / "go"
        program.parent.mkdir(exist_ok=True)
        cases = f"env) echo {version};; list) {LIST};; build) echo built >> {tmp_path}/log; {building};;"
        program.write_text(f"#!/bin/sh\ncase $1 in {cases} esac\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))

    return put


def test_a_tool_is_built_once(go: Go, tmp_path: Path) -> None:
    """The second time it is found, whether Go is there or not."""
    go()
    build.make(NAME)
    go(building="exit 1")
    build.make(NAME)
    found = build.find(NAME)
    assert found == build.cached(NAME)
    assert found.read_text() == "program\n"
    assert found.parent.name == "bin"
    assert [path.name for path in found.parent.iterdir()] == [NAME]


def test_two_at_once_build_once(go: Go, tmp_path: Path) -> None:
    """The second waits for the first, and takes what that one made."""
    go(building=f"/bin/sleep 0.3; {BUILD}")
    with ThreadPoolExecutor() as threads:
        list(threads.map(build.make, [NAME] * 2))
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing_half(go: Go) -> None:
    """Go's last words are shown, with a way to do without; the next attempt begins as if there had been none."""
    go(building=f"{BUILD}; echo no space left >&2; exit 1")
    with pytest.raises(SystemExit, match=r"(?s)no space left.*make test TOOLS="):
        build.make(NAME)
    assert build.find(NAME) is None
    go()
    build.make(NAME)
    assert build.find(NAME)


def test_progress_moves_in_a_pipe(go: Go, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Modules that were fetched and packages that were compiled are counted: no line twice."""
    monkeypatch.setattr(build, "_REPORT_SECONDS", 0.0)
    go()
    build.make(NAME)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:-1] == [
        f"{NAME}: fetched 1 modules",
        *(f"{NAME}: compiled {count} of 3 packages" for count in (1, 2, 3)),
        f"{NAME}: linking",
    ]
    assert "kept in" in lines[-1]


@pytest.mark.parametrize("version", ["go1.19.8", ""])
def test_without_go_the_remedy_is_named(go: Go, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No Go, or one that is too old: no failure, but words; a skipped test says the same."""
    go(version=version)
    if not version:
        Path(os.environ["PATH"], "go").unlink()
    assert build.main([NAME]) == 0
    assert build.INSTALL_GO in capsys.readouterr().out
    assert build.INSTALL_GO in build.missing(NAME)


def test_another_version_is_another_tool(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the pins makes the old build be found no more."""
    monkeypatch.setattr(build, "HERE", tmp_path / "tools")
    (tmp_path / "tools" / NAME).mkdir(parents=True)
    (tmp_path / "tools" / NAME / "go.mod").write_text("one")
    before = build.cached(NAME)
    (tmp_path / "tools" / NAME / "go.mod").write_text("two")
    assert build.cached(NAME) != before


def test_scripts_can_ask_for_the_path(tmp_path: Path) -> None:
    """`--path` prints nothing else on standard output; a tool that can't be made is a failure then."""
    command = [sys.executable, str(build.HERE / "build.py"), "--path", NAME]
    environ = {"PATH": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert build.INSTALL_GO in done.stderr
    made = tmp_path / "logbrook" / build.cached(NAME).parent.parent.name / "bin" / NAME
    made.parent.mkdir(parents=True)
    made.touch()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(made))
