"""*Pipeline health*: from the gateway to a query, in the order in which an event passes through."""

from grafana_foundation_sdk.builders import dashboard

from grafana.panels import Panel, Text, board, line, number, rate


def _quantile(share: float, metric: str, by: str = "") -> str:
    return f"histogram_quantile({share}, {rate(metric + '_bucket', 'le, ' + by if by else 'le')})"


def _mean(metric: str) -> str:
    return f"{rate(f'{metric}_sum')} / {rate(f'{metric}_count')}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return board(
        "logbrook-pipeline",
        "Pipeline health",
        "From the gateway through Kafka and the consumers to the query API, in the order in which an event passes.",
        {
            "Is anything lost?": _delivery(),
            "Gateway": _gateway(),
            "Kafka": _kafka(),
            "Consumers": _consumers(),
            "Query": _query(),
        },
    )


def _delivery() -> list[Panel]:
    return [
        number(
            Text("Events lost", "Events that the last audit found in Kafka but not in ClickHouse.", "0, always."),
            {"lost": "sum(audit_missing_events)"},
            bad_above=1,
        ),
        number(
            Text("Duplicate events", "Rows that the last audit found more than once.", "0, always."),
            {"double": "sum(audit_duplicate_events)"},
            bad_above=1,
        ),
        number(
            Text("Last audit", "Time since it finished.", "Below 10 minutes: an audit starts every 5."),
            {"ago": "time() - max(audit_finished_timestamp_seconds)"},
            "s",
            bad_above=3600,
        ),
        number(
            Text(
                "In time",
                "Share of the inserts in the range that could be queried within 5 s.",
                "Above 99 %: that is the objective.",
            ),
            {
                "in time": 'sum(increase(consumer_freshness_seconds_bucket{le="5.0"}[$__range]))'
                " / sum(increase(consumer_freshness_seconds_count[$__range]))"
            },
            "percentunit",
        ),
        number(
            Text("Flagged events", "Events in Kafka that could not be parsed in full.", "Few; none are dropped."),
            {"flagged": "sum(audit_flagged_events)"},
        ),
        number(
            Text("Alerts", "Alerts that are firing now. Each is explained in docs/operations.md.", "0."),
            {"alerts": 'count(ALERTS{alertstate="firing"}) or vector(0)'},
            bad_above=1,
        ),
    ]


def _gateway() -> list[Panel]:
    return [
        line(
            Text(
                "Events",
                "Events that Kafka acknowledged, by source.",
                "Follows the senders' traffic, without gaps or sudden drops.",
            ),
            {"{{source}}": rate("gateway_events_total", "source")},
            "cps",
        ),
        line(
            Text("Bytes", "Payload that Kafka acknowledged, by source.", "Follows the events."),
            {"{{source}}": rate("gateway_bytes_total", "source")},
            "Bps",
        ),
        line(
            Text(
                "Requests by status",
                "Responses by HTTP status.",
                "Nearly all 200. Most 4xx are a sender's mistake; the cause of 429 and 503 is usually Kafka.",
            ),
            {"{{status}}": rate("gateway_requests_total", "status")},
            "reqps",
        ),
        line(
            Text("Refused", "Requests that were refused, by error code.", "None, or a sender that is known for it."),
            {"{{code}}": rate("gateway_rejected_total", "code")},
            "reqps",
        ),
        line(
            Text(
                "Latency",
                "From a request's first byte to its response, by route, including Kafka's acknowledgement.",
                "Below 50 ms; below 1 s for large bodies.",
            ),
            {
                "{{route}} p50": _quantile(0.5, "gateway_request_seconds", "route"),
                "{{route}} p99": _quantile(0.99, "gateway_request_seconds", "route"),
            },
            "s",
        ),
        line(
            Text(
                "Waiting",
                "Bytes waiting for Kafka's acknowledgement, and requests being processed.",
                "Near 0. At 128 MiB senders get 429: Kafka is not keeping up.",
            ),
            {"bytes": "sum(gateway_queued_bytes)", "requests": "sum(gateway_requests_in_flight)"},
        ),
    ]


