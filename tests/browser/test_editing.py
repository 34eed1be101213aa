"""What clicks make of a query: terms are added, changed, and taken back where they must match."""

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from logbrook import config
from tests.browser.test_explorer import (
    click,
    facet,
    messages,
    one,
    open_page,
    page,
    press,
    recent,
    state,
    texts,
    wait,
)
from tests.query.door import Door, store

__all__ = ["page"]

# A query, a field, the value that is clicked on, and what becomes of the query.
CLICKS = (
    ("service:(cart OR auth)", "level", "error", "service:(cart OR auth) level:error"),
    ("service:(cart OR auth) level:error", "service", "cart", "service:auth level:error"),
    ("(a OR b) level:error", "service", "x", "(a OR b) level:error service:x"),
    ("(a OR b) level:error", "level", "error", "(a OR b)"),
    ("(a b) OR (c d)", "service", "x", "((a b) OR (c d)) service:x"),
    ("a OR(b)", "service", "x", "(a OR(b)) service:x"),
    ('"a OR b" a\\ OR path:/a OR b/', "service", "x", '"a OR b" a\\ OR path:/a OR b/ service:x'),
    ("service:cart AND level:error", "service", "cart", "level:error"),
    ("a AND service:cart && b", "service", "cart", "a && b"),
    ("a service:cart AND b | stats count", "service", "cart", "a b | stats count"),
    ("-(a service:cart b)", "service", "auth", "-(a service:cart b) service:auth"),
    ("trace_id in (a service:cart b)", "service", "cart", "trace_id in (a service:cart b) service:cart"),
    ('"say service:cart now"', "service", "cart", '"say service:cart now" service:cart'),
    ("NOT service:cart", "service", "auth", "NOT service:cart service:auth"),
    ("", "path", "/api/", 'path:"/api/"'),
    ("", "path", "//x", 'path:"//x"'),
    ("", "path", "/api/x", "path:/api/x"),
    ("", "ip", "10.0.0.0/8", 'ip:"10.0.0.0/8"'),
)
CLICK = """
const [clicks, done] = arguments;
Promise.all([import("/state.js"), import("/terms.js")]).then(([{ state }, { withValue }]) => {
  done(clicks.map(([query, field, value]) => {
    document.getElementById("query").value = state.query = query;
    return withValue(field, value);
  }));
});
"""


def test_a_click_changes_only_what_must_match(page: Chrome) -> None:
    """Terms in groups, strings, and negations stay; alternatives get parentheses, and values quotes, where needed."""
    made = page.execute_async_script(CLICK, [case[:3] for case in CLICKS])
    assert made == [case[3] for case in CLICKS]


def test_a_value_with_line_breaks(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """A click that filters for one finds its event, and further clicks and Enter keep the line breaks."""
    store(database, [recent(n, f"line {n}", 9 - n, LogAttributes={"stack": f"at a\n  at {n}"}) for n in range(3)])
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) == 3)
    one(browser, ".row").click()
    wait(browser, lambda: texts(browser, "#drawer dt"))
    browser.execute_script("document.querySelector('[aria-label=\"Filter for stack\"]').click()")
    query = 'attr.stack:"at a\n  at 2"'
    wait(browser, lambda: messages(browser) == ["line 2"] and state(browser)["query"] == query)
    one(browser, "#query").send_keys(Keys.ENTER)
    wait(browser, lambda: facet(browser, "info").is_displayed())
    click(browser, lambda: facet(browser, "info"))
    wait(browser, lambda: state(browser)["query"] == f"{query} level:info")
    wait(browser, lambda: messages(browser) == ["line 2"])


def test_events_without_a_field_are_filtered(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """The legend's entry for no value finds the events that lack the field as well as those where it is empty."""
    values = [{"user": "mia"}, {"user": ""}, {}]
    store(database, [recent(n, f"line {n}", 9, LogAttributes=values[n]) for n in range(3)])
    open_page(browser, service, by="attr.user")
    empty = "//div[@id='legend']//button[contains(., '(empty)')]"
    wait(browser, lambda: "2" in browser.find_element(By.XPATH, empty).text)
    browser.find_element(By.XPATH, empty).click()
    wait(browser, lambda: set(messages(browser)) == {"line 1", "line 2"})
    assert state(browser)["query"] == "-attr.user:*"
    wait(browser, lambda: browser.find_element(By.XPATH, empty).get_attribute("aria-pressed") == "true")
    browser.find_element(By.XPATH, empty).click()
    wait(browser, lambda: "query" not in state(browser))


def test_only_what_arrives_now_is_live(page: Chrome, service: Door) -> None:
    """A range that has ended, and counts, turn the live tail off."""
    press(page, "l")
    wait(page, lambda: state(page).get("live") == "1")
    press(page, "z")
    wait(page, lambda: "to" in state(page) and "live" not in state(page))
    assert one(page, "#live").get_attribute("aria-pressed") == "false"
    open_page(page, service, live="1", query="| stats count")
    wait(page, lambda: texts(page, ".counts .fact"))
    assert "live" not in state(page)
