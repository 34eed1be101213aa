"""docs/gateway.md and docs/sources say what the gateway does."""

import re
from pathlib import Path

import pytest
import yaml

from logbrook import config, connection
from logbrook.gateway.app import App
from logbrook.gateway.formats import otlp
from logbrook.tokens import issue
from tests.gateway.door import Door

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/gateway.md").read_text()
SOURCES = (REPOSITORY / "service/logbrook/gateway").rglob("*.py")
ERROR = re.compile(r'(?:RejectedError|UnavailableError)\(\s*(\d{3}),\s*"(\w+)"')
ERRORS = sorted({found for source in SOURCES for found in ERROR.findall(source.read_text())})


@pytest.mark.parametrize(("status", "code"), ERRORS)
def test_every_error_is_explained(status: str, code: str) -> None:
    """Each code is in the table of errors, in a line with its status."""
    assert any(line.startswith(f"| {status} |") and f"`{code}`" in line for line in PAGE.splitlines())


def test_every_path_is_explained(door: Door) -> None:
    """The page has each path with its method."""
    for path, (methods, _) in door.app._routes.items():
        for method in set(methods) - {"HEAD", "OPTIONS"}:
            assert f"`{method} {path}`" in PAGE


@pytest.mark.parametrize("recipe", sorted((REPOSITORY / "docs/sources").glob("*.md")), ids=lambda path: path.stem)
def test_recipes_send_to_paths_that_exist(recipe: Path, door: Door) -> None:
    """Each address on a page of docs/sources is one of the gateway's, or its root, to which a client adds the rest."""
    for address in re.findall(r"https?://(?:logs\.example\.org|127\.0\.0\.1:4318)[^\s\"',\])}]*", recipe.read_text()):
        path = re.sub(r"^https?://[^/]+|\?.*$", "", address)
        assert path in ("", *door.app._routes), address
    for block in re.findall(r"```yaml\n(.*?)```", recipe.read_text(), re.DOTALL):
        assert yaml.safe_load(block), block


def test_settings_that_the_page_names_exist() -> None:
    """No name on the page is out of date."""
    named = set(re.findall(r"LOGBROOK_GATEWAY_\w+", PAGE))

    assert named
    assert named <= config.KNOWN


def test_the_limits_on_the_page_are_the_ones_in_the_code() -> None:
    """Numbers that are no settings."""
    assert f"more than {otlp.MAX_ATTRIBUTES:,} attributes" in PAGE
    assert f"nested more than {otlp.MAX_DEPTH} deep" in PAGE
    head = f"{connection.MAX_HEAD_BYTES // 1024} KiB and take at most {connection.HEAD_TIMEOUT_SECONDS:g} s"
    assert head in PAGE


def test_a_token_works_as_the_page_says() -> None:
    """What `logbrook token` prints is what the gateway takes."""
    made = issue("shop")
    door = Door.open(config.Gateway(tokens=made.entry))

    assert isinstance(door.app, App)
    assert door.ingest(b"x", authorization=f"Bearer {made.token}").status_code == 200
