"""The explorer in a real browser: what a user does, and that a hostile log line does nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from logbrook import config, health
from logbrook.alert.rules import parse
from logbrook.alert.show import shows
from tests.alert.test_evaluator import evaluating, failure
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader
from tests.query.door import Door, event, store
from tests.query.test_completeness import report

PATIENCE = 60
TRACE = "0af7651916cd43dd8448eb211c80319c"


def recent(offset: int, body: str, seconds_ago: float, **fields: object) -> dict[str, object]:
    """An event of not long ago."""
    return event(offset, body, Timestamp=f"{time.time() - seconds_ago:.6f}", **fields)


def shop(count: int = 300) -> list[dict[str, object]]:
    """Half an hour of two services, every tenth event an error that belongs to a trace."""
    return [
        recent(
            offset,
            f"charge failed for order {offset}" if offset % 10 == 0 else f"request {offset} served",
            (count - offset) * 6 + 10,
            ServiceName=("checkout", "cart")[offset % 2],
            SeverityNumber=17 if offset % 10 == 0 else 9,
            SeverityText="ERROR" if offset % 10 == 0 else "INFO",
            TraceId=TRACE if offset % 100 == 0 else "",
            LogAttributes={"http.status_code": "500" if offset % 10 == 0 else "200", "user.id": f"user-{offset % 4}"},
            ResourceAttributes={"host.name": f"web-{offset % 2}"},
        )
        for offset in range(count)
    ]


def open_page(browser: Chrome, service: Door, **state: str) -> None:
    """Load the page in a state, as its URL says it.

    Chromium gives up what it is loading when a network interface comes or goes, as with containers that others start.
    The page is then loaded again. Of a file that was given up halfway, the status is 200, but no script has run.
    """
    for _ in range(10):  # what is still broken then is the page itself, as the test will say
        browser.get(f"{service.url}/?{urlencode(state)}")
        came = all(each["initiatorType"] == "fetch" or each["responseStatus"] for each in resources(browser))
        if came and browser.find_elements(By.CSS_SELECTOR, "#views > *"):
            return


def resources(browser: Chrome) -> list[dict[str, Any]]:
    """What the page has loaded and asked for, with the status of the answer: 0 if none came."""
    return list(browser.execute_script("return performance.getEntriesByType('resource').map((each) => each.toJSON())"))


def wait(browser: Chrome, condition: Callable[[], object]) -> None:
    """Wait until it is so, while the page redraws itself; if it never is, say what the page shows instead."""
    try:
        WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: condition())
    except TimeoutException:
        page, console = one(browser, "body").text[:2000], log_of(browser)
        raise AssertionError(f"not in {PATIENCE} s; the page: {page}; its console: {console}") from None


def one(browser: Chrome, selector: str) -> WebElement:
    """The one element that fits."""
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: Chrome, selector: str) -> list[str]:
    """The texts of all elements that fit, at one moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)"
    return list(browser.execute_script(script, selector))


def messages(browser: Chrome) -> list[str]:
    """The messages in sight, from the top."""
    return texts(browser, ".row .message")


def state(browser: Chrome) -> dict[str, str]:
    """What the URL says."""
    return {name: given[0] for name, given in parse_qs(urlsplit(browser.current_url).query).items()}


def type_query(browser: Chrome, text: str) -> None:
    """Replace the query and search for it."""
    box = one(browser, "#query")
    box.clear()
    box.send_keys(text, Keys.ENTER)


def log_of(browser: Chrome) -> list[dict[str, str]]:
    """What the browser has written to its console since it was last asked."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


@pytest.fixture
def page(browser: Chrome, service: Door, database: config.ClickHouse) -> Chrome:
    """The page with the shop's events, loaded."""
    store(database, shop())
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) > 20)
    return browser


def test_a_typed_query_narrows_everything(page: Chrome) -> None:
    """A query typed and entered narrows the list, the chart and the filters, and is in the URL."""
    type_query(page, 'level>=error "charge failed"')

    wait(page, lambda: all(message.startswith("charge failed") for message in messages(page)))
    wait(page, lambda: texts(page, "#legend strong") == ["30 events"])
    wait(page, lambda: "error" in texts(page, "#facets .text") and "info" not in texts(page, "#facets .text"))
    assert state(page) == {"query": 'level>=error "charge failed"'}
    assert set(texts(page, ".row mark")) == {"charge failed"}

    type_query(page, "service:(cart OR served) request")
    wait(page, lambda: set(texts(page, ".row mark")) == {"request"})


def test_suggestions_complete_fields_and_values(page: Chrome) -> None:
    """Typing offers fields and then their values with counts; Tab takes one."""
    box = one(page, "#query")
    box.send_keys("serv")
    wait(page, lambda: "service" in texts(page, "#suggestions .label"))
    box.send_keys(Keys.TAB)
    box.send_keys("ca")
    wait(page, lambda: texts(page, "#suggestions .label") == ["cart"])
    box.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    box.send_keys(Keys.ENTER)

    wait(page, lambda: state(page).get("query", "").strip() == "service:cart")
    wait(page, lambda: set(texts(page, ".row .service")) == {"cart"})


