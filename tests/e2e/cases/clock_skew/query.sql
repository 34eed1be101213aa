SELECT Body, ClockSkewMs < -700000000000 AS behind, ClockSkewMs BETWEEN -3600000 AND 1000 AS at_arrival
FROM events ORDER BY Body FORMAT TSVWithNames
