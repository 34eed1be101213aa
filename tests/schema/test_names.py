"""The names that the view accepts, their bits, and what docs/schema.md says of them belong together."""

import re
from pathlib import Path

import pytest

from logbrook import migrate

REPOSITORY = Path(__file__).parent.parent.parent
[VIEW] = [migration.text for migration in migrate.migrations() if migration.name == "0003_parse.sql"]
# In the order of the view's masks: what a field is, and the first and the last of its names.
FIELDS = [
    ("timestamp", "observedtimeunixnano"),
    ("severity_text", "levelno"),
    ("severity_number", "severitynumber"),
    ("service.name", "logger"),
    ("body", "event"),
    ("trace_id", "trace.id"),
    ("span_id", "span.id"),
    ("trace_flags", "traceflags"),
    ("event_name", "event.name"),
    ("resource_schema_url", "resourceschemaurl"),
]


def array(name: str) -> list[str]:
    """The elements of a constant array of the view, as they are written."""
    found = re.search(rf"\[([^\[\]]*)\] AS {name},", VIEW)
    assert found
    return [element.strip().strip("'") for element in found[1].split(",")]


def bit(name: str) -> int:
    """A name's bit: its place in the list."""
    return 1 << array("names").index(name)


def constant(name: str) -> int:
    """A number that the view gives a name."""
    found = re.search(rf"(0x[0-9a-f]+) AS {name},", VIEW)
    assert found
    return int(found[1], 16)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field[0])
def test_a_mask_covers_the_names_of_its_field(field: tuple[str, str]) -> None:
    """Each mask has the bits from its field's first to its last name."""
    first, last = field
    assert int(array("masks")[FIELDS.index(field)], 16) == 2 * bit(last) - bit(first)


def test_single_bits_are_those_of_their_names() -> None:
    """Names that are treated alone are found by their own bits, and no name has one of the two reserved ones."""
    assert constant("levelno_bit") == bit("levelno")
    assert [constant(f"{name}_bit") for name in ("resource", "scope", "attributes")] == [
        bit(name) for name in ("resource", "scope", "attributes")
    ]
    bodies = bit("body") | bit("message") | bit("msg")
    assert constant("whole_mask") == bodies | bit("resource") | bit("scope") | bit("attributes")
    assert len(array("names")) < 62


def test_every_level_has_a_meaning() -> None:
    """Names and numbers of levels stand beside what they mean, which is a severity number."""
    values, meanings = array("level_values"), [int(meaning) for meaning in array("level_meanings")]
    assert len(values) == len(set(values)) == len(meanings)
    assert set(meanings) <= set(range(1, 25))
    assert len(array("level_texts")) == 24


def test_the_documentation_lists_every_name() -> None:
    """docs/schema.md has all the names that are understood, and no other in its table of fields."""
    page = (REPOSITORY / "docs/schema.md").read_text()
    fields = page[page.index("## Fields") : page.index("Nested objects")]
    documented = set(re.findall(r"`([a-z@][a-z_.@]*)`", fields))
    # Keys within the object `scope`.
    assert documented - {"name", "version", "schema_url"} == set(array("names"))