def test_suggestions_never_run_or_change_what_was_not_meant(page: Chrome) -> None:
    """Tab takes no example that was offered before the text; a value keeps its operator, and is one of its group."""
    box = one(page, "#query")
    box.send_keys("")
    wait(page, lambda: "level>=error" in texts(page, "#suggestions .label"))
    box.send_keys("lev", Keys.TAB)
    assert "query" not in state(page)

    box.clear()
    box.send_keys("attr.http.status_code:>=50")
    wait(page, lambda: texts(page, "#suggestions .label") == ["500"])
    box.send_keys(Keys.TAB)
    wait(page, lambda: box.get_property("value") == "attr.http.status_code:>=500 ")
    box.clear()
    box.send_keys("service:(cart OR eck")
    wait(page, lambda: texts(page, "#suggestions .label") == ["checkout"])
    box.send_keys(Keys.TAB)
    wait(page, lambda: box.get_property("value") == "service:(cart OR checkout ")


def test_what_is_typed_counts_before_anything_else(page: Chrome) -> None:
    """A filter at the side, and a view, go with the text in the box, also before Enter; the view before it is gone."""
    one(page, "#query").send_keys("level>=error")
    page.find_element(By.XPATH, "//aside[@id='facets']//button[.//span[text()='cart']]").click()
    wait(page, lambda: state(page).get("query") == "level>=error service:cart")

    one(page, "#query").send_keys(" charge")
    page.find_element(By.XPATH, "//button[text()='Services']").click()
    wait(page, lambda: state(page).get("query") == "level>=error service:cart charge")
    wait(page, lambda: texts(page, ".facts b"))
    time.sleep(1)  # an answer to the view before would be there by now
    assert texts(page, ".facts b")


def test_health_says_what_it_can_without_prometheus(page: Chrome) -> None:
    """Where no Prometheus is configured, the view shows what the API knows, and what to set."""
    page.find_element(By.XPATH, "//button[text()='Health']").click()
    wait(page, lambda: "since the last arrival" in texts(page, ".health .fact span"))
    assert "LOGBROOK_QUERY_PROMETHEUS_URL" in texts(page, ".health .note")[0]


def test_a_mistake_is_marked_where_it_is(page: Chrome) -> None:
    """A query with a mistake says what was expected, and marks the place in the box."""
    type_query(page, "service:cart AND level>=loud")

    wait(page, lambda: texts(page, "#marks .wrong") == ["loud"])
    assert "Expected: one of none, trace, debug" in one(page, "#problem").text
    one(page, "#query").send_keys(Keys.BACKSPACE)
    assert not texts(page, "#marks .wrong")


def test_hints_stand_beside_what_was_found_and_what_was_not(page: Chrome) -> None:
    """How a query was read stands above the events; where there are none, the nearest name of a field."""
    type_query(page, "request or served")
    wait(page, lambda: texts(page, "h2") and "Nothing matches" in texts(page, "h2")[0])
    assert "capitals" in texts(page, ".empty .hints")[0]
    type_query(page, "status_code:200")
    wait(page, lambda: "did you mean `attr.http.status_code`?" in "".join(texts(page, ".empty .hints")))
    type_query(page, "attr.http.status_code:/500/")
    wait(page, lambda: messages(page) and "regular expression" in "".join(texts(page, ".hints")))


def test_a_drag_on_the_chart_zooms_in(page: Chrome) -> None:
    """Dragging over the chart sets the range to what was dragged over; Back returns."""
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "#plot rect"))
    plot = one(page, "#plot")
    width = plot.size["width"]
    drag = ActionChains(page).move_to_element_with_offset(plot, int(width * 0.2), 0).click_and_hold()
    drag.move_by_offset(int(width * 0.1), 0).release().perform()

    wait(page, lambda: state(page).get("to", "").endswith("Z"))
    start, end = state(page)["from"], state(page)["to"]
    assert start < end
    times = "return [...document.querySelectorAll('.row time')].map((each) => each.dateTime.slice(0, 19))"
    wait(page, lambda: page.execute_script(times))
    wait(page, lambda: all(start[:19] <= each <= end[:19] for each in page.execute_script(times)))
    page.back()
    wait(page, lambda: "to" not in state(page))


def test_an_event_opens_with_all_it_has(page: Chrome) -> None:
    """A click opens an event with its attributes; its buttons filter, show what is around it, and its trace."""
    type_query(page, f"trace_id:{TRACE}")
    wait(page, lambda: len(messages(page)) == 3)
    one(page, ".row").click()
    wait(page, lambda: "http.status_code" in texts(page, "#drawer dt"))
    assert one(page, "#drawer pre").text == "charge failed for order 200"
    assert state(page)["event"]

    page.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Lines around it']").click()
    wait(page, lambda: texts(page, "#drawer .here .message") == ["charge failed for order 200"])
    assert len(texts(page, "#drawer .lines li")) > 20
    page.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Trace']").click()
    wait(page, lambda: len(texts(page, "#drawer .trace li")) == 3)

    page.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Event']").click()
    script = "document.querySelector('[aria-label=\"Filter for user.id\"]').click()"
    wait(page, lambda: texts(page, "#drawer dt"))
    page.execute_script(script)
    wait(page, lambda: state(page)["query"] == f"trace_id:{TRACE} attr.user.id:user-0")
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    wait(page, lambda: "event" not in state(page))
    assert not one(page, "#drawer").is_displayed()


