SELECT Timestamp, SeverityText, SeverityNumber, ServiceName, Body, TraceId, LogAttributes, ParseError
FROM events FORMAT TSVWithNames
