SELECT KafkaIndex, Timestamp, SeverityText, ServiceName, Body, LogAttributes, Source, ParseError
FROM events ORDER BY KafkaPartition, KafkaOffset, KafkaIndex FORMAT TSVWithNames
