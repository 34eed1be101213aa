"""What the front does that a server has configuration for: the reader, loopback, one owner of the data, crashes."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from logbrook import clickhouse as connection
from logbrook import config
from native import __main__ as native_command
from native import ports, processes
from native.clickhouse import clickhouse as service
from native.front.app import MAX_READS
from tests.components import ClickHouseServer, migrated, running, until, wait_ready
from tests.query.door import event, store

SECRET = "a-password"


@pytest.fixture(scope="module")
def logs(clickhouse: ClickHouseServer) -> config.ClickHouse:
    """A database with the schema, for all tests of the reader: it changes nothing."""
    return migrated(clickhouse.settings("reader_test"))


@pytest.fixture
def reader(clickhouse: ClickHouseServer, logs: config.ClickHouse) -> Iterator[httpx.Client]:
    """A client of the user `reader`."""
    headers = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": clickhouse.reader_password}
    params = {"database": logs.database}
    base = f"http://{clickhouse.host}:{clickhouse.port}"
    with httpx.Client(base_url=base, headers=headers, params=params, timeout=60) as client:
        yield client


def ask(client: httpx.Client, statement: str) -> httpx.Response:
    """The answer to a statement."""
    return client.post("/", content=statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT count() FROM otel_logs",
        "SELECT count() FROM otel_logs WHERE Body IN (SELECT Body FROM otel_logs) FORMAT JSON",
        "WITH a AS (SELECT ServiceName FROM otel_logs) SELECT * FROM a JOIN a AS b USING ServiceName",
        "SELECT number FROM numbers(3)",
        "SELECT name, value FROM system.settings LIMIT 1",
    ],
)
def test_the_reader_reads_logs(reader: httpx.Client, statement: str) -> None:
    """SELECT from the log tables works in all its forms."""
    assert ask(reader, statement).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO otel_logs (Body) VALUES ('x')",
        "INSERT INTO otel_logs (Body) SELECT 'x'",
        "DROP TABLE otel_logs",
        "TRUNCATE TABLE otel_logs",
        "ALTER TABLE otel_logs DELETE WHERE 1",
        "CREATE TABLE t (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (a UInt8)",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SET readonly = 0",
        "SET max_execution_time = 1000",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1; DROP TABLE otel_logs",
        "SELECT 1 INTO OUTFILE '{file}'",
        "EXPLAIN SELECT 1 INTO OUTFILE '{file}'",
        # What ClickHouse reads as quotation marks, and as words: its Lexer.cpp.
        "SELECT 1 AS “'” INTO OUTFILE '{file}' --'",
        "SELECT 1 AS a$$ INTO OUTFILE '{file}' --$$",
        "SELECT 1 AS “x\n TableIdentifier otel_logs\n”, file('/etc/passwd')",
        "SELECT * FROM skipped_messages",
        "SELECT * FROM otel_logs WHERE Body IN (SELECT payload FROM arrivals)",
        "SELECT * FROM otel_logs WHERE Body IN skipped_messages",
        "SELECT * FROM view(SELECT * FROM skipped_messages)",
        "SELECT * FROM merge(currentDatabase(), '.*')",
        "SELECT * FROM loop(otel_logs) LIMIT 1",
        "SELECT * FROM mergeTreeIndex(currentDatabase(), otel_logs)",
        "SELECT * FROM system.tables",
        "SELECT * FROM system.processes",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "DESCRIBE file('/etc/passwd')",
        "DESCRIBE url('http://127.0.0.1:1/', 'CSV')",
        "SELECT file('/etc/passwd')",
        "SELECT toUInt8(FILE('/etc/passwd'))",
        "SELECT * FROM numbers(toUInt64(file('/etc/passwd')))",
        "SELECT (SELECT throwIf(1, file('/etc/passwd')))",
        "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
        "SELECT b FROM values('a String, b String ALIAS file(a)', '/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM executable('x', 'TSV', 'a String')",
        "SELECT dictGet('d', 'a', 1)",
        "SELECT joinGet('j', 'a', 1)",
        "SHOW TABLES",
        "",
    ],
)
def test_the_reader_does_nothing_else(
    reader: httpx.Client, logs: config.ClickHouse, tmp_path: Path, statement: str
) -> None:
    """No writing, no files, no network, no other tables, no settings; and no answer that tells what is in them."""
    target = tmp_path / "out"
    answer = ask(reader, statement.replace("{file}", str(target)))
    assert answer.status_code >= 400
    assert "root:" not in answer.text
    assert not target.exists()
    assert connection.connect(logs).command("EXISTS otel_logs") == 1


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        # The second one has no heredoc.
        (("SELECT $1$, file('/etc/passwd'), $1$", {}), ("SELECT $1$, file('/etc/passwd'), $2$", {})),
        (
            ("SELECT 1 FROM {t:Identifier} LIMIT 1", {"param_t": "otel_logs"}),
            ("SELECT 1 FROM {t:Identifier} LIMIT 1", {"param_t": "arrivals"}),
        ),
    ],
)
def test_what_resembles_an_allowed_statement_is_checked(
    reader: httpx.Client, allowed: tuple[str, dict[str, str]], refused: tuple[str, dict[str, str]]
) -> None:
    """The front remembers which statements are harmless, whatever their numbers; nothing else passes for one."""
    for statement, params in (allowed, allowed):
        assert "Not enough privileges" not in reader.post("/", content=statement, params=params).text
    statement, params = refused
    assert "Not enough privileges" in reader.post("/", content=statement, params=params).text


def test_a_name_that_becomes_a_table_is_checked_again(reader: httpx.Client, logs: config.ClickHouse) -> None:
    """A statement that was harmless because a name in it meant nothing is refused once it is the name of a table."""
    statement = "WITH secrets AS (SELECT 1 AS a) SELECT a FROM secrets"
    assert ask(reader, statement).status_code == 200
    administrator = connection.connect(logs)
    administrator.command("CREATE TABLE secrets (a UInt8) ENGINE = Memory")
    try:
        assert "Not enough privileges" in ask(reader, statement).text
    finally:
        administrator.command("DROP TABLE secrets")


def test_a_digit_in_an_escape_is_a_part_of_a_name(reader: httpx.Client, logs: config.ClickHouse) -> None:
    """Of two names that differ in such a digit, one is allowed, otel_ and a letter, and the other is refused."""
    administrator = connection.connect(logs)
    administrator.command("CREATE TABLE `otel_\U00050380` (a UInt8) ENGINE = Memory")
    try:
        allowed, refused = (f'SELECT 1 FROM "otel_\\x-{digit}\\x90\\x8e\\x80"' for digit in (0, 1))
        assert "Not enough privileges" not in ask(reader, allowed).text
        assert "Not enough privileges" in ask(reader, refused).text
    finally:
        administrator.command("DROP TABLE `otel_\U00050380`")


@pytest.fixture
def views(clickhouse: ClickHouseServer, logs: config.ClickHouse) -> Iterator[httpx.Client]:
    """A client of the user `views`."""
    headers = {"X-ClickHouse-User": "views", "X-ClickHouse-Key": clickhouse.views_password}
    base = f"http://{clickhouse.host}:{clickhouse.port}"
    with httpx.Client(base_url=base, headers=headers, params={"database": logs.database}, timeout=60) as client:
        yield client


def test_the_user_of_views_reads_and_adds_them(views: httpx.Client, reader: httpx.Client) -> None:
    """Rows of one table, which the reader does not read."""
    added = ask(views, 'INSERT INTO saved_views (name, version) FORMAT JSONEachRow\n{"name": "a", "version": 1}')

    assert added.status_code == 200
    assert ask(views, "SELECT name, version FROM saved_views").text == "a\t1\n"
    assert "Not enough privileges" in ask(reader, "SELECT name FROM saved_views").text


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count() FROM otel_logs",
        "SELECT name FROM system.tables",
        "SELECT file('/etc/passwd')",
        'INSERT INTO otel_logs (Body) FORMAT JSONEachRow {"Body": "x"}',
        'INSERT INTO arrivals (payload) FORMAT JSONEachRow {"payload": "x"}',
        "INSERT INTO saved_views (name) VALUES (file('/etc/passwd'))",
        "INSERT INTO saved_views (name) SELECT file('/etc/passwd')",
        "INSERT INTO saved_views (name) SELECT * FROM input('a String') FORMAT LineAsString x",
        "INSERT INTO saved_views (name) FROM INFILE '/etc/passwd' FORMAT LineAsString",
        'INSERT INTO saved_views (name) SETTINGS readonly = 0 FORMAT JSONEachRow {"name": "x"}',
        "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a String') FORMAT CSV x",
        "ALTER TABLE saved_views DELETE WHERE 1",
        "DELETE FROM saved_views WHERE 1",
        "TRUNCATE TABLE saved_views",
        "DROP TABLE saved_views",
        "OPTIMIZE TABLE saved_views",
        "CREATE TABLE t (a UInt8) ENGINE = Memory",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
    ],
)
def test_the_user_of_views_does_nothing_else(views: httpx.Client, logs: config.ClickHouse, statement: str) -> None:
    """No other table, no change and no removal of a row, no expression in one, no file."""
    client = connection.connect(logs)
    rows = "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    before = client.query(rows).result_rows

    answer = ask(views, statement)

    assert answer.status_code >= 400
    assert "root:" not in answer.text
    assert client.query(rows).result_rows == before


def test_the_reader_brings_no_tables(reader: httpx.Client, logs: config.ClickHouse) -> None:
    """A table that comes with the request would be made before its statement is checked: only others may send one."""
    form = {"query": (None, "SELECT * FROM otel_t"), "otel_t": ("otel_t", "1\n")}
    described = {"otel_t_structure": "a UInt8", "otel_t_format": "TSV"}

    answer = reader.post("/", files=form, params=described)
    head = {"X-ClickHouse-User": logs.username, "X-ClickHouse-Key": logs.password}
    others = reader.post("/", files=form, params=described, headers=head)

    assert answer.headers["X-ClickHouse-Exception-Code"] == "497"
    assert "Not enough privileges: external tables" in answer.text
    assert others.text == "1\n"


def test_a_file_is_no_table_for_the_reader(reader: httpx.Client, logs: config.ClickHouse) -> None:
    """In the database `default` a file's path is a table's name, and one that others read stays open there."""
    others = {"X-ClickHouse-User": logs.username, "X-ClickHouse-Key": logs.password}
    here = {"database": "default"}
    opened = reader.post("/", content="SELECT * FROM `/etc/passwd`", params=here, headers=others)
    assert "root:" in opened.text

    for path in ("/etc/passwd", "/etc/pass*", "/etc/group"):
        for place in ("SELECT * FROM `{}`", "SELECT 'a' IN `{}`", "WITH a AS (SELECT 1) SELECT * FROM a, `{}`"):
            answer = reader.post("/", content=place.format(path), params=here)
            assert "Not enough privileges" in answer.text, (place, path, answer.text)


def test_a_parameter_passes_for_no_part_of_the_tree(reader: httpx.Client) -> None:
    """A name that comes as a parameter may not have what separates the lines of the printed tree."""
    asked = {"param_x": "a\n    Function plus\n     ExpressionList\n      Literal UInt64_1", "param_y": "Body"}
    for statement in ("SELECT {x:Identifier} IN system.users", "SELECT {x:Identifier}, {y:Identifier} FROM otel_logs"):
        answer = reader.post("/", content=statement, params=asked)
        assert "Not enough privileges: names with" in answer.text

    for statement, value in (("SELECT {x:Identifier} FROM otel_logs", "Body"), ("SELECT {x:String}", "a\\nb")):
        assert reader.post("/", content=statement, params={"param_x": value}).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {"default_format": "TSV; SELECT * FROM skipped_messages"},
        {"default_format": "TSV\nUNION ALL SELECT 1"},
        {"database": "x`; DROP TABLE otel_logs; --"},
        {"log_comment": "'; DROP TABLE otel_logs; --"},
        {"max_threads' = 1, readonly = '0": "1"},
        {"query_id": "x\r\nX-Injected: 1"},
    ],
)
def test_url_parameters_are_no_sql(reader: httpx.Client, logs: config.ClickHouse, params: dict[str, str]) -> None:
    """Whatever is in the URL stays a name or a value, and adds no header to the answer."""
    answer = reader.post("/", content="SELECT 5", params=params)
    assert answer.status_code >= 400 or answer.text == "5\n"
    assert "X-Injected" not in answer.headers
    assert connection.connect(logs).command("EXISTS otel_logs") == 1


def test_the_reader_reads_in_every_format(reader: httpx.Client) -> None:
    """Also in that of drivers which ask for a protocol revision."""
    for params in ({"default_format": "JSONEachRow"}, {"default_format": "Native", "client_protocol_version": "54460"}):
        assert reader.post("/", content="SELECT count() AS c FROM otel_logs", params=params).status_code == 200


@pytest.mark.parametrize("name", ["max_execution_time", "max_memory_usage", "readonly", "max_result_rows"])
def test_the_reader_keeps_its_limits(reader: httpx.Client, name: str) -> None:
    """A setting in the URL does not lift them."""
    answer = reader.post("/", content=f"SELECT getSetting('{name}')", params={name: "0"})
    assert answer.headers.get("X-ClickHouse-Exception-Code") == "164" or answer.text != "0\n"


def test_the_reader_may_lower_some_limits(reader: httpx.Client) -> None:
    """As with `changeable_in_readonly` on a server: within their bounds, and never above."""
    lower = {"max_execution_time": "5.0", "max_memory_usage": "1000000", "max_threads": "1"}
    lower["os_threads_nice_value_query"] = "19"
    settings = ", ".join(f"getSetting('{name}')" for name in lower)
    assert reader.post("/", content=f"SELECT {settings}", params=lower).text == "5\t1000000\t1\t19\n"

    for name, value in (
        *(("max_execution_time", "21"), ("max_execution_time", "0"), ("max_memory_usage", "0"), ("max_threads", "5")),
        *(("max_threads", "1e0"), ("os_threads_nice_value_query", "-1"), ("max_memory_usage", "9" * 30)),
    ):
        answer = reader.post("/", content="SELECT 1", params={name: value})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "452", (name, value)


def test_the_reader_may_leave_out_events(reader: httpx.Client, logs: config.ClickHouse) -> None:
    """A filter is applied wherever the table is read, and names nothing that a statement may not name."""

    def filtered(condition: str, **more: str) -> httpx.Response:
        text = condition.replace("\\", "\\\\").replace("'", "\\'")
        entries = ", ".join([f"'{name}': '{each}'" for name, each in more.items()] + [f"'otel_logs': '{text}'"])
        setting = {"additional_table_filters": f"{{{entries}}}"}
        return reader.post("/", content="SELECT Body FROM (SELECT Body FROM otel_logs)", params=setting)

    store(logs, [event(1, "it's one"), event(2, "another")])
    assert filtered("1").text.splitlines() == ["it\\'s one", "another"]
    assert filtered("Body = 'it\\'s one'").text.splitlines() == ["it\\'s one"]
    for forbidden in (
        "length(file('/etc/passwd')) > 0",
        "(SELECT 1 FROM system.users LIMIT 1)",
        "arrayMap(file, ['x'])",
    ):
        assert filtered(forbidden).headers["X-ClickHouse-Exception-Code"] == "497", forbidden
    assert filtered("1) UNION ALL (SELECT 1").status_code != 200
    # One that hides another in a comment.
    assert filtered("length(file('/etc/passwd')) > 0", a="/*").headers["X-ClickHouse-Exception-Code"] == "497"


def test_reads_never_take_the_places_of_inserts(clickhouse: ClickHouseServer) -> None:
    """However many statements read at the same time, an insert finds a place; and so does KILL QUERY."""
    headers = {"X-ClickHouse-Key": clickhouse.password}
    base = f"http://127.0.0.1:{clickhouse.port}"
    stopped = threading.Event()

    def read(_: int) -> str:
        with httpx.Client(base_url=base, headers=headers, timeout=100) as http:
            answer = http.post(
                "/", content="SELECT sleepEachRow(1) AS places FROM numbers(60) SETTINGS max_block_size = 1"
            )
            return str(answer.headers.get("X-ClickHouse-Exception-Code"))

    def stop() -> None:
        # Some were asked to end before they began.
        while not stopped.wait(1):
            http.post("/", content="KILL QUERY WHERE query LIKE '%AS places%' ASYNC")

    with httpx.Client(base_url=base, headers=headers, timeout=100) as http, ThreadPoolExecutor(120) as pool:
        assert http.post("/", content="CREATE TABLE places (a UInt8) ENGINE = Memory").is_success
        reads = [pool.submit(read, number) for number in range(110)]
        until(lambda: sum(each.done() for each in reads) >= 110 - MAX_READS)
        refused = [each.result() for each in reads if each.done()]
        inserted = http.post("/", content="INSERT INTO places VALUES (1)")
        stopping = threading.Thread(target=stop)
        stopping.start()
        ended = [each.result() for each in reads]
        stopped.set()
        stopping.join()
        assert http.post("/", content="DROP TABLE places").is_success

    assert inserted.is_success, inserted.text
    assert refused == ["202"] * (110 - MAX_READS)
    assert ended.count("202") == 110 - MAX_READS


@pytest.mark.parametrize("head", [b"GET /?query=" + b"x" * 2**26, b"GET / HTTP/1.1\r\nx: " + b"x" * 2**26])
def test_an_endless_head_is_cut_off(clickhouse: ClickHouseServer, head: bytes) -> None:
    """What is no request in all that a client sends takes no memory: the connection is closed."""
    with (
        socket.create_connection(("127.0.0.1", clickhouse.port), 30) as client,
        pytest.raises(OSError, match=r"reset|Broken pipe"),
    ):
        client.sendall(head)


def test_the_reader_has_no_password_unless_given(tmp_path: Path) -> None:
    """Without CLICKHOUSE_READONLY_PASSWORD nobody logs in as `reader`, not even with an empty password."""
    [port] = ports.free(1)
    with running(service(tmp_path / "data", port, SECRET), tmp_path / "log"):
        for password in ("", SECRET):
            headers = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": password}
            assert httpx.post(f"http://127.0.0.1:{port}/", content="SELECT 1", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::"])
def test_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    """Any other address is refused before anything is opened."""
    command = [sys.executable, "-m", "native.front", "--data", str(tmp_path / "data"), "--host", host]
    environment = {**os.environ, "PYTHONPATH": "compose", "CLICKHOUSE_PASSWORD": SECRET}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "not a loopback address" in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


def test_it_needs_a_password(tmp_path: Path) -> None:
    """There is no default."""
    command = [sys.executable, "-m", "native.front", "--data", str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": "compose", "CLICKHOUSE_PASSWORD": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "CLICKHOUSE_PASSWORD is not set" in done.stderr) == (2, True)


def test_the_engine_can_not_read_the_passwords_from_its_process(clickhouse: ClickHouseServer) -> None:
    """Even as the administrator: its environment, which ClickHouse's function `file` reads, does not have them."""
    client = connection.connect(clickhouse.settings())
    found = client.query("SELECT line FROM file('/proc/self/environ', 'LineAsString')").result_rows
    text = "".join(line for (line,) in found)
    assert "PATH=" in text
    assert clickhouse.password not in text
    assert clickhouse.reader_password not in text


