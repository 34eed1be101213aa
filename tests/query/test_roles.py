"""roles.yaml: what it says, where its mistakes are, and that its filter is exactly the query."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given

from logbrook import config
from logbrook.query import filters
from logbrook.query.engine import Engine, Statement
from logbrook.query.language import parse as parse_query
from logbrook.query.roles import load, parse
from logbrook.rule_file import MistakesError
from tests.query.test_matching import FILTERS, PATIENT

FILE = """
roles:
  - name: operators
    who: [Ops@example.org, "group:SRE team", token:nightly]
    sql: true
    export: true
    views: true
  - name: shop
    who: ["*@shop.example.org"]
    query: service:(shop-* OR cart)
"""


def test_a_role_is_for_those_it_names() -> None:
    """Addresses in any case, groups and tokens as they are written; what is not allowed is forbidden."""
    roles = parse(FILE, "roles.yaml")

    assert list(roles) == ["ops@example.org", "group:SRE team", "token:nightly", "*@shop.example.org"]
    assert roles["token:nightly"].permissions == {"sql", "export", "views"}
    assert not roles["token:nightly"].condition
    shop = roles["*@shop.example.org"]
    assert shop.condition == r"(ServiceName LIKE 'shop-%') OR (ServiceName = 'cart')"
    assert [shop.allows(each) for each in ("sql", "export", "views", "everything")] == [False] * 4


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", "1:1", "expected one key, `roles`"),
        ("roles:\n  - name: a\n    who: [a@b]\n  - name: a\n    who: [c@d]", "4:11", "another role a"),
        ("roles:\n  - name: a", "2:5", "missing required field `who`"),
        ("roles:\n  - name: a\n    who: [a@b]\n    sqll: true", "4:11", "unknown field `sqll`"),
        ("roles:\n  - name: a\n    who: [a@b]\n    sql: perhaps", "4:10", "Expected `bool`"),
        ("roles:\n  - name: a\n    who: [a@b]\n    query: level>=loud", "4:19", "expected"),
        ("roles:\n  - name: a\n    who: [a@b]\n    query: user in (paid)", "4:12", "`in (...)` is not possible"),
        ("roles:\n  - name: a\n    who: [a@b]\n    query: service:x\n    sql: true", "5:10", "SQL reads all events"),
        ("roles:\n  - name: a\n    who: [a@b, mia]", "3:16", "expected mia@example.org"),
        ("roles:\n  - name: a\n    who: ['*']", "3:12", "expected mia@example.org"),
        ("roles:\n  - name: a\n    who: [a@b]\n  - name: c\n    who: [A@b]", "5:11", "a@b has the role a already"),
    ],
)
def test_a_mistake_has_its_place(text: str, place: str, says: str) -> None:
    """Line, column, and what would fit."""
    with pytest.raises(MistakesError) as refused:
        parse(text, "roles.yaml")

    assert str(refused.value).startswith(f"roles.yaml:{place}: "), str(refused.value)
    assert says in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So that nobody looks for the mistake inside it."""
    with pytest.raises(MistakesError, match=r"nothing\.yaml"):
        load(tmp_path / "nothing.yaml")


@PATIENT
@given(query=FILTERS)
def test_a_filter_leaves_what_the_query_finds(corpus_database: config.ClickHouse, query: str) -> None:
    """Any query, as the filter of a role, leaves as many events of everything as a search for it finds."""
    node, parameters = parse_query(query), filters.Parameters()
    sql = "SELECT count(), sum(KafkaOffset) FROM otel_logs"

    async def counts() -> list[list[list[int]]]:
        engine = Engine(corpus_database, config.Query(allow_privileged_user=True))
        searched = Statement(f"{sql} WHERE {filters.condition(node, parameters)}", parameters.values)
        found = [await engine.rows(searched), await engine.seeing(filters.literal(node)).rows(Statement(sql))]
        await engine.close()
        return found

    searched, seen = asyncio.run(counts())
    assert searched == seen
