-- What a sender's clock claims against when the event was stored; computed when it is asked for, so it takes no room.
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS ClockSkewMs Int64
    ALIAS toUnixTimestamp64Milli(Timestamp) - toUnixTimestamp64Milli(IngestedAt);
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS ClockSkewMs Int64
    ALIAS toUnixTimestamp64Milli(Timestamp) - toUnixTimestamp64Milli(IngestedAt);
