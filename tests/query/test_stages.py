"""Counting in the language: what the stages of a query answer, over HTTP, and what they refuse."""

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logbrook import config
from logbrook.errors import RejectedError
from logbrook.query import catalog, language
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.corpus import EVENTS, KEYS, WORDS
from tests.query.door import NOW_NS, Door, event, serving, store
from tests.query.evaluator import as_number, matches
from tests.query.test_counts_api import DAY, mixed
from tests.query.test_matching import PATIENT, QUERIES, quoted
from tests.query.test_plans import fill


def rows(service: Door, query: str, **parameters: object) -> list[list[Any]]:
    """What a query answers."""
    return list(service.get("query", query=query, **DAY | parameters)["rows"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("| stats count", [[600]]),
        ("level>=error | stats count() as errors by service", [["auth", 20], ["cart", 20], ["checkout", 20]]),
        ("service:cart | stats count by level", [["info", 180], ["error", 20]]),
        ("| stats count, count(level>=error) as errors", [[600, 60]]),
        ("| stats p50(code), p95(code), avg(code), min(code), max(code), sum(code)",
            [[202, 204, 202, 200, 204, 121200]]),
        ("| stats uniq(request.id), uniq(host.name) by service | limit 1", [["auth", 200, 2]]),
        ("| stats max(offset), min(body_bytes) by code | sort code | limit 2", [["200", 595, 19], ["201", 596, 19]]),
        ("| stats max(timestamp) by service | limit 1", [["auth", "2025-11-24T15:59:00.000000000Z"]]),
        ("| top 2 attr.code", [["200", 120], ["201", 120]]),
        ("| stats count by service, host.name | where count>99 host.name:web-1 | sort -service",
            [["checkout", "web-1", 100], ["cart", "web-1", 100], ["auth", "web-1", 100]]),
        (r"| extract /took (?<ms>\d+) ms/ | where ms>=48 | stats count, avg(ms) by ms | sort -ms",
            [["49", 12, 49], ["48", 12, 48]]),
        (r"| extract request.id /^(?P<kind>[a-z])(-)(?<number>\d+)/ | where number<3 | fields kind, number",
            [["r", "2"], ["r", "1"], ["r", "0"]]),
        ("| where took service:cart attr.code:201 | limit 1 | fields service, level, body",
            [["cart", "info", "request 591 took 41 ms"]]),
        ("| limit 50 | where took attr.code:204 | stats count", [[10]]),
        # Behind a limit, there is every column that a query may name.
        (f"| limit 50 | where {' OR '.join(f'_exists_:{name}' for name in catalog.COLUMNS)} | stats count", [[50]]),
        ("| limit 50 | timechart 1d count(service:cart)", [["2025-11-24T00:00:00.000000000Z", 16]]),
        ("| sort request.id | limit 2 | fields request.id", [["r-0"], ["r-1"]]),
        ("| sort -level, code | limit 1 | fields level, attr.code", [["error", "200"]]),
        ("| stats count by service | stats count", [[3]]),
        ("| stats count by code, service | stats count as groups, max(count) by code | sort code | limit 1",
            [["200", 3, 40]]),
        ("| stats count as n, count(level:error) as bad by service | where bad=20 n!=5 | fields bad, service | limit 1",
            [[20, "auth"]]),
        ('| stats p95(code) by service | where "p95(code)">=204 | sort -p95(code), -service | limit 1',
            [["checkout", 204]]),
        ("| stats sum(missing), avg(service.x), uniq(missing)", [[None, None, 0]]),
        ("| limit 0", []),
        ("| where request.id in (code:200) | limit 9 | where code in (code:204) | stats count", [[0]]),
    ],
)  # fmt: skip
def test_stages_answer(service: Door, database: config.ClickHouse, query: str, expected: list[list[Any]]) -> None:
    """Each stage goes on from the rows of the one before; figures are of numbers, also where attributes hold them."""
    store(database, mixed())

    assert rows(service, query) == expected


def test_a_chart_has_steps_and_its_most_frequent_lines(service: Door, database: config.ClickHouse) -> None:
    """Rows of a timechart are in order of time, of whole steps; all but ten of many values are thrown together."""
    store(database, mixed())

    by_service = service.get("query", query="| timechart 1h count by service", **DAY)
    by_id = service.get("query", query="| timechart 12h uniq(request.id) as ids, count by request.id", **DAY)
    round_step = service.get("query", query="| timechart", **DAY)

    assert (by_service["step_seconds"], len(by_service["rows"])) == (3600, 30)
    assert by_service["rows"][:2] == [["2025-11-24T06:00:00.000000000Z", each, 20] for each in ("auth", "cart")]
    assert [each["kind"] for each in by_service["columns"]] == ["time", "text", "number"]
    assert sum(row[3] for row in by_id["rows"]) == 600
    assert len({row[1] for row in by_id["rows"]}) == 11
    assert "(other)" in by_id["hints"][0]
    assert (round_step["step_seconds"], sum(row[1] for row in round_step["rows"])) == (1800, 600)
    assert service.get("query", query="| timechart 7h", **DAY)["from"] == "2025-11-23T19:00:00.000000000Z"


