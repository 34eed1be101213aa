"""docs/sources: its recipes by page and heading, mutants of them, and the matrix of what came of them.

UPDATE_MATRIX=1 writes what tests see into docs/sources/matrix.md; otherwise they compare.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from logbrook.gateway.app import FORMATS
from native import ports
from tests.components import REPOSITORY, until

PAGES = REPOSITORY / "docs/sources"
MATRIX = PAGES / "matrix.md"


def _blocks() -> Iterator[tuple[str, str]]:
    for page in sorted(PAGES.glob("*.md")):
        for section in re.split(r"^(?=##+ )", page.read_text(), flags=re.M):
            heading = re.match(r"##+ (.+)", section)
            name = f"{page.stem}: {heading[1]}" if heading else page.stem
            for number, text in enumerate(re.findall(r"^```\w*\n(.*?)^```$", section, re.M | re.S)):
                yield (f"{name} {number}" if number else name), text


# By page and heading; what stands above a page's headings has the page's name alone.
BLOCKS = dict(_blocks())
_TOKEN = r"\$\{?(?:env:)?LOGBROOK_TOKEN\}?|os\.environ\[\"LOGBROOK_TOKEN\"\]|\bTOKEN\b|logbrook-token\b"
_PATHS = "|".join(re.escape(path[1:]) for each in FORMATS for path in (each.path, *each.also))
# What of a recipe is replaced, and by what: a port or a host where nobody is, a path that nobody serves, no token.
MUTATIONS = {
    "address": (
        r"(?<=127\.0\.0\.1:)\d+|(?<=\bport: )\d+|(?<=\bport=\")\d+|(?<=logs\.example\.)org|(?<=GATEWAY_)URL\b",
        "1",
    ),
    "path": (rf"(?<=/)(?:{_PATHS})\b", "else"),
    "token": (_TOKEN, "'wrong'"),
}


def mutants(block: str, form: tuple[str, str] | None) -> dict[str, str]:
    """The mutants of a recipe, by what is changed; `form` is what says in which form it sends, and another form."""
    found = {name: re.sub(pattern, text, block) for name, (pattern, text) in MUTATIONS.items()}
    if form is not None:
        found["form"] = block.replace(*form)
        assert found["form"] != block, form
    return {name: text for name, text in found.items() if text != block}


def record(name: str, *cells: object) -> None:
    """What a test saw of a recipe stands in its row of the matrix."""
    stem, _, heading = name.partition(": ")
    anchor = re.sub(r"[^\w\- ]", "", re.sub(r" (?:\d+|\(.*\))$", "", heading)).lower().replace(" ", "-")
    link = f"[{name}]({stem}.md{f'#{anchor}' if anchor else ''})"
    row = f"| {link} | " + " | ".join(str(cell) for cell in cells) + " |"
    if os.environ.get("UPDATE_MATRIX"):
        lines = [line for line in MATRIX.read_text().splitlines() if not line.startswith(f"| {link} |")]
        rows = sorted([line for line in lines if line.startswith("| [")] + [row])
        above = [line for line in lines if not line.startswith("| [")]
        MATRIX.write_text("\n".join(above + rows) + "\n")
    assert row in MATRIX.read_text().splitlines(), "run it with UPDATE_MATRIX=1"


def recorded() -> set[str]:
    """The names of the matrix's rows."""
    return set(re.findall(r"^\| \[(.+?)\]\(", MATRIX.read_text(), re.M))


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
