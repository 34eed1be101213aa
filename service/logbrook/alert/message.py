"""An alert as Alertmanager takes it: POST /api/v2/alerts.

Its fields are those of `postableAlert` in Alertmanager's OpenAPI file (read 2026-11-28):
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from logbrook.alert.evaluate import Found, link
from logbrook.alert.rules import Rule
from logbrook.alert.state import Alert
from logbrook.errors import UnavailableError
from logbrook.query.columns import Event
from logbrook.query.timerange import SECOND, rfc3339

# Alertmanager ends an alert that it does not hear of: four times what it takes to be told again, as Prometheus does.
RESEND = 60 * SECOND
_LASTS = 4 * RESEND
_LABEL_CHARACTERS = 256


def message(rule: Rule, at: int, found: Found, lines: Sequence[Event], explorer_url: str) -> dict[str, Any]:
    """Labels, annotations, and link of an alert that fires with the window that ends at `at`."""
    groups = {label: value[:_LABEL_CHARACTERS] for label, value in zip(rule.groups, found.group, strict=False)}
    if len(found.group) > len(rule.groups):
        groups["pattern"] = found.group[-1][:_LABEL_CHARACTERS]
    value = f"{found.value:g}" if rule.condition.kind not in ("count", "absent", "new pattern") else f"{found.events}"
    about = ", ".join(f"{label} {text}" for label, text in groups.items())
    summary = rule.summary or f"{rule.name}{f' ({about})' if about else ''}: {rule.condition.text}"
    annotations = {
        "summary": summary,
        "description": f"{value} in the {rule.window // SECOND:d} s until {rfc3339(at)[:19]}Z, {found.events} events",
        "matches": str(found.events),
        "lines": "\n".join(_line(each) for each in lines),
        "runbook_url": rule.runbook,
    }
    return {
        # An empty label is the same as none.
        "labels": {name: text for name, text in {**groups, **rule.labels, "alertname": rule.name}.items() if text},
        "annotations": {name: text for name, text in annotations.items() if text},
        "generatorURL": link(rule, at, found.group, lines, explorer_url),
    }


def _line(event: Event) -> str:
    return f"{event.timestamp[:23]}Z {event.severity} {event.service}: {event.body}"


def posted(alert: Alert, now: int) -> Mapping[str, Any]:
    """An alert as it is sent now."""
    assert alert.fired is not None
    ends = alert.resolved if alert.resolved is not None else now + _LASTS
    return {**alert.message, "startsAt": rfc3339(alert.fired), "endsAt": rfc3339(ends)}


async def post(client: httpx.AsyncClient, alerts: Iterable[Alert], now: int) -> None:
    """Tell Alertmanager. Raises UnavailableError unless it took all of them."""
    try:
        response = await client.post("/api/v2/alerts", json=[posted(each, now) for each in alerts])
    except httpx.HTTPError as error:
        raise UnavailableError("alertmanager", f"Alertmanager can't be reached: {type(error).__name__}") from error
    if response.status_code != 200:
        raise UnavailableError("alertmanager", f"Alertmanager answers {response.status_code}: {response.text[:300]}")
