"""The catalog of what can be wrong (diagnoses.md), and what a check raises if it finds something."""

from pathlib import Path
from typing import Any, NamedTuple

from logbrook.errors import LogbrookError


class Diagnosis(NamedTuple):
    """A row of the table. After a failure, checks that depend on it are not run; a warning does not stop anything."""

    code: str
    severity: str
    wrong: str
    remedy: str
    here: str


_ROWS = Path(__file__).with_name("diagnoses.md").read_text().splitlines()[2:]
CATALOG = {each.code: each for each in (Diagnosis(*row.strip("| ").replace("`", "", 2).split(" | ")) for row in _ROWS)}
"""Every diagnosis by its code. docs/doctor.md shows them; checks fill in the {names} in the last two columns."""


class Wrong(LogbrookError):  # noqa: N818 - the outcome of a check, not a failure of the program
    """A diagnosis that holds for this deployment; `facts` fill its texts."""

    def __init__(self, code: str, **facts: Any) -> None:
        self.diagnosis = CATALOG[code]
        super().__init__(self.diagnosis.here.format(**facts))
        self.remedy = self.diagnosis.remedy.format(**facts)


class NotCheckedError(LogbrookError):
    """This can't be checked from here; the message says why."""
