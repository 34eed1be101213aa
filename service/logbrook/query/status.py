"""The state of the platform itself, from Prometheus's figures."""

import asyncio
import math
from typing import Any

import httpx
import msgspec

from logbrook.errors import UnavailableError
from logbrook.query.answers import Alert, AlertsAnswer, Figure, Process, StatusAnswer
from logbrook.query.refusals import NotThereError

# Name, unit, meaning, PromQL.
FIGURES = (
    ("accepted", "events/s", "Events that the gateway accepted.", "sum(rate(gateway_events_total[1m]))"),
    ("stored", "messages/s", "Kafka messages that the consumers stored.", "sum(rate(consumer_messages_total[1m]))"),
    ("lag", "messages", "Messages in Kafka that are still to be stored.", "sum(consumer_lag_messages)"),
    (
        "freshness",
        "s",
        "Time from Kafka's message to a queryable event, 99 of 100 inserts.",
        "histogram_quantile(0.99, sum by (le) (rate(consumer_freshness_seconds_bucket[5m])))",
    ),
    ("missing", "events", "Events that the last audit found missing.", "sum(audit_missing_events)"),
    (
        "search",
        "s",
        "Time of a request to this API, 95 of 100.",
        "histogram_quantile(0.95, sum by (le) (rate(query_request_seconds_bucket[5m])))",
    ),
    (
        "disk",
        "bytes",
        "What ClickHouse's tables take on disk.",
        "sum(ClickHouseAsyncMetrics_TotalBytesOfMergeTreeTables)",
    ),
)


class _Service:
    """A client of another service; an empty `url` means that there is none."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, trust_env=False) if url else None

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()


class Prometheus(_Service):
    """The Prometheus that watches the platform."""

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer. Raises RejectedError if there is no Prometheus, HTTPError if it can't answer."""
        if self._client is None:
            raise NotThereError("no_prometheus", "no Prometheus is configured: set LOGBROOK_QUERY_PROMETHEUS_URL")
        response = await self._client.get(f"/api/v1/{path}", params=parameters)
        response.raise_for_status()
        return response.json()["data"]


class Evaluator(_Service):
    """`logbrook alert`."""

    async def alerts(self) -> AlertsAnswer:
        """What it says. Raises RejectedError if there is none, and UnavailableError if it can't answer."""
        if self._client is None:
            raise NotThereError("no_alerts", "no `logbrook alert` is configured: set LOGBROOK_QUERY_ALERTS_URL")
        try:
            response = await self._client.get("/alerts")
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=AlertsAnswer)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            reason = f"`logbrook alert` can't be asked: {type(error).__name__}"
            raise UnavailableError("alerts_unavailable", reason, 10) from error


async def status(prometheus: Prometheus) -> StatusAnswer:
    """Figures, alerts, and which processes answer.

    Raises RejectedError if no Prometheus is configured, and UnavailableError if it can't answer.
    """
    queries = [prometheus.ask("query", query=promql) for promql in ("up", *(each[-1] for each in FIGURES))]
    try:
        alerts, up, *figures = await asyncio.gather(prometheus.ask("alerts"), *queries)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        reason = f"Prometheus can't be asked: {type(error).__name__}"
        raise UnavailableError("prometheus_unavailable", reason, 10) from error
    return StatusAnswer(
        figures=[
            Figure(name=name, unit=unit, meaning=meaning, value=_value(found))
            for (name, unit, meaning, _), found in zip(FIGURES, figures, strict=True)
        ],
        alerts=[_alert(each) for each in alerts["alerts"]],
        processes=[
            Process(name=each["metric"]["job"], address=each["metric"]["instance"], up=each["value"][1] == "1")
            for each in sorted(up["result"], key=lambda each: str(each["metric"]["job"]))
        ],
    )


def _value(found: Any) -> float | None:
    """The one number of a result; None where there is none, or no data to compute it from."""
    value = float(found["result"][0]["value"][1]) if found["result"] else math.nan
    return value if math.isfinite(value) else None


def _alert(found: Any) -> Alert:
    annotations, labels = found["annotations"], found["labels"]
    return Alert(
        name=labels["alertname"],
        severity=labels.get("severity", ""),
        firing=found["state"] == "firing",
        since=found["activeAt"],
        summary=annotations.get("summary", ""),
        description=annotations.get("description", ""),
        runbook=annotations.get("runbook", ""),
    )