def test_events_are_listed_the_newest_first(service: Door, database: config.ClickHouse) -> None:
    """Without counts a row is an event, with what was extracted; unless `limit` says more, the newest thousand."""
    store(database, [event(offset, f"line {offset}") for offset in range(1500)])

    answer = service.get("query", query=r"line | extract /(?<number>\d+)/", **DAY)

    assert [each["name"] for each in answer["columns"]] == ["timestamp", "level", "service", "number", "body"]
    assert answer["rows"][0] == ["2025-11-24T16:24:59.000000000Z", "info", "checkout", "1499", "line 1499"]
    assert (len(answer["rows"]), answer["truncated"]) == (1000, True)
    assert len(rows(service, "line | limit 1200")) == 1200


def test_an_answer_says_what_it_is_of(service: Door, database: config.ClickHouse) -> None:
    """As other answers: its range, its cost, until when it is complete; and the nearest names of unknown fields."""
    store(database, mixed(30))

    answer = service.get("query", query="| stats count by cod", **DAY)

    assert answer["rows"] == [["", 30]]
    assert "did you mean `attr.code`?" in answer["hints"][0]
    assert answer["from"] == "2025-11-24T00:00:00.000000000Z"
    assert answer["cost"]["statements"] == 2
    assert "complete_until" in answer
    nothing = service.get("query", query="service:crt | stats count by service", **DAY)
    assert "did you mean `cart`?" in nothing["hints"][0]


@pytest.mark.parametrize(
    ("query", "position", "said"),
    [
        ("a | stat count", 4, "stats?"),
        ("a |", 3, "stats"),
        ("| stats cuont", 8, "count"),
        ("| stats p95", 11, "p95(field)"),
        ("| stats p95()", 12, "field"),
        ("| stats sum(a", 13, ")"),
        ("| stats avg(service)", 12, "numbers"),
        ("| stats avg(timestamp)", 12, "numbers"),
        ("| stats count(level>=loud)", 21, "one of none"),
        ("| stats count(a | limit 1", 16, ")"),
        ("| extract /(?<a>.)/ | where b in (c)", 28, "before extract"),
        ("| stats count by a | where a in (b)", 27, "before extract"),
        ("| where a in (b in (c))", 14, "inside another"),
        ("| stats count by service level", 25, "comma"),
        ("| stats count, count", 8, "as"),
        ("| stats count by service | where serv:x", 33, "service?"),
        ("| stats count by service | where word", 33, "One of service, count"),
        ("| stats count by service | where _exists_:x", 33, "One of service, count"),
        ("| stats count by service | where count>many", 39, "a number"),
        ("| stats count by service | sort -user", 33, "One of service, count"),
        ("| stats count by timestamp | where timestamp:1", 35, "range"),
        ("| stats count | timechart", 25, "before stats"),
        ("| fields service | where body:x", 25, "One of service"),
        ("| timechart 0s", 12, "count"),
        ("| timechart 1s", 12, "at most 500"),
        ("| timechart 999999w", 12, "shorter step"),
        ("| limit few", 8, "number"),
        ("| where", 7, "filter"),
        ("| where (a", 10, ")"),
        ("| where a)", 9, "( before it"),
        ("| extract service", 17, "regular expression"),
        ("| extract offset /(?<a>.)/", 10, "text"),
        ("| extract /a/", 10, "group"),
        (f"| extract /(?<a>{'b' * 600})/", 10, "500"),
        ("| limit 1" * 21, 180, "20"),
        ("| fields " + ", ".join(f"a{number}" for number in range(21)), 9, "20"),
    ],
)  # fmt: skip
def test_a_mistake_has_a_place(service: Door, query: str, position: int, said: str) -> None:
    """What is wrong with a stage is a 400 that says where, and what to write."""
    response = service.ask("query", query=query, **DAY)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["position"]) == (400, "query_syntax", position)
    assert said in f"{error['message']} {error['expected']}"


