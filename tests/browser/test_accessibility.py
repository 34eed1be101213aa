"""The explorer for everybody: axe-core finds nothing serious, and keys alone reach everything."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from logbrook import config, health
from tests.browser.test_explorer import TRACE, messages, one, open_page, page, press, recent, shop, state, texts, wait
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader
from tests.query.door import Door, store

__all__ = ["page"]

ALERT = {"rule": "Shop", "group": {}, "severity": "warning", "firing": True, "since": "2026-01-01T00:00:00Z"}
ALERTS = {
    "rules": [
        {
            "name": "Shop", "query": "charge failed", "condition": "count > 2", "severity": "warning", "matches": 3,
            "evaluated_until": None,
        },
    ],
    "firing": [ALERT | {"description": "charge failed: 3", "link": "http://127.0.0.1/?query=charge"}],
    "history": [
        {"at": "2026-01-01T00:00:00Z", "rule": "Shop", "group": {}, "what": "fired", "link": "http://127.0.0.1/?query=charge"}
    ],
}  # fmt: skip


@pytest.fixture
def everything(clickhouse: ClickHouseServer, database: config.ClickHouse) -> Iterator[Door]:
    """The service with views, alerts, and events of every level, some of them long."""
    levels = [
        recent(1000 + number, f"level {number} " + "long " * 100, 5, SeverityNumber=number, SeverityText="")
        for number in (0, 1, 5, 9, 13, 17, 21)
    ]
    many = {f"field{number}": str(number) for number in range(20)} | {"took_ms": "3.2"}
    body = '{"a": [1, 2]}' + " \u202e" + "\x1b[31mline\x1b[0m\n" * 80
    traced = recent(2001, "many fields", 3, LogAttributes=many, TraceId=TRACE)
    store(database, [*shop(), *levels, recent(2000, body, 4), traced])
    evaluator = health.serve(
        "127.0.0.1", 0, lambda: None, lambda: None, {"/alerts": lambda: json.dumps(ALERTS).encode()}
    )
    query = config.Query(
        views_password=clickhouse.views_password, alerts_url=f"http://127.0.0.1:{evaluator.server_port}"
    )
    with door.serving(query, as_reader(clickhouse, database)) as served:
        yield served
    evaluator.shutdown()
    evaluator.server_close()


def until(browser: Chrome, selector: str, beginning: str = "") -> None:
    """Wait until the first element that fits has a text that begins so."""
    wait(browser, lambda: texts(browser, selector)[0].startswith(beginning))


def drawer(browser: Chrome, service: Door) -> Iterator[str]:
    """The list with a selected event, and each tab of the drawer."""
    open_page(browser, service, query="trace_id:*")
    wait(browser, lambda: len(messages(browser)) == 4)
    yield "events"
    press(browser, "j")
    press(browser, "o")
    wait(browser, lambda: texts(browser, "#drawer dt"))
    yield "event"
    for label, selector in (("Around it", ".here"), ("Trace", ".trace")):
        browser.find_element(By.XPATH, f"//aside[@id='drawer']//button[text()='{label}']").click()
        until(browser, f"#drawer {selector}")
        yield label
    open_page(browser, service, view="patterns", sort="-level")
    wait(browser, lambda: texts(browser, ".list .button"))
    browser.execute_script("document.querySelector('.list .button').click()")
    wait(browser, lambda: texts(browser, "#drawer dt"))
    yield "example"
    open_page(browser, service, event="1000000000000000000.1.1.0.tests")
    wait(browser, lambda: "no longer stored" in texts(browser, "#drawer .nothing")[0])
    yield "expired"


def menus(browser: Chrome, service: Door) -> Iterator[str]:
    """What opens on the page: menus, suggestions, and dialogs."""
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) > 10)
    yield "all levels"
    for name in ("more", "time"):
        one(browser, f"#{name}").click()
        yield name
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    for key, title in (("?", "Help"), ("s", "Saved views"), ("c", "Columns and rows")):
        press(browser, key)
        until(browser, "#dialog[open] h2", title)
        yield title
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    for script, title in (
        ("document.querySelector('#facets > .note').click()", "Values of a field"),
        (
            "document.querySelector('#more').click(); document.querySelectorAll('#actions button')[3].click()",
            "An alert",
        ),
    ):
        browser.execute_script(script)
        until(browser, "#dialog[open] h2", title)
        yield title
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    one(browser, "#query").send_keys("serv")
    wait(browser, lambda: texts(browser, "#suggestions .label"))
    yield "suggestions"
    one(browser, "#query").clear()
    one(browser, "#query").send_keys("level>=loud", Keys.ENTER)
    wait(browser, lambda: one(browser, "#problem").is_displayed())
    yield "a mistake"


def views(browser: Chrome, service: Door) -> Iterator[str]:
    """Each view, and what the list can be."""
    shown = (
        ({"view": "patterns", "compare": "before"}, ".trend"),
        ({"view": "services"}, ".list .name"),
        ({"view": "health"}, ".health .fact"),
        ({"view": "alerts"}, ".alerts .bad"),
        ({"query": "| stats count by service"}, ".counts td"),
        ({"query": "| timechart 5m count by level", "scale": "log"}, ".counts path"),
        ({"query": "| timechart 5m count by level | sort -count", "as": "table"}, ".counts .link"),
        ({"query": "service:(cart OR checkout)", "sort": "time"}, "#facets .included"),
        ({"query": "| stats count"}, ".counts .fact"),
        ({"query": "-service:cart nothing like it"}, ".empty h2"),
        ({"query": "-service:cart", "wrap": "1", "live": "1", "compare": "day"}, ".row"),
    )
    for parameters, selector in shown:
        open_page(browser, service, **parameters)
        until(browser, selector)
        until(browser, "#facets .note")
        yield str(parameters)


def prefer(browser: Chrome, scheme: str) -> None:
    """Show the page light or dark, without movement."""
    preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in preferred.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.mark.parametrize("walk", [drawer, menus, views])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing_serious(
    browser: Chrome,
    everything: Door,
    axe: Callable[..., list[str]],
    walk: Callable[[Chrome, Door], Iterator[str]],
    width: int,
) -> None:
    """On each view, dialog, and menu, at a desk and on a phone; of the dark theme, its colors at a desk."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 720}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    prefer(browser, "light")

    found = {}
    for name in walk(browser, everything):
        found[name] = axe()
        if width > 720:
            prefer(browser, "dark")
            found[f"{name}, dark"] = axe("color-contrast")
            prefer(browser, "light")

    assert {name: bad for name, bad in found.items() if bad} == {}