def test_two_fronts_never_share_a_directory(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """The second one says who is in the way, and leaves the data alone."""
    [port] = ports.free(1)
    second = service(clickhouse.directory, port, SECRET)
    process = processes.start(second, tmp_path / "log")
    assert process.wait(60) == 1
    assert "Another process has" in (tmp_path / "log").read_text()
    assert connection.connect(clickhouse.settings()).command("SELECT 1") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_acknowledged_survives(tmp_path: Path, number: signal.Signals) -> None:
    """Killed or stopped with a statement under way: the directory opens again, with every acknowledged row."""
    [port] = ports.free(1)
    front, log = service(tmp_path / "data", port, SECRET), tmp_path / "log"
    settings = config.ClickHouse(port=port, password=SECRET, database="default")
    process = processes.start(front, log)
    wait_ready(front, process, log)
    client = connection.connect(settings)
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    client.raw_insert("t", insert_block=b"1\n2\n3\n", fmt="TSV")
    heavy = threading.Thread(target=_heavy, args=(settings,))
    heavy.start()
    running_now = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64(number%'"
    until(lambda: bool(client.query(running_now).result_rows[0][0] == 2))
    process.send_signal(number)
    process.wait(60)
    heavy.join()
    with running(front, log):
        assert connection.connect(settings).query("SELECT a FROM t ORDER BY a").result_columns == [[1, 2, 3]]


def _heavy(settings: config.ClickHouse) -> None:
    with pytest.raises(connection.ClickHouseError):
        connection.connect(settings).command("SELECT sum(cityHash64(number)) FROM numbers(1000000000000)")


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Neither a big body nor a big result is ever in memory as a whole: the engine's blocks are all there is."""
    [port] = ports.free(1)
    front, log = service(tmp_path / "data", port, SECRET), tmp_path / "log"
    lines = (b"x" * 1000 + b"\n") * 1000
    blocks: dict[str, str | int] = {
        "max_insert_block_size": 1000,
        "min_insert_block_size_bytes": 10**6,
        "max_block_size": 1000,
    }
    insert: dict[str, str | int] = {
        "query": "INSERT INTO t FORMAT LineAsString",
        "input_format_parallel_parsing": 0,
        **blocks,
    }
    process = processes.start(front, log)
    try:
        wait_ready(front, process, log)
        base, headers = f"http://127.0.0.1:{port}", {"X-ClickHouse-Key": SECRET}
        with httpx.Client(base_url=base, headers=headers, timeout=100) as http, _Watch(process.pid) as watch:
            assert http.post("/", content="CREATE TABLE t (s String) ENGINE = Null").is_success
            assert http.post("/", content=lines, params=insert).is_success
            before = watch.peak
            assert http.post("/", content=(lines for _ in range(300)), params=insert).is_success
            statement = "SELECT repeat('x', 1000) FROM numbers(300000)"
            with http.stream("POST", "/", content=statement, params=blocks) as answer:
                assert sum(map(len, answer.iter_raw())) == 300 * len(lines)
            assert watch.peak - before < 150 * 2**20
    finally:
        processes.stop(front, process)


class _Watch:
    """The most memory of its own that a process has while the block runs: files that it maps do not count."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._status, self._done = Path("/proc", str(pid), "status"), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.01):
            [line] = [line for line in self._status.read_text().splitlines() if line.startswith("RssAnon")]
            self.peak = max(self.peak, int(line.split()[1]) * 1024)


def test_many_at_once(clickhouse: ClickHouseServer) -> None:
    """Statements of many clients at the same time: each gets its own answer, with its own settings."""

    def work(number: int) -> list[str]:
        headers = {"X-ClickHouse-Key": clickhouse.password}
        with httpx.Client(base_url=f"http://127.0.0.1:{clickhouse.port}", headers=headers, timeout=100) as http:
            statement = "SELECT {n:UInt32}, getSetting('max_block_size')"
            params = {"param_n": str(number), "max_block_size": str(number + 1000)}
            return [http.post("/", content=statement, params=params).text for _ in range(25)]

    with ThreadPoolExecutor(16) as pool:
        for number, answers in enumerate(pool.map(work, range(16))):
            assert answers == [f"{number}\t{number + 1000}\n"] * 25


def test_metrics_for_prometheus(clickhouse: ClickHouseServer) -> None:
    """/metrics needs no password, parses, and has the names of a server."""
    text = httpx.get(f"http://127.0.0.1:{clickhouse.port}/metrics").text
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names >= {
        "ClickHouseMetrics_Query",
        "ClickHouseProfileEvents_Query",
        "ClickHouseAsyncMetrics_MaxPartCountForPartition",
        "ClickHouseAsyncMetrics_DiskAvailable_default",
        "ClickHouseAsyncMetrics_MemoryResident",
        "ClickHouseAsyncMetrics_CGroupMemoryTotal",
    }


def test_no_row_steers_the_terminal(
    clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make local-sql` writes out what a log line holds of escapes, C1 controls and reordering characters."""
    stack = SimpleNamespace(clickhouse=clickhouse.settings("default"))
    monkeypatch.setattr("native.environment.load", lambda _: stack)

    native_command.sql("SELECT 'a\x1b[31mb\u009b1mc\u202ed' AS line", Path())

    shown = capsys.readouterr().out
    assert "a\\u{1b}[31mb\\u{9b}1mc\\u{202e}d" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}
