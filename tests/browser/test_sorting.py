"""Orders: the oldest first, by a column, and of the tables of other views."""

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from logbrook import config
from tests.browser.test_explorer import messages, one, open_page, page, press, recent, state, texts, wait
from tests.query.door import Door, store

__all__ = ["page"]


def heading(browser: Chrome, name: str) -> str | None:
    """How a column of the list or the table in sight is sorted, for whoever can't see it."""
    found: str | None = browser.find_element(By.XPATH, f"//*[@aria-sort][.//button[text()='{name}']]").get_attribute(
        "aria-sort"
    )
    return found


def sort_by(browser: Chrome, name: str) -> None:
    """Press the heading."""
    browser.find_element(By.XPATH, f"//*[@aria-sort]//button[text()='{name}']").send_keys(Keys.ENTER)


def focused(browser: Chrome) -> str:
    """What has the focus says."""
    return browser.switch_to.active_element.text


def test_the_oldest_come_first(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """Enter on the heading turns the order around, page after page, in the URL; a live tail has the newest on top."""
    store(database, [recent(offset, f"line {offset}", 900 - offset) for offset in range(500)])
    open_page(browser, service)
    wait(browser, lambda: messages(browser)[0] == "line 499")
    assert heading(browser, "Time") == "descending"
    sort_by(browser, "Time")

    wait(browser, lambda: messages(browser)[0] == "line 0")
    assert heading(browser, "Time") == "ascending"
    assert focused(browser) == "Time"
    assert one(browser, ".table-body").get_attribute("aria-label") == "Events, oldest first"
    assert state(browser) == {"sort": "time"}
    bottom = "const it = document.querySelector('.table-body'); it.scrollTop = it.scrollHeight; return it.scrollHeight"
    wait(browser, lambda: browser.execute_script(bottom) > 500 * 28)
    wait(browser, lambda: messages(browser)[-1] == "line 499")

    press(browser, "l")
    wait(browser, lambda: messages(browser)[0] == "line 499" and heading(browser, "Time") == "descending")
    press(browser, "c")
    wait(browser, lambda: one(browser, "#dialog input[name=oldest]").is_displayed())
    one(browser, "#dialog input[name=oldest]").click()
    wait(browser, lambda: messages(browser)[0] == "line 0")
    assert "live" not in state(browser)


def test_events_are_sorted_by_a_column(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """A heading sorts all matches by its numbers, as a stage of the query; a time leads back to its event."""
    times = [3, 20, 100, 7]
    store(
        database,
        [
            recent(n, f"took {ms}", 60 * (n + 1), LogAttributes={"took_ms": str(ms), "odd key": f"k{n}"})
            for n, ms in enumerate(times)
        ],
    )
    open_page(browser, service, query="took", columns="time,attr.took_ms,attr.odd key,message")
    wait(browser, lambda: len(messages(browser)) == 4)
    sort_by(browser, "took_ms")

    wait(browser, lambda: texts(browser, ".counts td:last-child") == ["took 100", "took 20", "took 7", "took 3"])
    fields = 'timestamp, attr.took_ms, attr."odd key", body'
    assert state(browser)["query"] == f"took | fields {fields} | sort -attr.took_ms"
    assert heading(browser, "attr.took_ms") == "descending"
    sort_by(browser, "attr.took_ms")
    wait(browser, lambda: texts(browser, ".counts td:last-child") == ["took 3", "took 7", "took 20", "took 100"])
    sort_by(browser, "attr.odd key")
    wait(browser, lambda: heading(browser, "attr.odd key") == "descending")
    assert texts(browser, ".counts td:last-child") == ["took 7", "took 100", "took 20", "took 3"]

    one(browser, ".counts td .link").send_keys(Keys.ENTER)
    wait(browser, lambda: messages(browser) == ["took 7"])
    assert state(browser)["query"] == "took"


def test_counts_are_sorted(page: Chrome, service: Door) -> None:
    """By any column, in the last stage of the query; a step of a timechart leads to its events."""
    open_page(page, service, query="| stats count, count(level>=error) by service")
    wait(page, lambda: len(texts(page, ".counts td")) == 6)
    sort_by(page, "count(level>=error)")
    wait(page, lambda: [texts(page, ".counts td")[at] for at in (0, 3)] == ["checkout", "cart"])
    sort_by(page, "count(level>=error)")
    wait(page, lambda: [texts(page, ".counts td")[at] for at in (0, 3)] == ["cart", "checkout"])
    stages = "| stats count, count(level>=error) by service"
    assert state(page)["query"] == f"{stages} | sort count(level>=error)"

    open_page(page, service, query="level>=error | timechart 10m count", **{"as": "table"})
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".counts td .link"))
    found = int(texts(page, ".counts td:last-child")[0])
    one(page, ".counts td .link").click()
    wait(page, lambda: texts(page, "#legend strong") == [f"{found} event{'s' * (found > 1)}"])
    assert state(page)["query"] == "level>=error"


def test_tables_are_sorted(page: Chrome, database: config.ClickHouse, service: Door) -> None:
    """Services by their errors, patterns by level and by what grew: the largest first, then the other way around."""
    store(database, [recent(5000 + n, f"request {n} served", 4000 + n, ServiceName="cart") for n in range(20)])
    open_page(page, service, view="services")
    wait(page, lambda: texts(page, ".list .name") == ["checkout", "cart"])
    sort_by(page, "Errors")
    wait(page, lambda: state(page).get("sort") == "-errors")
    wait(page, lambda: heading(page, "Errors") == "descending")
    assert focused(page) == "Errors"
    sort_by(page, "Errors")
    wait(page, lambda: texts(page, ".list .name") == ["cart", "checkout"])

    open_page(page, service, view="patterns", compare="before", sort="-change")
    wait(page, lambda: [each.split()[0] for each in texts(page, ".list .message")] == ["charge", "request"])
    assert texts(page, ".list .change")[0] == "new"
    sort_by(page, "Count")
    wait(page, lambda: [each.split()[0] for each in texts(page, ".list .message")] == ["request", "charge"])
    sort_by(page, "Level")
    wait(page, lambda: [each.split()[0] for each in texts(page, ".list .message")] == ["charge", "request"])


def test_a_saved_view_has_its_order_and_scale(page: Chrome, service: Door) -> None:
    """As everything else that is in the URL."""
    open_page(page, service, sort="time", scale="log")
    wait(page, lambda: messages(page)[0] == "charge failed for order 0")
    press(page, "s")
    wait(page, lambda: one(page, "#dialog form").is_displayed())
    for name, text in (("name", "From the start"), ("by", "mia")):
        one(page, f"#dialog input[name={name}]").send_keys(text)
    one(page, "#dialog button[value=all]").click()
    wait(page, lambda: state(page) == {"saved": "From the start"})
    open_page(page, service, saved="From the start")
    wait(page, lambda: messages(page)[0] == "charge failed for order 0")
    assert one(page, "#legend .log").get_attribute("aria-pressed") == "true"
