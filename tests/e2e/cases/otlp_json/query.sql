SELECT Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceSchemaUrl,
       ResourceAttributes, ScopeName, ScopeVersion, ScopeAttributes, LogAttributes, EventName, ParseError
FROM events ORDER BY KafkaPartition, KafkaOffset, KafkaIndex FORMAT Vertical
