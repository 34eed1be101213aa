SELECT Timestamp, SeverityText, Body, ParseError FROM events ORDER BY Timestamp FORMAT TSVWithNames
