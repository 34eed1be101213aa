-- How far each partition of Kafka is stored, as the consumers report once a second; docs/query.md has what it says, and
-- why it is true. Every column but the key only ever grows, so it does not matter who reports what in which order.
CREATE TABLE IF NOT EXISTS partition_progress{on_cluster}
(
    KafkaTopic LowCardinality(String),
    KafkaTopicId LowCardinality(String),
    KafkaPartition Int32,
    -- All that the partition held at this time, by ClickHouse's clock, is stored; 1970 as long as that is not known.
    CompleteUntil SimpleAggregateFunction(max, DateTime64(3)),
    ReportedAt SimpleAggregateFunction(max, DateTime64(3)),
    StoredOffset SimpleAggregateFunction(max, Int64),
    EndOffset SimpleAggregateFunction(max, Int64),
    -- How many the topic has: a partition without a row is not known to be complete.
    PartitionCount SimpleAggregateFunction(max, Int32)
)
ENGINE = AggregatingMergeTree
ORDER BY (KafkaTopic, KafkaTopicId, KafkaPartition)
TTL toDateTime(ReportedAt) + toIntervalDay(7);
