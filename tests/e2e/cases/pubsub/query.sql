SELECT Timestamp, TraceId, SpanId, TraceFlags, SeverityText, ServiceName, Body, mapSort(ResourceAttributes) AS ResourceAttributes,
    mapSort(LogAttributes) AS LogAttributes, ParseError
FROM events ORDER BY Timestamp FORMAT Vertical
