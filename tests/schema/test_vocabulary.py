"""What the parser recognizes: every line of vocabulary.toml is tried, and the documentation lists it."""

import json
import re
from pathlib import Path

import pytest

from logbrook.schema import parsing
from tests.schema.conftest import ARRIVAL, ARRIVAL_MS, Row, Store

REPOSITORY = Path(__file__).parent.parent.parent
LEVELS = {word: int(number) for number, words in parsing.VOCABULARY["levels"].items() for word in words}
# For each field a value, the column that shows it, and what stands there then.
FIELDS = {
    "time": ("2024-05-06T12:00:00Z", "Timestamp", "2024-05-06 12:00:00.000000000"),
    "nanoseconds": (5, "Timestamp", ARRIVAL),
    "level": ("Information", "SeverityText", "INFO"),
    "level_number": (17, "SeverityNumber", 17),
    "service": ("shop", "ServiceName", "shop"),
    "body": ("a line", "Body", b"a line"),
    "trace": ("ab" * 16, "TraceId", "ab" * 16),
    "span": ("cd" * 8, "SpanId", "cd" * 8),
    "flags": (1, "TraceFlags", 1),
    "event_name": ("device.paired", "EventName", "device.paired"),
    "schema_url": ("https://a.example/1", "ResourceSchemaUrl", "https://a.example/1"),
    "envelope": (["x"], "ParseError", "envelope of several events"),
}


def test_every_field_is_tried() -> None:
    """Each column of the parser has a value here, and its names have codes below those of empty values and others."""
    assert list(FIELDS) == parsing.COLUMNS
    assert sum(len(names) for names in parsing.FIELDS.values()) <= 125


def test_every_name_fills_its_field(store: Store) -> None:
    """Under each name, in any case, the value reaches its column and leaves no attribute."""
    # Nanoseconds belong to a time, and an envelope has no column.
    own = [field for field in FIELDS if field not in ("nanoseconds", "envelope")]
    # `levelno` is Python's, which is a number.
    tried = [(name, field) for field in own for name in parsing.FIELDS[field] if name != "levelno"]
    payloads = [json.dumps({name.upper(): FIELDS[field][0]}).encode() for name, field in tried]
    for (name, field), [row] in zip(tried, store(payloads), strict=True):
        _, column, expected = FIELDS[field]
        assert row[column] == expected, name
        assert row["LogAttributes"] == {}, name


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in ("nanoseconds", "envelope")])
def test_the_first_name_is_preferred(store: Store, field: str) -> None:
    """Of two names of a field, the one that stands first in the list counts; the other stays an attribute."""
    first, second, *_ = parsing.FIELDS[field]
    value, column, expected = FIELDS[field]

    [[row]] = store([json.dumps({second: "0", first: value}).encode()])

    assert row[column] == expected
    assert row["LogAttributes"] == {second: "0"}


def test_every_level_is_understood(store: Store) -> None:
    """Each value of a level, in any case, has the number and the text of its severity."""
    rows = store([json.dumps({"severity": word.upper()}).encode() for word in LEVELS])
    for (word, number), [row] in zip(LEVELS.items(), rows, strict=True):
        assert row["SeverityNumber"] == number, word
        assert row["SeverityText"] == ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")[(number - 1) // 4], word
        assert row["ParseError"] == "", word


def test_every_level_in_a_text_is_understood(store: Store) -> None:
    """Each word in capitals before a blank, and in lower case in brackets, is the level of its line."""
    words, marked = parsing.VOCABULARY["levels_in_text"]["words"], parsing.VOCABULARY["levels_in_text"]["marked_words"]
    rows = store(
        [
            *(f"{word} started".encode() for word in words),
            *(f"[{word.lower()}] on".encode() for word in [*words, *marked]),
        ]
    )
    assert [row["SeverityNumber"] for [row] in rows] == [LEVELS[word.lower()] for word in [*words, *words, *marked]]


def test_every_format_of_times_reads_its_example(store: Store) -> None:
    """The time in each example is the event's; the line stays as it is."""
    examples = [each["example"] for each in parsing.TIMES]
    for (text, expected), [row] in zip(examples, store([text.encode() for text, _ in examples]), strict=True):
        assert row["Timestamp"].rstrip("0").rstrip(".") == expected, text
        assert row["Body"] == text.encode()


def test_an_example_is_one_of_its_own_format() -> None:
    """No format that stands before it takes the example: it would show nothing of its own format."""
    for number, each in enumerate(parsing.TIMES):
        fitting = [
            other["name"]
            for other in parsing.TIMES[: number + 1]
            if re.search(parsing.pattern(other).replace("(?i:", "(?:"), each["example"][0])
        ]
        assert fitting == [each["name"]]


def test_a_time_that_would_lie_ahead_is_of_the_past(store: Store) -> None:
    """Without its year it is of the year before; without its date, and half a day ahead, of the day before."""
    assert ARRIVAL.startswith("2025-03-01 12:00:00")
    payloads = [b"<34>Dec 31 23:59:59 web cron: x", b"23:59:59.000 [main] INFO x"]
    times = [row["Timestamp"][:19] for [row] in store(payloads, ARRIVAL_MS - 60_000)]
    assert times == ["2024-12-31 23:59:59", "2025-02-28 23:59:59"]


def test_a_format_has_a_level_and_a_service_where_it_says_so(store: Store) -> None:
    """Android's and klog's letters are levels, syslog's program is the service."""
    rows: list[list[Row]] = store([each["example"][0].encode() for each in parsing.TIMES])
    for each, [row] in zip(parsing.TIMES, rows, strict=True):
        assert ("level" not in each) or row["SeverityText"] != "", each["name"]
        assert ("service" not in each) or row["ServiceName"] != "", each["name"]


def test_the_documentation_lists_every_name() -> None:
    """docs/schema.md has all the names that are understood, and no other in its table of fields."""
    page = (REPOSITORY / "docs/schema.md").read_text()
    fields = page[page.index("## Fields") : page.index("**Times**")]
    documented = set(re.findall(r"`([a-z@_][a-z0-9_.@$]*)`", fields))
    # Keys within the object `scope`.
    assert documented - {"name", "version", "schema_url", "null"} == {
        name for names in parsing.FIELDS.values() for name in names
    }