def test_keys_select_and_open(page: Chrome) -> None:
    """After a click on a tab, which keeps the focus, j selects the first event, and Enter opens it."""
    page.find_element(By.XPATH, "//button[text()='Events']").click()
    ActionChains(page).send_keys("j", Keys.ENTER).perform()
    wait(page, lambda: texts(page, "#drawer dt"))
    assert one(page, ".row.selected .message").text == one(page, "#drawer pre").text


def test_filters_at_the_side_are_a_click(page: Chrome) -> None:
    """A click on a value filters for it, another takes it back; the minus leaves it out."""
    wait(page, lambda: "cart" in texts(page, "#facets .text"))
    click(page, lambda: facet(page, "cart"))
    wait(page, lambda: set(texts(page, ".row .service")) == {"cart"})
    assert state(page)["query"] == "service:cart"
    wait(page, lambda: facet(page, "cart").get_attribute("aria-pressed") == "true")
    click(page, lambda: facet(page, "cart"))
    wait(page, lambda: "query" not in state(page))
    wait(page, lambda: "cart" in texts(page, "#facets .text"))
    page.execute_script("document.querySelector('[aria-label=\"Filter out cart\"]').click()")
    wait(page, lambda: set(texts(page, ".row .service")) == {"checkout"})


def click(page: Chrome, find: Callable[[], WebElement]) -> None:
    """Click on what is found, while the page redraws itself."""

    def clicked() -> bool:
        find().click()
        return True

    wait(page, clicked)


def facet(page: Chrome, text: str) -> WebElement:
    """The button of a value in the filters."""
    return page.find_element(
        By.XPATH, f"//aside[@id='facets']//button[contains(@class,'value')][.//span[text()='{text}']]"
    )


def test_a_second_value_of_a_field_may_match_as_well(page: Chrome, service: Door) -> None:
    """The other values stay in sight; a click on one adds it with OR, another click takes it out; keys do the same."""
    open_page(page, service, query="level>=info attr.user.id:user-1 request | stats count")
    wait(page, lambda: str(facet(page, "user-3").get_attribute("title")).startswith("Or user-3: "))
    facet(page, "user-3").send_keys(Keys.ENTER)
    wait(page, lambda: "user.id:(user-1 OR user-3) request | stats count" in state(page)["query"])
    wait(page, lambda: facet(page, "user-3").get_attribute("aria-pressed") == "true")
    wait(page, lambda: page.switch_to.active_element.text.startswith("user-3"))
    wait(page, lambda: facet(page, "user-1").get_attribute("aria-pressed") == "true")
    wait(page, lambda: facet(page, "user-0").get_attribute("aria-pressed") == "false")

    click(page, lambda: facet(page, "user-1"))
    wait(page, lambda: state(page)["query"] == "level>=info attr.user.id:user-3 request | stats count")
    wait(page, lambda: facet(page, "user-1").get_attribute("aria-pressed") == "false")
    click(page, lambda: facet(page, "user-3"))
    wait(page, lambda: state(page)["query"] == "level>=info request | stats count")


def test_both_values_are_found(page: Chrome) -> None:
    """From the filters, and from the chart's legend."""
    wait(page, lambda: facet(page, "error").is_displayed())
    click(page, lambda: facet(page, "error"))
    wait(page, lambda: "Or info" in str(facet(page, "info").get_attribute("title")))
    click(page, lambda: facet(page, "info"))
    wait(page, lambda: state(page)["query"] == "level:(error OR info)")
    wait(page, lambda: texts(page, "#legend strong") == ["300 events"])
    page.find_element(By.XPATH, "//div[@id='legend']//button[contains(., 'info')]").click()
    wait(page, lambda: state(page)["query"] == "level:error")
    wait(page, lambda: texts(page, "#legend strong") == ["30 events"])


def test_one_side_of_an_or_is_not_changed(page: Chrome, service: Door) -> None:
    """A filter that is part of a larger expression stays as it is: a value is added to the whole."""
    open_page(page, service, query="service:cart OR level:error")
    wait(page, lambda: facet(page, "user-1").is_displayed())
    click(page, lambda: facet(page, "checkout"))
    wait(page, lambda: state(page)["query"] == "(service:cart OR level:error) service:checkout")


def test_live_tail_follows_and_pauses(page: Chrome, database: config.ClickHouse) -> None:
    """With live on, new events appear at the top; paused, they are counted and wait."""
    type_query(page, "follow")
    wait(page, lambda: texts(page, ".empty h2"))
    one(page, "#live").click()
    wait(page, lambda: one(page, "#live").get_attribute("aria-pressed") == "true" and not texts(page, ".empty h2"))
    store(database, [recent(1000, "follow one", 0), recent(1001, "another", 0)])
    wait(page, lambda: messages(page) == ["follow one"])

    page.find_element(By.TAG_NAME, "body").send_keys("p")
    wait(page, lambda: one(page, ".pill").is_displayed())
    store(database, [recent(1002, "follow two", 0)])
    wait(page, lambda: one(page, ".pill").text.startswith("1 new"))
    assert messages(page) == ["follow one"]
    one(page, ".pill").click()
    wait(page, lambda: messages(page) == ["follow two", "follow one"])
    assert state(page)["live"] == "1"


