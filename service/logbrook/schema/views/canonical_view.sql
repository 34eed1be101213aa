CREATE MATERIALIZED VIEW IF NOT EXISTS canonical_view{on_cluster} TO {database}.otel_logs{local} AS
WITH
    {level_texts} AS level_texts,
unfolded AS
(
    SELECT * EXCEPT (events), event, number FROM {database}.routed ARRAY JOIN events AS event, arrayEnumerate(events) AS number
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
