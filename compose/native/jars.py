"""Kafka's and ZooKeeper's jars: fetched once by Maven, checked against jars.sha256 every time."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from native.failure import Failure

HERE = Path(__file__).parent
POM, CHECKSUMS = HERE / "pom.xml", HERE / "jars.sha256"


def ensure(directory: Path, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Make sure that `directory` contains exactly the pinned jars; returns it. Raises Failure if that can't be done."""
    pinned = _pinned()
    if _sums(directory) == pinned:
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _alone(directory.parent):
        if _sums(directory) == pinned:
            return directory
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix="jars-") as temporary:
            fetched = Path(temporary)
            _fetch(fetched, progress)
            found = _sums(fetched)
            if found != pinned:
                wrong = sorted(name for name in {*found, *pinned} if found.get(name) != pinned.get(name))
                raise Failure(
                    f"These jars are not the ones that {CHECKSUMS.name} pins: {', '.join(wrong)}",
                    "If you changed pom.xml, write the new checksums; otherwise do not use them.",
                )
            shutil.rmtree(directory, ignore_errors=True)
            fetched.rename(directory)
            fetched.mkdir()  # what the `with` block deletes
    return directory


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other process is in here: if two run at once, the second finds what the first has fetched."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def version(artifact: str) -> str:
    """The pinned version of `kafka` or `zookeeper`."""
    prefix = {"kafka": "kafka_2.13-", "zookeeper": "zookeeper-"}[artifact]
    rest = (name.removeprefix(prefix).removesuffix(".jar") for name in _pinned() if name.startswith(prefix))
    return next(text for text in rest if text[0].isdigit())


def _pinned() -> dict[str, str]:
    lines = (line.split() for line in CHECKSUMS.read_text().splitlines())
    return {name.removeprefix("*"): digest for digest, name in lines}


def _sums(directory: Path) -> dict[str, str]:
    found = {}
    for path in directory.glob("*.jar"):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _fetch(directory: Path, progress: Callable[[str], None]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Failure(
            "Maven (mvn) is not on PATH: it fetches Kafka and ZooKeeper.", "Install it: apt-get install maven"
        )
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={directory}")
    command = [maven, "-B", "-C", "-f", str(POM), *goal]
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        # Java's default is a share of the machine's memory; fetching needs little.
        environment = {"MAVEN_OPTS": "-Xmx256m", **os.environ}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                # Maven copies all jars at the end: until then, progress shows in what it has downloaded, its own
                # plugins included.
                progress(f"{Path(output.name).read_bytes().count(b'Downloaded from')} files downloaded")
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        if process.returncode:
            raise Failure(
                "Maven could not fetch Kafka and ZooKeeper:\n" + output.read()[-2000:],
                "Check that this machine can reach a Maven repository, then run it again.",
            )
