-- What the consumers insert: messages as Kafka has them. Null keeps nothing: the view below does the work.
CREATE TABLE IF NOT EXISTS arrivals{on_cluster}
(
    topic LowCardinality(String),
    topic_id LowCardinality(String),
    partition Int32,
    offset Int64,
    timestamp_ms Int64,
    source String,
    idempotency_key String,
    payload String,
    -- Why ClickHouse can't store the message as its events; empty for all but a few.
    refused String
)
ENGINE = Null COMMENT '{made_for}';

-- One row an event. Names and types from Timestamp to EventName are those of the OpenTelemetry Collector's exporter,
-- so that Grafana's ClickHouse data source and ClickStack read the table unchanged.
CREATE TABLE IF NOT EXISTS otel_logs{local}{on_cluster}
(
    Timestamp DateTime64(9) CODEC(Delta(8), Default),
    TraceId String,
    SpanId String,
    TraceFlags UInt8,
    SeverityText LowCardinality(String),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String),
    Body String,
    ResourceSchemaUrl LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeSchemaUrl LowCardinality(String),
    ScopeName String,
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String),
    LogAttributes Map(LowCardinality(String), String),
    EventName String,
    IngestedAt DateTime64(3) CODEC(Delta(8), Default),
    KafkaTopic LowCardinality(String),
    -- A topic that was deleted and created anew counts its offsets from 0 again: its id tells the two apart.
    KafkaTopicId LowCardinality(String),
    KafkaPartition Int32,
    KafkaOffset Int64 CODEC(Delta(8), Default),
    KafkaIndex UInt32,
    Source LowCardinality(String),
    IdempotencyKey String,
    ParseError LowCardinality(String),
    -- Few filters for many granules each: a search for a trace looks into all of them.
    INDEX by_trace TraceId TYPE bloom_filter(0.0001) GRANULARITY 8,
    -- The consumer looks up what is stored of a range of offsets.
    INDEX by_offset KafkaOffset TYPE minmax GRANULARITY 8
)
ENGINE = {merge_tree}
-- By arrival, not by event time: one batch is one part, whatever its timestamps say.
PARTITION BY toDate(IngestedAt)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)
TTL toDate(IngestedAt) + toIntervalDay({retention_days})
-- Small granules and blocks: a search for something rare reads all columns of every granule that has it.
SETTINGS index_granularity = 512, min_compress_block_size = 4096, ttl_only_drop_parts = 1;

-- Every message that carries an idempotency key, recorded before its batch is stored. Of the messages with one key, the
-- one with the lowest offset counts; the others were left out as repetitions (docs/delivery.md).
CREATE TABLE IF NOT EXISTS idempotency_keys{local}{on_cluster}
(
    idempotency_key String,
    topic_id LowCardinality(String),
    partition Int32,
    offset Int64 CODEC(Delta(8), Default),
    RecordedAt DateTime64(3) DEFAULT now64(3) CODEC(Delta(8), Default)
)
ENGINE = {replacing_merge_tree}
PARTITION BY toDate(RecordedAt)
ORDER BY (idempotency_key, topic_id, partition, offset)
TTL toDate(RecordedAt) + toIntervalDay({retention_days})
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1;

-- On a cluster each server keeps its own rows in `_local`, and the name without it reads all of them.
{cluster_only}CREATE TABLE IF NOT EXISTS otel_logs{on_cluster} AS {database}.otel_logs_local
ENGINE = Distributed('{cluster}', {database}, otel_logs_local);
{cluster_only}CREATE TABLE IF NOT EXISTS idempotency_keys{on_cluster} AS {database}.idempotency_keys_local
ENGINE = Distributed('{cluster}', {database}, idempotency_keys_local);
