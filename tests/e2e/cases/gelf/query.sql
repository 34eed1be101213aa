SELECT Timestamp, TraceId, SpanId, SeverityText, ServiceName, Body, ResourceAttributes, LogAttributes, ParseError
FROM events ORDER BY Timestamp FORMAT Vertical
