"""A real browser on the explorer: Debian's Chromium, headless, driven by its own driver."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader, database, shared_database

__all__ = ["database", "shared_database"]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900",
    "--force-prefers-reduced-motion",
)  # fmt: skip


@pytest.fixture
def service(clickhouse: ClickHouseServer, database: config.ClickHouse) -> Iterator[door.Door]:
    """The service over a fresh database, quick to show what arrives, with saved views."""
    query = config.Query(tail_poll_seconds=0.1, views_password=clickhouse.views_password)
    with door.serving(query, as_reader(clickhouse, database)) as served:
        yield served


def started(profile: Path, *flags: str) -> webdriver.Chrome:
    """A browser with an empty profile. FileNotFoundError where no Chromium is installed.

    The shell is Chromium without its own windows, which take as much processor time as the page.
    """
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        raise FileNotFoundError("no browser: apt-get install chromium-headless-shell chromium-driver")
    # The driver waits for a page, and the shell opens none by itself.
    program = profile / "chromium"
    program.write_text(f'#!/bin/sh\nexec {chromium} "$@" about:blank\n')
    program.chmod(0o755)
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for flag in (*_FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


_AXE = Path(__file__).parents[1] / "tools/explorer/node_modules/axe-core/axe.min.js"
_RUN_AXE = """
const [rules, done] = arguments;
const found = axe.run(document, { resultTypes: ["violations"], ...(rules.length && { runOnly: rules }) });
found.then((result) => done(result.violations), (error) => done(String(error)));
"""


@pytest.fixture
def axe(browser: webdriver.Chrome) -> Callable[..., list[str]]:
    """What axe-core finds wrong with the page, serious or critical, by all rules or by those that are named.

    Skips, by name, where it is not installed.
    """
    if not _AXE.exists():
        pytest.skip("needs axe-core: apt-get install npm, then `make tools`")
    source = _AXE.read_text()

    def found(*rules: str) -> list[str]:
        if not browser.execute_script("return Boolean(window.axe)"):
            browser.execute_script(source)
        # What is waited for is dimmed.
        WebDriverWait(browser, 60).until(lambda _: not browser.find_elements(By.CSS_SELECTOR, "body.busy"))
        violations = browser.execute_async_script(_RUN_AXE, rules)
        assert isinstance(violations, list), violations
        bad = [each for each in violations if each["impact"] in ("serious", "critical")]
        return [
            f"{each['id']}: {node['html'][:200]}: {node['failureSummary']}" for each in bad for node in each["nodes"]
        ]

    return found


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The one browser. Skips, by name, where no Chromium is installed."""
    try:
        found = started(tmp_path_factory.mktemp("profile"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield found
    found.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> webdriver.Chrome:
    """The browser with one new window, and nothing in its log.

    What a page has stored belongs to its address, and each test's service has a port of its own.
    """
    former = chromium.window_handles
    chromium.switch_to.new_window("window")
    new = chromium.current_window_handle
    for handle in former:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(new)
    # A window that is not the first has no focus of its own.
    chromium.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    chromium.set_window_size(1400, 900)
    chromium.get_log("browser")  # type: ignore[no-untyped-call]
    return chromium
