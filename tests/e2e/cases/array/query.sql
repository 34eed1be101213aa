SELECT Timestamp, SeverityText, ServiceName, Body
FROM events ORDER BY Timestamp FORMAT TSVWithNames
