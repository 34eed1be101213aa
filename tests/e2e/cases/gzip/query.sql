SELECT Timestamp, Body FROM events ORDER BY Timestamp FORMAT TSVWithNames
