"""ClickHouse's HTTP protocol, as everything above it relies on.

The same tests run against a real server, with TEST_CLICKHOUSE_URL=http://default:PASSWORD@127.0.0.1:8123 set.
"""

import bz2
import contextlib
import gzip
import json
import lzma
import os
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator

import clickhouse_connect
import cramjam
import httpx
import lz4.block
import lz4.frame
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.components import ClickHouseServer, until

SERVER_URL = os.environ.get("TEST_CLICKHOUSE_URL")
# Those whose bodies may have several members.
CODECS = ["gzip", "deflate", "zstd", "lz4", "xz", "bz2"]


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> httpx.URL:
    """Where ClickHouse answers, with user and password."""
    if SERVER_URL:
        return httpx.URL(SERVER_URL)
    server: ClickHouseServer = request.getfixturevalue("clickhouse")
    return httpx.URL(f"http://default:{server.password}@{server.host}:{server.port}/")


@pytest.fixture
def http(url: httpx.URL) -> Iterator[httpx.Client]:
    """A client that logs in with ClickHouse's headers, without asking for compression."""
    headers = {"X-ClickHouse-User": url.username, "X-ClickHouse-Key": url.password, "Accept-Encoding": "identity"}
    with httpx.Client(base_url=url.copy_with(userinfo=b""), headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def table(http: httpx.Client) -> Iterator[str]:
    """A table (x UInt64, s String) without rows."""
    name = f"t_{uuid.uuid4().hex}"
    assert http.post("/", content=f"CREATE TABLE {name} (x UInt64, s String) ENGINE = MergeTree ORDER BY x").is_success
    yield name
    http.post("/", content=f"DROP TABLE IF EXISTS {name} SYNC")


def ask(http: httpx.Client, statement: str, **parameters: str | int) -> str:
    """The result of a statement that must succeed."""
    answer = http.post("/", content=statement, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(http: httpx.Client, table: str) -> list[tuple[int, str]]:
    """What the table holds, in order."""
    answer = json.loads(ask(http, f"SELECT x, s FROM {table} ORDER BY ALL FORMAT JSONCompact"))
    return [(int(x), s) for x, s in answer["data"]]


# Doors


def test_ping_needs_no_password(url: httpx.URL) -> None:
    """Health checks know no secrets."""
    for path in ("/ping", "/", "/replicas_status"):
        answer = httpx.get(url.copy_with(userinfo=b"", path=path))
        assert (answer.status_code, answer.text) == (200, "Ok.\n")


def test_an_unknown_path_is_not_found(http: httpx.Client) -> None:
    """Typing errors in a URL do not look like answers."""
    assert http.get("/pong").status_code == 404


@pytest.mark.parametrize("way", ["headers", "basic", "url"])
def test_each_way_to_log_in(url: httpx.URL, way: str) -> None:
    """Headers, Basic and the URL carry user and password; a wrong one is refused with code 516."""
    plain = url.copy_with(userinfo=b"")

    def login(password: str) -> httpx.Response:
        if way == "headers":
            headers = {"X-ClickHouse-User": url.username, "X-ClickHouse-Key": password}
            return httpx.post(plain, content="SELECT 1", headers=headers)
        if way == "basic":
            return httpx.post(plain, content="SELECT 1", auth=(url.username, password))
        return httpx.post(plain, content="SELECT 1", params={"user": url.username, "password": password})

    assert login(url.password).text == "1\n"
    refused = login(url.password + "x")
    assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_no_password_is_no_way_in(url: httpx.URL) -> None:
    """Whoever says nothing is not let in."""
    answer = httpx.post(url.copy_with(userinfo=b""), content="SELECT 1")
    assert answer.status_code in (401, 403)
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("194", "516")


# Statements


def test_get_and_post_and_both_together(http: httpx.Client) -> None:
    """The statement is in the URL, in the body, or begins in the one and ends in the other."""
    assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert ask(http, "SELECT 1") == "1\n"
    assert ask(http, " + 1", query="SELECT 1") == "2\n"


def test_get_changes_nothing(http: httpx.Client, table: str) -> None:
    """GET implies readonly: code 164."""
    answer = http.get("/", params={"query": f"DROP TABLE {table}"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert rows(http, table) == []


def test_formats_and_their_labels(http: httpx.Client) -> None:
    """FORMAT in the statement wins over default_format, which wins over TabSeparated."""
    plain = http.post("/", content="SELECT 1 AS a, 'b' AS b")
    assert (plain.text, plain.headers["X-ClickHouse-Format"]) == ("1\tb\n", "TabSeparated")
    assert plain.headers["Content-Type"].startswith("text/tab-separated-values")
    default = http.post("/", content="SELECT 1 AS a", params={"default_format": "JSONEachRow"})
    assert (default.json(), default.headers["X-ClickHouse-Format"]) == ({"a": 1}, "JSONEachRow")
    both = http.post("/", content="SELECT 1 AS a FORMAT CSV", params={"default_format": "JSONEachRow"})
    assert (both.text, both.headers["X-ClickHouse-Format"]) == ("1\n", "CSV")
    assert both.headers["Content-Type"].startswith("text/csv")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 7;",
        "SELECT 7 -- FORMAT JSON",
        "/* SELECT 1; */ SELECT 7 # x\n;",
        "SELECT 7 FORMAT TSV SETTINGS max_threads = 1",
        "SELECT 7 SETTINGS max_threads = 1 FORMAT TSV",
        "SELECT 7 SETTINGS max_threads = 1",
        "(SELECT 7)",
        "WITH 7 AS format SELECT format",
        "SELECT 7 AS format",
        "SELECT toUInt8(substring('; FORMAT JSON 7', -1))",
        "FROM (SELECT 7 AS `a FORMAT JSON`) SELECT *",
        "SELECT * FROM (SELECT 7 SETTINGS max_threads = 1)",
        "SELECT $tag$7$tag$",
    ],
)
def test_statements_that_are_easily_misread(http: httpx.Client, statement: str) -> None:
    """Comments, strings, aliases and clauses in any order do not confuse where the result goes."""
    assert ask(http, statement) == "7\n"


def test_parameters_are_bound_by_type(http: httpx.Client) -> None:
    """param_x fills {x:Type}; what looks like SQL in it stays a value."""
    hostile = "1'; DROP TABLE x; --"
    assert ask(http, "SELECT {s:String}", param_s=hostile) == hostile.replace("'", "\\'") + "\n"
    assert ask(http, "SELECT arraySum({a:Array(UInt8)})", param_a="[1,2,3]") == "6\n"
    assert ask(http, "SELECT {t:Identifier} FROM (SELECT 5 AS q)", param_t="q") == "5\n"
    missing = http.post("/", content="SELECT {x:UInt8}")
    assert missing.headers["X-ClickHouse-Exception-Code"] == "456"


def test_settings_and_database_of_the_url(http: httpx.Client) -> None:
    """They hold for this request, and not for the next."""
    assert ask(http, "SELECT getSetting('max_block_size')", max_block_size=17) == "17\n"
    assert ask(http, "SELECT getSetting('max_block_size')") != "17\n"
    assert ask(http, "SELECT currentDatabase()", database="system") == "system\n"
    assert ask(http, "SELECT currentDatabase()") == "default\n"


def test_bytes_that_are_no_text(http: httpx.Client) -> None:
    """They pass through a statement's literal, and are refused as a parameter."""
    assert http.post("/", content=b"SELECT hex('\xff')").text == "FF\n"
    assert http.get("/?query=SELECT+hex('%FE')").text == "FE\n"
    refused = http.post("/?param_a=%FF", content="SELECT hex({a:String})")
    assert refused.status_code == 400 or refused.text == "FF\n"


def test_what_the_service_sets_is_accepted(http: httpx.Client, table: str) -> None:
    """The settings of the consumer's insert."""
    settings = {"async_insert": 0, "max_insert_threads": 1, "max_insert_block_size": 1_000_000}
    settings |= {"min_insert_block_size_rows": 1_000_000, "min_insert_block_size_bytes": 2**30}
    ask(http, "1\ta\n", query=f"INSERT INTO {table} FORMAT TSV", **settings)
    assert rows(http, table) == [(1, "a")]


@pytest.mark.parametrize(
    ("statement", "code", "status"),
    [
        ("SELECT * FROM no_such_table", 60, 404),
        ("SELECT no_such_column", 47, 404),
        ("SELECT 1 FROM", 62, 400),
        ("", 62, 400),
        ("exit", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT no_such_function(1)", 46, 404),
        ("SELECT toUInt8('x')", 6, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT 1 SETTINGS no_such_setting = 1", 115, 404),
        ("SELECT 1 FORMAT NoSuchFormat", 73, 404),
    ],
)
def test_errors_have_codes(http: httpx.Client, statement: str, code: int, status: int) -> None:
    """An error is its HTTP status, its code in a header, and a text that begins with the code."""
    answer = http.post("/", content=statement)
    assert (answer.headers.get("X-ClickHouse-Exception-Code"), answer.status_code) == (str(code), status)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "(version " in answer.text


def test_an_unknown_database_or_setting_in_the_url(http: httpx.Client) -> None:
    """They are errors, not ignored."""
    answer = http.post("/", content="SELECT 1", params={"database": "no_such_database"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "81"
    answer = http.post("/", content="SELECT 1", params={"no_such_setting": "1"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "115"


def test_the_summary_counts(http: httpx.Client, table: str) -> None:
    """X-ClickHouse-Summary tells the rows read and written."""
    written = http.post("/", content="1\ta\n2\tb\n", params={"query": f"INSERT INTO {table} FORMAT TSV"})
    assert json.loads(written.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    read = http.post("/", content=f"SELECT s FROM {table} WHERE x = 1")
    summary = json.loads(read.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("2", "1")
    assert int(summary["elapsed_ns"]) > 0


def test_headers_say_who_answered(http: httpx.Client) -> None:
    """Query id, time zone and server are in the answer."""
    answer = http.post("/", content="SELECT 1", params={"query_id": "my-id"})
    assert answer.headers["X-ClickHouse-Query-Id"] == "my-id"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert len(http.post("/", content="SELECT 1").headers["X-ClickHouse-Query-Id"]) == 36


# Inserts


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("INSERT INTO {t} FORMAT TSV", b"1\ta\n2\tb\n"),
        ("INSERT INTO {t} (s, x) FORMAT CSV", b"a,1\nb,2\n"),
        ("INSERT INTO {t} FORMAT JSONEachRow", b'{"x":1,"s":"a"}\n{"x":2,"s":"b"}'),
        ("INSERT INTO {t} VALUES", b"(1, 'a'), (1 + 1, lower('B'))"),
        ("INSERT INTO TABLE {t} (x, s) SETTINGS async_insert = 0 FORMAT TSV", b"1\ta\n2\tb\n"),
        ("INSERT INTO {t} SELECT a, b FROM input('a UInt64, b String') FORMAT TSV", b"1\ta\n2\tb\n"),
        ("", b"INSERT INTO {t} FORMAT TSV\n1\ta\n2\tb\n"),
        ("", b"INSERT INTO {t} VALUES (1, 'a'), (2, 'b');"),
        ("", b"INSERT INTO {t} VALUES\n(1, 'a'),\n\n(2, 'b')\n;\n"),
        ("", b'insert into {t} format JSONEachRow {"x":1,"s":"a"} {"x":2,"s":"b"}'),
        ("", b"INSERT INTO {t} SELECT number + 1, if(number = 1, 'b', 'a') FROM numbers(2)"),
        ("INSERT INTO {t} VALUES (1, 'a'),", b"(2, 'b')"),
        ("INSERT INTO {t} FORMAT RowBinary", struct.pack("<Q", 1) + b"\x01a" + struct.pack("<Q", 2) + b"\x01b"),
    ],
)
def test_inserts_in_every_shape(http: httpx.Client, table: str, query: str, body: bytes) -> None:
    """Statement and data in URL and body, in every order and format that clients use."""
    answer = http.post("/", content=body.replace(b"{t}", table.encode()), params={"query": query.replace("{t}", table)})
    assert answer.status_code == 200, answer.text
    assert rows(http, table) == [(1, "a"), (2, "b")]


def test_an_insert_without_rows(http: httpx.Client, table: str) -> None:
    """No data is no error."""
    ask(http, "", query=f"INSERT INTO {table} FORMAT JSONEachRow")
    assert rows(http, table) == []


def test_data_is_never_taken_for_sql(http: httpx.Client, table: str) -> None:
    """Semicolons, quotes, keywords and bytes that are no text arrive as they are."""
    text = "'; DROP TABLE x; -- \\ FORMAT CSV\n\n;\n\x00"
    row = json.dumps({"x": 1, "s": text})
    ask(http, row, query=f"INSERT INTO {table} FORMAT JSONEachRow")
    assert rows(http, table) == [(1, text)]


def test_broken_data_stores_nothing(http: httpx.Client, table: str) -> None:
    """A row that can't be read fails the whole insert, with a code."""
    answer = http.post("/", content=b'{"x":1}\n{"x":', params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"})
    assert answer.status_code >= 400
    assert answer.headers["X-ClickHouse-Exception-Code"]
    assert rows(http, table) == []


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("codec", ["gzip", "deflate", "zstd", "lz4"])
def test_compressed_requests(http: httpx.Client, table: str, codec: str, in_body: bool) -> None:
    """Content-Encoding is undone, whether the statement is in the URL or in the body."""
    data = b"".join(b"%d\t%d\n" % (number, number) for number in range(10_000))
    statement = f"INSERT INTO {table} FORMAT TSV"
    plain = statement.encode() + b"\n" + data if in_body else data
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress}
    body = zstandard.ZstdCompressor().compress(plain) if codec == "zstd" else compress[codec](plain)
    params = {} if in_body else {"query": statement}
    answer = http.post("/", content=body, params=params, headers={"Content-Encoding": codec})
    assert answer.status_code == 200, answer.text
    assert ask(http, f"SELECT count(), sum(x) FROM {table}") == "10000\t49995000\n"


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_several_members_are_one_body(http: httpx.Client, table: str, codec: str, in_body: bool) -> None:
    """A body of several compressed members or frames, as clients send block by block: every row is stored."""
    pieces = [b"".join(b"%d\t%d\n" % (first + number, number) for number in range(1000)) for first in (0, 1000, 2000)]
    statement = f"INSERT INTO {table} FORMAT TSV"
    if in_body:
        pieces.insert(0, statement.encode() + b"\n")
    body = b"".join(_compress(codec, piece) for piece in pieces)
    params = {} if in_body else {"query": statement}
    answer = http.post("/", content=body, params=params, headers={"Content-Encoding": codec})
    assert answer.status_code == 200, answer.text
    assert ask(http, f"SELECT count(), uniqExact(x) FROM {table}") == "3000\t3000\n"


@pytest.mark.parametrize("codec", [*CODECS, "br"])
def test_a_compressed_body_that_is_cut_off_stores_nothing(http: httpx.Client, table: str, codec: str) -> None:
    """Half a member is an error, and never a part of the rows."""
    # A Brotli stream is the only one in its body (RFC 7932).
    body = b"" if codec == "br" else _compress(codec, b"1\ta\n")
    body += _compress(codec, b"".join(b"%d\tb\n" % each for each in range(9_999)))[:-40]
    params = {"query": f"INSERT INTO {table} FORMAT TSV"}
    answer = http.post("/", content=body, params=params, headers={"Content-Encoding": codec})
    assert answer.status_code >= 400
    assert rows(http, table) == []


def _compress(codec: str, data: bytes) -> bytes:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
        "br": lambda data: bytes(cramjam.brotli.compress(data)),
    }
    return compress[codec](data)


def _in_block(data: bytes) -> bytes:
    """A block of ClickHouse's own compression: checksum, method (LZ4), sizes, data."""
    packed: bytes = lz4.block.compress(data, store_size=False)
    rest = struct.pack("<BII", 0x82, 9 + len(packed), len(data)) + packed
    number: int = CityHash128(rest)
    return struct.pack("<QQ", number >> 64, number & (2**64 - 1)) + rest


def _from_blocks(data: bytes) -> bytes:
    pieces = []
    while data:
        _, packed, size = struct.unpack_from("<BII", data, 16)
        block, data = data[: 16 + packed], data[16 + packed :]
        pieces.append(lz4.block.decompress(block[25:], uncompressed_size=size))
    return b"".join(pieces)


def test_clickhouses_own_compression(http: httpx.Client, table: str) -> None:
    """decompress=1 for what is sent, compress=1 for what is answered, as clickhouse-go does."""
    params: dict[str, str | int] = {"query": f"INSERT INTO {table} FORMAT TSV", "decompress": 1}
    answer = http.post("/", content=_in_block(b"1\ta\n") + _in_block(b"2\tb\n"), params=params)
    assert answer.status_code == 200, answer.text
    assert rows(http, table) == [(1, "a"), (2, "b")]
    small = http.post("/", content=f"SELECT x FROM {table} ORDER BY x", params={"compress": 1})
    assert _from_blocks(small.content) == b"1\n2\n"
    with http.stream("POST", "/", content="SELECT number FROM numbers(1000000)", params={"compress": 1}) as big:
        assert _from_blocks(b"".join(big.iter_raw())).count(b"\n") == 1_000_000


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_block_stores_nothing(http: httpx.Client, table: str, damage: str) -> None:
    """The checksum is looked at, and so is the end."""
    block = _in_block(b"".join(b"%d\ta\n" % each for each in range(1000)))
    body = block[:-3] if damage == "cut" else block[:40] + bytes([block[40] ^ 1]) + block[41:]
    params: dict[str, str | int] = {"query": f"INSERT INTO {table} FORMAT TSV", "decompress": 1}
    assert http.post("/", content=_in_block(b"1\ta\n") + body, params=params).status_code >= 400
    assert rows(http, table) == []


def test_an_insert_behind_with(http: httpx.Client, table: str) -> None:
    """WITH before INSERT is part of it: rows come from where it says, and never are the text of the statement."""
    ask(http, f"WITH 'a' AS name INSERT INTO {table} SELECT 1, name")
    ask(http, f"WITH 'b' AS name INSERT INTO {table} SELECT 2, name SETTINGS max_threads = 1")
    assert rows(http, table) == [(1, "a"), (2, "b")]
    http.post("/", content=f"WITH 1 AS one INSERT INTO {table} FORMAT TSV\n3\tc\n")
    assert rows(http, table) in ([(1, "a"), (2, "b")], [(1, "a"), (2, "b"), (3, "c")])


def test_bytes_in_a_statement_that_fails(http: httpx.Client) -> None:
    """Bytes that are not UTF-8 are an error of the statement's own, with its code."""
    answer = http.post("/", content=b"SELECT no_such_column, '\xff\xfe' FROM system.one")
    assert (answer.headers["X-ClickHouse-Exception-Code"], answer.status_code) == ("47", 404)
    answer = http.post("/", content=b"SELECT \xff\xfe")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "62"


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
def test_accepted_is_stored(http: httpx.Client, table: str, data: st.DataObject) -> None:
    """However rows are cut into pieces and packed, an INSERT that succeeds has stored them all, and no other."""
    sent = data.draw(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.text(max_size=20)), max_size=30))
    lines = [b"%d\t%s\n" % (x, _escaped(text)) for x, text in sent]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    pieces = [b"".join(lines[a:b]) for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    statement = f"INSERT INTO {table} FORMAT TSV\n".encode()
    in_body = data.draw(st.booleans())
    # The engine itself inflates Brotli: that is not for a statement.
    way = data.draw(st.sampled_from([*(["br"] if not in_body else []), "", *CODECS, "blocks"]))
    if in_body:
        pieces.insert(0, statement)
    if way == "br":
        pieces = [b"".join(pieces)]
    packing: dict[str, Callable[[bytes], bytes]] = {"": lambda piece: piece, "blocks": _in_block}
    pack = packing.get(way, lambda piece: _compress(way, piece))
    params: dict[str, str | int] = {} if in_body else {"query": statement.decode()}
    params |= {"decompress": 1} if way == "blocks" else {}
    headers = {"Content-Encoding": way} if way not in ("", "blocks") else {}
    ask(http, f"TRUNCATE TABLE {table}")
    answer = http.post("/", content=b"".join(map(pack, pieces)), params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    assert sorted(rows(http, table)) == sorted(sent)


def test_an_insert_of_several_blocks(http: httpx.Client, url: httpx.URL, table: str) -> None:
    """As clickhouse-connect sends rows: blocks of at most 2 MiB (DEFAULT_BLOCK_BYTES of its driver/insert.py)."""
    for compression in ("lz4", "zstd", "gzip", False):
        ask(http, f"TRUNCATE TABLE {table}")
        with clickhouse_connect.get_client(
            host=url.host, port=url.port or 8123, username=url.username, password=url.password, compress=compression
        ) as client:
            client.insert(table, [(number, "x" * 100) for number in range(60_000)], ("x", "s"))
        assert ask(http, f"SELECT count(), uniqExact(x), sum(length(s)) FROM {table}") == "60000\t60000\t6000000\n"


def _escaped(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").encode()


def test_a_big_body_is_one_part(http: httpx.Client, table: str) -> None:
    """32 MiB in one insert: one block, one part, and not a byte lost."""
    row = struct.pack("<Q", 7) + b"\x80\x08" + b"x" * 1024
    settings = {"max_insert_threads": 1, "max_insert_block_size": 1_000_000, "min_insert_block_size_rows": 1_000_000}
    settings |= {"min_insert_block_size_bytes": 2**30}
    params: dict[str, str | int] = {"query": f"INSERT INTO {table} FORMAT RowBinary", **settings}
    assert http.post("/", content=row * 32_000, params=params).status_code == 200
    parts = f"SELECT count(), sum(rows) FROM system.parts WHERE active AND database = 'default' AND table = '{table}'"
    assert ask(http, parts) == "1\t32000\n"
    assert ask(http, f"SELECT min(length(s)), max(length(s)) FROM {table}") == "1024\t1024\n"


def test_a_body_that_breaks_off_stores_nothing(http: httpx.Client, url: httpx.URL, table: str) -> None:
    """A client that dies in the middle of its request leaves no rows."""

    def half() -> Iterator[bytes]:
        yield b"1\ta\n" * 100_000
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        http.post("/", content=half(), params={"query": f"INSERT INTO {table} FORMAT TSV"})
    assert rows(http, table) == []


# Results


@pytest.mark.parametrize("codec", ["gzip", "deflate", "zstd", "lz4"])
def test_compressed_results(http: httpx.Client, codec: str) -> None:
    """Accept-Encoding is honored if enable_http_compression says so."""
    statement = "SELECT number FROM numbers(1000000) FORMAT RowBinary"
    headers = {"Accept-Encoding": codec}
    with http.stream("POST", "/", content=statement, params={"enable_http_compression": 1}, headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == codec
        body = b"".join(answer.iter_raw())
    decompress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
    }
    plain = decompress[codec](body)
    assert plain == struct.pack("<1000000Q", *range(1_000_000))
    assert len(body) < len(plain)
    assert "Content-Encoding" not in http.post("/", content="SELECT 1", headers=headers).headers


def test_a_result_of_any_size_is_streamed(http: httpx.Client) -> None:
    """The first bytes come while the statement still runs, and a client may stop reading."""
    with http.stream("POST", "/", content="SELECT number FROM system.numbers FORMAT RowBinary") as answer:
        first = next(answer.iter_raw())
    assert struct.unpack_from("<2Q", first) == (0, 1)


def test_an_error_in_the_middle_breaks_the_answer(http: httpx.Client) -> None:
    """A result that fails after its beginning was sent can't be taken for a complete one."""
    statement = "SELECT throwIf(number = 3000000), toString(number) FROM numbers(10000000)"
    with http.stream("POST", "/", content=statement) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            list(answer.iter_raw())


def test_wait_end_of_query_turns_it_into_an_error(http: httpx.Client) -> None:
    """With wait_end_of_query the status tells the outcome, however big the result."""
    statement = "SELECT throwIf(number = {n:UInt64}), toString(number) FROM numbers(1000000)"
    failed = http.post("/", content=statement, params={"wait_end_of_query": 1, "param_n": 900_000})
    assert (failed.status_code, failed.headers["X-ClickHouse-Exception-Code"]) == (500, "395")
    complete = http.post("/", content=statement, params={"wait_end_of_query": 1, "param_n": 1_000_000})
    assert (complete.status_code, complete.text.count("\n")) == (200, 1_000_000)


def test_an_external_table(http: httpx.Client) -> None:
    """A form brings a temporary table, its statement and its parameters along."""
    answer = http.post(
        "/",
        params={"ids_structure": "id UInt64"},
        data={"query": "SELECT sum(id) + {p:UInt8} FROM ids", "param_p": "1"},
        files={"ids": ("ids", b"1\n2\n3\n")},
    )
    assert (answer.status_code, answer.text) == (200, "7\n")


def test_an_external_table_in_a_session(http: httpx.Client) -> None:
    """It is there for its request, and gone for the next one of the session."""
    session = uuid.uuid4().hex
    for rows_ in (b"1\n2\n", b"5\n"):
        answer = http.post(
            "/",
            params={"ids_structure": "id UInt64", "session_id": session},
            data={"query": "SELECT sum(id) FROM ids"},
            files={"ids": ("ids", rows_)},
        )
        assert answer.text == f"{sum(map(int, rows_.split()))}\n"
    after = http.post("/", content="SELECT sum(id) FROM ids", params={"session_id": session})
    assert after.headers["X-ClickHouse-Exception-Code"] == "60"


def test_only_a_result_has_a_format(http: httpx.Client, table: str) -> None:
    """A client sees from the label whether an empty answer is an empty result."""
    for statement in (f"SELECT x FROM {table}", f"SHOW TABLES LIKE 'no{table}'"):
        assert http.post("/", content=statement).headers["X-ClickHouse-Format"] == "TabSeparated"
    for statement in (f"TRUNCATE TABLE {table}", "SET max_threads = 1", f"INSERT INTO {table} VALUES (1, 'a')"):
        answer = http.post("/", content=statement)
        assert answer.status_code == 200
        assert "X-ClickHouse-Format" not in answer.headers
        assert json.loads(answer.headers["X-ClickHouse-Summary"])


def test_an_error_after_progress_was_sent(http: httpx.Client) -> None:
    """With headers of progress the status is out early: the error stands at the end of the result, under its tag."""
    statement = "SELECT sleepEachRow(0.02), throwIf(number = 40) FROM numbers(100)"
    params: dict[str, str | int] = {"send_progress_in_http_headers": 1, "max_block_size": 1}
    seen = b""
    with http.stream("POST", "/", content=statement, params=params) as answer, contextlib.suppress(httpx.HTTPError):
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            seen += piece
    tag = answer.headers["X-ClickHouse-Exception-Tag"]
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception" in seen.decode()


def test_native_with_a_protocol_revision(http: httpx.Client) -> None:
    """What clickhouse-go, and so Grafana, reads: block info, and a flag of custom serialization before each column."""
    params: dict[str, str | int] = {"default_format": "Native", "client_protocol_version": 54460}
    answer = http.post("/", content="SELECT toUInt8(7) AS a, 'xy' AS b", params=params)
    info, shape = b"\x01\x00\x02\xff\xff\xff\xff\x00", b"\x02\x01"
    assert answer.content == info + shape + b"\x01a\x05UInt8\x00\x07" + b"\x01b\x06String\x00\x02xy"
    zoned = http.post("/", content="SELECT toDateTime(0, 'Asia/Tokyo') AS t", params=params)
    assert b"DateTime('Asia/Tokyo')" in zoned.content
    described = http.post("/", content="DESCRIBE TABLE system.one", params=params)
    assert described.content[: len(info)] == info
    assert b"\x04name\x06String\x00\x05dummy" in described.content
    rows = http.post("/", content="SELECT number FROM numbers(200000) ORDER BY number DESC", params=params).content
    assert len(rows) > 200_000 * 8
    assert struct.unpack_from("<Q", rows, rows.index(b"UInt64\x00") + 7) == (199_999,)


# Sessions


def test_a_session_keeps_tables_settings_and_database(http: httpx.Client) -> None:
    """What is made in a session is there for its next request, and for nobody else."""
    session = {"session_id": uuid.uuid4().hex}
    ask(http, "CREATE TEMPORARY TABLE t (a UInt8)", **session)
    ask(http, "INSERT INTO t VALUES (5)", **session)
    ask(http, "SET max_block_size = 19", **session)
    ask(http, "USE system", **session)
    assert ask(http, "SELECT a, getSetting('max_block_size') FROM t", **session) == "5\t19\n"
    assert ask(http, "SELECT currentDatabase()", **session) == "system\n"
    assert ask(http, "SELECT getSetting('max_block_size')", **session, max_block_size=23) == "23\n"
    assert ask(http, "SELECT currentDatabase()", **session, database="default") == "default\n"
    assert ask(http, "SELECT getSetting('max_block_size'), currentDatabase()", **session) == "19\tsystem\n"
    assert http.post("/", content="SELECT a FROM t").headers["X-ClickHouse-Exception-Code"] == "60"


def test_session_check_and_timeout(http: httpx.Client) -> None:
    """A session can be required to exist, and can't be kept for ever."""
    unknown = {"session_id": uuid.uuid4().hex, "session_check": "1"}
    assert http.post("/", content="SELECT 1", params=unknown).headers["X-ClickHouse-Exception-Code"] == "372"
    endless = {"session_id": uuid.uuid4().hex, "session_timeout": "1000000"}
    assert http.post("/", content="SELECT 1", params=endless).headers["X-ClickHouse-Exception-Code"] == "374"


def test_a_session_ends(http: httpx.Client) -> None:
    """After its time without a request it is gone."""
    session = {"session_id": uuid.uuid4().hex, "session_timeout": "1"}
    ask(http, "SELECT 1", **session)

    def gone() -> bool:
        # Asking would keep it alive: so look for it in longer and longer intervals.
        time.sleep(2)
        answer = http.post("/", content="SELECT 1", params={**session, "session_check": "1"})
        return bool(answer.headers.get("X-ClickHouse-Exception-Code") == "372")

    until(gone)


def test_a_session_is_for_one_statement_at_a_time(http: httpx.Client) -> None:
    """A second one is refused: code 373."""
    session = {"session_id": uuid.uuid4().hex, "query_id": uuid.uuid4().hex}
    thread = threading.Thread(target=http.post, args=("/",), kwargs={"content": _heavy(), "params": session})
    thread.start()
    until(lambda: _runs(http, session["query_id"]))
    busy = http.post("/", content="SELECT 1", params={"session_id": session["session_id"]})
    ask(http, f"KILL QUERY WHERE query_id = '{session['query_id']}' SYNC")
    thread.join()
    assert busy.headers["X-ClickHouse-Exception-Code"] == "373"
    assert ask(http, "SELECT 1", session_id=session["session_id"]) == "1\n"


# Running statements


def _heavy() -> str:
    return "SELECT sum(cityHash64(number)) FROM numbers(1000000000000) SETTINGS max_threads = 1"


def _runs(http: httpx.Client, query_id: str) -> bool:
    return ask(http, f"SELECT count() FROM system.processes WHERE query_id = '{query_id}'") == "1\n"


def test_a_running_statement_is_seen_and_killed_by_its_id(http: httpx.Client) -> None:
    """system.processes and KILL QUERY know the client's query_id; the killed one fails with 394."""
    query_id, answers = uuid.uuid4().hex, []
    work = {"content": _heavy(), "params": {"query_id": query_id}}
    thread = threading.Thread(target=lambda: answers.append(http.post("/", **work)))  # type: ignore[arg-type]
    thread.start()
    until(lambda: _runs(http, query_id))
    twin = http.post("/", content="SELECT 1", params={"query_id": query_id})
    assert twin.headers["X-ClickHouse-Exception-Code"] == "216"
    ask(http, f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
    thread.join()
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"
    assert not _runs(http, query_id)


def test_a_short_statement_does_not_wait_for_a_long_one(http: httpx.Client) -> None:
    """Statements run side by side."""
    query_id = uuid.uuid4().hex
    work = {"content": _heavy(), "params": {"query_id": query_id}}
    thread = threading.Thread(target=lambda: http.post("/", **work))  # type: ignore[arg-type]
    thread.start()
    until(lambda: _runs(http, query_id))
    assert [ask(http, "SELECT 1") for _ in range(20)] == ["1\n"] * 20
    assert _runs(http, query_id)
    ask(http, f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
    thread.join()


@pytest.mark.parametrize("statement", [_heavy(), "SELECT number FROM system.numbers"])
def test_a_client_that_leaves_ends_its_statement(http: httpx.Client, url: httpx.URL, statement: str) -> None:
    """Nothing goes on for nobody, whether it computes or sends."""
    query_id = uuid.uuid4().hex
    params = {"query_id": query_id, "cancel_http_readonly_queries_on_client_close": "1"}
    auth = {"X-ClickHouse-User": url.username, "X-ClickHouse-Key": url.password}

    def leave_early() -> None:
        short = httpx.Timeout(5, read=0.5)
        with httpx.Client(timeout=short) as client:
            place = url.copy_with(userinfo=b"")
            try:
                with client.stream("POST", place, content=statement, params=params, headers=auth) as answer:
                    next(answer.iter_raw())
            except httpx.ReadTimeout:
                return

    thread = threading.Thread(target=leave_early)
    thread.start()
    thread.join()
    until(lambda: not _runs(http, query_id))
