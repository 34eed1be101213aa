CREATE MATERIALIZED VIEW IF NOT EXISTS route_view{on_cluster} TO {database}.routed AS
WITH
    {max_event_names} AS most_names,
split AS
(
    SELECT * EXCEPT (refused), if(startsWith(payload, '{"timestamp":'), splitByChar('\n', payload), ['']) AS lines
    FROM {database}.arrivals WHERE refused = ''
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
        -- No key twice.
        AND arrayUniq(mapKeys(event.attributes)) = length(event.attributes)
        AND arrayUniq(mapKeys(event.resource)) = length(event.resource) AND arrayUniq(mapKeys(event.scope)) = length(event.scope)
        -- No colors.
        AND NOT multiSearchAny(line, ['\\u001b', '\\u001B'])
        -- Nothing nested: no braces but the objects' own, or all of them within texts.
        AND (countSubstrings(line, '{') = 1 + notEmpty(event.resource) + notEmpty(event.scope) + notEmpty(event.attributes)
            OR NOT arrayExists(value -> startsWith(value, '{'), arrayConcat(
                mapValues(event.resource), mapValues(event.scope), mapValues(event.attributes),
                [event.observed_timestamp, event.event_name, event.resource_schema_url, event.body])))
        -- Values in their only form, which need no interpretation.
        AND match(event.timestamp, '^1\\d{18}$')
        AND toInt64OrZero(event.timestamp) <= (if(timestamp_ms BETWEEN 315532800000 AND 4102444799999, timestamp_ms,
            toUnixTimestamp64Milli(now64(3))) + {max_ahead_seconds} * 1000) * 1000000
        AND match(event.severity_number, '^(?:[1-9]|1\\d|2[0-4])?$')
        AND if(event.severity_text = '', event.severity_number != '',
            event.severity_text IN ('TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'))
        AND match(event.trace_id, '^(?:[0-9a-f]{32})?$') AND event.trace_id != '00000000000000000000000000000000'
        AND match(event.span_id, '^(?:[0-9a-f]{16})?$') AND event.span_id != '0000000000000000'
        AND match(event.trace_flags, '^(?:\\d\\d?)?$'),
        lines, events, keys) AS is_canonical
FROM extracted;
