"""Events with more names than anybody would send on purpose: stored whole, and cheap enough to store."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logbrook import config, migrate
from logbrook.clickhouse import connect
from logbrook.consumer.batch import ROW_COLUMNS
from tests.components import ClickHouseServer
from tests.schema.conftest import ARRIVAL_MS, Store

# What one statement has in Compose and on the data node, and the largest message that the gateway makes.
MEMORY_BYTES, MESSAGE_BYTES = 1_800_000_000, 900_000
TIME = str(ARRIVAL_MS * 1_000_000)


def named(count: int, first: int = 0) -> dict[str, str]:
    """So many names."""
    return {f"k{first + number:05x}": "1" for number in range(count)}


def canonical(**maps: Any) -> dict[str, Any]:
    """An event of the short way, but for its names."""
    return {"timestamp": TIME, "severity_text": "INFO", "body": "b", **maps}


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "canonical, in attributes": lambda count: canonical(attributes=named(count)),
    "canonical, in the resource": lambda count: canonical(resource=named(count)),
    "canonical, in the scope": lambda count: canonical(scope=named(count)),
    "at the top": named,
    "in attributes": lambda count: {"msg": "b", "attributes": named(count)},
    "in the resource": lambda count: {"msg": "b", "resource": named(count)},
    "in the scope's attributes": lambda count: {"msg": "b", "scope": {"attributes": named(count)}},
    "nested": lambda count: {"msg": "b", "a": {"b": {"c": named(count)}}},
    "nested in attributes": lambda count: {"msg": "b", "attributes": {"b": {"c": named(count)}}},
    "each an object": lambda count: {"msg": "b", **{name: {"a": 1} for name in named(count)}},
    "values that look like objects": lambda count: {"msg": "b", **dict.fromkeys(named(count), "{")},
}


def largest(shape: Callable[[int], dict[str, Any]]) -> tuple[bytes, int]:
    """The event of a shape with the most names that fits into a message, and how many those are."""
    one, two = (len(text(shape(count))) for count in (1, 2))
    count = 1 + (MESSAGE_BYTES - one) // (two - one)
    payload = text(shape(count))
    assert MESSAGE_BYTES - (two - one) < len(payload) <= MESSAGE_BYTES
    return payload, count


def text(event: dict[str, Any]) -> bytes:
    """As it is sent."""
    return json.dumps(event, separators=(",", ":")).encode()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_event_of_tens_of_thousands_of_names_is_stored(shape: str, store: Store) -> None:
    """Wherever its names are: within the memory of one statement, whole, and flagged."""
    payload, count = largest(SHAPES[shape])

    [[row]] = store([payload], settings={"max_memory_usage": MEMORY_BYTES})

    assert row["ParseError"] == "too many names"
    maps = [row[name] for name in ("LogAttributes", "ResourceAttributes", "ScopeAttributes")]
    [bounded] = [each for each in maps if "more_attributes" in each]
    more = json.loads(bounded.pop("more_attributes"))
    assert (len(bounded), len(bounded) + len(more)) == (1000, count)


def test_as_many_names_as_allowed_are_kept_as_they_are(store: Store) -> None:
    """The bound itself is not too many, on neither way."""
    for event in (canonical(attributes=named(1000)), {"msg": "b", **named(1000)}):
        [[row]] = store([text(event)])
        assert (row["LogAttributes"], row["ParseError"]) == (named(1000), "")


@pytest.fixture
def bounded(clickhouse: ClickHouseServer) -> Iterator[config.ClickHouse]:
    """A database whose limit on names was changed after it was made."""
    settings = clickhouse.settings("names_bound")
    migrate.apply(config.Schema(), settings)
    migrate.apply(config.Schema(max_event_names=5), settings)
    yield settings
    with connect(settings) as client:
        client.command("DROP DATABASE names_bound SYNC")


def test_another_bound_takes_effect_by_migrating_again(bounded: config.ClickHouse) -> None:
    """On both ways, without anything being recreated."""
    with connect(bounded) as client:
        for offset, event in enumerate((canonical(attributes=named(6)), {"msg": "b", **named(6)})):
            row = ["t", "", 0, offset, ARRIVAL_MS, "s", "", text(event).decode()]
            client.insert("arrivals", [row], ("topic", "topic_id", *ROW_COLUMNS))
        rows = client.query("SELECT LogAttributes, ParseError FROM otel_logs").result_rows
    kept = {**named(5), "more_attributes": '{"k00005":"1"}'}
    assert rows == [(kept, "too many names")] * 2
