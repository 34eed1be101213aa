"""docs/sources/recipes.md: each block, as it is there but for addresses and token, delivers what it should."""

import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.pipeline import Pipeline, Position, eventually
from tests.recipes import BLOCKS, PAGE, rsyslog


def recipe(name: str, pipeline: Pipeline) -> str:
    """A block with the addresses and the token of the test's stack."""
    text = BLOCKS[name].replace("TOKEN", pipeline.token).replace("127.0.0.1:9092", pipeline.kafka.bootstrap_servers)
    return text.replace("http://127.0.0.1:4318", pipeline.gateway_url)


def run(command: list[str | Path], directory: Path, text: str = "") -> str:
    """What a program prints, which must succeed."""
    done = subprocess.run(command, cwd=directory, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(pipeline: Pipeline, lines: str) -> Position:
    """Send what a program printed, as lines of JSON."""
    before = pipeline.position()
    headers = {"Authorization": f"Bearer {pipeline.token}", "Content-Type": "application/x-ndjson"}
    answer = httpx.post(f"{pipeline.gateway_url}/ingest", content=lines, headers=headers)
    assert answer.status_code == 200, answer.text
    return before


def test_python_logging(pipeline: Pipeline, tmp_path: Path) -> None:
    """A program's records, with what `extra` holds and with the traceback."""
    before = pipeline.position()
    use = """
log = logging.getLogger("shop.cart")
log.warning("stock is low", extra={"item": 7})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
provider.shutdown()
"""
    run([sys.executable, "-c", recipe("Python: logging", pipeline) + use], tmp_path)

    columns = "ServiceName, Body, SeverityText, LogAttributes['item'], LogAttributes['exception.type'], ParseError"
    eventually(
        lambda: before.rows(columns),
        [
            ("cart", b"stock is low", "WARN", "7", "", ""),
            ("cart", b"failed", "ERROR", "", "ZeroDivisionError", ""),
        ],
    )


def test_structlog(pipeline: Pipeline, tmp_path: Path) -> None:
    """Its lines of JSON, with bound values and a traceback."""
    use = """
log.info("order placed", order_id="o-17")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""
    before = printed(pipeline, run([sys.executable, "-c", recipe("Python: structlog", pipeline) + use], tmp_path))

    columns = "ServiceName, Body, SeverityText, LogAttributes['order_id'], ParseError"
    eventually(
        lambda: before.rows(columns),
        [("cart", b"order placed", "INFO", "o-17", ""), ("cart", b"failed", "ERROR", "", "")],
    )


def test_go_slog(pipeline: Pipeline, tmp_path: Path) -> None:
    """The JSON handler of Go's own library."""
    if shutil.which("go") is None:
        pytest.skip("needs Go: https://go.dev/dl")
    (tmp_path / "go.mod").write_text("module recipe\n\ngo 1.21\n")
    code = recipe("Go: slog", pipeline) + '\tslog.Error("out of stock", "item", 7)\n'
    (tmp_path / "main.go").write_text(
        f'package main\n\nimport (\n\t"log/slog"\n\t"os"\n)\n\nfunc main() {{\n{code}}}\n'
    )
    before = printed(pipeline, run(["go", "run", "."], tmp_path))

    columns = "ServiceName, Body, SeverityText, LogAttributes['item'], ParseError"
    eventually(lambda: before.rows(columns), [("cart", b"out of stock", "ERROR", "7", "")])


@pytest.mark.parametrize("line", re.findall(r"^\| [\w.]+: \[.*\| `(\{.*\})` \|$", PAGE, re.M))
def test_lines_of_other_libraries(pipeline: Pipeline, line: str) -> None:
    """Each line of the page's table, as the library's documentation, which it links, shows it: time, level, message."""
    before = printed(pipeline, line + "\n")

    columns = "Body, SeverityText, Timestamp::String, ParseError"
    eventually(lambda: before.rows(columns), [(b"failed", "ERROR", "2026-11-28 09:15:02.417000000", "")])


def test_nginx(pipeline: Pipeline) -> None:
    """The format, filled in as nginx does with escape=json: quotes, backslashes and control characters are escaped.

    https://github.com/nginx/nginx/blob/release-1.26.2/src/http/modules/ngx_http_log_module.c
    """
    values = {
        "time_iso8601": "2026-11-28T10:15:02+01:00",
        "request": 'GET /a"b\\c?d=1 HTTP/1.1',
        "status": "502",
        "request_method": "GET",
        "uri": '/a"b\\c',
        "body_bytes_sent": "157",
        "request_time": "0.214",
        "remote_addr": "203.0.113.9",
        "http_user_agent": "curl/8.5.0",
    }
    form = "".join(re.findall(r"'([^']*)'", recipe("nginx", pipeline)))
    line = re.sub(r"\$(\w+)", lambda match: json.dumps(values.pop(match[1]))[1:-1], form)
    assert values == {}
    before = printed(pipeline, line + "\n")

    columns = "ServiceName, Body, Timestamp::String, LogAttributes['url.path'], LogAttributes['status'], ParseError"
    eventually(
        lambda: before.rows(columns),
        [("nginx", b'GET /a"b\\c?d=1 HTTP/1.1', "2026-11-28 09:15:02.000000000", '/a"b\\c', "502", "")],
    )


def test_vector(pipeline: Pipeline) -> None:
    """What its `http` sink sends: lines of JSON, of that content type, with gzip.

    https://github.com/vectordotdev/vector/blob/00ebf03ece1fe470be1ed01b7d56c22f2fba58f0/src/sinks/http/config.rs
    """
    sink = yaml.safe_load(recipe("Vector", pipeline))["sinks"]["logbrook"]
    assert (sink["encoding"], sink["framing"]) == ({"codec": "json"}, {"method": "newline_delimited"})
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": sink["compression"]}
    event = {"host": "web-1", "message": "by vector", "service": "cart", "timestamp": "2026-11-28T09:15:02.417Z"}
    assert sink["auth"]["strategy"] == "bearer"
    before = pipeline.position()

    post(sink["method"], sink["uri"], headers | {"Authorization": f"Bearer {sink['auth']['token']}"}, event)

    columns = "ServiceName, Body, Timestamp::String, LogAttributes['host']"
    eventually(lambda: before.rows(columns), [("cart", b"by vector", "2026-11-28 09:15:02.417000000", "web-1")])


def test_fluent_bit(pipeline: Pipeline) -> None:
    """What its output `http` sends in the format `json_lines`: that content type, and the record's date under the key.

    https://github.com/fluent/fluent-bit/blob/1bb6080cf522d5792bce6e48ca56e1b76d19e30b/plugins/out_http/http.c
    """
    [output] = yaml.safe_load(recipe("Fluent Bit", pipeline))["pipeline"]["outputs"]
    assert (output["name"], output["format"], output["json_date_format"]) == ("http", "json_lines", "iso8601")
    assert (output["host"], output["port"]) == ("127.0.0.1", 4318)
    name, _, value = output["header"].partition(" ")
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": output["compress"], name: value}
    event = {output["json_date_key"]: "2026-11-28T09:15:02.417000Z", "log": "by fluent bit", "service": "cart"}
    before = pipeline.position()

    post("post", f"{pipeline.gateway_url}{output['uri']}", headers, event)

    columns = "ServiceName, Body, Timestamp::String"
    eventually(lambda: before.rows(columns), [("cart", b"by fluent bit", "2026-11-28 09:15:02.417000000")])


def post(method: str, url: str, headers: dict[str, str], event: dict[str, Any]) -> None:
    """Send one event as a line, compressed."""
    content = gzip.compress(json.dumps(event).encode() + b"\n")
    answer = httpx.request(method.upper(), url, headers=headers, content=content)
    assert answer.status_code == 200, answer.text


def test_rsyslog_to_kafka(pipeline: Pipeline, tmp_path: Path) -> None:
    """The real rsyslog, with omkafka, passes on what it gets by syslog."""
    before = pipeline.position()
    columns = "ServiceName, Body, SeverityText, LogAttributes['host.name'], LogAttributes['process.pid'], ParseError"

    with rsyslog(tmp_path, recipe("rsyslog 1", pipeline)) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b'<11>Nov 28 09:15:02 web-1 backup[4711]: a "quoted" line\n')

        eventually(lambda: before.rows(columns), [("backup", b'a "quoted" line', "ERROR", "web-1", "4711", "")])
