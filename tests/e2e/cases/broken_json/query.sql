SELECT Timestamp, Body, ParseError FROM events FORMAT TSVWithNames
