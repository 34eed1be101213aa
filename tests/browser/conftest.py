"""A real browser on the explorer: Debian's Chromium, headless, driven by its own driver."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader, database, shared_database

__all__ = ["database", "shared_database"]

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900",
)  # fmt: skip


@pytest.fixture
def service(clickhouse: ClickHouseServer, database: config.ClickHouse) -> Iterator[door.Door]:
    """The service over a fresh database, quick to show what arrives, with saved views."""
    query = config.Query(tail_poll_seconds=0.1, views_password=clickhouse.views_password)
    with door.serving(query, as_reader(clickhouse, database)) as served:
        yield served


def started(profile: Path, *flags: str) -> webdriver.Chrome:
    """A browser with an empty profile. FileNotFoundError where no Chromium is installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        raise FileNotFoundError("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile. Skips, by name, where no Chromium is installed."""
    try:
        found = started(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield found
    found.quit()
