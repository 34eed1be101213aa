-- A message that ClickHouse refused even alone is one event: the consumer says why, and nothing here looks into it.
CREATE MATERIALIZED VIEW IF NOT EXISTS refused_view{on_cluster} TO {database}.otel_logs{local} AS
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
FROM {database}.arrivals WHERE refused != '';
