SELECT KafkaIndex, Body, ParseError FROM events ORDER BY KafkaIndex FORMAT TSVWithNames
