"""What helps to read many events: trends, comparisons, all values of a field; and what an answer that is late does."""

import time

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from logbrook import config
from tests.browser.test_explorer import (
    TRACE,
    messages,
    one,
    open_page,
    page,
    press,
    recent,
    shop,
    state,
    texts,
    type_query,
    wait,
)
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import Door, serving, store

__all__ = ["page"]


def test_a_pattern_has_a_trend(page: Chrome) -> None:
    """Bars of its events over the range beside each pattern, and in words where there are most."""
    press(page, "2")
    wait(page, lambda: len(texts(page, ".trend title")) == 2)
    assert all(text.startswith("at most ") and " in 2 min, at 20" in text for text in texts(page, ".trend title"))
    bars = "[...document.querySelector('.trend').querySelectorAll('rect')]"
    heights = f"return {bars}.map((bar) => bar.height.baseVal.value)"
    assert 15 <= sum(height > 0 for height in page.execute_script(heights)) <= 17


def test_a_range_is_compared(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """With the time before: the outline, by how many percent there is more, and what is new; with another, or not."""
    earlier = [
        recent(offset, f"request {offset} served", offset * 6 - 2000, ServiceName="cart")
        for offset in range(1000, 1090)
    ]
    store(database, [*shop(), *earlier])
    open_page(browser, service, view="patterns", compare="before")

    wait(browser, lambda: texts(browser, ".list .change") == ["+200 %", "new"])
    assert texts(browser, ".list .change.new") == ["new"]
    wait(browser, lambda: len(texts(browser, "#legend .change")) == 3)
    total, info, error = texts(browser, "#legend .change")
    assert total.startswith("+2")
    assert info in {f"+{percent} %" for percent in range(180, 201)}
    assert error == "new"
    assert f"{total} vs. the time before" in (one(browser, "#plot").get_attribute("aria-label") or "")
    assert browser.find_elements(By.CSS_SELECTOR, "#plot path.past")

    Select(one(browser, "#legend select")).select_by_visible_text("vs. a week earlier")
    wait(browser, lambda: texts(browser, ".list .change") == ["new", "new"])
    assert state(browser) == {"view": "patterns", "compare": "week"}
    Select(one(browser, "#legend select")).select_by_visible_text("no comparison")
    wait(browser, lambda: not texts(browser, ".change") and not browser.find_elements(By.CSS_SELECTOR, "#plot .past"))
    assert state(browser) == {"view": "patterns"}


def test_steps_that_do_not_match_are_not_compared(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """Steps of a week that begin a day earlier are other steps: their counts are not drawn over these."""
    store(database, [recent(n, "request", n * 86400 + 5) for n in range(8)])
    open_page(browser, service, **{"from": "200d", "compare": "week"})
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#plot path.past"))

    Select(one(browser, "#legend select")).select_by_visible_text("vs. a day earlier")
    wait(
        browser,
        lambda: (
            browser.execute_script(
                "return performance.getEntriesByType('resource').filter("
                "({name, responseEnd}) => responseEnd && name.includes('v1/histogram')).length"
            )
            == 4
        ),
    )
    time.sleep(0.5)
    assert not browser.find_elements(By.CSS_SELECTOR, "#plot path.past")


def test_a_pattern_with_punctuation_finds_its_events(
    browser: Chrome, service: Door, database: config.ClickHouse
) -> None:
    """Whatever a line has in it, its pattern leads back to it, and escapes only what it must."""
    line = '-GET /api/items?id=42 [worker-7] {"a": 1, x!=y} | a*b || (c) \\d #1,5; user-x@y.org'
    store(database, [recent(1, line, 20), recent(2, "another", 10)])
    open_page(browser, service, view="patterns")
    wait(browser, lambda: len(texts(browser, ".list .link")) == 2)
    browser.find_element(By.XPATH, "//td[contains(., 'GET')]/button").click()

    wait(browser, lambda: messages(browser) == [line])
    assert "user-x@y.org" in state(browser)["query"]


def test_an_event_that_is_no_longer_stored(page: Chrome, service: Door) -> None:
    """A link to it says of when it was, since when events are stored, and what to do."""
    open_page(page, service, event=f"{int(time.time()) - 5 * 86400}000000000.1.2.0.tests")
    wait(page, lambda: "is no longer stored: only events that arrived since" in texts(page, "#drawer .nothing")[0])
    assert "restore a backup" in texts(page, "#drawer .nothing")[0]


def test_all_values_of_any_field(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """A filter with many values opens all of them, searched by a part; what is filtered out stays in sight."""
    store(database, [recent(n, f"line {n}", n + 5, ServiceName=f"shop-{n:02}") for n in range(30)])
    open_page(browser, service)
    wait(browser, lambda: one(browser, "[aria-label='More values of service']").is_displayed())
    one(browser, "[aria-label='More values of service']").send_keys(Keys.ENTER)
    wait(browser, lambda: len(texts(browser, "#dialog .text")) == 30)
    browser.switch_to.active_element.send_keys("-17")
    wait(browser, lambda: texts(browser, "#dialog .text") == ["shop-17"])
    browser.execute_script("document.querySelector('#dialog .out').click()")
    wait(browser, lambda: state(browser).get("query") == "-service:shop-17")
    assert not one(browser, "#dialog").is_displayed()
    wait(browser, lambda: texts(browser, "#facets .out-term") == ["-service:shop-17"])
    one(browser, "#facets .out-term").click()
    wait(browser, lambda: "query" not in state(browser))

    browser.find_element(By.XPATH, "//button[text()='Another field …']").click()
    wait(browser, lambda: browser.switch_to.active_element.get_attribute("aria-label") == "Field, such as attr.user.id")
    browser.switch_to.active_element.send_keys("level")
    wait(browser, lambda: texts(browser, "#dialog .text") == ["info"])


def test_an_event_is_read_in_full(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """JSON is indented and not changed, joined emoji stay one; its level and time are filters; there are more lines."""
    body = '{"id":12345678901234567890, "list": [1,{"b": "x, \\" {y"}], "none": {}, "null": null}'
    lines = [recent(n, f"line {n}", 200 - n, ServiceName="cart") for n in range(120)]
    emoji = "family \U0001f469\u200d\U0001f467, not a\u200db"
    store(database, [*lines, recent(500, body, 100, ServiceName="cart"), recent(501, emoji, 1, ServiceName="cart")])
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) > 20)
    assert messages(browser)[0] == "family \U0001f469\u200d\U0001f467, not aU+200Db"

    type_query(browser, "12345678901234567890")
    wait(browser, lambda: messages(browser) == [body])
    one(browser, ".row").click()
    wait(browser, lambda: texts(browser, "#drawer pre"))
    assert texts(browser, "#drawer pre")[0].split("\n") == [
        "{", '  "id": 12345678901234567890,', '  "list": [', "    1,", "    {", '      "b": "x, \\" {y"', "    }",
        "  ],", '  "none": {},', '  "null": null', "}",
    ]  # fmt: skip
    browser.find_element(By.XPATH, "//button[text()='Lines around it']").click()
    wait(browser, lambda: len(texts(browser, "#drawer .lines li")) == 51)
    browser.find_element(By.XPATH, "//button[text()='More lines']").click()
    wait(browser, lambda: len(texts(browser, "#drawer .lines li")) == 122)

    browser.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Event']").click()
    browser.find_element(By.XPATH, "//button[text()='± 5 min']").click()
    wait(browser, lambda: state(browser)["to"].endswith("Z"))
    browser.execute_script("document.querySelector('[aria-label=\"Filter for level\"]').click()")
    wait(browser, lambda: state(browser)["query"] == "12345678901234567890 level:info")


def test_back_closes_an_event(page: Chrome) -> None:
    """Opening one is a step that Back takes back; the next one in the drawer is not another step."""
    one(page, ".row").click()
    wait(page, lambda: texts(page, "#drawer dt"))
    page.execute_script("document.querySelectorAll('.row')[2].click()")
    page.back()
    wait(page, lambda: "event" not in state(page))
    assert not one(page, "#drawer").is_displayed()
    assert len(messages(page)) > 20


def test_a_log_scale_shows_what_a_spike_hides(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """A click makes heights logarithmic, with lines at powers of ten, in the chart, in timecharts, and in the URL."""
    spike = [recent(offset, "spike", 1000, ServiceName="cart") for offset in range(2000)]
    store(database, [*spike, *(recent(5000 + n, "usual", 120 * n + 30) for n in range(20))])
    open_page(browser, service)
    heights = "return [...document.querySelectorAll('#plot rect')].map((bar) => bar.height.baseVal.value)"
    wait(browser, lambda: len(browser.execute_script(heights)) > 10)
    assert min(browser.execute_script(heights)) < 1
    one(browser, "#legend .log").send_keys(Keys.ENTER)

    wait(browser, lambda: texts(browser, "#plot .power") == ["1", "10", "100"])
    assert state(browser) == {"scale": "log"}
    assert browser.switch_to.active_element.text == "Log scale"
    assert min(browser.execute_script(heights)) > 8
    assert max(browser.execute_script(heights)) > 95
    assert "on a log scale" in (one(browser, "#plot").get_attribute("aria-label") or "")
    type_query(browser, "| timechart 2m count by service")
    wait(browser, lambda: texts(browser, ".counts .power") == ["1", "10", "100"])
    browser.find_element(By.XPATH, "//div[@class='buttons']/button[text()='Log scale']").click()
    wait(browser, lambda: not texts(browser, ".power"))
    assert "scale" not in state(browser)


def test_a_pattern_has_an_example(page: Chrome) -> None:
    """Its newest event opens beside the patterns, with all that it has; they stay, and keep the focus."""
    press(page, "2")
    wait(page, lambda: len(texts(page, ".list .link")) == 2)
    page.find_element(By.XPATH, "//tr[contains(., 'charge failed')]//button[text()='Example']").send_keys(Keys.ENTER)
    wait(page, lambda: texts(page, "#drawer pre") == ["charge failed for order 290"])
    assert state(page)["view"] == "patterns"
    assert not texts(page, "[aria-label='Next event']")
    press(page, Keys.ESCAPE)
    wait(page, lambda: not one(page, "#drawer").is_displayed())
    assert len(texts(page, ".list .link")) == 2


def bars(browser: Chrome) -> list[tuple[int, int]]:
    """Where the bars of a trace begin, and how long they are, in percent."""
    script = """
    const share = (pixels, bar) => Math.round(100 * pixels / bar.parentElement.offsetWidth);
    return [...document.querySelectorAll('.trace .at')].map(
      (bar) => [share(bar.offsetLeft, bar), share(bar.offsetWidth, bar)]);
    """
    return [(left, width) for left, width in browser.execute_script(script)]


def test_a_trace_is_laid_out_over_time(
    browser: Chrome, clickhouse: ClickHouseServer, database: config.ClickHouse
) -> None:
    """By when things began, to the microsecond: what says how long it took has a bar. A link leads to the spans."""
    at = int(time.time()) - 60
    told = [
        ("0.010100", "loaded", {"took_ms": "0.05"}),
        ("0.010150", "half-way", {"elapsed_ms": "nonsense"}),
        ("0.010200", "failed", {"event.duration": "100000"}),
        ("0.010200", "GET /", {"http.duration_ms": "0.2"}),
    ]
    store(
        database,
        [
            recent(n, body, 0, TraceId=TRACE, LogAttributes=attributes) | {"Timestamp": f"{at}{seconds[1:]}"}
            for n, (seconds, body, attributes) in enumerate(told)
        ],
    )
    settings = config.Query(trace_url="https://jaeger.example.org/trace/{trace_id}")
    with serving(settings, as_reader(clickhouse, database)) as service:
        open_page(browser, service)
        wait(browser, lambda: len(messages(browser)) == 4)
        one(browser, ".row").click()
        wait(browser, lambda: texts(browser, "#drawer dt"))
        browser.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Trace']").click()
        wait(browser, lambda: texts(browser, ".trace .message") == ["GET /", "loaded", "failed", "half-way"])

        assert texts(browser, "#drawer .note") == ["4 events of 1 service in 200 µs"]
        assert texts(browser, ".trace time") == ["+0 ms", "+50 µs", "+100 µs", "+150 µs"]
        assert texts(browser, ".trace .took") == ["200 µs", "50 µs", "100 µs"]
        whole, loaded, failed, half_way = bars(browser)
        assert whole == (0, 100)
        assert (abs(loaded[0] - 25) <= 1, abs(loaded[1] - 25) <= 1) == (True, True)
        assert (abs(failed[0] - 50) <= 1, abs(failed[1] - 50) <= 1) == (True, True)
        assert (abs(half_way[0] - 75) <= 1, half_way[1] <= 2) == (True, True)
        assert one(browser, "#drawer a").get_attribute("href") == f"https://jaeger.example.org/trace/{TRACE}"


def test_addresses_in_an_event_are_links(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """In the message, marked words and all, and in values: what ends the sentence is not part of them, nor a color; the
    parentheses that they open are. A template is no link.
    """
    body = 'see https://example.org/a?b=1, (http://h.example/x) or "ftp://h/", javascript:x, http://, \x1b[1mhttp://z/\x1b[0m'
    odd = "(http://h/A_(b)) http://[fe80::1]/ http://[fe80::1]:80 http://h/{id}/x http://h/o'brien ['http://h/y','z']"
    urls = {"odd": odd, "url": "at https://example.org/ü.", "none": "https"}
    store(database, [recent(1, body, 10, LogAttributes=urls)])
    open_page(browser, service, query="example")
    wait(browser, lambda: len(messages(browser)) == 1)
    one(browser, ".row").click()
    wait(browser, lambda: texts(browser, "#drawer dt"))

    links = browser.find_elements(By.CSS_SELECTOR, "#drawer .body a, #drawer dd a")
    assert [link.text for link in links] == [
        "https://example.org/a?b=1",
        "http://h.example/x",
        "http://z/",
        "http://h/A_(b)",
        "http://[fe80::1]/",
        "http://[fe80::1]:80",
        "http://h/y",
        "https://example.org/ü",
    ]
    assert {link.get_attribute("rel") for link in links} == {"noopener noreferrer nofollow"}
    assert texts(browser, "#drawer .body a mark") == ["example", "example"]


def test_an_event_with_many_fields_is_searched(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """A box leaves the fields that contain a text; arrows lead to the events before and after it in the list."""
    many = {f"key{n}": f"value{n}" for n in range(20)} | {"user.id": "mia", "card": "a MIA card"}
    store(database, [recent(n, f"line {n}", 60 - n, LogAttributes=many) for n in range(3)])
    open_page(browser, service)
    wait(browser, lambda: len(messages(browser)) == 3)
    one(browser, ".row").click()
    wait(browser, lambda: one(browser, ".finder").is_displayed())
    one(browser, ".finder").send_keys("mia")
    shown = "return [...document.querySelectorAll('.pair')].filter((each) => each.offsetHeight)"
    wait(browser, lambda: len(browser.execute_script(shown)) == 2)
    headings = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".fields h2") if each.is_displayed()]
    assert headings == ["Attributes"]

    one(browser, "[aria-label='Next event']").click()
    wait(browser, lambda: texts(browser, "#drawer pre") == ["line 1"])
    one(browser, "[aria-label='Previous event']").click()
    wait(browser, lambda: texts(browser, "#drawer pre") == ["line 2"])


def test_all_sources_around_an_event(page: Chrome) -> None:
    """The lines of other services at that time as well, whatever the query is; the event stays open."""
    type_query(page, '"order 200"')
    wait(page, lambda: messages(page) == ["charge failed for order 200"])
    one(page, ".row").click()
    wait(page, lambda: texts(page, "#drawer dt"))
    page.find_element(By.XPATH, "//aside[@id='drawer']//button[text()='Around it']").click()
    wait(page, lambda: page.find_element(By.XPATH, "//button[text()='All sources, ± 5 min']").is_displayed())
    page.find_element(By.XPATH, "//button[text()='All sources, ± 5 min']").click()
    wait(page, lambda: set(texts(page, ".row .service")) == {"cart", "checkout"})
    assert "query" not in state(page)
    assert one(page, "#drawer").is_displayed()


LATE = """
window.ask ??= window.fetch;
window.fetch = (url, how) => !String(url).includes("v1/search") ? window.ask(url, how)
  : new Promise((_, reject) => how.signal.addEventListener("abort", () => reject(how.signal.reason)));
"""
OFFLINE = """
window.ask ??= window.fetch;
window.fetch = () => Promise.reject(new TypeError("offline"));
"""


def test_a_late_answer_can_be_cancelled(page: Chrome) -> None:
    """Meanwhile the old one is marked as such; then the page says so, and can ask again."""
    page.execute_script(LATE)
    press(page, "r")
    wait(page, lambda: one(page, "#content").get_attribute("aria-busy") == "true")
    wait(page, lambda: one(page, "#cancel").is_displayed())
    one(page, "#cancel").click()
    wait(page, lambda: texts(page, ".empty h2") == ["Cancelled"])
    assert one(page, "#content").get_attribute("aria-busy") == "false"
    page.execute_script("window.fetch = window.ask")
    page.find_element(By.XPATH, "//button[text()='Try again']").click()
    wait(page, lambda: len(messages(page)) > 20)


def test_it_asks_again_once_the_server_is_back(page: Chrome) -> None:
    """Without a click, as soon as it can be reached."""
    page.execute_script(OFFLINE)
    press(page, "r")
    wait(page, lambda: texts(page, ".empty .note") == ["Trying again every 5 seconds."])
    page.execute_script("window.fetch = window.ask")
    wait(page, lambda: len(messages(page)) > 20)


def test_keys_are_for_what_has_the_focus(page: Chrome) -> None:
    """Enter folds a filter and opens no event; arrows scroll an open event; its button for the next keeps the focus."""
    wait(page, lambda: texts(page, "#facets summary"))
    page.execute_script("document.querySelector('#facets summary').focus()")
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: not one(page, "#facets details").get_property("open"))
    assert "event" not in state(page)

    one(page, ".row").click()
    wait(page, lambda: texts(page, "#drawer dt"))
    found = messages(page)
    page.execute_script("document.querySelector('#drawer-page').focus()")
    ActionChains(page).send_keys(Keys.ARROW_DOWN).perform()
    assert texts(page, "#drawer pre") == found[:1]
    one(page, "[aria-label='Next event']").send_keys(Keys.ENTER)
    wait(page, lambda: texts(page, "#drawer pre") == found[1:2])
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: texts(page, "#drawer pre") == found[2:3])


def test_days_are_those_of_the_zone(browser: Chrome, service: Door) -> None:
    """The chart's axis names each day once, also where clocks are changed."""
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    open_page(browser, service, **{"from": "2025-10-22T00:00:00Z", "to": "2025-10-30T00:00:00Z"})
    wait(browser, lambda: texts(browser, "#axis span"))
    assert texts(browser, "#axis span") == [f"10-{day}" for day in range(23, 30)]


def test_times_are_read_as_the_api_reads_them(page: Chrome, service: Door) -> None:
    """Without a zone they are in UTC, numbers are in s, ms, µs, or ns; what is not a time leaves the menu of ranges."""
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    given = ["2026-01-01T00:00:00", "2026-01-01 00:00:00,000", "2026-01-01T01:00:00+01:00", "2026-01-01"]
    given += [f"1767225600{zeros}" for zeros in ("", "000", "000000", "000000000")]
    script = """
    const [given, done] = arguments;
    import("/format.js").then(({ moment }) => done(given.map((text) => moment(text).toISOString())));
    """
    assert set(page.execute_async_script(script, given)) == {"2026-01-01T00:00:00.000Z"}

    open_page(page, service, **{"from": "nonsense"})
    wait(page, lambda: "is not a time" in texts(page, ".empty p")[0])
    one(page, "#time").click()
    wait(page, lambda: one(page, "#times").is_displayed() and len(texts(page, "#times .choice")) > 10)


def test_health_stays_where_it_is(page: Chrome) -> None:
    """When its figures are asked for again, it stays scrolled, and keeps the focus."""
    press(page, "4")
    wait(page, lambda: texts(page, ".health .fact"))
    page.execute_script("""
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(".health .note { height: 3000px }");
    document.adoptedStyleSheets.push(sheet);
    const health = document.querySelector(".health");
    health.scrollTop = 500;
    health.focus();
    window.old = health;
    """)
    ActionChains(page).send_keys("r").perform()
    wait(page, lambda: page.execute_script("return !window.old.isConnected && document.querySelector('.health')"))
    kept = "const it = document.querySelector('.health'); return [it.scrollTop, document.activeElement === it]"
    assert page.execute_script(kept) == [500, True]


def test_hidden_characters_are_seen_in_filters(browser: Chrome, service: Door, database: config.ClickHouse) -> None:
    """Characters that turn a text around stand as their codes among the filters and in the legend, too."""
    store(database, [recent(1, "line", 10, ServiceName="txt.\u202eexe")])
    open_page(browser, service, by="service")
    wait(browser, lambda: "txt.U+202Eexe" in texts(browser, "#facets .text"))
    wait(browser, lambda: texts(browser, "#legend .text") == ["txt.U+202Eexe"])


TAIL = """
window.EventSource = class extends EventTarget {
  static CLOSED = 2;
  constructor() {
    super();
    window.tail = this;
    window.tails = (window.tails ?? 0) + 1;
  }
  close() {}
  tell(name, data, readyState = 1) {
    this.readyState = readyState;
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data) }));
  }
};
document.getElementById("live").click();
"""
MANY = """
const [count, done] = arguments;
fetch("v1/search?limit=1").then((answer) => answer.json()).then(({ events: [event] }) => {
  window.tail.tell("events", Array.from({ length: count }, (_, n) => ({ ...event, id: `${n}`, body: `new ${n}` })));
  done();
});
"""


def test_a_long_live_tail_has_no_gap(page: Chrome) -> None:
    """After 5,000 new events the list ends, and says how to see older ones: they would not follow the last one."""
    page.execute_script(TAIL)
    wait(page, lambda: page.execute_script("return window.tail"))
    page.execute_async_script(MANY, 5000)
    wait(page, lambda: messages(page)[0] == "new 4999")
    bottom = "const it = document.querySelector('.table-body'); it.scrollTop = it.scrollHeight"
    wait(page, lambda: page.execute_script(bottom) or messages(page)[-1] == "new 0")
    assert texts(page, ".foot") == ["Older events: stop the live tail."]
    press(page, "l")
    wait(page, lambda: messages(page)[0].startswith("request"))


def test_a_live_tail_goes_on_after_a_restart(page: Chrome) -> None:
    """It begins again if the server breaks it off, and then no longer says so; what is refused at once is not live."""
    page.execute_script(TAIL)
    wait(page, lambda: page.execute_script("return window.tail"))
    page.execute_script("window.tail.tell('open'); window.tail.tell('error', {}, 2)")
    assert texts(page, "#status") == ["The connection was lost; trying again …"]
    wait(page, lambda: page.execute_script("return window.tails") == 2)
    assert state(page)["live"] == "1"
    page.execute_script("window.tail.tell('open'); window.tail.tell('error', {}, 0); window.tail.tell('open')")
    assert texts(page, "#status") == [""]
    press(page, "r")
    wait(page, lambda: page.execute_script("return window.tails") == 3)
    page.execute_script("window.tail.tell('error', {}, 2)")
    assert "live" not in state(page)


def test_a_pause_is_not_undone_by_a_scroll(page: Chrome) -> None:
    """A scroll back to the top resumes what a scroll has paused; what the key p has paused stays paused."""
    page.execute_script(TAIL)
    wait(page, lambda: page.execute_script("return window.tail"))

    def scroll(top: int) -> None:
        page.execute_script("document.querySelector('.table-body').scrollTop = arguments[0]", top)
        time.sleep(0.3)

    scroll(100)
    assert one(page, ".pill").is_displayed()
    scroll(0)
    assert not one(page, ".pill").is_displayed()
    press(page, "p")
    assert one(page, ".pill").is_displayed()
    scroll(100)
    scroll(0)
    assert one(page, ".pill").is_displayed()
    press(page, "p")
    assert not one(page, ".pill").is_displayed()
