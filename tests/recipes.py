"""docs/sources/recipes.md: its blocks by heading, and the programs that run them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from native import ports
from tests.components import REPOSITORY, until

PAGE = (REPOSITORY / "docs/sources/recipes.md").read_text()
BLOCKS: dict[str, str] = {
    f"{heading} {number}" if number else heading: text
    for heading, section in re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    for number, text in enumerate(re.findall(r"^```\w+\n(.*?)^```$", section, re.M | re.S))
}


@contextmanager
def rsyslog(directory: Path, actions: str) -> Iterator[int]:
    """A real rsyslog with these actions; the port on which it takes syslog."""
    if shutil.which("rsyslogd") is None or not list(Path("/usr/lib").glob("*/rsyslog/omkafka.so")):
        pytest.skip("needs rsyslog with omkafka: apt-get install rsyslog rsyslog-kafka")
    [port] = ports.free(1)
    configuration, log = directory / "rsyslog.conf", directory / "rsyslog.log"
    configuration.write_text(
        f'global(workDirectory="{directory}")\nmodule(load="imtcp")\n'
        f'input(type="imtcp" address="127.0.0.1" port="{port}")\n{actions}'
    )
    command = ["rsyslogd", "-n", "-f", str(configuration), "-i", str(directory / "pid")]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until(lambda: not ports.is_free(port))
            yield port
        finally:
            process.terminate()
    assert "error" not in log.read_text(), log.read_text()
