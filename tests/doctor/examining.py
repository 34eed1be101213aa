"""What a doctor says of a place, and that it is the one right diagnosis."""

from collections.abc import Mapping
from typing import Any

from logbrook.doctor import checks
from logbrook.doctor.checks import CHECKS, Finding
from logbrook.doctor.place import Place


def place(role: str = "", /, **parts: Any) -> Place:
    """A place of which only `parts` are known."""
    return Place(role=role, **parts)


def examined(here: Place, *without: str) -> Mapping[str, Finding]:
    """All findings by their check, but for some checks."""
    return {each.check: each for each in checks.examine(here, [each for each in CHECKS if each.name not in without])}


def diagnosed(here: Place, code: str, *without: str) -> Finding:
    """The one finding, which has this code. After a failure, nothing that depends on it was looked at, or blamed."""
    findings = examined(here, *without)
    wrong = [each for each in findings.values() if each.code]
    assert [each.code for each in wrong] == [code], wrong
    if wrong[0].state == "failed":
        for check in dependents(wrong[0].check) & findings.keys():
            assert findings[check].state == "not checked", findings[check]
    return wrong[0]


def dependents(name: str) -> set[str]:
    """All checks that come after this one, by whatever way."""
    after = {each.name for each in CHECKS if name in each.after}
    return after.union(*(dependents(each) for each in after))
