SELECT Timestamp, SeverityText, Body, ParseError FROM events FORMAT TSVWithNames
