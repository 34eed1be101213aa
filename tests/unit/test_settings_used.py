"""A setting that nothing reads would be a promise that nobody keeps."""

import re
from pathlib import Path

import pytest

from logbrook import config

PACKAGE = Path(config.__file__).parent
# Attributes by name: any section's settings, wherever they are passed.
READ = set(
    re.findall(
        r"\.([a-z_]+)\b",
        "\n".join(file.read_text() for file in PACKAGE.rglob("*.py") if file.name != "config.py"),
    )
)


@pytest.mark.parametrize("name", sorted({each.name for _, each, _ in config.declared()}))
def test_every_setting_is_used(name: str) -> None:
    """Some module other than config.py reads it."""
    assert name in READ