def test_a_url_shows_the_same_in_a_second_window(page: Chrome) -> None:
    """The URL alone brings a second window to the same query, view and open event."""
    type_query(page, "service:cart level>=error OR order")
    wait(page, lambda: messages(page) and all("order" in message for message in messages(page)))
    first = messages(page)
    one(page, ".row").click()
    wait(page, lambda: texts(page, "#drawer dt"))
    shared = page.current_url

    page.switch_to.new_window("window")
    page.get(shared)

    wait(page, lambda: texts(page, "#drawer dt"))
    wait(page, lambda: messages(page)[:5] == first[:5])
    assert one(page, "#query").get_property("value") == "service:cart level>=error OR order"


def test_the_other_views(page: Chrome) -> None:
    """Patterns group similar lines and lead back to them; services are those of what the query matches."""
    page.find_element(By.TAG_NAME, "body").send_keys("2")
    wait(page, lambda: "request \u2217 served" in texts(page, ".list .message"))
    rows = page.find_elements(By.CSS_SELECTOR, ".list tbody tr")
    next(row for row in rows if "charge" in row.text).click()
    wait(page, lambda: messages(page) and all(message.startswith("charge failed") for message in messages(page)))

    page.find_element(By.TAG_NAME, "body").send_keys("3")
    wait(page, lambda: texts(page, ".list .name") == ["checkout"])
    one(page, "#clear").click()
    wait(page, lambda: texts(page, ".list .name") == ["checkout", "cart"])


def test_a_long_list_keeps_few_rows(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """However many events are scrolled through, only those in sight exist as elements."""
    store(database, [recent(offset, f"line {offset}", 100 + offset / 100) for offset in range(3000)])
    open_page(browser, service)
    wait(browser, lambda: messages(browser))
    bottom = "const it = document.querySelector('.table-body'); it.scrollTop = it.scrollHeight; return it.scrollHeight"

    wait(browser, lambda: browser.execute_script(bottom) > 3000 * 28)
    wait(browser, lambda: "line 2999" in messages(browser))
    assert len(messages(browser)) < 120


def test_a_late_page_is_not_added_to_a_newer_search(page: Chrome) -> None:
    """A page of events that was asked for before another query began is dropped when it arrives."""
    page.execute_script(
        "const ask = window.fetch;"
        "window.fetch = async (url, how) => {"
        "  if (!url.includes('cursor=')) return ask(url, how);"
        "  await new Promise((resolve) => { window.release = resolve; });"
        "  const answer = await ask(url, how);"
        "  window.arrived = true;"
        "  return answer;"
        "};"
        "const list = document.querySelector('.table-body'); list.scrollTop = list.scrollHeight;"
    )
    wait(page, lambda: page.execute_script("return Boolean(window.release)"))
    type_query(page, "level>=error")
    wait(page, lambda: len(messages(page)) == 30)

    page.execute_script("window.release()")
    wait(page, lambda: page.execute_script("return window.arrived"))
    time.sleep(0.5)
    assert len(messages(page)) == 30


HOSTILE = {
    "script": "<script>window.taken=1</script><img src=x onerror='window.taken=1'>",
    "ansi": "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "bidi": "user\u202e gnp.exe\u2066 \u200bhidden",
    "link": "javascript:alert(1)",
}


def test_hostile_lines_stay_text(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """Script tags, escape sequences, reordering characters and megabytes stay text, in list, filters and event."""
    rows = [
        recent(
            offset, body, 10 + offset, ServiceName=HOSTILE["script"], EventName=body,
            LogAttributes={"url": HOSTILE["link"], HOSTILE["script"]: HOSTILE["script"], "page": "https://example.org/a"},
        )
        for offset, body in enumerate(HOSTILE.values())
    ]  # fmt: skip
    rows.append(recent(99, "M" * 3_000_000, 5))
    store(database, rows)
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) == 5)
    shown = messages(browser)

    assert len(shown[0]) < 1000
    assert HOSTILE["script"] in shown
    assert any("·red· ^[]0;title^G" in message for message in shown)
    assert any("U+202E" in message and "\u202e" not in message for message in shown)
    wait(browser, lambda: HOSTILE["script"] in texts(browser, "#facets .text"))
    for row in range(1, 5):
        browser.execute_script(f"document.querySelectorAll('.row')[{row}].click()")
        wait(browser, lambda: texts(browser, "#drawer dt"))
        assert texts(browser, "#drawer a") == ["https://example.org/a"]
    assert browser.execute_script("return window.taken") is None
    assert not browser.find_elements(By.CSS_SELECTOR, "main script, main img, #drawer img")

    type_query(browser, "| stats count by service, event, page, url, body")
    wait(browser, lambda: len(texts(browser, ".counts tr")) == 6)
    assert HOSTILE["script"] in texts(browser, ".counts td")
    assert browser.execute_script("return window.taken") is None
    assert not browser.find_elements(By.CSS_SELECTOR, "main script, main img, .counts a")
    browser.back()
    wait(browser, lambda: len(messages(browser)) == 5)

    browser.execute_script("document.querySelectorAll('.row')[0].click()")
    wait(browser, lambda: "Show all 2.9 MiB" in texts(browser, "#drawer .button"))
    browser.find_element(By.XPATH, "//button[text()='Show all 2.9 MiB']").click()
    length = "return document.querySelector('#drawer pre').textContent.length"
    wait(browser, lambda: browser.execute_script(length) == 3_000_000)


