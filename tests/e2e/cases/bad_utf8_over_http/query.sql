SELECT Timestamp, SeverityText, hex(Body), ParseError FROM events ORDER BY Timestamp FORMAT TSVWithNames
