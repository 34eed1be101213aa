-- Which attributes there are, by the hour. No sketch of each one's values: ClickHouse keeps 25 kB for every name, so a
-- source with an id in its names, a new one in every event, could take more memory to merge than the machine has
-- (docs/decisions/search-indexes.md).
ALTER TABLE otel_logs{local}{on_cluster} DROP PROJECTION IF EXISTS by_hour;
ALTER TABLE otel_logs{local}{on_cluster} ADD PROJECTION IF NOT EXISTS names_by_hour
(
    SELECT toStartOfHour(Timestamp), countMap(LogAttributes), countMap(ResourceAttributes)
    GROUP BY toStartOfHour(Timestamp)
);
ALTER TABLE otel_logs{local}{on_cluster} MATERIALIZE PROJECTION names_by_hour;
