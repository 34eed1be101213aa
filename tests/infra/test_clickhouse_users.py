"""ClickHouse's users on the data node: each has what its program uses, and the reader can't loosen its limits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from infra.render import ROOT

USERS = ET.parse(ROOT / "compose/clickhouse/cloud-users.xml").getroot()
SERVICE = ROOT / "service/logbrook"
ASK = "import json, sys, chdb; print(json.dumps([chdb.query(q, 'CSV').bytes().decode() for q in sys.argv[1:]]))"
# What delivery.md's security section wants bounded for whoever asks from outside.
LIMITS = {"readonly", "max_execution_time", "max_memory_usage", "max_bytes_to_read"}
LIMITS |= {"max_result_rows", "max_result_bytes", "max_threads", "max_ast_elements", "max_rows_in_set"}


def _grants(user: str) -> list[str]:
    return [node.text or "" for node in USERS.findall(f"users/{user}/grants/query")]


def _ask(*statements: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ASK, *statements], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def test_grants_are_valid_sql() -> None:
    """ClickHouse's own parser takes each of them."""
    grants = _grants("writer") + _grants("reader") + _grants("views")
    # There, the user is the element that it stands in.
    _ask(*(f"SELECT formatQuery('{grant} TO somebody')" for grant in grants))


def test_limits_exist_and_are_constant() -> None:
    """Every setting of the reader's profile is one of ClickHouse's, and no statement can raise any of them.

    Which may be lowered: tests/compose/test_clickhouse_config.py.
    """
    profile = USERS.find("profiles/reader")
    assert profile is not None
    settings = {node.tag for node in profile} - {"constraints"}
    assert settings >= LIMITS
    constraints = profile.findall("constraints/*")
    constant = {node.tag for node in constraints if node.find("const") is not None}
    bounded = {node.tag for node in constraints if node.find("max") is not None}
    assert constant | bounded >= settings
    (known,) = _ask("SELECT name FROM system.settings")
    assert settings <= set(known.replace('"', "").split())


def test_nobody_has_a_password_in_clear() -> None:
    """All users by the hash that the boot made; no user has an empty or a written one."""
    for user in ("writer", "reader", "views"):
        hashed = USERS.find(f"users/{user}/password_sha256_hex")
        assert hashed is not None
        assert hashed.get("from_env") == f"CLICKHOUSE_{user.upper()}_PASSWORD_SHA256"
        assert USERS.find(f"users/{user}/password") is None


def test_a_data_node_starts_the_server_with_hashes_alone(tmp_path: Path) -> None:
    """The administrator's too: with none of them, and no password to hash, the server does not start."""
    server = tmp_path / "clickhouse-server"
    names = [f"CLICKHOUSE_{user}PASSWORD_SHA256" for user in ("", "READER_", "VIEWS_")]
    server.write_text(f'#!/bin/sh\necho "{" ".join(f"${name}" for name in names)}"\n')
    server.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOGBROOK_CLICKHOUSE_PASSWORD": ""}
    start = ["bash", str(ROOT / "compose/clickhouse/start.sh")]
    hashes = {name: letter * 64 for name, letter in zip(names, "abc", strict=True)}
    assert subprocess.check_output(start, env=environ | hashes, text=True).split() == list(hashes.values())
    refused = subprocess.run(start, env=environ, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "neither a password nor the hash of one" in refused.stderr


def test_the_administrator_is_local() -> None:
    """`logbrook` may come from the machine and from the compose network only."""
    networks = USERS.find("users/logbrook/networks")
    assert networks is not None
    assert networks.get("replace") == "replace"
    assert all(re.match(r"127\.|::1|172\.16\.", node.text or "") for node in networks)


def test_the_writer_may_read_the_system_tables_that_the_consumer_asks() -> None:
    """With `select_from_system_db_requires_grant`, each needs a grant."""
    used = {name for path in SERVICE.glob("consumer/*.py") for name in re.findall(r"system\.(\w+)", path.read_text())}
    granted = {name for grant in _grants("writer") for name in re.findall(r"ON system\.(\w+)", grant)}
    assert used <= granted


def test_the_query_apis_users_may_read_the_tables_that_it_asks() -> None:
    """Those and no other; `views` its own table, and `reader` all others."""
    schema = "".join(path.read_text() for path in sorted((SERVICE / "schema").rglob("*.sql")))
    tables = set(re.findall(r"CREATE (?:TABLE|MATERIALIZED VIEW|VIEW) IF NOT EXISTS (\w+)", schema))
    source = "".join(path.read_text() for path in SERVICE.glob("query/*.py"))
    used = {table for table in tables if re.search(rf"(?:FROM|JOIN) {table}\b", source)}
    granted = {user: set(re.findall(r"ON otel\.(\w+)", " ".join(_grants(user)))) for user in ("reader", "views")}
    assert granted == {"reader": used - {"saved_views"}, "views": {"saved_views"}}


def test_the_writer_makes_and_drops_inlets_alone() -> None:
    """Tables with events are not its to drop: the names of its inlets all begin in one way, and the grant ends there.

    https://clickhouse.com/docs/sql-reference/statements/grant#wildcard-grants
    """
    changing = [grant for grant in _grants("writer") if re.search("CREATE|DROP|ALTER|TRUNCATE", grant)]
    assert [grant.partition(" ON ")[2] for grant in changing] == ["otel.inlet_*"]
    schema = "".join(path.read_text() for path in sorted((SERVICE / "schema").rglob("*.sql")))
    tables = set(re.findall(r"EXISTS (\w+)", schema))
    assert "otel_logs" in tables
    assert not [table for table in tables if table.startswith("inlet_")]
    made = re.findall(r'Inlet\(client, topic, f"(\w+)\{', (SERVICE / "consumer/inlet.py").read_text())
    assert made == ["inlet_"]


def test_nothing_leads_out() -> None:
    """No table function, no temporary table, no dictionary: the reader has SELECT on tables only."""
    assert all(grant.startswith("GRANT SELECT ON otel.") for grant in _grants("reader"))
    leads_out = r"SOURCES|REMOTE|INTROSPECTION|dictGet|TEMPORARY|FILE|URL|ACCESS|GRANT OPTION"
    assert not any(re.search(leads_out, grant) for grant in _grants("writer"))