def test_the_page_is_quiet(page: Chrome, service: Door) -> None:
    """Nothing is asked of another host, and the browser has nothing to complain about."""
    for key in "123":
        page.find_element(By.TAG_NAME, "body").send_keys(key)
    wait(page, lambda: texts(page, ".list .name"))

    urls = [each["name"] for each in resources(page)]
    assert urls
    assert not [url for url in urls if not url.startswith((service.url, "data:"))]
    assert not [entry for entry in log_of(page) if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(page: Chrome, scheme: str) -> None:
    """Messages have a contrast of at least 7 to 1 in light and in dark."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    colors = page.execute_script(
        "const style = (selector) => getComputedStyle(document.querySelector(selector));"
        "return [style('.row .message').color, style('.content').backgroundColor]"
    )

    text, back = (luminance(color) for color in colors)

    lighter, darker = max(text, back), min(text, back)
    assert (lighter + 0.05) / (darker + 0.05) >= 7
    assert (text > back) == (scheme == "dark")


def luminance(color: str) -> float:
    """The relative luminance of `rgb(r, g, b)`, by WCAG."""
    parts = [int(part) / 255 for part in color[4:-1].split(", ")]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_works_at_the_width_of_a_phone(page: Chrome, service: Door) -> None:
    """At 390 pixels nothing is wider than the page, filters open on demand, and an event fills the screen; messages are
    shown whatever columns the link has, which come back once there is room.
    """
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    open_page(page, service, columns="time,attr.user.id")
    wait(page, lambda: len(messages(page)) > 5)

    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    assert not one(page, "#facets").is_displayed()
    one(page, "#show-facets").click()
    wait(page, lambda: one(page, ".close-facets").is_displayed())
    one(page, ".close-facets").click()
    page.execute_script("document.querySelector('.row').click()")
    wait(page, lambda: texts(page, "#drawer dt"))
    assert one(page, "#drawer").size["width"] == 390
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    wait(page, lambda: texts(page, ".head > *") == ["Time", "user.id"])


def test_it_shows_until_when_an_answer_is_complete(page: Chrome, service: Door, database: config.ClickHouse) -> None:
    """Quietly while that is now; clearly when events wait, and when nobody knows; a live tail goes on showing it."""
    report(database, {})
    page.refresh()
    wait(page, lambda: texts(page, "#status .detail:last-child")[0].startswith("complete up to "))

    report(database, {"ago": 60, "end": 14_007})
    wait(page, lambda: service.search()["pending_messages"] == 14_000)
    page.refresh()
    wait(page, lambda: texts(page, "#status .late")[0].endswith("; 14,000 messages pending"))

    one(page, "#live").click()
    report(database, {"ago": 60, "at": 60})
    wait(page, lambda: texts(page, "#status .late")[0].startswith("not known to be complete since "))
    report(database, {})
    wait(page, lambda: not texts(page, "#status .late"))


def test_a_query_counts(page: Chrome, service: Door) -> None:
    """Stages show bars, and a table on demand; filters keep them; their SQL can be copied, and answers the same."""
    type_query(page, "level>=error | stats count, uniq(user.id) as users by service")
    wait(page, lambda: texts(page, ".counts th") == ["service", "count", "users"])
    assert texts(page, ".counts td") == ["checkout", "30", "2"]
    assert len(page.find_elements(By.CSS_SELECTOR, ".counts .share")) == 1
    wait(page, lambda: texts(page, "#legend strong") == ["30 events"])

    page.find_element(By.XPATH, "//button[text()='Table']").click()
    wait(page, lambda: texts(page, ".counts td.number") == ["30", "2"])
    assert state(page)["as"] == "table"
    page.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.find_element(By.XPATH, "//button[text()='Copy SQL']").click()
    wait(page, lambda: page.execute_script("return window.copied"))
    assert service.sql(page.execute_script("return window.copied")).json()["rows"] == [["checkout", 30, 2]]

    wait(page, lambda: "web-0" in texts(page, "#facets .text"))
    page.find_element(By.XPATH, "//*[@id='facets']//*[text()='user-2']").click()
    wait(page, lambda: texts(page, ".counts td.number") == ["15", "1"])
    assert state(page)["query"] == "level>=error attr.user.id:user-2 | stats count, uniq(user.id) as users by service"
    one(page, "#live").click()
    wait(page, lambda: state(page)["query"] == "level>=error attr.user.id:user-2" and len(messages(page)) == 15)


def test_counts_over_time_are_lines_or_bars(page: Chrome, database: config.ClickHouse) -> None:
    """A timechart is a line for each group, the largest first, or bars, as the URL says; one row is a figure."""
    store(database, [recent(1000, "the first of all", 3000, SeverityNumber=17)])
    type_query(page, "| timechart 5m count by level")
    wait(page, lambda: texts(page, ".counts .legend .key") == ["info", "error"])
    assert len(page.find_elements(By.CSS_SELECTOR, ".counts path")) == 2
    page.find_element(By.XPATH, "//button[text()='Bars']").click()
    wait(page, lambda: len(page.find_elements(By.CSS_SELECTOR, ".counts rect")) >= 12)
    assert state(page)["as"] == "bar"

    type_query(page, "| stats count, p95(http.status_code)")
    wait(page, lambda: texts(page, ".counts .fact b") == ["301", "500"])
    assert texts(page, ".counts .fact span") == ["count", "p95(http.status_code)"]

    type_query(page, '"charge failed"|stats count')
    wait(page, lambda: texts(page, ".counts .fact b") == ["30"])


def test_a_term_of_a_stage_is_not_a_filter(page: Chrome, service: Door) -> None:
    """What only a stage says does not look as if it were filtered for; a click on it adds it to the filter."""
    open_page(page, service, query="| where service:cart | stats count")
    value = "//aside[@id='facets']//button[contains(@class,'value')][.//span[text()='cart']]"
    wait(page, lambda: page.find_element(By.XPATH, value).get_attribute("aria-pressed") == "false")
    page.find_element(By.XPATH, value).click()
    wait(page, lambda: page.find_element(By.XPATH, value).get_attribute("aria-pressed") == "true")
    assert state(page)["query"] == "service:cart | where service:cart | stats count"


def test_a_term_beside_an_operator_is_not_a_filter(page: Chrome, service: Door) -> None:
    """One of two that OR joins is not taken back by a click, which would leave the OR alone: it is added to both."""
    open_page(page, service, query="level:fatal OR service:cart || -service:checkout")
    value = "//aside[@id='facets']//button[contains(@class,'value')][.//span[text()='cart']]"
    wait(page, lambda: page.find_element(By.XPATH, value).get_attribute("aria-pressed") == "false")
    assert not texts(page, "#facets .out-term")
    page.find_element(By.XPATH, value).click()
    wait(page, lambda: page.find_element(By.XPATH, value).get_attribute("aria-pressed") == "true")
    assert state(page)["query"] == "(level:fatal OR service:cart || -service:checkout) service:cart"


def test_stages_are_suggested_and_mistakes_marked(page: Chrome) -> None:
    """Behind a | stages are offered, then figures and fields; a misspelled one is marked, with what was meant."""
    box = one(page, "#query")
    box.send_keys("level>=error | sta")
    wait(page, lambda: texts(page, "#suggestions .label") == ["stats "])
    box.send_keys(Keys.TAB, "p9")
    wait(page, lambda: texts(page, "#suggestions .label")[:1] == ["p95("])
    box.send_keys(Keys.TAB, "status")
    wait(page, lambda: "attr.http.status_code" in texts(page, "#suggestions .label"))
    box.send_keys(Keys.TAB, ") by servi")
    wait(page, lambda: "service" in texts(page, "#suggestions .label"))
    box.send_keys(Keys.TAB, Keys.ENTER)
    wait(page, lambda: texts(page, ".counts td") == ["checkout", "500"])

    type_query(page, "level>=error | stat count")
    wait(page, lambda: texts(page, "#marks .wrong") == ["stat"])
    assert "stats?" in one(page, "#problem").text


def save_view(page: Chrome, where: str, **fields: str) -> None:
    """Fill the form of the dialog of saved views, and save."""
    wait(page, lambda: one(page, "#dialog form").is_displayed())
    for name, text in fields.items():
        box = one(page, f"#dialog input[name={name}]")
        box.clear()
        box.send_keys(text)
    one(page, f"#dialog button[value={where}]").click()


def press(page: Chrome, keys: str) -> None:
    """Press keys outside of any field."""
    page.find_element(By.TAG_NAME, "body").send_keys(keys)


def test_a_view_is_saved_for_all(page: Chrome, service: Door) -> None:
    """One saves it; its name in the URL shows it anywhere; nobody overwrites another's change; the owner deletes."""
    type_query(page, 'level>=error "charge failed"')
    wait(page, lambda: messages(page) and all(message.startswith("charge") for message in messages(page)))
    press(page, "s")
    save_view(page, "all", name="Failed charges", note="look at the bank first", by="Zoë")
    wait(page, lambda: texts(page, "#dialog .saved strong") == ["Failed charges"])
    assert texts(page, "#dialog #toast") == ["Saved for everyone"]
    assert state(page) == {"saved": "Failed charges"}
    assert any(text.startswith("Zoë, ") for text in texts(page, "#dialog .saved span"))
    press(page, Keys.ESCAPE)

    page.switch_to.new_window("window")
    open_page(page, service, saved="Failed charges")
    wait(page, lambda: messages(page) and all(message.startswith("charge") for message in messages(page)))
    assert one(page, "#query").get_property("value") == 'level>=error "charge failed"'
    type_query(page, "")
    wait(page, lambda: texts(page, "#saved") == ["Failed charges (changed)"])
    assert state(page) == {"saved": "Failed charges"}

    noa = {"Logbrook-User": "noa", "Content-Type": "application/json"}
    path = f"/v1/views/{quote('Failed charges')}"
    content = json.dumps({"query": "level>=fatal", "from": "7d"})
    assert service.client.put(path, params={"version": 1}, headers=noa, content=content).status_code == 200
    press(page, "s")
    save_view(page, "all")
    wait(page, lambda: "noa saved version 2" in texts(page, "#dialog .problem")[0])

    one(page, "#dialog [aria-label='History of Failed charges']").click()
    wait(page, lambda: [text[:5] for text in texts(page, "#dialog .saved strong")] == ["2. no", "1. Zo"])
    page.find_elements(By.CSS_SELECTOR, "#dialog .saved .choice")[1].click()
    wait(page, lambda: one(page, "#query").get_property("value") == 'level>=error "charge failed"')
    press(page, "s")
    save_view(page, "all")
    wait(page, lambda: service.get("views/Failed charges")["saved"]["version"] == 3)
    wait(page, lambda: texts(page, "#saved") == ["Failed charges"])

    wait(page, lambda: one(page, "#dialog [aria-label='Delete Failed charges']").is_displayed())
    one(page, "#dialog [aria-label='Delete Failed charges']").click()
    wait(page, lambda: service.get("views")["views"] == [])
    wait(page, lambda: not one(page, "#saved").is_displayed())


def test_a_view_stays_in_the_browser(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse
) -> None:
    """Where no views are saved for all, the dialog offers only that; it is opened and deleted there."""
    store(database, shop())
    with door.serving(config.Query(), as_reader(clickhouse, database)) as service:
        open_page(browser, service, query="service:cart", dense="1")
        wait(browser, lambda: len(messages(browser)) > 20)
        press(browser, "s")
        save_view(browser, "here", name="Cart")
        wait(browser, lambda: texts(browser, "#dialog .saved strong") == ["Cart"])
        assert not texts(browser, "#dialog button[value=all]")

        open_page(browser, service)
        wait(browser, lambda: len(messages(browser)) > 20)
        press(browser, "s")
        wait(browser, lambda: one(browser, "#dialog .saved .choice").is_displayed())
        one(browser, "#dialog .saved .choice").click()
        wait(browser, lambda: state(browser) == {"query": "service:cart", "dense": "1"})
        press(browser, "s")
        wait(browser, lambda: one(browser, "#dialog [aria-label='Delete Cart']").is_displayed())
        one(browser, "#dialog [aria-label='Delete Cart']").click()
        wait(browser, lambda: texts(browser, "#dialog .nothing") == ["None yet."])


def roles(tmp_path: Path, clickhouse: ClickHouseServer) -> config.Query:
    """A service that knows mia, who sees the cart and may do nothing else, and everyone else of example.org."""
    file = tmp_path / "roles.yaml"
    file.write_text(
        "roles:\n"
        "  - {name: cart, who: [mia@example.org], query: 'service:cart'}\n"
        "  - {name: team, who: ['*@example.org'], sql: true, export: true, views: true}\n"
    )
    return config.Query(roles=str(file), trusted_proxies="127.0.0.1", views_password=clickhouse.views_password)


def sign_in(browser: Chrome, email: str) -> None:
    """Send with each request what a proxy that knows the user adds."""
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"X-Forwarded-Email": email}})


