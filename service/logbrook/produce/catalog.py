"""The shop whose sample logs `logbrook produce` writes, read from catalog.toml, which explains its rows."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

SEVERITY_NUMBERS = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
_SHOP = tomllib.loads((resources.files("logbrook.produce") / "catalog.toml").read_text())


@dataclass(frozen=True)
class Line:
    """One message template: severity, body, attributes, and the stack trace of a failure."""

    severity: str
    body: str
    attributes: str = ""
    stack: str = ""


@dataclass(frozen=True)
class Service:
    """One service: its release, what writes its logs, its number of pods, and its lines by occasion.

    `requests` are written within a trace, `background` without one, and `failures` when a request goes wrong.
    """

    name: str
    version: str
    scope: str
    pods: int
    requests: tuple[Line, ...]
    background: tuple[Line, ...]
    failures: tuple[Line, ...]


def _lines(rows: Sequence[Sequence[Any]]) -> tuple[Line, ...]:
    return tuple(Line(*row[:3], *(_SHOP["stacks"][kind].format(*filled) for kind, *filled in row[3:])) for row in rows)


_OCCASIONS = ("requests", "background", "failures")
SERVICES = tuple(
    Service(name=name, **each | {occasion: _lines(each[occasion]) for occasion in _OCCASIONS})
    for name, each in _SHOP["services"].items()
)
FLOWS: Sequence[Sequence[str]] = _SHOP["flows"]
"""Requests by decreasing frequency: the services that each crosses, in order."""
