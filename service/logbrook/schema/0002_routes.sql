-- Two ways from arrivals to otel_logs. Messages whose events are all in the form that the gateway and the producer write
-- take the short one below: a third of the work. All others take the one of 0003_parse.sql, which understands every
-- form, and makes of a canonical event the same row. A message takes one way with all of its events: it is in one part.
CREATE TABLE IF NOT EXISTS routed
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

CREATE TABLE IF NOT EXISTS rest AS arrivals;

CREATE MATERIALIZED VIEW IF NOT EXISTS route_view TO routed AS
WITH
    {max_event_names} AS most_names,
split AS
(
    SELECT * EXCEPT (refused), if(startsWith(payload, '{"timestamp":'), splitByChar('\n', payload), ['']) AS lines
    FROM arrivals WHERE refused = ''
),
-- What is not there, or is of another kind, becomes an empty text or map.
extracted AS
(
    SELECT
        *,
        arrayMap(line -> JSONExtract(line, 'Tuple(
            timestamp String, observed_timestamp String, severity_text String, severity_number String, body String,
            trace_id String, span_id String, trace_flags String, event_name String, resource_schema_url String,
            resource Map(LowCardinality(String), String), scope Map(LowCardinality(String), String),
            attributes Map(LowCardinality(String), String))'), lines) AS events,
        arrayMap(line -> JSONLength(line), lines) AS keys
    FROM split
)
SELECT
    * EXCEPT (lines, keys),
    arrayAll((line, event, key_count) ->
        -- Nothing but these fields, none twice, and none empty.
        key_count = 1 + (event.observed_timestamp != '') + (event.severity_text != '') + (event.severity_number != '')
            + (event.body != '') + (event.trace_id != '') + (event.span_id != '') + (event.trace_flags != '')
            + (event.event_name != '') + (event.resource_schema_url != '')
            + notEmpty(event.resource) + notEmpty(event.scope) + notEmpty(event.attributes)
        -- Not too many names.
        AND greatest(length(event.resource), length(event.scope), length(event.attributes)) <= most_names
        -- Nothing nested: no braces but the objects' own, or all of them within texts.
        AND (countSubstrings(line, '{') = 1 + notEmpty(event.resource) + notEmpty(event.scope) + notEmpty(event.attributes)
            OR NOT arrayExists(value -> startsWith(value, '{'), arrayConcat(
                mapValues(event.resource), mapValues(event.scope), mapValues(event.attributes),
                [event.observed_timestamp, event.event_name, event.resource_schema_url, event.body])))
        -- Values in their only form, which need no interpretation.
        AND match(event.timestamp, '^1\\d{18}$')
        AND match(event.severity_number, '^(?:[1-9]|1\\d|2[0-4])?$')
        AND if(event.severity_text = '', event.severity_number != '',
            event.severity_text IN ('TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'))
        AND match(event.trace_id, '^(?:[0-9a-f]{32})?$') AND event.trace_id != '00000000000000000000000000000000'
        AND match(event.span_id, '^(?:[0-9a-f]{16})?$') AND event.span_id != '0000000000000000'
        AND match(event.trace_flags, '^(?:\\d\\d?)?$'),
        lines, events, keys) AS is_canonical
FROM extracted;

CREATE MATERIALIZED VIEW IF NOT EXISTS canonical_view TO otel_logs AS
WITH
    ['TRACE', 'TRACE', 'TRACE', 'TRACE', 'DEBUG', 'DEBUG', 'DEBUG', 'DEBUG', 'INFO', 'INFO', 'INFO', 'INFO',
     'WARN', 'WARN', 'WARN', 'WARN', 'ERROR', 'ERROR', 'ERROR', 'ERROR', 'FATAL', 'FATAL', 'FATAL', 'FATAL'] AS level_texts,
unfolded AS
(
    SELECT * EXCEPT (events), event, number FROM routed ARRAY JOIN events AS event, arrayEnumerate(events) AS number
    WHERE is_canonical
)
SELECT
    fromUnixTimestamp64Nano(toInt64OrZero(event.timestamp), 'UTC') AS Timestamp,
    event.trace_id AS TraceId,
    event.span_id AS SpanId,
    toUInt8OrZero(event.trace_flags) AS TraceFlags,
    if(event.severity_number = '', toUInt8(indexOf(level_texts, event.severity_text)), toUInt8OrZero(event.severity_number)) AS SeverityNumber,
    if(event.severity_text = '', level_texts[SeverityNumber], event.severity_text) AS SeverityText,
    mapValues(event.resource)[indexOf(mapKeys(event.resource), 'service.name')] AS ServiceName,
    event.body AS Body,
    event.resource_schema_url AS ResourceSchemaUrl,
    event.resource AS ResourceAttributes,
    event.scope['schema_url'] AS ScopeSchemaUrl,
    event.scope['name'] AS ScopeName,
    event.scope['version'] AS ScopeVersion,
    mapFilter((key, value) -> key NOT IN ('name', 'version', 'schema_url'), event.scope) AS ScopeAttributes,
    if(event.observed_timestamp = '', event.attributes,
        mapFromArrays(arrayPushBack(mapKeys(event.attributes), 'observed_timestamp'),
            arrayPushBack(mapValues(event.attributes), event.observed_timestamp))) AS LogAttributes,
    event.event_name AS EventName,
    now64(3) AS IngestedAt,
    topic AS KafkaTopic,
    topic_id AS KafkaTopicId,
    partition AS KafkaPartition,
    offset AS KafkaOffset,
    toUInt32(number - 1) AS KafkaIndex,
    source AS Source,
    idempotency_key AS IdempotencyKey,
    '' AS ParseError
FROM unfolded;

CREATE MATERIALIZED VIEW IF NOT EXISTS rest_view TO rest AS
SELECT * EXCEPT (events, is_canonical) FROM routed WHERE NOT is_canonical;

-- A message that ClickHouse refused even alone is one event: the consumer says why, and nothing here looks into it.
CREATE MATERIALIZED VIEW IF NOT EXISTS refused_view TO otel_logs AS
SELECT
    if(timestamp_ms BETWEEN 315532800000 AND 4102444799999, fromUnixTimestamp64Milli(timestamp_ms, 'UTC'), now64(3)) AS Timestamp,
    payload AS Body,
    now64(3) AS IngestedAt,
    topic AS KafkaTopic,
    topic_id AS KafkaTopicId,
    partition AS KafkaPartition,
    offset AS KafkaOffset,
    toUInt32(0) AS KafkaIndex,
    source AS Source,
    idempotency_key AS IdempotencyKey,
    refused AS ParseError
FROM arrivals WHERE refused != '';
