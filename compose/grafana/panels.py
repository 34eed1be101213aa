"""What all dashboards are made of: panels with one query for each of their lines, on ClickHouse or Prometheus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from grafana_foundation_sdk.builders import common, dashboard, logs, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    FieldTextAlignment,
    GraphDrawStyle,
    LogsSortOrder,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)

CLICKHOUSE = DataSourceRef(type_val="grafana-clickhouse-datasource", uid="clickhouse")
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
PLUGIN = "4.20.0"
_FORMATS = {"timeseries": 0, "table": 1, "logs": 2}

Panel = timeseries.Panel | stat.Panel | table.Panel | logs.Panel
Lines = Mapping[str, str]
"""PromQL by the legend of the line that it draws."""


class Sql(Dataquery):
    """A query of the ClickHouse data source, which the SDK does not know."""

    def __init__(self, sql: str, kind: str) -> None:
        self.sql, self.kind = sql, kind

    def build(self) -> Self:
        """It is what it builds."""
        return self

    def to_json(self) -> dict[str, object]:
        """As the data source's editor stores it."""
        return {
            "refId": "A",
            "datasource": CLICKHOUSE.to_json(),
            "editorType": "sql",
            "pluginVersion": PLUGIN,
            "rawSql": self.sql,
            "queryType": self.kind,
            "format": _FORMATS[self.kind],
        }


@dataclass(frozen=True)
class Text:
    """A panel's title, and the text behind its (i): what it shows, and what is normal."""

    title: str
    shows: str
    normal: str

    @property
    def description(self) -> str:
        """Both as Grafana's Markdown."""
        return f"{self.shows}\n\n**Normal:** {self.normal}"


def line(
    text: Text, source: Lines | str, unit: str = "short", *, span: int = 8, stacked: bool = False
) -> timeseries.Panel:
    """Values over time: from PromQL by legend, or from one SQL statement."""
    panel = timeseries.Panel().unit(unit).span(span).height(8).min(0).show_points(VisibilityMode.NEVER)
    panel.fill_opacity(10).tooltip(common.VizTooltipOptions())
    if stacked:
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    _fill(panel, text, source, "timeseries")
    return panel


def number(text: Text, source: Lines | str, unit: str = "short", *, bad_above: float | None = None) -> stat.Panel:
    """One current value, red above `bad_above`."""
    panel = stat.Panel().unit(unit).span(4).height(4).graph_mode(BigValueGraphMode.NONE)
    panel.color_mode(BigValueColorMode.VALUE if bad_above is None else BigValueColorMode.BACKGROUND)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    steps = [Threshold(value=None, color="green")]
    if bad_above is not None:
        steps.append(Threshold(value=bad_above, color="red"))
    panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    _fill(panel, text, source, "table", instant=True)
    return panel


def rows(
    text: Text, sql: str, *, units: Mapping[str, str] = {}, links: Mapping[str, tuple[str, str]] = {}
) -> table.Panel:
    """A table. `units` and `links` (title and address) are by column."""
    panel = table.Panel().span(12).height(9).align(FieldTextAlignment.AUTO)
    for name, unit in units.items():
        panel.override_by_name(name, [DynamicConfigValue(id_val="unit", value=unit)])
    for name, (title, address) in links.items():
        link = {"title": title, "url": address, "targetBlank": False}
        panel.override_by_name(name, [DynamicConfigValue(id_val="links", value=[link])])
    _fill(panel, text, sql, "table")
    return panel


def events(text: Text, sql: str) -> logs.Panel:
    """Log lines that expand to show all their fields."""
    panel = logs.Panel().span(24).height(14).show_time(True).wrap_log_message(True).enable_log_details(True)
    panel.sort_order(LogsSortOrder.DESCENDING)
    _fill(panel, text, sql, "logs")
    return panel


def rate(metric: str, by: str = "") -> str:
    """How fast a counter rises, per second, as PromQL: in all, or by one of its labels."""
    return f"sum{by and f' by ({by}) '}(rate({metric}[$__rate_interval]))"


def _fill(panel: Panel, text: Text, source: Lines | str, kind: str, *, instant: bool = False) -> None:
    panel.title(text.title).description(text.description)
    if isinstance(source, str):
        panel.datasource(CLICKHOUSE)
        query: Any = Sql(" ".join(source.split()), kind)
        panel.with_target(query)
        return
    panel.datasource(PROMETHEUS)
    for place, (legend, promql) in enumerate(source.items()):
        target = prometheus.Dataquery().expr(" ".join(promql.split())).legend_format(legend).datasource(PROMETHEUS)
        panel.with_target((target.instant() if instant else target.range()).ref_id(chr(ord("A") + place)))


def board(uid: str, title: str, description: str, sections: Mapping[str, Sequence[Panel]]) -> dashboard.Dashboard:
    """A dashboard of rows with panels, linked to the others, that can't be edited in Grafana."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["logbrook"]).readonly()
    made.time("now-1h", "now").refresh("10s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made.link(
        dashboard.DashboardLink("Logbrook")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["logbrook"])
        .include_vars(False)
        .keep_time(True)
    )
    number_of_panel = 0
    for name, panels in sections.items():
        number_of_panel += 1
        made.with_row(dashboard.Row(name).id(number_of_panel))
        for panel in panels:
            number_of_panel += 1
            made.with_panel(panel.id(number_of_panel))
    return made
