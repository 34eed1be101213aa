-- Two ways from arrivals to otel_logs. Messages whose events are all in the form that the gateway and the producer write
-- take the short one, views/canonical_view.sql: a third of the work. All others take views/parse_view.sql, which
-- understands every form, and makes of a canonical event the same row. A message takes one way with all of its events: it is in one part.
CREATE TABLE IF NOT EXISTS routed{on_cluster}
(
    topic LowCardinality(String),
    topic_id LowCardinality(String),
    partition Int32,
    offset Int64,
    timestamp_ms Int64,
    source String,
    idempotency_key String,
    payload String,
    events Array(Tuple(
        timestamp String,
        observed_timestamp String,
        severity_text String,
        severity_number String,
        body String,
        trace_id String,
        span_id String,
        trace_flags String,
        event_name String,
        resource_schema_url String,
        resource Map(LowCardinality(String), String),
        scope Map(LowCardinality(String), String),
        attributes Map(LowCardinality(String), String))),
    is_canonical Bool
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS rest{on_cluster} AS {database}.arrivals;
