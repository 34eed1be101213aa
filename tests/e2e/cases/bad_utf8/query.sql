SELECT Timestamp, SeverityText, hex(Body), ParseError FROM events FORMAT TSVWithNames