def focused(browser: Chrome, ask: str = "textContent") -> object:
    """A property of what has the focus."""
    return browser.execute_script(f"return document.activeElement.{ask}")


def keys(browser: Chrome, *pressed: str) -> None:
    """Press keys, wherever the focus is."""
    ActionChains(browser).send_keys(*pressed).perform()


def test_an_event_is_read_with_keys_alone(page: Chrome) -> None:
    """Keys select, open, go through the drawer and its tabs, and come back to the list; j opens the next event."""
    keys(page, "j", "j", Keys.ENTER)
    wait(page, lambda: one(page, "#drawer pre").text == messages(page)[1])
    assert focused(page, "getAttribute('aria-activedescendant')") == "row-1"
    assert texts(page, "#row-1 .message") == [messages(page)[1]]
    keys(page, "j")
    wait(page, lambda: one(page, "#drawer pre").text == messages(page)[2])

    keys(page, Keys.TAB)
    assert focused(page) == "Time"
    keys(page, Keys.ARROW_RIGHT)
    assert focused(page) == "Level"
    keys(page, Keys.TAB)
    assert focused(page) == "Event"
    keys(page, Keys.ARROW_RIGHT, Keys.ENTER)
    wait(page, lambda: texts(page, "#drawer .here"))
    assert focused(page) == "Around it"
    assert focused(page, "ariaSelected") == "true"
    page.execute_script("document.querySelector('#drawer .lines button').focus()")
    keys(page, Keys.ENTER)
    wait(page, lambda: texts(page, "#drawer dt"))
    assert focused(page) == "Event"
    keys(page, Keys.ESCAPE)
    wait(page, lambda: not one(page, "#drawer").is_displayed())
    assert focused(page, "getAttribute('role')") == "grid"


def test_menus_and_tabs_have_arrow_keys(page: Chrome) -> None:
    """Down, Up, Home, and End go through a menu, Tab leaves and closes it; Left and Right go through the views."""
    one(page, "#more").send_keys(Keys.ENTER)
    wait(page, lambda: focused(page) == "Copy link")
    keys(page, Keys.ARROW_DOWN)
    assert focused(page) == "Saved views …"
    keys(page, Keys.END)
    assert focused(page) == "Help and keys"
    keys(page, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.HOME)
    assert focused(page) == "Copy link"
    keys(page, Keys.TAB)
    wait(page, lambda: not one(page, "#actions").is_displayed())

    page.execute_script("document.querySelector('#view-events').focus()")
    keys(page, Keys.ARROW_RIGHT, Keys.ENTER)
    wait(page, lambda: state(page).get("view") == "patterns")
    assert focused(page, "tabIndex") == 0
    assert page.execute_script("return document.querySelectorAll('#views [tabindex=\"0\"]').length") == 1


def test_patterns_and_services_lead_to_events_with_keys(page: Chrome) -> None:
    """Enter on a pattern or a service shows its events, and opens none of them."""
    press(page, "2")
    wait(page, lambda: len(texts(page, ".list .link")) == 2)
    page.execute_script("document.querySelectorAll('.list .link')[1].focus()")
    keys(page, Keys.ENTER)
    wait(page, lambda: messages(page) and all(each.startswith("charge failed") for each in messages(page)))
    press(page, "3")
    wait(page, lambda: texts(page, ".list .link") == ["checkout"])
    page.execute_script("document.querySelector('.list .link').focus()")
    keys(page, Keys.ENTER)
    wait(page, lambda: state(page).get("query", "").endswith("service:checkout"))
    wait(page, lambda: messages(page))
    time.sleep(0.5)
    assert "event" not in state(page)
    assert not one(page, "#drawer").is_displayed()