def test_what_a_role_lacks_is_not_offered(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse, tmp_path: Path
) -> None:
    """Exports, SQL, and alerts are disabled, with the reason; views are saved in the browser alone."""
    store(database, shop())
    with door.serving(roles(tmp_path, clickhouse), as_reader(clickhouse, database)) as service:
        sign_in(browser, "mia@example.org")
        open_page(browser, service)
        wait(browser, lambda: set(texts(browser, ".row .service")) == {"cart"})
        wait(browser, lambda: texts(browser, "#views :disabled") == ["Alerts"])

        type_query(browser, "| stats count by service")
        wait(browser, lambda: texts(browser, ".counts td") == ["cart", "150"])
        assert texts(browser, ".counts :disabled") == ["Copy SQL"]
        browser.find_element(By.XPATH, "//button[text()='Health']").click()
        wait(browser, lambda: texts(browser, ".health .note") == ["More is only for roles that see all events."])
        press(browser, "5")
        wait(browser, lambda: texts(browser, ".empty h2") == ["Your role does not permit this"])

        press(browser, "s")
        wait(browser, lambda: one(browser, "#dialog form").is_displayed())
        assert texts(browser, "#dialog form button") == ["Save in this browser"]
        press(browser, Keys.ESCAPE)
        one(browser, "#more").click()
        assert texts(browser, "#actions :disabled") == ["Export the events as NDJSON", "Export the events as CSV"]
        assert one(browser, "#actions :disabled").get_attribute("title") == "Your role, cart, does not permit this."


