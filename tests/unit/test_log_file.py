"""The copy of a process's log that Logbrook ships into itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from logbrook import config, log
from logbrook.errors import ConfigError

_SAY = """
import logging, structlog
from logbrook import log

log.configure("logbrook-test")
structlog.get_logger().info("from structlog", answer=42)
logging.getLogger("library").warning("from a library")
"""


def say(path: Path) -> str:
    """What a process that logs to `path` wrote to standard error."""
    environ = os.environ | {"LOGBROOK_LOG_FILE": str(path), "PYTHONPATH": str(Path(log.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", _SAY], env=environ, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_file_gets_what_standard_error_gets(tmp_path: Path) -> None:
    """Each line goes to both, those of libraries too, and two processes may share the file."""
    path = tmp_path / "own.log"

    written = say(path) + say(path)

    assert path.read_text() == written
    assert [json.loads(line)["message"] for line in written.splitlines()] == ["from structlog", "from a library"] * 2


def test_the_file_stays_small(tmp_path: Path) -> None:
    """A file above its limit is emptied, and its name stays the same."""
    path = tmp_path / "own.log"
    path.write_bytes(b"x" * (5 * 2**20))
    inode = path.stat().st_ino

    written = say(path)

    assert path.read_text() == written
    assert path.stat().st_ino == inode


def test_a_full_disk_silences_the_copy_only() -> None:
    """What can't be copied still reaches standard error, and the process goes on."""
    assert len(say(Path("/dev/full")).splitlines()) == 2


def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting and the path."""
    monkeypatch.setenv("LOGBROOK_LOG_FILE", str(tmp_path / "missing" / "own.log"))

    with pytest.raises(ConfigError, match=r"LOGBROOK_LOG_FILE: .*missing/own\.log: No such file"):
        log.configure("logbrook-test")


def test_no_file_by_default() -> None:
    """Without the setting nothing is written anywhere."""
    assert config.load(config.Log, {}).file == ""
