"""A file of rules is understood as a whole, or refused with the place of every mistake."""

from pathlib import Path

import pytest

from logbrook.alert.rules import load, parse
from logbrook.query.timerange import SECOND
from logbrook.rule_file import MistakesError

GOOD = """\
rules:
  - name: CheckoutErrors
    query: service:checkout level>=error
    condition: count > 100
    window: 10m
    every: 30s
    lateness: 1m
    for: 5m
    group_by: [service, attr.http.route]
    severity: critical
    labels: {team: no}
    summary: Checkout fails
    runbook: https://example.org/checkout
  - name: Slow
    condition: distinct(user.id) >= 2.5
"""


def test_a_rule_says_all_that_it_may() -> None:
    """Every key is read, and the rest has its default; a word that YAML may take for a boolean stays that word."""
    first, second = parse(GOOD, "alerts.yaml")

    assert (first.name, first.query, first.summary, first.runbook) == (
        "CheckoutErrors",
        "service:checkout level>=error",
        "Checkout fails",
        "https://example.org/checkout",
    )
    assert [each // SECOND for each in (first.window, first.every, first.lateness, first.hold)] == [600, 30, 60, 300]
    assert first.groups == {"service": "service", "http_route": "attr.http.route"}
    assert first.labels == {"team": "no", "severity": "critical"}
    assert (first.condition.kind, first.condition.comparison, first.condition.threshold) == ("count", ">", 100)
    assert (second.condition.kind, second.condition.comparison, second.condition.threshold) == ("distinct", ">=", 2.5)
    assert [each // SECOND for each in (second.window, second.every, second.lateness)] == [300, 60, 30]
    assert (second.by_arrival, second.groups, second.labels) == (False, {}, {"severity": "warning"})


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("rules: [", "1:9", "not YAML"),
        ("rules: &all [*all]", "1:1", "contain themselves"),
        (f"rules: {'[' * 2000}", "1:1", "nested too deeply"),
        ("", "1:1", "`rules`"),
        ("rule: []", "1:1", "`rules`"),
        ("rules:\n  - nam: A\n    condition: absent", "2:10", "unknown field `nam`"),
        ("rules:\n  - name: A", "2:5", "missing required field `condition`"),
        ("rules:\n  - name: [A]\n    condition: absent", "2:11", "Expected `str`"),
        ("rules:\n  - name: A B\n    condition: absent", "2:11", "letters, digits"),
        ("rules:\n  - name: A\n    name: B\n    condition: absent", "3:11", "`name` is given twice"),
        ("rules:\n  - name: A\n    condition: absent\n  - name: A\n    condition: absent", "4:11", "another rule A"),
        ("rules:\n  - name: A\n    condition: counts > 1", "3:16", "expected one of: count > 100"),
        ("rules:\n  - name: A\n    condition: absent\n    query: level>=loud", "4:19", "expected"),
        ('rules:\n  - name: A\n    condition: absent\n    query: "level>=loud"', "4:20", "expected"),
        ("rules:\n  - name: A\n    condition: absent\n    window: 5 minutes", "4:13", "'5 minutes' is not a time"),
        ("rules:\n  - name: A\n    condition: absent\n    window: 1m\n    every: 2m", "5:12", "longer than the window"),
        ("rules:\n  - name: A\n    condition: absent\n    every: 1s", "4:12", "from 10s"),
        ("rules:\n  - name: A\n    condition: ratio > 1", "3:16", "belong together"),
        ("rules:\n  - name: A\n    condition: absent\n    ratio_of: x", "4:15", "belong together"),
        ("rules:\n  - name: A\n    condition: ratio > 1\n    ratio_of: (", "4:16", "expected"),
        ("rules:\n  - name: A\n    condition: absent\n    time: arrival", "4:11", "needs the events' own time"),
        ("rules:\n  - name: A\n    condition: absent\n    severity: high", "4:15", "Invalid enum value 'high'"),
        ("rules:\n  - name: A\n    condition: absent\n    labels: {severity: x}", "4:24", "are taken"),
        ("rules:\n  - name: A\n    condition: absent\n    group_by: [service, 'service']", "4:26", "which is taken"),
        ("rules:\n  - name: A\n    condition: absent\n    group_by: ['1']", "4:17", "not a name"),
    ],
)
def test_a_mistake_has_its_place(text: str, place: str, says: str) -> None:
    """Line, column, and what would fit."""
    with pytest.raises(MistakesError) as refused:
        parse(text, "alerts.yaml")

    assert str(refused.value).startswith(f"alerts.yaml:{place}: "), str(refused.value)
    assert says in str(refused.value)


def test_every_mistake_is_said_at_once() -> None:
    """One look at the file finds all of them."""
    with pytest.raises(MistakesError) as refused:
        parse(
            "rules:\n  - name: A\n    condition: x\n    window: y\n    windows: 1\n    form: 5m\n"
            "  - name: B\n    for: z\n    condition: absent\n  - nam: C\n    condition: absent",
            "f",
        )

    assert [line.split(" ")[:3] for line in str(refused.value).splitlines()] == [
        ["f:5:14:", "unknown", "field"],
        ["f:6:11:", "unknown", "field"],
        ["f:4:13:", "'y'", "is"],
        ["f:3:16:", "expected", "one"],
        ["f:8:10:", "'z'", "is"],
        ["f:10:10:", "unknown", "field"],
        ["f:10:5:", "Object", "missing"],
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So that nobody looks for the mistake inside it."""
    with pytest.raises(MistakesError, match=r"nothing\.yaml"):
        load(tmp_path / "nothing.yaml")
