"""The reference pages are in step with the code."""

from pathlib import Path

import pytest

from logbrook import reference

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_reference_page_is_in_step(name: str) -> None:
    """What `make docs` would write is what is checked in: no setting or metric is undocumented."""
    assert (DOCS / name).read_text() == reference.PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("name", reference.PARTLY)
def test_the_rest_of_a_page_is_in_step(name: str) -> None:
    """Whatever `logbrook doctor` can say, and whatever the parser recognizes, has its row."""
    page = (DOCS / name).read_text()

    assert page == reference.completed(name, page), "run `make docs`"