def test_other_routes_are_about_the_filter(service: Door, database: config.ClickHouse) -> None:
    """A search, a histogram, and an export have the events that the filter finds; a rule's query takes no stages."""
    store(database, mixed(30))
    query = "service:cart | stats count by level"

    searched = service.search(query)
    assert {each["service"] for each in searched["events"]} == {"cart"}
    assert "/v1/query runs the stages" in searched["hints"][0]
    assert service.get("histogram", query=query, **DAY)["total"] == 10
    assert len(service.ask("export", query=query, **DAY).text.splitlines()) == 10
    with pytest.raises(RejectedError) as refused:
        language.parse(query)
    assert refused.value.place["position"] == 13
    assert "|" not in service.search('"a | b" \\| body:/a | b/')["hints"][0]


def test_answers_are_bounded(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """An answer has at most the rows of the setting and of `limit`, and 1,024 characters of a text, and says so."""
    store(database, [event(offset, "x" * 2000, LogAttributes={"id": str(offset)}) for offset in range(20)])

    with serving(config.Query(max_result_rows=10), as_reader(clickhouse, database)) as service:
        ids = service.get("query", query="| stats count by id", **DAY)
        two = service.get("query", query="| stats count by id", limit=2, **DAY)
        bodies = service.get("query", query="| stats count by body", **DAY)

    assert (len(ids["rows"]), ids["truncated"], ids["hints"]) == (
        10, True, ["Only the first 10 rows are here: filter, or group by less."],
    )  # fmt: skip
    assert (two["rows"], two["truncated"]) == ([["0", 1], ["1", 1]], True)
    assert (len(bodies["rows"][0][0]), bodies["truncated"]) == (1024, False)
    assert bodies["hints"] == ["Texts are cut at 1,024 characters."]


def test_a_table_past_the_limits_is_refused(clickhouse: ClickHouseServer, database: config.ClickHouse) -> None:
    """What takes ClickHouse too much memory, or makes too large an answer, is a clear 422, as for any search."""
    fill(database, 100_000)

    with serving(
        config.Query(max_memory_bytes=2**24, max_sql_result_bytes=10_000), as_reader(clickhouse, database)
    ) as few:
        memory = few.ask("query", query="| stats count, uniq(body), p95(offset) by body", **DAY)
        size = few.ask("query", query="| limit 1000", **DAY)

    assert (memory.status_code, size.status_code) == (422, 422)
    assert size.json()["error"]["code"] == "query_past_limits"


@pytest.mark.parametrize(
    "query",
    [
        "| stats count by service, level",
        "level>=info | timechart 10m by service",
        "| where service:checkout | top level",
    ],
)
def test_counts_by_minute_answer_alone(service: Door, database: config.ClickHouse, query: str) -> None:
    """Counts by service and level are read from the projection, of whole minutes, as the answer says."""
    fill(database, 20_000)

    answer = service.get("query", query=query, from_=f"{NOW_NS - 3000 * 10**9}", to="2025-11-24T15:59:30Z")

    assert 0 < answer["cost"]["rows_read"] < 1000
    assert answer["from"].endswith(":00.000000000Z")
    assert sum(row[-1] for row in answer["rows"]) >= 16_000


def test_other_counts_are_of_exactly_the_range(service: Door, database: config.ClickHouse) -> None:
    """What the counts by minute do not know is counted from `from` to `to`, and not in whole minutes."""
    store(database, mixed())
    half_minutes = {"from_": "2025-11-24T15:00:30Z", "to": "2025-11-24T15:02:30Z"}

    for query in ("took | stats count", "| where attr.code:* | stats count", "| stats count, uniq(service)"):
        answer = service.get("query", query=query, **half_minutes)
        assert (answer["rows"][0][0], answer["from"]) == (2, "2025-11-24T15:00:30.000000000Z")


_KEYS = st.sampled_from(KEYS)
_HOSTILE = st.one_of(
    st.sampled_from(["'", "\\'", "`", "') OR 1=1 --", "{p0:String}", "\\", "c1", "r0", "Body", "q.r0", "*/", "\t"]),
    st.sampled_from([word for word in WORDS if word]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
)


def number(text: str) -> float | None:
    """The number that figures take a value for."""
    value = as_number(text)
    return value if value is not None and math.isfinite(value) else None


@PATIENT
@given(query=QUERIES, then=QUERIES, key=_KEYS)
def test_counts_are_those_of_the_events_that_match(corpus: Door, query: str, then: str, key: str) -> None:
    """Whatever the filters, groups and figures are those of the plain evaluation; the copied SQL answers the same."""
    first, second = language.parse(query), language.parse(then)
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in EVENTS:
        if matches(first, row) and matches(second, row):
            groups[dict(row["LogAttributes"]).get(key, "")].append(row)  # type: ignore[call-overload]
    code = [[number(each["LogAttributes"].get("code", "")) for each in found] for found in groups.values()]
    expected = {
        value: [len(found), sum(known) if (known := [each for each in codes if each is not None]) else None]
        for (value, found), codes in zip(groups.items(), code, strict=True)
    }
    text = f"{query} | where {then} | stats count, sum(attr.code) by attr.{quoted(key)}"

    answer = corpus.get("query", query=text, **DAY)

    assert {row[0]: row[1:] for row in answer["rows"]} == expected
    assert corpus.sql(answer["sql"]).json()["rows"] == answer["rows"]


@PATIENT
@given(name=_HOSTILE, value=_HOSTILE, alias=_HOSTILE)
@example("'", "'", "'")
@example("a`b", "\\", "`")
def test_no_name_and_no_value_is_part_of_the_statement(corpus: Door, name: str, value: str, alias: str) -> None:
    """Names, values, and aliases of any kind are names, values, and aliases: in what runs, and in what is copied."""
    key, as_name = f"attr.{quoted(name)}", quoted("x" + alias)
    query = (
        f"{key}:{quoted(value)} | extract {key} /(?<_g>.+)/ | stats count as {as_name}, uniq({key}) as n by {key}, _g"
    )
    query += f" | where {as_name}>=1 {key}:{quoted(value)} | sort -{as_name}, {key}"
    found = [row for row in EVENTS if dict(row["LogAttributes"]).get(name) == value]  # type: ignore[call-overload]

    response = corpus.ask("query", query=query, **DAY)

    assert response.status_code == 200, response.text
    answer = response.json()
    assert [each["name"] for each in answer["columns"]] == [f"attr.{name}", "_g", "x" + alias, "n"]
    assert sum(row[2] for row in answer["rows"]) == len(found)
    assert {row[0] for row in answer["rows"]} <= {value}
    copied = corpus.sql(answer["sql"])
    assert copied.status_code == 200, copied.text + answer["sql"]
    assert copied.json()["rows"] == answer["rows"]


_PIECES = """
    | | | stats stats timechart top sort limit fields extract where count count by by service level level , , p95( sum(
    uniq( min( max( count( code ) ) ( 1h 5 - /(?<a>.)/ /(?P<a>x|(y))(?:z)/ /[(](?<a>.)/ a count>1 as "x_y" timestamp *
    attr. offset body level>=warn NOT OR _exists_:a a:1 body_bytes severity_number 0 /(/ service:c* a:/x/ ' \\ `
"""
_STAGES = (
    "| stats count by a, level", "| stats max(timestamp), p95(code), uniq(level) by timestamp", "| where a:1 OR a>1",
    "| where a:* -a:x* count>=1", "| extract /(?<a>.)/", "| extract a /(?<b>[^)])/", "| extract service /(?<level>.)/",
    "| sort -a, level", "| sort timestamp, count", "| limit 5", "| limit 300", "| fields a, level, code, timestamp",
    "| fields count, a", "| top 3 level, a", "| timechart 1h count by level", "| timechart avg(code), count(a)",
    "| where level>=warn", "| stats count, sum(count) as n, avg(a) by code", "| where body:x word", "| sort -n",
    '| stats count as r1, p50(code) as "x y" by level',
)  # fmt: skip


@PATIENT
@given(
    pieces=st.one_of(
        st.lists(st.sampled_from(_PIECES.split()).map(lambda piece: f" {piece}"), max_size=24),
        st.lists(st.sampled_from(_STAGES).map(lambda stage: f" {stage}"), max_size=6),
    )
)
@example(["| extract /(?<a>.)/ | stats count by a | where a:1 a>1 a:* a:x* a:/x/ | sort a | fields a"])
@example(
    ["| limit 5 | sort offset | limit 3 | where a:* | extract /(?<a>.)/ | limit 2 | stats max(a) by offset, timestamp"]
)
@example(["| stats count by timestamp, offset | sort timestamp | stats min(timestamp), max(offset), uniq(timestamp)"])
@example(["| extract /(?<a>.)/ | extract a /(?<b>.)/ | extract /(?<a>..)/ | where a:* b:* | top 3 a, b, level"])
@example(["| stats count by level | where level:error | sort -level | fields level | top level, severity_number"])
@example(["| fields level, timestamp, body | where level>=warn word | sort -level, timestamp | stats count by level"])
def test_any_stages_are_refused_clearly_or_answered(corpus: Door, pieces: list[str]) -> None:
    """Stages of any kind in any order are 400, or answered, the same from the copied SQL; never an error of ours."""
    response = corpus.ask("query", query="".join(pieces), **DAY)

    if response.status_code == 400:
        error = response.json()["error"]
        assert error["code"] == "query_syntax"
        assert error["expected"]
    else:
        assert response.status_code == 200, response.text
        answer = response.json()
        assert all(len(row) == len(answer["columns"]) for row in answer["rows"])
        assert corpus.sql(answer["sql"]).json()["rows"] == answer["rows"]
