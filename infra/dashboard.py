"""The pipeline's seven figures on one page of Cloud Monitoring, the same as in the explorer's Health view.

The format: https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards
"""

import json
from dataclasses import dataclass
from typing import Any

from infra.alerts import promql
from infra.config import Settings

_COLUMNS, _WIDTH, _HEIGHT = 48, 16, 16


@dataclass(frozen=True)
class Figure:
    """A chart: it draws the first of its queries whose metrics are available. Values above `bad_above` are red."""

    title: str
    unit: str
    queries: tuple[str, ...]
    bad_above: float | None = None


FIGURES = (
    Figure(
        "Accepted: requests answered, by class of status",
        "requests/s",
        ("sum by (response_code_class) (rate(run_googleapis_com:request_count[${__interval}]))",),
    ),
    Figure(
        "Stored",
        "messages/s, or rows/s without the consumers' figures",
        (
            "sum(rate(consumer_messages_total[${__interval}]))",
            "sum(rate(ClickHouseProfileEvents_InsertedRows[${__interval}]))",
        ),
    ),
    Figure("Lag: still to be stored", "messages", ("sum(consumer_lag_messages)", "sum(audit_pending_messages)")),
    Figure(
        "Freshness: until an event can be queried, 99 of 100 inserts",
        "s",
        ("histogram_quantile(0.99, sum by (le) (rate(consumer_freshness_seconds_bucket[5m])))",),
        5,
    ),
    Figure(
        "Missing: what the last audit found",
        "events, or failed audits without a data node",
        (
            "sum(audit_missing_events)",
            'sum(increase(run_googleapis_com:job_completed_execution_count{result="failed"}[75m]))',
        ),
        0.5,
    ),
    Figure(
        "Search: time of a request, 95 of 100",
        "ms",
        ("histogram_quantile(0.95, sum by (le) (rate(run_googleapis_com:request_latencies_bucket[5m])))",),
    ),
    Figure(
        "Disk: used, by device",
        "%",
        ('max by (device) (agent_googleapis_com:disk_percent_used{state="used", device!~"/dev/loop.*"})',),
        90,
    ),
)


def document(settings: Settings) -> str:
    """The dashboard as JSON, its tiles from left to right as an event passes; open alerts come last."""
    widgets = [_widget(settings, figure) for figure in FIGURES]
    widgets.append({"title": "Open incidents", "incidentList": {}})
    tiles = [
        {
            "xPos": number * _WIDTH % _COLUMNS,
            "yPos": number * _WIDTH // _COLUMNS * _HEIGHT,
            "width": _WIDTH,
            "height": _HEIGHT,
            "widget": widget,
        }
        for number, widget in enumerate(widgets)
    ]
    layout = {"columns": _COLUMNS, "tiles": tiles}
    return json.dumps({"displayName": f"Logbrook {settings.environment}: pipeline", "mosaicLayout": layout})


def _widget(settings: Settings, figure: Figure) -> dict[str, Any]:
    reason = ""
    for query in figure.queries:
        try:
            chart: dict[str, Any] = {
                "dataSets": [{"plotType": "LINE", "timeSeriesQuery": {"prometheusQuery": promql(settings, query)}}],
                "yAxis": {"label": figure.unit, "scale": "LINEAR"},
            }
        except LookupError as error:
            reason = str(error)
            continue
        if figure.bad_above is not None:
            chart["thresholds"] = [{"value": figure.bad_above}]
        return {"title": figure.title, "xyChart": chart}
    return {"title": figure.title, "text": {"content": f"Not here. {reason}.", "format": "MARKDOWN"}}
