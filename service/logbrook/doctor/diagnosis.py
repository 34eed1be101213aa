"""What a check may answer, and the catalogue of everything that can be wrong."""

from dataclasses import dataclass
from typing import Literal

from logbrook.errors import LogbrookError

CATALOGUE: dict[str, "Diagnosis"] = {}
"""Every diagnosis by its code. docs/doctor.md has the table."""


class NotCheckedError(LogbrookError):
    """It can't be told from here; the message says why."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing that can be wrong."""

    code: str
    wrong: str
    remedy: str
    severity: Literal["failed", "warning"] = "failed"
    """After a failure, whatever depends on it is not checked. A warning stops nothing, and exits with 0."""

    def __post_init__(self) -> None:
        assert self.code not in CATALOGUE, self.code
        CATALOGUE[self.code] = self

    def found(self, text: str, remedy: str = "") -> "Found":
        """It holds here: `text` says what and where, `remedy` what to change if that can be said more precisely."""
        return Found(self, text, remedy or self.remedy)


@dataclass(frozen=True)
class Found:
    """A diagnosis that holds for this deployment."""

    diagnosis: Diagnosis
    text: str
    remedy: str


Answer = str | Found
"""What a check returns: in what way all is well, or what is wrong. It raises NotCheckedError if it can't tell."""
