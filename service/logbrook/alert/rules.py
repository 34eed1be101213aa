"""alerts.yaml: read, checked as a whole, and refused with the line and column of each mistake."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from logbrook import rule_file
from logbrook.query import catalog
from logbrook.query.syntax import Field
from logbrook.query.timerange import SECOND

_Refuse = Callable[[str, str], None]
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)
_CONDITION = re.compile(
    r"(?:(count|rate|ratio|change|distinct\(([^()]+)\))\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)|(absent)|(new pattern))",
    re.ASCII,
)
_EXPECTED = "count > 100, rate > 2.5, distinct(user.id) > 10, ratio > 0.05, change > 3, absent, or new pattern"
# Alertmanager takes any UTF-8 in names since 0.27; these work with all of its versions, and in its templates.
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OWN_LABELS = {"alertname", "severity"}
_DAY = 86400 * SECOND


@dataclass(frozen=True)
class Condition:
    """What must be so of a window: `kind` is count, rate, distinct, ratio, change, absent, or new pattern."""

    text: str
    kind: str
    comparison: str = ">"
    threshold: float = 0.0
    field: Field | None = None
    of: str = ""
    """The query of the events that a ratio is of."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. Lengths of time are in nanoseconds."""

    name: str
    query: str
    condition: Condition
    window: int
    every: int
    lateness: int
    by_arrival: bool
    hold: int
    """For how long the condition must hold before the alert fires."""
    groups: Mapping[str, str]
    """By label: the field as the file names it."""
    labels: Mapping[str, str]
    summary: str
    runbook: str


class _Written(msgspec.Struct, kw_only=True, rename={"hold": "for"}):
    """A rule as the file has it."""

    name: str
    condition: str
    query: str = ""
    ratio_of: str = ""
    window: str = "5m"
    every: str = ""
    lateness: str = "30s"
    time: Literal["event", "arrival"] = "event"
    hold: str = "0s"
    group_by: list[str] = []
    severity: Literal["critical", "warning", "info"] = "warning"
    labels: dict[str, str] = {}
    summary: str = ""
    runbook: str = ""


def load(path: Path) -> list[Rule]:
    """The rules of a file. Raises MistakesError with every mistake that was found."""
    return parse(rule_file.read(path), str(path))


def parse(text: str, file: str) -> list[Rule]:
    """The rules of a text. Raises MistakesError; `file` is named in it."""
    document = rule_file.Document(text, file, "rules")
    found = [_rule(each, f"$.rules[{index}]", document) for index, each in enumerate(document.listed)]
    document.refuse_mistakes()
    return [each for each in found if each]


def _rule(given: Any, path: str, document: rule_file.Document) -> Rule | None:
    """A rule; None if it does not have the form of one. Its mistakes are added to the document's."""
    written = document.converted(given, path, _Written)
    if written is None:
        return None

    def refuse(field: str, message: str) -> None:
        document.wrong(f"{path}.{field}", message)

    for field in ("query", "ratio_of"):
        document.query(f"{path}.{field}", getattr(written, field))

    def duration(field: str, text: str, least: int, most: int = 7 * _DAY) -> int:
        found = _DURATION.fullmatch(text)
        length = int(found[1]) * _UNITS[found[2]] if found else -1
        if not least <= length <= most:
            refuse(field, f"{text!r} is not a time from {least // SECOND}s to {most // _DAY}d, such as 30s, 5m, 2h")
        return max(length, least)

    window = duration("window", written.window, SECOND)
    every = duration("every", written.every, 10 * SECOND) if written.every else min(window, 60 * SECOND)
    if every > window:
        refuse("every", "longer than the window: what is in between would not be looked at")
    if not _LABEL.fullmatch(written.name):
        refuse("name", "expected letters, digits, and _, not beginning with a digit")
    for name in written.labels:
        if not _LABEL.fullmatch(name) or name in _OWN_LABELS:
            refuse(f"labels.{name}", "not a name for a label: letters, digits, and _; alertname and severity are taken")
    return Rule(
        name=written.name,
        query=written.query,
        condition=_condition(written, refuse),
        window=window,
        every=every,
        lateness=duration("lateness", written.lateness, 0),
        by_arrival=written.time == "arrival",
        hold=duration("for", written.hold, 0),
        groups=_groups(written, refuse),
        labels={**written.labels, "severity": written.severity},
        summary=written.summary,
        runbook=written.runbook,
    )


def _condition(written: _Written, refuse: _Refuse) -> Condition:
    found = _CONDITION.fullmatch(written.condition.strip())
    if found is None:
        refuse("condition", f"expected one of: {_EXPECTED}")
        return Condition(written.condition, "count")
    kind = (found[1] or found[5] or found[6]).partition("(")[0]
    if (kind == "ratio") != bool(written.ratio_of):
        refuse("condition" if kind == "ratio" else "ratio_of", "`ratio` and `ratio_of` belong together")
    if written.time == "arrival" and kind not in ("count", "new pattern", "distinct"):
        # What waited in Kafka is stored at once afterwards: a lag would be a silence and then a surge.
        refuse("time", f"`{kind}` needs the events' own time: what waited in Kafka arrives at once")
    return Condition(
        written.condition,
        kind,
        found[3] or ">",
        float(found[4] or 0),
        catalog.field(found[2].strip()) if found[2] else None,
        written.ratio_of,
    )


def _groups(written: _Written, refuse: _Refuse) -> dict[str, str]:
    groups = dict[str, str]()
    for index, name in enumerate(written.group_by):
        label = re.sub(r"\W", "_", name.removeprefix("attr.").removeprefix("resource."), flags=re.ASCII)
        if not _LABEL.fullmatch(label) or label in groups or label in written.labels or label in _OWN_LABELS:
            refuse(f"group_by[{index}]", f"its label would be `{label}`, which is taken or not a name for one")
        groups[label] = name
    return groups