def test_who_is_known_saves_under_that_name(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse, tmp_path: Path
) -> None:
    """They are not asked for a name, may do everything that the role permits, and can delete only their own views."""
    store(database, shop())
    with door.serving(roles(tmp_path, clickhouse), as_reader(clickhouse, database)) as service:
        zoe = {"X-Forwarded-Email": "zoe@example.org", "Content-Type": "application/json"}
        assert service.client.put("/v1/views/Theirs", headers=zoe, content="{}").status_code == 200
        sign_in(browser, "noa@example.org")
        open_page(browser, service)
        wait(browser, lambda: len(messages(browser)) > 20)

        press(browser, "s")
        save_view(browser, "all", name="Mine")
        wait(browser, lambda: texts(browser, "#dialog .saved strong") == ["Mine", "Theirs"])
        assert not texts(browser, "#dialog input[name=by]")
        assert any(text.startswith("noa@example.org, ") for text in texts(browser, "#dialog .saved span"))
        labels = [each.get_attribute("aria-label") for each in browser.find_elements(By.CSS_SELECTOR, ".saved .ghost")]
        assert labels == ["Delete Mine"]
        assert not texts(browser, "#views :disabled")


def test_any_field_is_a_column(page: Chrome, service: Door) -> None:
    """From an open event or by name, in any order and width; a link shows the same, and the browser remembers it."""
    one(page, ".row").click()
    wait(page, lambda: texts(page, "#drawer dt"))
    page.execute_script("document.querySelector('[aria-label=\"Column user.id\"]').click()")
    wait(page, lambda: texts(page, ".head span") == ["Time", "Level", "Service", "user.id", "Message"])
    assert set(texts(page, ".row .other")) == {f"user-{number}" for number in range(4)}
    press(page, Keys.ESCAPE)

    press(page, "c")
    wait(page, lambda: one(page, "#dialog input[name=column]").is_displayed())
    one(page, "#dialog input[name=column]").send_keys("resource.host.name", Keys.ENTER)
    wait(page, lambda: "host.name" in texts(page, ".head span"))
    one(page, "#dialog [aria-label='Remove level']").click()
    one(page, "#dialog [aria-label='Move attr.user.id left']").click()
    assert page.switch_to.active_element.get_attribute("aria-label") == "Move attr.user.id left"
    width = one(page, "#dialog [aria-label='Width of attr.user.id in pixels']")
    width.send_keys("90", Keys.TAB)
    wait(page, lambda: state(page)["columns"] == "time,attr.user.id:90,service,resource.host.name,message")
    one(page, "#dialog input[name=wrap]").click()
    press(page, Keys.ESCAPE)
    assert texts(page, ".head span") == ["Time", "user.id", "Service", "host.name", "Message"]
    cells = page.execute_script("return [...document.querySelector('.row').children].map((each) => each.offsetWidth)")
    assert cells[1] == 90
    assert one(page, ".row").size["height"] == 60
    shared = page.current_url

    open_page(page, service)
    wait(page, lambda: texts(page, ".head span") == ["Time", "user.id", "Service", "host.name", "Message"])
    page.execute_script("localStorage.clear()")
    open_page(page, service)
    wait(page, lambda: texts(page, ".head span") == ["Time", "Level", "Service", "Message"])
    page.get(shared)
    wait(page, lambda: set(texts(page, ".row .other")) >= {"user-1", "web-1"})
    assert one(page, ".row").size["height"] == 60

    press(page, "c")
    wait(page, lambda: one(page, "#dialog input[name=expanded]").is_displayed())
    one(page, "#dialog input[name=expanded]").click()
    wait(page, lambda: "user.id=user-" in one(page, ".row .attributes").text)
    assert one(page, ".row").size["height"] == 78
    assert not one(page, "#dialog input[name=wrap]").is_selected()


