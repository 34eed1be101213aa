SELECT KafkaIndex, Timestamp, Body FROM events ORDER BY KafkaIndex FORMAT TSVWithNames
