"""Every metric of every process: name, unit and meaning in one place. Counted per batch, never per event."""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# 5 is the objective's limit in compose/prometheus/rules.yml.
_FRESHNESS_BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

# Gateway
gateway_requests_total = Counter(
    "gateway_requests_total", "Requests answered, by route and status.", ["route", "status"]
)
gateway_events_total = Counter("gateway_events_total", "Events that Kafka acknowledged.", ["source"])
gateway_bytes_total = Counter("gateway_bytes_total", "Bytes of message payload that Kafka acknowledged.", ["source"])
gateway_rejected_total = Counter("gateway_rejected_total", "Requests refused, by error code.", ["code"])
gateway_over_quota_total = Counter(
    "gateway_over_quota_total", "Requests refused because their source had used up its quota.", ["source"]
)
gateway_request_seconds = Histogram(
    "gateway_request_seconds",
    "Time from a request's first byte to its answer.",
    ["route"],
    buckets=_LATENCY_BUCKETS_SECONDS,
)
gateway_queued_bytes = Gauge("gateway_queued_bytes", "Bytes waiting for Kafka's acknowledgement.")
gateway_requests_in_flight = Gauge("gateway_requests_in_flight", "Requests being processed.")

# Consumer
consumer_messages_total = Counter("consumer_messages_total", "Messages stored in ClickHouse.")
consumer_bytes_total = Counter("consumer_bytes_total", "Bytes of message payload and coordinates stored in ClickHouse.")
consumer_skipped_messages_total = Counter(
    "consumer_skipped_messages_total", "Messages skipped because they were already stored.", ["reason"]
)
consumer_raw_messages_total = Counter(
    "consumer_raw_messages_total", "Messages that ClickHouse refused even alone, each stored as one raw event."
)
consumer_missing_offsets_total = Counter(
    "consumer_missing_offsets_total", "Offsets that Kafka's retention deleted before they were stored."
)
consumer_batch_messages = Histogram(
    "consumer_batch_messages", "Messages in an insert.", buckets=(1, 10, 100, 1_000, 10_000, 100_000)
)
consumer_batch_age_seconds = Histogram(
    "consumer_batch_age_seconds",
    "Time from the first fetch of a batch to the end of its insert.",
    buckets=_LATENCY_BUCKETS_SECONDS,
)
consumer_insert_seconds = Histogram("consumer_insert_seconds", "Time of one insert.", buckets=_LATENCY_BUCKETS_SECONDS)
consumer_freshness_seconds = Histogram(
    "consumer_freshness_seconds",
    "Time from the creation of a Kafka message until it can be queried, for the first one in each insert.",
    buckets=_FRESHNESS_BUCKETS_SECONDS,
)
consumer_insert_failures_total = Counter(
    "consumer_insert_failures_total", "Inserts whose outcome was an error or unknown.", ["reason"]
)
consumer_take_overs_total = Counter("consumer_take_overs_total", "Takeovers of partitions, by cause.", ["cause"])
consumer_rebalances_total = Counter("consumer_rebalances_total", "Changes of the consumer's partitions.")
consumer_pauses_total = Counter("consumer_pauses_total", "Times that fetching was paused because the buffer was full.")
consumer_lag_messages = Gauge(
    "consumer_lag_messages", "Messages in Kafka that are not stored yet, in the partitions it owns.", ["partition"]
)
consumer_stalled_seconds = Gauge(
    "consumer_stalled_seconds",
    "Time since a partition with pending messages made progress; 0 if none are pending.",
    ["partition"],
)

# Audit
audit_missing_events = Gauge("audit_missing_events", "Events that are in Kafka but not in ClickHouse; should be 0.")
audit_duplicate_events = Gauge("audit_duplicate_events", "Events stored more than once; should be 0.")
audit_events = Gauge("audit_events", "Events stored, of those that Kafka still holds.")
audit_flagged_events = Gauge("audit_flagged_events", "Of these, events with a ParseError.")
audit_pending_messages = Gauge("audit_pending_messages", "Messages that are not stored yet.")
audit_stalled_messages = Gauge(
    "audit_stalled_messages", "Of these, messages in partitions that made no progress; should be 0."
)
audit_finished_timestamp_seconds = Gauge(
    "audit_finished_timestamp_seconds", "When the last audit ended, Unix time by ClickHouse's clock."
)
backup_finished_timestamp_seconds = Gauge(
    "backup_finished_timestamp_seconds",
    "When the newest backup in the bucket was finished, Unix time; 0 if there is none. Served where the audit runs.",
)

# Query
query_requests_total = Counter("query_requests_total", "Requests answered, by route and status.", ["route", "status"])
query_request_seconds = Histogram(
    "query_request_seconds",
    "Time from a request to the end of its answer.",
    ["route"],
    buckets=_LATENCY_BUCKETS_SECONDS,
)
query_rows_read_total = Counter("query_rows_read_total", "Rows that ClickHouse read for requests.")
query_rejected_total = Counter("query_rejected_total", "Requests refused, by error code.", ["code"])
query_requests_in_flight = Gauge("query_requests_in_flight", "Requests being processed, including those that wait.")
query_streams_open = Gauge("query_streams_open", "Open live tails and exports.")
query_cancelled_total = Counter("query_cancelled_total", "Requests whose client left before the answer.")

# Alerts
logbrook_alert_matches = Gauge(
    "logbrook_alert_matches", "Events that a rule's query matched in the last window that was evaluated.", ["rule"]
)
alert_firing = Gauge("alert_firing", "Alerts of a rule that fire.", ["rule"])
alert_evaluations_total = Counter("alert_evaluations_total", "Windows of rules, by outcome.", ["outcome"])
alert_deliveries_total = Counter("alert_deliveries_total", "Requests to Alertmanager, by outcome.", ["outcome"])
alert_behind_seconds = Gauge("alert_behind_seconds", "How far completeness is behind.")
