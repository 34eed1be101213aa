"""*Logs overview*: what arrives, what fails, what it costs, and the lines themselves."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from grafana.panels import CLICKHOUSE, Panel, Text, board, events, line, number, rows

_SELECTED = """
    $__timeFilter(Timestamp) AND $__conditionalAll(ServiceName IN (${service:singlequote}), $service)
    AND SeverityNumber >= $level
    AND (${search:sqlstring} = '' OR positionCaseInsensitiveUTF8(Body, ${search:sqlstring}) > 0)
"""
_ERRORS = "countIf(SeverityNumber >= 17)"
# Numbers, ids and quoted texts are what differs between two lines of the same kind.
_PATTERN = r"replaceRegexpAll(Body, '\'[^\']*\'|\"[^\"]*\"|[0-9a-fA-F-]{16,}|[0-9]+', '*')"
_DRILL_DOWN = "/d/logbrook-logs?${__url_time_range}&var-level=${level}"


def build() -> dashboard.Dashboard:
    """The dashboard with its variables."""
    made = board("logbrook-logs", "Logs overview", "What the services log.", _sections())
    for variable in _variables():
        made.with_variable(variable)
    return made


def _variables() -> tuple[dashboard.QueryVariable | dashboard.CustomVariable | dashboard.TextBoxVariable, ...]:
    levels = {"all": "0", "info and above": "9", "warn and above": "13", "error and above": "17"}
    return (
        dashboard.QueryVariable("service")
        .label("Service")
        .datasource(CLICKHOUSE)
        .query("SELECT DISTINCT ServiceName FROM otel_logs WHERE $__timeFilter(Timestamp)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"])),
        dashboard.CustomVariable("level")
        .label("Level")
        .values(", ".join(f"{name} : {number}" for name, number in levels.items()))
        .options([VariableOption(selected=value == "0", text=name, value=value) for name, value in levels.items()])
        .current(VariableOption(selected=True, text="all", value="0")),
        dashboard.TextBoxVariable("search").label("Text").default_value(""),
        dashboard.TextBoxVariable("price")
        .label("Price per GB and month")
        .description("For estimating what a service's logs cost.")
        .default_value("0.10"),
        dashboard.TextBoxVariable("ratio")
        .label("Compression")
        .description("Bytes of messages for each byte on disk, indexes included: compare with the Data node dashboard.")
        .default_value("5"),
    )


def _sections() -> dict[str, list[Panel]]:
    return {
        "At a glance": [
            number(
                Text(
                    "Events",
                    "Events in the range.",
                    "As many as your services write: look for sudden changes, not for a value.",
                ),
                f"SELECT count() AS events FROM otel_logs WHERE {_SELECTED}",
            ),
            number(
                Text("Errors", "Events of the levels error and fatal.", "Few, and the same few as yesterday."),
                f"SELECT {_ERRORS} AS errors FROM otel_logs WHERE {_SELECTED}",
            ),
            number(
                Text("Error rate", "Share of errors among the events.", "Below 5 %; your services may differ."),
                f"SELECT {_ERRORS} / greatest(count(), 1) AS rate FROM otel_logs WHERE {_SELECTED}",
                "percentunit",
                bad_above=0.05,
            ),
            number(
                Text(
                    "Freshness",
                    "Time from an event's own timestamp until it was stored, for 99 of 100 events.",
                    "Below 5 s for live logs. Senders that buffer, wrong clocks, and old files raise it.",
                ),
                f"""SELECT quantile(0.99)(greatest(0, dateDiff('millisecond', Timestamp, IngestedAt))) / 1000 AS p99
                FROM otel_logs WHERE {_SELECTED}""",
                "s",
                bad_above=5,
            ),
            number(
                Text("Services", "Services that sent events.", "All of your services."),
                f"SELECT uniqExact(ServiceName) AS services FROM otel_logs WHERE {_SELECTED}",
            ),
            number(
                Text(
                    "Flagged",
                    "Events that could not be parsed in full; `ParseError` says why. They are stored anyway.",
                    "None, or a sender that is known for it.",
                ),
                f"SELECT countIf(ParseError != '') AS flagged FROM otel_logs WHERE {_SELECTED}",
            ),
        ],
        "Volume": [
            line(
                Text("By level", "Events per step, by level.", "The same mix as before. Growing red is an incident."),
                f"""SELECT $__timeInterval(Timestamp) AS time, if(SeverityText = '', 'none', SeverityText) AS level,
                count() AS events FROM otel_logs WHERE {_SELECTED} GROUP BY time, level ORDER BY time""",
                stacked=True,
                span=12,
            ),
            line(
                Text(
                    "By service",
                    "Events per step, by service.",
                    "No service is silent, and none sends ten times as much as usual.",
                ),
                f"""SELECT $__timeInterval(Timestamp) AS time, if(ServiceName = '', 'none', ServiceName) AS service,
                count() AS events FROM otel_logs WHERE {_SELECTED} GROUP BY time, service ORDER BY time""",
                stacked=True,
                span=12,
            ),
            line(
                Text(
                    "Error rate",
                    "Share of errors by service.",
                    "Flat and low. A jump usually means a release or an outage.",
                ),
                f"""SELECT $__timeInterval(Timestamp) AS time, if(ServiceName = '', 'none', ServiceName) AS service,
                {_ERRORS} / count() AS rate FROM otel_logs WHERE {_SELECTED} GROUP BY time, service ORDER BY time""",
                "percentunit",
                span=12,
            ),
            line(
                Text(
                    "Freshness",
                    "Time from an event's own timestamp until it was stored: the median, and for 99 of 100 events.",
                    "The median is below 1 s; both are flat.",
                ),
                f"""SELECT $__timeInterval(Timestamp) AS time,
                quantile(0.5)(greatest(0, dateDiff('millisecond', Timestamp, IngestedAt))) / 1000 AS p50,
                quantile(0.99)(greatest(0, dateDiff('millisecond', Timestamp, IngestedAt))) / 1000 AS p99
                FROM otel_logs WHERE {_SELECTED} GROUP BY time ORDER BY time""",
                "s",
                span=12,
            ),
        ],
        "Errors and storage": [
            rows(
                Text(
                    "Top errors",
                    "Errors without their numbers and ids, most frequent first. A service links to its lines.",
                    "Empty, or known errors.",
                ),
                f"""SELECT ServiceName AS service, count() AS events, max(Timestamp) AS last, {_PATTERN} AS pattern
                FROM otel_logs WHERE {_SELECTED} AND SeverityNumber >= 17
                GROUP BY service, pattern ORDER BY events DESC LIMIT 20""",
                links={"service": ("Its errors", f"{_DRILL_DOWN}&var-service=${{__value.raw:percentencode}}")},
            ),
            rows(
                Text(
                    "Storage by service",
                    "All stored events, whatever the time range: messages before compression, and estimates of their "
                    "size on disk and its price, from the variables above.",
                    "The largest service is worth its price; if not, raise its log level at the source.",
                ),
                """SELECT ServiceName AS service, count() AS events, sum(length(Body)) AS messages,
                messages / ${ratio} AS disk, disk / 1e9 * ${price} AS cost
                FROM otel_logs GROUP BY service ORDER BY messages DESC LIMIT 100""",
                units={"messages": "bytes", "disk": "bytes", "cost": "currencyUSD"},
                links={"service": ("Its events", f"{_DRILL_DOWN}&var-service=${{__value.raw:percentencode}}")},
            ),
        ],
        "Lines": [
            events(
                Text(
                    "Events",
                    "The newest 500 events that the variables select; a line expands to show all its fields.",
                    "The levels and services that you selected above.",
                ),
                f"""SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level, TraceId AS traceID,
                ServiceName, Source, EventName, ParseError, ResourceAttributes, LogAttributes
                FROM otel_logs WHERE {_SELECTED} ORDER BY timestamp DESC LIMIT 500""",
            )
        ],
    }
