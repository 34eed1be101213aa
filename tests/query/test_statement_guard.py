"""SQL of users: one SELECT on the log table, and no way around that."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from logbrook import config
from logbrook.errors import RejectedError
from logbrook.query.engine import Engine
from logbrook.query.statement import check
from tests.components import ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import Door, event, store

Guard = Callable[[str], str]

# Every place of ClickHouse's SELECT that takes an expression.
EXPRESSIONS = [
    "SELECT {}",
    "SELECT 1 AS a, {} AS b FROM otel_logs",
    "SELECT [{}, 1][1], ({}, 1).1, map('a', {})['a'], CAST({} AS String), {}::String",
    "SELECT CASE WHEN 1 THEN {} ELSE 2 END, 1 ? {} : 2, 1 BETWEEN {} AND 3, NOT {}, {} IS NULL, {} || 'a'",
    "SELECT arrayMap(x -> x + {}, [1])",
    "SELECT quantile(0.5)({}), sum({}) OVER (), countIf(1 = {})",
    "SELECT sum(1) OVER (PARTITION BY {}), sum(1) OVER (ORDER BY {})",
    "SELECT sum(1) OVER w FROM otel_logs WINDOW w AS (PARTITION BY {})",
    "SELECT DISTINCT ON ({}) Body FROM otel_logs",
    "SELECT * REPLACE ({} AS Body) FROM otel_logs",
    "WITH {} AS a SELECT a",
    "WITH a AS (SELECT {}) SELECT * FROM a",
    "SELECT * FROM (SELECT {})",
    "SELECT 1 FROM otel_logs PREWHERE {} = 1",
    "SELECT 1 FROM otel_logs WHERE {} = 1",
    "SELECT 1 FROM otel_logs WHERE Body IN ({}, 'a')",
    "SELECT 1 FROM otel_logs WHERE Body IN (SELECT {})",
    "SELECT 1 FROM otel_logs WHERE EXISTS (SELECT {})",
    "SELECT 1 FROM otel_logs GROUP BY {}",
    "SELECT 1 FROM otel_logs GROUP BY GROUPING SETS (({}), (Body))",
    "SELECT 1 FROM otel_logs GROUP BY ROLLUP({})",
    "SELECT count() FROM otel_logs GROUP BY Body HAVING {} = 1",
    "SELECT row_number() OVER () AS n FROM otel_logs QUALIFY n = {}",
    "SELECT Body FROM otel_logs ORDER BY {}",
    "SELECT KafkaOffset AS o FROM otel_logs ORDER BY o WITH FILL FROM {} TO 3 STEP 1",
    "SELECT KafkaOffset AS o, 1 AS a FROM otel_logs ORDER BY o WITH FILL INTERPOLATE (a AS a + {})",
    "SELECT Body FROM otel_logs LIMIT {}",
    "SELECT Body FROM otel_logs LIMIT 1 OFFSET {}",
    "SELECT Body FROM otel_logs LIMIT 1 BY {}",
    "SELECT x FROM otel_logs ARRAY JOIN [{}] AS x",
    "SELECT x FROM otel_logs LEFT ARRAY JOIN [1, {}] AS x",
    "SELECT 1 FROM otel_logs AS a JOIN otel_logs AS b ON a.Body = b.Body AND {} = 1",
    "SELECT 1 UNION ALL SELECT {}",
    "(SELECT 1) EXCEPT (SELECT {})",
    "SELECT 1 INTERSECT SELECT {}",
]
FORBIDDEN_DATA = [
    "file('/etc/passwd')",
    "arrayMap(file, ['/etc/passwd'])",
    "dictGet('d', 'a', 1)",
    "joinGet('t', 'a', 1)",
    "(SELECT groupArray(query) FROM system.processes)",
    "(SELECT any(payload) FROM arrivals)",
    "(SELECT count() FROM url('http://127.0.0.1:1/', 'CSV', 'a String'))",
    "(SELECT 1 WHERE 1 IN system.users)",
    "hasColumnInTable('system', 'users', 'name')",
]
FORBIDDEN_KNOWLEDGE = [
    *("user()", "authUser()", "currentUser()", "current_user", "CURRENT_USER", "database", "currentDatabase()"),
    *(
        "version()",
        "globalVariable('version')",
        "revision()",
        "hostName()",
        "fullHostName()",
        "tid()",
        "connectionId()",
    ),
    *("getSetting('max_threads')", "sleep(3)", "throwIf(1)", "neighbor(1, 1)"),
    *("editDistance('a', 'b')", "arrayReduce('uniqExact', [1])"),
]
# Every place that takes a table.
SOURCES = [
    "SELECT 1 FROM {}",
    "SELECT 1 FROM {} AS a",
    "SELECT 1 FROM otel_logs, {}",
    "SELECT 1 FROM otel_logs AS o CROSS JOIN {} AS a",
    "SELECT 1 FROM otel_logs AS o LEFT JOIN {} AS a ON 1 = 1",
    "SELECT 1 FROM (SELECT 1 FROM {})",
    "SELECT (SELECT 1 FROM {} LIMIT 1)",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM {})",
    "SELECT 1 WHERE 1 GLOBAL NOT IN (SELECT 1 FROM {})",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM {})",
    "WITH a AS (SELECT 1 FROM {}) SELECT * FROM a",
    "WITH (SELECT 1 FROM {} LIMIT 1) AS a SELECT a",
    "SELECT 1 UNION ALL SELECT 1 FROM {}",
    "SELECT x FROM otel_logs ARRAY JOIN (SELECT groupArray(1) FROM {}) AS x",
    "SELECT arrayMap(x -> (SELECT 1 FROM {} LIMIT 1), [1])",
    "SELECT sum((SELECT 1 FROM {} LIMIT 1)) OVER (ORDER BY (SELECT 1 FROM {} LIMIT 1))",
]
FORBIDDEN_SOURCES = [
    "system.processes",
    "`system`.`users`",
    "arrivals",
    "information_schema.tables",
    "url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "file('/etc/passwd', 'LineAsString', 'a String')",
    "remote('127.0.0.1', system.one)",
    "merge('.*', '.*')",
    "view(SELECT * FROM arrivals)",
    "executable('x.sh', 'TSV', 'a String')",
]


@pytest.fixture(scope="session")
def guard(shared_database: config.ClickHouse) -> Iterator[Guard]:
    """The guard by itself: it asks ClickHouse as a user who may do anything."""

    with asyncio.Runner() as runner:
        engine = Engine(shared_database, config.Query(allow_privileged_user=True))
        yield lambda statement: runner.run(check(statement, shared_database.database, 1000, engine.text))
        runner.run(engine.close())


BYPASSES = [
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV', 'a String')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString', 'a String')",
    "SELECT file('/etc/passwd')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM executable('x.sh', 'TSV', 'a String')",
    "SELECT * FROM mergeTreeIndex(currentDatabase(), otel_logs)",
    "SELECT * FROM mergeTreeTextIndex(currentDatabase(), otel_logs, by_body)",
    "SELECT * FROM loop(otel_logs)",
    "SELECT * FROM merge('.*', '.*')",
    "SELECT * FROM numbers(10)",
    "SELECT * FROM view(SELECT 1)",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
    "SELECT * FROM values('a String', 'x')",
    "SELECT * FROM input('a String')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')",
    "DESCRIBE TABLE otel_logs",
    "DESC file('/etc/passwd')",
    "SHOW TABLES",
    "EXPLAIN SELECT 1",
    "EXISTS TABLE otel_logs",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_threads = 99)",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT 1 FORMAT Null",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE otel_logs",
    "SELECT * FROM system.users",
    "SELECT * FROM `system`.`query_log`",
    'SELECT * FROM "system"."parts"',
    "SELECT * FROM information_schema.tables",
    "SELECT (SELECT count() FROM system.parts)",
    "SELECT * FROM otel_logs WHERE Body IN (SELECT name FROM system.users)",
    "SELECT 1 WHERE 1 IN system.users",
    "SELECT 1 WHERE 1 IN (system.users)",
    "SELECT 1 WHERE 1 IN ((arrivals))",
    "SELECT 1 WHERE 1 NOT IN arrivals",
    "SELECT 1 WHERE 1 GLOBAL IN arrivals",
    "SELECT globalIn(1, arrivals)",
    "SELECT * FROM arrivals",
    "SELECT * FROM other.otel_logs",
    "SELECT * FROM otel_logs JOIN arrivals ON 1 = 1",
    "SELECT * FROM otel_logs, arrivals",
    "SELECT 1 UNION ALL SELECT * FROM system.one",
    "WITH arrivals AS (SELECT * FROM arrivals) SELECT * FROM arrivals",
    "SELECT * FROM (WITH arrivals AS (SELECT 1) SELECT 1), arrivals",
    "WITH x AS (SELECT * FROM system.one) SELECT 1",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT dictGetOrDefault('d', 'a', 1, 2)",
    "SELECT joinGet('t', 'a', 1)",
    "SELECT sleep(3)",
    "SELECT sleepEachRow(1) FROM otel_logs",
    "SELECT hostName(), currentUser()",
    "SELECT getSetting('max_threads')",
    "SELECT getMacro('x')",
    "SELECT catboostEvaluate('/x', 1)",
    "SELECT addressToLine(1)",
    "SELECT * APPLY(dictGet) FROM otel_logs",
    "SELECT COLUMNS('Body') APPLY(file) FROM otel_logs",
    "INSERT INTO otel_logs SELECT * FROM otel_logs",
    "CREATE TEMPORARY TABLE t (a Int8)",
    "CREATE TABLE t AS otel_logs",
    "ALTER TABLE otel_logs DELETE WHERE 1",
    "DROP TABLE otel_logs",
    "TRUNCATE TABLE otel_logs",
    "OPTIMIZE TABLE otel_logs FINAL",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "SET readonly = 0",
    "USE system",
    "SELECT * FROM otel_logs WHERE TraceId = {a:String}",
    "",
    ";",
    "SELECT 'a",
]

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
    ):
        with pytest.raises(RejectedError):
            guard(hidden)


def test_nesting_is_answered_at_once(guard: Guard) -> None:
    """Deep nesting of any kind is parsed by ClickHouse, refused or allowed: nothing here takes exponential time."""
    for depth in (20, 100, 900):
        for opening, inside, closing in (
            ("1::" + "Tuple(" * depth, "UInt8", ")" * depth),
            ("(" * depth, "1", ")" * depth),
            ("[" * depth, "1", "]" * depth),
            ("length(" * depth, "'a'", ")" * depth),
            ("(SELECT " * depth, "1", ")" * depth),
            ("-" * depth, "1", ""),
            ("x -> " * depth, "1", ""),
            ("CASE WHEN 1 THEN " * depth, "1", " END" * depth),
        ):
            with contextlib.suppress(RejectedError):
                guard(f"SELECT {opening}{inside}{closing}")


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
