"""What the explorer's view of alerts shows, as /v1/alerts answers it."""

from collections.abc import Mapping, Sequence

import msgspec

from logbrook.alert.evaluate import Group
from logbrook.alert.rules import Rule
from logbrook.alert.state import State
from logbrook.query.answers import AlertsAnswer, RuleAlert, RuleChange, RuleState
from logbrook.query.timerange import rfc3339

_HISTORY = 200


def shows(rules: Sequence[Rule], state: State | None, matches: Mapping[str, int]) -> bytes:
    """Rules, alerts, and history as JSON; without a state, as of an evaluator that waits, nothing."""
    if state is None:
        return msgspec.json.encode(AlertsAnswer(rules=[], firing=[], history=[]))
    known = {rule.name: rule for rule in rules}

    def group(rule: str, values: Group) -> dict[str, str]:
        labels = [*known[rule].groups] if rule in known else []
        return dict(zip((*labels, "pattern"), values, strict=False))

    answer = AlertsAnswer(
        rules=[
            RuleState(
                name=rule.name,
                query=rule.query,
                condition=rule.condition.text,
                severity=rule.labels["severity"],
                matches=matches.get(rule.name),
                evaluated_until=rfc3339(until) if (until := state.until(rule.name)) else None,
            )
            for rule in rules
        ],
        firing=[
            RuleAlert(
                rule=each.rule,
                group=group(each.rule, each.group),
                severity=known[each.rule].labels["severity"] if each.rule in known else "critical",
                firing=each.fired is not None,
                since=rfc3339(each.since),
                description=each.message.get("annotations", {}).get("description", ""),
                link=each.message.get("generatorURL", ""),
            )
            for each in state.alerts()
            if each.resolved is None
        ],
        history=[
            RuleChange(
                at=rfc3339(at), rule=rule, group=group(rule, values), what=what, link=message.get("generatorURL", "")
            )
            for at, rule, values, what, message in state.history(_HISTORY)
        ],
    )
    return msgspec.json.encode(answer)