def _kafka() -> list[Panel]:
    return [
        line(
            Text(
                "Bytes in and out",
                "What the broker receives and sends.",
                "As much out as in; more out while consumers catch up.",
            ),
            {"in": rate("kafka_server_bytesin_total"), "out": rate("kafka_server_bytesout_total")},
            "Bps",
        ),
        line(
            Text(
                "Request time",
                "Time of 99 of 100 requests to the broker. A fetch waits until there is something to fetch.",
                "Produce below 50 ms; fetch below its maximum wait of 0.5 s.",
            ),
            {"{{request}}": "max by (request) (kafka_network_request_p99_seconds)"},
            "s",
        ),
        line(
            Text(
                "Lag",
                "Messages that are not stored yet, by partition.",
                "Near 0, with spikes that disappear within seconds. A partition that stays behind: a stuck consumer.",
            ),
            {"partition {{partition}}": "sum by (partition) (consumer_lag_messages)"},
        ),
    ]


def _consumers() -> list[Panel]:
    return [
        line(
            Text("Messages", "Kafka messages stored in ClickHouse. One can contain many events.", "As many as arrive."),
            {"{{instance}}": rate("consumer_messages_total", "instance")},
            "cps",
        ),
        line(
            Text(
                "Freshness",
                "From the creation of a Kafka message until its events can be queried.",
                "Below 1 s; the objective is 5 s for 99 of 100 inserts.",
            ),
            {"p50": _quantile(0.5, "consumer_freshness_seconds"), "p99": _quantile(0.99, "consumer_freshness_seconds")},
            "s",
        ),
        line(
            Text(
                "Insert time",
                "Duration of one insert.",
                "Below 0.5 s. A rise means that ClickHouse is busy: see Data node.",
            ),
            {"p50": _quantile(0.5, "consumer_insert_seconds"), "p99": _quantile(0.99, "consumer_insert_seconds")},
            "s",
        ),
        line(
            Text(
                "Batch",
                "Messages in an insert, on average.",
                "Few when traffic is low; thousands while consumers catch up.",
            ),
            {"messages": _mean("consumer_batch_messages")},
        ),
        line(
            Text(
                "Batch age",
                "From the first fetch of a batch to the end of its insert.",
                "At most LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS plus the duration of two inserts.",
            ),
            {"p99": _quantile(0.99, "consumer_batch_age_seconds")},
            "s",
        ),
        line(
            Text(
                "Trouble",
                "Failed inserts, takeovers, pauses, rebalances, and offsets that Kafka had deleted, each per minute.",
                "0 except during starts, stops and scaling. Deleted offsets are lost events.",
            ),
            {
                "failed inserts": f"60 * ({rate('consumer_insert_failures_total')} or vector(0))",
                "takeovers": f"60 * ({rate('consumer_take_overs_total')} or vector(0))",
                "pauses": f"60 * {rate('consumer_pauses_total')}",
                "rebalances": f"60 * {rate('consumer_rebalances_total')}",
                "deleted offsets": f"60 * {rate('consumer_missing_offsets_total')}",
            },
        ),
    ]


def _query() -> list[Panel]:
    return [
        line(
            Text("Requests", "Requests to the query API, by route.", "Follows what people and programs ask for."),
            {"{{route}}": rate("query_requests_total", "route")},
            "reqps",
        ),
        line(
            Text(
                "Latency",
                "Time of 95 of 100 requests, by route. Tails and exports last as long as their clients want.",
                "Searches below 0.5 s.",
            ),
            {"{{route}}": _quantile(0.95, "query_request_seconds", "route")},
            "s",
        ),
        line(
            Text(
                "Rows read, refusals",
                "Rows that ClickHouse read for requests; requests that were refused.",
                "Rows follow the requests: many more rows per request mean searches without a time range or an index.",
            ),
            {"rows": rate("query_rows_read_total"), "refused": f"{rate('query_rejected_total')} or vector(0)"},
            "cps",
        ),
    ]
