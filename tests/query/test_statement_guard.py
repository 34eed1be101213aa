"""SQL of users: one SELECT on the log table, and no way around that."""

import pytest

from logbrook import config
from logbrook.errors import RejectedError
from logbrook.query.statement import check
from tests.query.door import Door, event, store

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
    "SELECT" + " (" * 500 + "1" + ")" * 500,
    "",
    ";",
    "SELECT 'a",
    "SELECT * FROM otel_logs LIMIT 1 /* */ ; --",
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


@pytest.mark.parametrize("statement", [each for each in BYPASSES if not each.endswith("--")])
def test_everything_else_is_refused_before_it_is_sent(statement: str) -> None:
    """What is no single SELECT on the allowed tables is refused by the parse alone, with a reason."""
    with pytest.raises(RejectedError) as refused:
        check(statement, "otel", 1000)

    assert refused.value.status == 400
    assert str(refused.value)


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
    """An error of ClickHouse about the statement is the caller's to see; a body that is no JSON is refused."""
    unknown = corpus.sql("SELECT nothing FROM otel_logs")

    assert unknown.status_code == 400
    assert "nothing" in unknown.json()["error"]["message"]
    assert corpus.client.post("/v1/sql", content="SELECT 1").status_code == 415
    assert corpus.client.post("/v1/sql", json={"query": "SELECT 1"}).status_code == 400
    assert corpus.client.post("/v1/sql", json={"sql": "SELECT '" + "x" * 200_000 + "'"}).status_code == 413
