-- The long way has three stages, since ClickHouse plans three short views in half the time of a long one: fields_view.sql
-- makes keys and values of a message, parsed_view.sql the row of an event, and text_view.sql adds what only the text says.
CREATE TABLE IF NOT EXISTS fields{on_cluster}
(
    origin Tuple(Tuple(LowCardinality(String), LowCardinality(String), Int32, Int64, String, String), Int64, UInt32),
    split_error String,
    event String,
    time_line String,
    looks_like_json Bool,
    is_json Bool,
    -- Whether the objects resource, scope, and attributes were opened.
    opened Tuple(Bool, Bool, Bool),
    top_keys Array(String),
    top_values Array(String),
    attribute_keys Array(String),
    attribute_values Array(String),
    resource_service String,
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeSchemaUrl LowCardinality(String),
    ScopeName String,
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String)
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS parsed{on_cluster}
(
    Timestamp DateTime64(9),
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
    IngestedAt DateTime64(3),
    KafkaTopic LowCardinality(String),
    KafkaTopicId LowCardinality(String),
    KafkaPartition Int32,
    KafkaOffset Int64,
    KafkaIndex UInt32,
    Source LowCardinality(String),
    IdempotencyKey String,
    -- Not columns of the row: what text_view.sql needs to complete it.
    needs_text Bool,
    arrived Int64,
    time_usable Bool,
    head String,
    time_line String,
    time_as_text String,
    is_time_alone Bool,
    split_error String,
    problems Array(UInt8)
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS texts{on_cluster} AS {database}.parsed;
