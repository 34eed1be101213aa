"""The reference pages are in step with the code."""

from pathlib import Path

import pytest

from logbrook import reference

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_reference_page_is_in_step(name: str) -> None:
    """What `make docs` would write is what is checked in: no setting or metric is undocumented."""
    assert (DOCS / name).read_text() == reference.PAGES[name](), "run `make docs`"


def test_the_table_of_diagnoses_is_in_step() -> None:
    """Whatever `logbrook doctor` can say has its row in docs/doctor.md."""
    page = (DOCS / "doctor.md").read_text()

    assert page == reference.with_diagnoses(page), "run `make docs`"
