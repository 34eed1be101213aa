SELECT Body, TraceId, SeverityText, LogAttributes, ParseError, toDate(Timestamp) >= today() - 1 AS time_of_arrival
FROM events FORMAT TSVWithNames