def test_a_search_becomes_a_rule(page: Chrome) -> None:
    """The menu makes a rule of alerts.yaml of what is searched for, and the file's own check takes it."""
    type_query(page, 'level>=error "charge failed"')
    one(page, "#more").click()
    page.find_element(By.XPATH, "//button[text()='Alert on this search …']").click()
    wait(page, lambda: one(page, "#dialog textarea").is_displayed())

    [rule] = parse(f"rules:\n{one(page, '#dialog textarea').get_property('value')}", "alerts.yaml")
    assert rule.query == 'level>=error "charge failed"'


def test_alerts_are_shown(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse, tmp_path: Path
) -> None:
    """Rules, what fires, and what happened; an alert leads to its lines. Without an evaluator it says what to set."""
    rules = (
        "rules:\n  - name: Shop\n    query: charge failed\n    condition: count > 2\n    window: 1m\n    every: 10s\n"
    )
    with evaluating(rules, tmp_path / "state", database) as running:
        running.complete(40)
        store(database, [failure(n, 11) for n in range(3)])
        running.complete(50)
        shown = shows(running.evaluator.rules, running.state, running.evaluator.matches)
    evaluator = health.serve("127.0.0.1", 0, lambda: None, lambda: None, {"/alerts": lambda: shown})
    settings = config.Query(alerts_url=f"http://127.0.0.1:{evaluator.server_port}")
    with door.serving(settings, as_reader(clickhouse, database)) as service:
        open_page(browser, service, view="alerts")

        wait(browser, lambda: texts(browser, ".alerts .bad") == ["warning"])
        assert texts(browser, ".alerts .name") == ["Shop"] * 3
        one(browser, ".alerts a").click()
        wait(browser, lambda: messages(browser) == ["charge 2 failed", "charge 1 failed", "charge 0 failed"])
    evaluator.shutdown()
    evaluator.server_close()
    with door.serving(config.Query(), as_reader(clickhouse, database)) as service:
        open_page(browser, service, view="alerts")
        wait(browser, lambda: "LOGBROOK_QUERY_ALERTS_URL" in texts(browser, ".empty")[0])
