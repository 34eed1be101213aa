"""alerts.yaml: read, checked as a whole, and refused with the line and column of each mistake."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import yaml

from logbrook.errors import LogbrookError
from logbrook.query import catalog, language
from logbrook.query.meaning import QuerySyntaxError
from logbrook.query.syntax import Everything, Field, Node
from logbrook.query.timerange import SECOND

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


class RulesError(LogbrookError):
    """The file can't be used; the message has a line for each mistake: file:line:column: what is wrong."""


@dataclass(frozen=True)
class Condition:
    """What must be so of a window: `kind` is count, rate, distinct, ratio, change, absent, or new pattern."""

    text: str
    kind: str
    comparison: str = ">"
    threshold: float = 0.0
    field: Field | None = None
    of: Node | None = None
    """The events that a ratio is of."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. Lengths of time are in nanoseconds."""

    name: str
    query: str
    node: Node
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


_KEYS = {each.encode_name for each in msgspec.structs.fields(_Written)}
Marks = dict[str, tuple[int, int]]
"""The line and column of each value, from 0, by its path as msgspec writes it: $.rules[0].query"""


class Wrong(Protocol):
    """Says what is wrong with the value at a path, or of a key of a rule, so many characters into it."""

    def __call__(self, where: str, message: str, column: int = 0, /) -> None: ...


def load(path: Path) -> list[Rule]:
    """The rules of a file. Raises RulesError with every mistake that was found."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: {error}") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> list[Rule]:
    """The rules of a text. Raises RulesError; `file` is named in it."""
    mistakes, marks = list[str](), Marks()

    def wrong(where: str, message: str, column: int = 0) -> None:
        while where not in marks:
            where = where[: max(where.rfind("."), where.rfind("["), 1)]
        at_line, at_column = marks[where]
        mistakes.append(f"{file}:{at_line + 1}:{at_column + 1 + column}: {message}")

    try:
        # Every scalar stays the text that it is: a label `no` is not false, and 1e3 not a number.
        node = yaml.compose(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        place = f"{at.line + 1}:{at.column + 1}" if at else "1:1"
        raise RulesError(f"{file}:{place}: not YAML: {getattr(error, 'problem', error)}") from None
    marks["$"] = (0, 0)
    document = _value(node, "$", marks, wrong) if node else {}
    if not isinstance(document, dict) or document.keys() != {"rules"} or not isinstance(document["rules"], list):
        wrong("$", "expected one key, `rules`, with a list")
        raise RulesError("\n".join(mistakes))
    found = [_rule(each, f"$.rules[{index}]", wrong) for index, each in enumerate(document["rules"])]
    names = [each.name if each else None for each in found]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            wrong(f"$.rules[{index}].name", f"there is another rule {name}")
    if mistakes:
        raise RulesError("\n".join(mistakes))
    return [each for each in found if each]


def _value(node: yaml.Node, path: str, marks: Marks, wrong: Wrong) -> Any:
    """The node as lists, dictionaries, and texts; where each is goes into `marks`."""
    quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
    marks[path] = (node.start_mark.line, node.start_mark.column + quoted)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, f"{path}[{index}]", marks, wrong) for index, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    found = {}
    for key, value in node.value:
        name = str(key.value)
        is_second = name in found
        found[name] = _value(value, f"{path}.{name}", marks, wrong)
        if is_second:
            wrong(f"{path}.{name}", f"`{name}` is given twice")
    return found


def _rule(given: Any, path: str, wrong: Wrong) -> Rule | None:
    """A rule, or None after what is wrong with it was said."""
    for key in given if isinstance(given, dict) else ():
        if key not in _KEYS:
            wrong(f"{path}.{key}", f"unknown field `{key}`")
    try:
        written = msgspec.convert(given, _Written)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `")
        wrong(path + where.rstrip("`").removeprefix("$"), message)
        return None
    before: list[str] = []

    def refuse(field: str, message: str, column: int = 0) -> None:
        before.append(field)
        wrong(f"{path}.{field}", message, column)

    def query(field: str, text: str) -> Node:
        try:
            return language.parse(text)
        except QuerySyntaxError as error:
            refuse(field, f"{error}; expected {error.place['expected']}", int(error.place["position"]))
        return Everything()

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
    rule = Rule(
        name=written.name,
        query=written.query,
        node=query("query", written.query),
        condition=_condition(written, query, refuse),
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
    return None if before else rule


def _condition(written: _Written, query: Callable[[str, str], Node], refuse: Wrong) -> Condition:
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
        query("ratio_of", written.ratio_of) if written.ratio_of else None,
    )


def _groups(written: _Written, refuse: Wrong) -> dict[str, str]:
    groups = dict[str, str]()
    for index, name in enumerate(written.group_by):
        label = re.sub(r"\W", "_", name.removeprefix("attr.").removeprefix("resource."), flags=re.ASCII)
        if not _LABEL.fullmatch(label) or label in groups or label in written.labels or label in _OWN_LABELS:
            refuse(f"group_by[{index}]", f"its label would be `{label}`, which is taken or not a name for one")
        groups[label] = name
    return groups
