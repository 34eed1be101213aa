"""SQL of users: one SELECT on the log table, and no way around that."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from logbrook import config
from logbrook.errors import RejectedError
from logbrook.query.engine import Engine
from logbrook.query.statement import check
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import Door, event, store
from tests.query.grammar import (
    BYPASSES,
    EXPRESSIONS,
    FORBIDDEN_DATA,
    FORBIDDEN_KNOWLEDGE,
    FORBIDDEN_SOURCES,
    SOURCES,
    nested,
)

Guard = Callable[[str], str]


@pytest.fixture(scope="session")
def guard(shared_database: config.ClickHouse) -> Iterator[Guard]:
    """The guard by itself: it asks ClickHouse as a user who may do anything."""

    with asyncio.Runner() as runner:
        engine = Engine(shared_database, config.Query(allow_privileged_user=True))
        yield lambda statement: runner.run(check(statement, shared_database.database, 1000, engine.text))
        runner.run(engine.close())


ALLOWED = [
    "SELECT ServiceName, count() AS n FROM otel_logs GROUP BY ServiceName ORDER BY n DESC LIMIT 5",
    "WITH errors AS (SELECT * FROM otel_logs WHERE SeverityNumber >= 17) SELECT count() FROM errors",
    "WITH 17 AS lowest SELECT count() FROM otel_logs WHERE SeverityNumber >= lowest",
    "SELECT LogAttributes['code'] AS code, quantile(0.9)(length(Body)) FROM otel_logs GROUP BY code",
    "SELECT toStartOfInterval(Timestamp, INTERVAL 5 MINUTE) AS t, countIf(TraceFlags > 0) FROM otel_logs GROUP BY t",
    "SELECT * FROM otel_logs ARRAY JOIN mapKeys(LogAttributes) AS key LIMIT 3",
    "SELECT 1 UNION ALL SELECT 2",
    "SELECT Body FROM otel_logs WHERE ServiceName IN ('auth', 'cart') AND Body ILIKE '%time%' LIMIT 1 BY ServiceName",
    "SELECT Body FROM otel_logs WHERE hasAllTokens(lower(Body), 'hello') ORDER BY Timestamp DESC LIMIT 3",
    "SELECT arrayMap(x -> x + 1, [1, 2]), CAST(1 AS String), 'it''s', map('a', 1)",
    "SELECT a.Body FROM otel_logs AS a WHERE a.TraceId IN (SELECT TraceId FROM otel_logs) LIMIT 1",
]


@pytest.mark.parametrize("statement", BYPASSES)
def test_everything_else_is_refused_before_it_runs(guard: Guard, statement: str) -> None:
    """What is not one SELECT on the allowed tables is refused by the guard alone, with a reason."""
    with pytest.raises(RejectedError) as refused:
        guard(statement)

    assert refused.value.status == 400
    assert str(refused.value)


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_no_place_for_an_expression_hides_what_it_names(guard: Guard, place: str) -> None:
    """Wherever SELECT takes an expression, the guard alone finds the tables and functions in it."""
    guard(place.replace("{}", "length('a')"))
    guard(place.replace("{}", "(SELECT count() FROM otel_logs)"))
    for forbidden in (*FORBIDDEN_DATA, *FORBIDDEN_KNOWLEDGE):
        with pytest.raises(RejectedError) as refused:
            guard(place.replace("{}", forbidden))
        assert refused.value.code == "sql_not_allowed", forbidden


@pytest.mark.parametrize("place", SOURCES)
def test_no_place_for_a_table_hides_it(guard: Guard, place: str) -> None:
    """Wherever SELECT takes a table, the guard alone refuses every other one, and every table function."""
    guard(place.replace("{}", "otel_logs"))
    for forbidden in FORBIDDEN_SOURCES:
        with pytest.raises(RejectedError) as refused:
            guard(place.replace("{}", forbidden))
        assert refused.value.code == "sql_not_allowed", forbidden


def test_the_second_wall_holds_by_itself(clickhouse: ClickHouseServer, shared_database: config.ClickHouse) -> None:
    """ClickHouse refuses the reading user the same, wherever it stands, without the guard before it.

    Here the native stack's ClickHouse; on a server it is the grants of compose/clickhouse/users.xml
    (clickhouse.com/docs/operations/access-rights and the settings of access_control_improvements).
    """
    reader = as_reader(clickhouse, shared_database)
    head = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": reader.password}
    statements = [place.replace("{}", each) for place in EXPRESSIONS for each in FORBIDDEN_DATA]
    statements += [place.replace("{}", each) for place in SOURCES for each in FORBIDDEN_SOURCES]
    with httpx.Client(base_url=f"http://{reader.host}:{reader.port}", headers=head, trust_env=False) as client:
        for statement in statements:
            answer = client.post("/", params={"database": reader.database}, content=statement)
            assert "Not enough privileges" in answer.text, (statement, answer.text)


def test_a_name_of_the_statement_hides_no_function(guard: Guard) -> None:
    """A column may have the name of a function that needs no brackets; elsewhere, the name is the function."""
    for plain in (
        "SELECT LogAttributes['user'] AS user, count() FROM otel_logs GROUP BY user ORDER BY user",
        "SELECT user, database FROM (SELECT 'a' AS user, 'b' AS database)",
        "WITH 'a' AS user SELECT user",
    ):
        guard(plain)
    for hidden in (
        "SELECT (SELECT 1 AS currentUser), currentUser",
        "SELECT arrayMap(x -> (1 AS currentUser), [1]), currentUser",
        "SELECT currentUser FROM (SELECT 1 AS x UNION ALL SELECT 2 AS currentUser)",
        "SELECT currentUser FROM (SELECT (SELECT 1 AS currentUser) AS a)",
        "SELECT a, currentUser FROM (SELECT 1 AS a) WHERE 1 IN (SELECT 1 AS currentUser)",
        "SELECT `a (alias currentUser)`, currentUser FROM (SELECT 1 AS `a (alias currentUser)`)",
        "SELECT `a (children 1)`, currentUser FROM (SELECT 1 AS `a (children 1)`)",
    ):
        with pytest.raises(RejectedError, match=r"currentUser is not allowed|quoted names may not hold"):
            guard(hidden)


def test_no_state_of_an_aggregate_is_made_up(guard: Guard) -> None:
    """A cast names its type, and not one whose bytes ClickHouse trusts."""
    guard("SELECT CAST(Body AS LowCardinality(String)), Body::String, JSONExtract(Body, 'a', 'String') FROM otel_logs")
    for made_up in (
        "SELECT CAST(unhex('00') AS AggregateFunction(uniqExact, String))",
        "SELECT unhex('00')::SimpleAggregateFunction(sum, UInt64)",
        "SELECT CAST('x', concat('Aggregate', 'Function(sum, UInt8)'))",
        "SELECT accurateCastOrNull('x', 'Array(AggregateFunction(sum, UInt8))')",
        "SELECT JSONExtract('{}', 'a', 'AggregateFunction(uniq, String)')",
        r"SELECT CAST(unhex('00'), '`Aggregate\\x46unction`(sum, UInt64)')",
        r"""SELECT CAST(unhex('00'), '"\\101ggregateFunction"(sum, UInt64)')""",
    ):
        with pytest.raises(RejectedError, match="takes its type as text"):
            guard(made_up)


def test_a_name_of_the_statement_hides_no_table(guard: Guard) -> None:
    """A WITH is known in the SELECT that it belongs to, behind its own definition, and nowhere else."""
    guard("WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b WHERE x IN (SELECT x FROM a)")
    for hidden in (
        "SELECT * FROM (WITH arrivals AS (SELECT 1) SELECT * FROM arrivals), arrivals",
        "WITH arrivals AS (SELECT * FROM arrivals) SELECT * FROM arrivals",
        "WITH `otel.arrivals` AS (SELECT 1) SELECT * FROM otel.arrivals",
        "WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b",
        "SELECT * FROM (SELECT 1 AS `x\nTableIdentifier otel_logs`)",
        "SELECT 1 FROM otel_logs ORDER BY a WITH FILL INTERPOLATE (arrivals AS (SELECT 1))",
        "WITH arrivals AS (SELECT 1) SELECT 1 UNION ALL SELECT * FROM arrivals",
        "WITH `a b` AS (SELECT 1) SELECT 1 AS `, arrivals AS (SELECT `, * FROM arrivals",
        'WITH "a b" AS (SELECT 1) SELECT * FROM (SELECT 1 AS "WITH arrivals AS (SELECT 1)"), arrivals',
    ):
        with pytest.raises(RejectedError):
            guard(hidden)


def test_no_name_passes_for_a_part_of_the_tree(guard: Guard) -> None:
    """A name with a line break is refused even between apostrophes that stand in names, not around a text."""
    guard("SELECT 1 AS `it's`, 2 AS `that's`, 'a\\nb' AS c, 'it''s' AS `d e`")
    for place in ("{}", "1 AS `'`, {}, 2 AS `b'`", "'it''s', 1 AS `a''`, {}, 'b'"):
        for name in ("x\\n             Literal UInt64_1\\n            ExpressionList", "x (alias y)"):
            with pytest.raises(RejectedError, match="quoted names may not hold"):
                guard(f"SELECT {place.format(f't.`{name}` IN arrivals')} FROM (SELECT tuple(1) AS t)")


@pytest.mark.parametrize("depth", [20, 100, 900])
def test_nesting_is_answered_at_once(corpus: Door, depth: int) -> None:
    """Deep nesting of any kind is refused or answered within seconds, and others are answered meanwhile."""
    health: list[float] = []
    for statement in nested(depth):
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            answer = pool.submit(corpus.sql, statement)
            while not answer.done():
                asked = time.monotonic()
                assert httpx.get(f"{corpus.url}/healthz", trust_env=False).status_code == 200
                health.append(time.monotonic() - asked)
            assert answer.result().status_code in (200, 400), answer.result().text
            assert time.monotonic() - began < 5, statement[:40]

    assert max(health) < 1


def test_sizes_are_bounded(guard: Guard) -> None:
    """A function whose result grows with a number takes a plain number, and not any."""
    guard("SELECT arraySum(range(1000)), repeat(Body, 3), leftPad(Body, 10, ' '), toFixedString('a', 3) FROM otel_logs")
    for monster in (
        "SELECT range(100000000)",
        "SELECT range(KafkaOffset) FROM otel_logs",
        "SELECT range(toUInt64(1e8))",
        "SELECT repeat('x', 1000000000)",
        "SELECT leftPad('x', 1000000000, 'y')",
    ):
        with pytest.raises(RejectedError, match="number"):
            guard(monster)


def test_the_copies_of_a_with_are_bounded(guard: Guard) -> None:
    """ClickHouse writes a WITH out wherever its name stands: one that doubles a dozen times takes half a minute."""
    for doublings, is_taken in ((3, True), (12, False), (60, False)):
        names = ["otel_logs", *(f"a{number}" for number in range(doublings))]
        twice = (
            f"{new} AS (SELECT * FROM {old} UNION ALL SELECT * FROM {old})" for old, new in itertools.pairwise(names)
        )
        statement = f"WITH {', '.join(twice)} SELECT count() FROM {names[-1]}"
        if is_taken:
            guard(statement)
        else:
            with pytest.raises(RejectedError, match="more than 5000 parts"):
                guard(statement)


def test_patterns_are_bounded(guard: Guard) -> None:
    """A pattern is plain text and not long: one of thousands of wildcards takes minutes for a single block."""
    guard(
        "SELECT Body LIKE '%a_b%', match(Body, '^\\\\d+'), extractAll(Body, '(a|b)'), Body NOT ILIKE 'x', "
        "multiSearchAny(Body, ['a', 'b']) FROM otel_logs"
    )
    for monster in (
        "SELECT 1 FROM otel_logs WHERE Body ILIKE concat('%', repeat('_%', 2000))",
        "SELECT 1 FROM otel_logs WHERE Body LIKE ServiceName",
        "SELECT match(Body, repeat('.?', 1000)) FROM otel_logs",
        f"SELECT match(Body, '{'.?' * 300}') FROM otel_logs",
        "SELECT splitByRegexp(repeat('.?', 1000), Body) FROM otel_logs",
        "SELECT replaceRegexpAll(Body, (SELECT any(Body) FROM otel_logs), 'a') FROM otel_logs",
        "SELECT multiSearchFirstPosition(Body, arrayMap(x -> concat(Body, toString(x)), range(250))) FROM otel_logs",
        "SELECT multiSearchAny(Body, [ServiceName, 'a']) FROM otel_logs",
        f"SELECT multiSearchFirstIndex(Body, {['ab' * 25] * 11}) FROM otel_logs",
    ):
        with pytest.raises(RejectedError, match="takes its pattern as text"):
            guard(monster)


@pytest.mark.parametrize(
    "heavy",
    [
        "editDistance(Body, Body)",
        "arrayMap(x -> editDistance(Body, Body), range(1000))",
        "arrayReduce('uniqExact', range(1000))",
        "sparseGrams(Body)",
        "arrayPartialSort(3, arrayShuffle(range(1000)))",
        "arrayPartialReverseSort(3, [1])",
        "damerauLevenshteinDistance(Body, Body)",
        "jaroWinklerSimilarity(Body, Body)",
        "stringJaccardIndex(Body, Body)",
        "arrayLevenshteinDistance([1], [2])",
        "ngrams(Body, 3)",
        "base58Encode(Body)",
        "parseReadableSizeOrNull(Body)",
        "printf('%1000000000d', 1)",
        "multiFuzzyMatchAny(Body, 2, ['a'])",
        "multiMatchAny(Body, ['a'])",
        "multiMatchAnyIndex(Body, arrayMap(x -> concat(Body, toString(x)), range(100)))",
        "multiMatchAllIndices(Body, ['a'])",
        "arrayFold((a, x) -> a + x, [1], 0)",
        "histogram(250)(KafkaOffset)",
        "quantileTDigestArray(range(100000))",
        "quantilesTDigestIfForEach(0.5, 0.9)(range(100000), [1])",
        "groupConcatArray(range(100000))",
    ],
)
def test_what_no_deadline_ends_is_not_allowed(guard: Guard, heavy: str) -> None:
    """Functions that take minutes, or memory that nobody counts, for one block."""
    with pytest.raises(RejectedError, match=r"the function .* is not allowed"):
        guard(f"SELECT {heavy} FROM otel_logs")


def test_a_statement_means_what_it_says(corpus: Door) -> None:
    """Lines, tabs and backslashes reach ClickHouse as they were written, in statements of any length."""
    answer = corpus.sql(
        "SELECT -- the first line\n\t'a\\\\d\\t\tb' AS a,\n match('5', '^\\\\d$') AS b /* two\nlines */"
    )
    assert answer.json()["rows"] == [["a\\d\t\tb", 1]]

    # The last one looks like a printed syntax tree.
    for text in ("x" * 19_000, "ü" * 19_000, "😀" * 19_000, " (alias x) (children 1)" * 800):
        answer = corpus.sql(f"SELECT '{text}' AS a")
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == [[text]]


@pytest.mark.parametrize("statement", ALLOWED)
def test_plain_selects_are_answered(corpus: Door, statement: str) -> None:
    """A SELECT on the log table runs, in the form that was checked."""
    response = corpus.sql(statement)

    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["columns"]
    assert answer["cost"]["statements"] == 1


def test_the_user_behind_it_may_only_read(service: Door, database: config.ClickHouse) -> None:
    """Whatever the parse lets through, nothing is written: the statements go to a read-only user."""
    store(database, [event(1)])
    for statement in BYPASSES:
        assert service.sql(statement).status_code in (200, 400), statement

    assert service.get("stats", from_="2025-11-24", to="2025-11-25")["table_rows"] == 1


def test_a_big_result_is_cut(corpus: Door) -> None:
    """A result of more rows than the limit is cut and says so."""
    many = "SELECT number FROM (SELECT arrayJoin(range(20000)) AS number)"

    answer = corpus.sql(many).json()
    own_limit = corpus.sql(f"{many} LIMIT 20").json()

    assert len(answer["rows"]) == 10_000
    assert answer["truncated"]
    assert len(own_limit["rows"]) == 20
    assert not own_limit["truncated"]


def test_mistakes_come_back_with_their_reason(corpus: Door) -> None:
    """An error of ClickHouse about the statement is the caller's to see; a body that is not JSON is refused."""
    unknown = corpus.sql("SELECT nothing FROM otel_logs")

    assert unknown.status_code == 400
    assert "nothing" in unknown.json()["error"]["message"]
    assert corpus.client.post("/v1/sql", content="SELECT 1").status_code == 415
    assert corpus.client.post("/v1/sql", json={"query": "SELECT 1"}).status_code == 400
    assert corpus.client.post("/v1/sql", json={"sql": "SELECT '" + "x" * 200_000 + "'"}).status_code == 413
