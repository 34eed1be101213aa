"""The shell commands of the documentation, as they are written, on a stack that runs.

A block that can't be run here has a comment above it, which does not show: `<!-- not run: REASON -->`; a page of which
none can has `<!-- commands not run: REASON -->`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.components import REPOSITORY
from tests.e2e.pipeline import Pipeline, eventually

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n+)?^ *```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S)
_SHELLS = ("sh", "bash", "shell", "console")


class Block(NamedTuple):
    """A fenced block of commands, and why it is not run, if so."""

    place: str
    text: str
    why: str


def blocks(page: Path) -> list[Block]:
    """The commands of a page."""
    text = page.read_text()
    whole = re.search(r"<!-- commands not run: ([^>]+) -->", text)
    found = []
    for block in _BLOCK.finditer(text):
        if block["kind"] in _SHELLS:
            place = f"{page.relative_to(REPOSITORY)}:{text.count(chr(10), 0, block.start('kind')) + 1}"
            commands = re.sub(r"^\$ ", "", block["text"], flags=re.M)
            found.append(Block(place, commands, block["why"] or (whole[1] if whole else "")))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
START = "docs/getting-started.md"


@pytest.fixture(scope="module")
def shell(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like the repository's after `make local-up`: with its .env and .venv."""
    directory = tmp_path_factory.mktemp("checkout")
    (directory / ".venv").symlink_to(sys.prefix)
    clickhouse = pipeline.clickhouse
    variables = {
        "LOGBROOK_TOKEN": pipeline.token,
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka.bootstrap_servers,
        "LOGBROOK_CLICKHOUSE_PORT": clickhouse.port,
        "LOGBROOK_CLICKHOUSE_USERNAME": "logbrook",
        "LOGBROOK_CLICKHOUSE_PASSWORD": clickhouse.password,
        "LOGBROOK_QUERY_URL": pipeline.query_url,
    }
    (directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return directory


def run(block: Block, shell: Path, pipeline: Pipeline) -> str:
    """What it prints. The stack's ports take the place of the page's, and a few events that of a million."""
    moved = {
        "http://127.0.0.1:4318": pipeline.gateway_url,
        "127.0.0.1:8123": f"127.0.0.1:{pipeline.clickhouse.port}",
        "--count 1000000": "--count 100",
    }
    script = "set -a; . ./.env; set +a\n" + block.text
    for page, here in moved.items():
        script = script.replace(page, here)
    environ = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "HOME": str(shell), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=shell, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_what_runs_the_others_exists() -> None:
    """Each test that a reason names is there."""
    named = {name for block in BLOCKS for name in re.findall(r"tests/[\w/]+(?:\.py)?", block.why)}
    assert named
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


def test_getting_started(pipeline: Pipeline, shell: Path) -> None:
    """Everything on the page, in its order: what was sent is found, in the query language and in SQL."""
    position = pipeline.position()
    sent, found = 0, ""
    for block in (each for each in BLOCKS if each.place.startswith(START) and not each.why):
        if "search" in block.text:
            eventually(lambda: position.query("SELECT count() FROM events WHERE Body = 'card declined'"), "1\n")
        said = run(block, shell, pipeline)
        sent += "ingest" in block.text
        found += said if "search" in block.text or "SELECT" in block.text else ""
    assert sent == 1
    assert found.count("card declined") >= 1
    assert "Row 1:" in found


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if not block.why and not block.place.startswith(START)],
    ids=lambda block: block.place,
)
def test_a_command_of_the_docs(block: Block, pipeline: Pipeline, shell: Path) -> None:
    """It works as it is written, and has something to say."""
    assert run(block, shell, pipeline)
