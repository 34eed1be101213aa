"""The list of functions that users' SQL may call, held against the engine."""

import contextlib

import pytest

from logbrook import clickhouse as connection
from logbrook import config
from logbrook.query import functions

# What the parser makes of syntax; no function of the engine has the name.
SYNTAX = {"exists", "grouping", "interval", "lambda"}


@pytest.fixture(scope="module")
def known(shared_database: config.ClickHouse) -> dict[str, bool]:
    """The engine's functions by name: whether each is an aggregate."""
    client = connection.connect(shared_database)
    rows = client.query("SELECT name, is_aggregate FROM system.functions").result_rows
    client.close()
    return {str(name): bool(aggregate) for name, aggregate in rows}


def test_every_allowed_function_exists(known: dict[str, bool]) -> None:
    """The list holds no name that the engine does not have, so that nobody reads it in vain."""
    assert functions.ALLOWED - SYNTAX - {name.lower() for name in known} == set()


def test_aggregates_take_their_combinators() -> None:
    """A combinator changes nothing about who may call an aggregate; it makes nothing else an aggregate."""
    assert functions.is_allowed("countIf")
    assert functions.is_allowed("uniqExactArrayIf")
    assert not functions.is_allowed("fileIf")
    assert not functions.is_allowed("sumState")
    assert not functions.is_allowed("if" * 1000)


def test_functions_that_take_a_function_by_name_are_known(
    shared_database: config.ClickHouse, known: dict[str, bool]
) -> None:
    """Where ClickHouse takes a bare name as a lambda, the guard knows it: `arrayMap(file, ['/etc/passwd'])`."""
    client = connection.connect(shared_database)
    taking = set()
    for name in (each for each in known if functions.is_allowed(each) and each.lower() not in ("if", "multiif")):
        for arguments in ("toString, [1]", "toString, [1], [1]", "toString, map(1, 2)", "[1], toString", "1, toString"):
            try:
                client.query(f"SELECT {name}({arguments})")
                taking.add(name.lower())
            except Exception as error:
                if "__function_ref" in str(error):
                    taking.add(name.lower())
    client.close()

    assert "arraymap" in taking
    assert taking - functions.WITH_A_LAMBDA == set()


def test_functions_that_take_a_pattern_are_known(shared_database: config.ClickHouse, known: dict[str, bool]) -> None:
    """Where ClickHouse compiles a text as a pattern, the guard bounds it: what is not a pattern is then an error."""
    client = connection.connect(shared_database)
    taking = set()
    for name in filter(functions.is_allowed, known):
        for arguments in ("'a', '('", "'(', 'a'", "'a', '(', 'b'", "map('a', 'b'), '('", "'a', ['(']"):
            try:
                client.command(f"SELECT {name}({arguments})")
            except connection.ClickHouseError as error:
                # CANNOT_COMPILE_REGEXP of ClickHouse's src/Common/ErrorCodes.cpp.
                if "Code: 427" in str(error) or "code 427" in str(error):
                    taking.add(name.lower())
    client.close()

    assert "match" in taking
    assert taking - functions.PATTERN.keys() == set()


def test_functions_that_need_no_brackets_are_known(shared_database: config.ClickHouse, known: dict[str, bool]) -> None:
    """What ClickHouse calls by its bare name is allowed as a function, or refused as a name."""
    client = connection.connect(shared_database)
    bare = set()
    for name in known:
        with contextlib.suppress(connection.ClickHouseError):
            client.command(f"SELECT `{name}`")
            bare.add(name.lower())
    client.close()

    assert "currentuser" in bare
    assert {name for name in bare if not functions.is_allowed(name)} <= functions.BARE
