"""Kafka's and ZooKeeper's jars: only the pinned ones are ever run."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from native import jars
from native.failure import Failure
from tests.components import REPOSITORY

Maven = Callable[[str], None]


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maven:
    """Puts a `mvn` on PATH that runs a script; `$out` is the directory for the jars."""

    def put(script: str) -> None:
        program = tmp_path / "bin" / "mvn"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) out=${{a#*=}};; esac; done\n{script}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return put


@pytest.fixture(scope="module")
def pinned() -> Path:
    """A directory with the right jars."""
    return jars.ensure(REPOSITORY / ".local/jars")


def test_the_right_jars_are_not_fetched_again(pinned: Path, maven: Maven) -> None:
    """A second run needs no Maven."""
    maven("exit 1")
    assert jars.ensure(pinned) == pinned


def test_a_jar_that_was_changed_is_fetched_again(tmp_path: Path, pinned: Path, maven: Maven) -> None:
    """One wrong byte is noticed, and the directory is as pinned afterwards."""
    maven(f'cp {pinned}/*.jar "$out"')
    copy = tmp_path / "state" / "jars"
    shutil.copytree(pinned, copy)
    [kafka] = copy.glob("kafka_*.jar")
    good = kafka.read_bytes()
    kafka.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    jars.ensure(copy)
    assert kafka.read_bytes() == good
    assert [path.name for path in copy.parent.iterdir()] == ["jars"]


def test_two_at_once_fetch_once(tmp_path: Path, pinned: Path, maven: Maven) -> None:
    """The second waits for the first, and takes what that one fetched."""
    maven(f'echo >> {tmp_path}/fetched; sleep 0.3; cp {pinned}/*.jar "$out"')
    with ThreadPoolExecutor() as threads:
        directories = list(threads.map(jars.ensure, [tmp_path / "state" / "jars"] * 2))
    assert len({*directories}) == 1
    assert (tmp_path / "fetched").read_text() == "\n"


def test_a_wrong_jar_is_never_used(tmp_path: Path, pinned: Path, maven: Maven) -> None:
    """What Maven brings is checked: one that differs, or is too many, is named, and nothing is kept."""
    maven(f'cp {pinned}/*.jar "$out"; echo x >> "$out"/zookeeper-3.8.4.jar; echo y > "$out"/evil.jar')
    with pytest.raises(Failure, match=r"evil\.jar, zookeeper-3\.8\.4\.jar"):
        jars.ensure(tmp_path / "jars")
    assert not (tmp_path / "jars").exists()


def test_progress_moves(tmp_path: Path, pinned: Path, maven: Maven) -> None:
    """What is downloaded is counted while Maven still downloads, a character that is only half written included."""
    maven(f"""printf 'Downloaded from a: x.pom \\303'; while [ ! -e {tmp_path}/seen ]; do sleep 0.1; done
        printf '\\251\\n'; echo Downloaded from a: y.jar; sleep 0.6; cp {pinned}/*.jar "$out" """)
    said = []

    def progress(text: str) -> None:
        said.append(text)
        if text == "1 files downloaded":
            (tmp_path / "seen").touch()

    jars.ensure(tmp_path / "jars", progress)
    assert said[-1] == "2 files downloaded"


def test_maven_s_own_words_when_it_fails(tmp_path: Path, maven: Maven) -> None:
    """No network, for example."""
    maven("printf '\\377'; echo could not transfer artifact; exit 1")
    with pytest.raises(Failure, match="could not transfer artifact"):
        jars.ensure(tmp_path / "jars")


def test_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure) as raised:
        jars.ensure(tmp_path / "jars")
    assert "maven" in raised.value.advice


def test_versions_are_those_of_the_pins() -> None:
    """What the summary shows is what runs."""
    assert (jars.version("kafka"), jars.version("zookeeper")) == ("3.9.1", "3.8.4")
