"""The explorer's export: a whole file, with its progress, or none."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from bench import query
from logbrook import config
from tests.browser.test_explorer import one, open_page, recent, texts, wait
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import Door, store

EVENTS = 2000


def opened(browser: Chrome, service: Door, saved: Path) -> None:
    """Open the page with the last hour, in a browser that saves to this directory."""
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)})
    open_page(browser, service, **{"from": "1h"})
    wait(browser, lambda: texts(browser, "#legend strong") == [f"{EVENTS:,} events"])


@pytest.fixture
def page(browser: Chrome, service: Door, database: config.ClickHouse, tmp_path: Path) -> Chrome:
    """The page over events that have line ends and quotation marks."""
    store(database, [recent(offset, f'GET "/{offset}"\n  at line {offset}', 60 + offset) for offset in range(EVENTS)])
    opened(browser, service, tmp_path / "saved")
    return browser


def export(page: Chrome, name: str) -> None:
    """Choose it in the menu."""
    one(page, "#more").click()
    [item] = [each for each in page.find_elements("css selector", "#actions .choice") if each.text == name]
    item.click()


def slow_down(page: Chrome, bytes_per_second: int) -> None:
    """From now on the page's network is no faster."""
    page.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": False, "latency": 0, "uploadThroughput": -1, "downloadThroughput": bytes_per_second}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


@pytest.mark.parametrize("name", ["ndjson", "csv"])
def test_the_file_has_all_matches(page: Chrome, tmp_path: Path, name: str) -> None:
    """Each match once; the count at the end is that of events, whatever line ends and quotation marks they have."""
    export(page, f"Export as {name.upper()}")
    wait(page, lambda: one(page, "#toast").text == f"{EVENTS:,} events exported")
    file = tmp_path / f"saved/logs.{name}"
    wait(page, file.exists)

    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines)) if name == "csv" else [json.loads(line) for line in lines]

    assert {row["body"] for row in rows} == {f'GET "/{offset}"\n  at line {offset}' for offset in range(EVENTS)}
    assert len(rows) == EVENTS
    assert not page.find_elements("css selector", ".export")


def test_progress_is_shown_and_can_be_given_up(page: Chrome, tmp_path: Path) -> None:
    """How many of how many events arrived; a second export has to wait; Cancel leaves no file."""
    slow_down(page, 50_000)
    export(page, "Export as NDJSON")
    wait(page, lambda: f"of about {EVENTS:,} events ·" in one(page, ".export").text)
    value = page.execute_script("return document.querySelector('.export progress').value")
    assert 0 < value < EVENTS

    export(page, "Export as CSV")
    wait(page, lambda: one(page, "#toast").text == "Another export is still running")

    one(page, ".export button").click()
    wait(page, lambda: one(page, "#toast").text == "The export was cancelled")
    assert not page.find_elements("css selector", ".export")
    assert not list(tmp_path.glob("saved/*"))


def test_a_running_export_is_for_everybody(page: Chrome, axe: Callable[..., list[str]]) -> None:
    """axe-core finds nothing serious; after Cancel, the focus is not lost."""
    slow_down(page, 50_000)
    export(page, "Export as NDJSON")
    wait(page, lambda: f"of about {EVENTS:,} events ·" in one(page, ".export").text)
    assert axe() == []

    one(page, ".export button").send_keys(Keys.ENTER)
    assert page.execute_script("return document.activeElement.id") == "more"


def test_an_export_behind_stages_has_the_events(page: Chrome, service: Door, tmp_path: Path) -> None:
    """The menu says so: the counts are what the page shows, and their events are what is exported."""
    open_page(page, service, **{"from": "1h", "query": "| stats count by service"})
    wait(page, lambda: texts(page, ".counts td"))
    export(page, "Export the events as NDJSON")
    wait(page, lambda: one(page, "#toast").text == f"{EVENTS:,} events exported")
    wait(page, (tmp_path / "saved/logs.ndjson").exists)


def test_a_broken_connection_saves_no_half_of_a_file(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse, tmp_path: Path
) -> None:
    """The page says that nothing was saved, and why, until the message is closed; then another can begin."""
    # More than what the system holds for a connection.
    store(database, [recent(offset, f"{offset} " * 4000, 60 + offset) for offset in range(EVENTS)])
    with query.api(as_reader(clickhouse, database)) as client:
        opened(browser, Door(str(client.base_url), client), tmp_path / "saved")
        slow_down(browser, 1_000_000)
        export(browser, "Export as NDJSON")
        wait(browser, lambda: f"of about {EVENTS:,} events ·" in one(browser, ".export").text)
        [process] = [each for each in psutil.Process().children() if "logbrook" in each.cmdline()]
        process.kill()

    wait(browser, lambda: "nothing was saved: the server or the connection broke off" in one(browser, ".export").text)
    assert not list(tmp_path.glob("saved/*"))

    one(browser, ".export button").click()
    export(browser, "Export as CSV")
    wait(browser, lambda: "nothing was saved: The server can't be reached" in one(browser, ".export").text)
