"""Nothing can be said that no test has seen."""

from pathlib import Path

import pytest

from logbrook.doctor import checks
from logbrook.doctor.diagnosis import CATALOG

TESTS = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("code", sorted(CATALOG))
def test_every_diagnosis_is_provoked(code: str) -> None:
    """Each has a test that names it."""
    assert f'"{code}"' in TESTS


def test_checks_come_after_those_that_they_depend_on() -> None:
    """So that none waits for ever."""
    seen = set[str]()
    for each in checks.CHECKS:
        assert set(each.after) <= seen, each.name
        seen.add(each.name)
