-- What searches need beyond the sorting key. docs/decisions/search-indexes.md has what each costs and brings.

-- An attribute and its value as one text, so that one index serves every attribute.
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS LogAttributeItems Array(String)
    ALIAS arrayMap((key, value) -> concat(key, '=', value), mapKeys(LogAttributes), mapValues(LogAttributes));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS LogAttributeItems Array(String)
    ALIAS arrayMap((key, value) -> concat(key, '=', value), mapKeys(LogAttributes), mapValues(LogAttributes));
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS ResourceAttributeItems Array(String)
    ALIAS arrayMap((key, value) -> concat(key, '=', value), mapKeys(ResourceAttributes), mapValues(ResourceAttributes));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS ResourceAttributeItems Array(String)
    ALIAS arrayMap((key, value) -> concat(key, '=', value), mapKeys(ResourceAttributes), mapValues(ResourceAttributes));

-- Words of the body in lower case; the query API writes its conditions on exactly this expression.
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_body lower(Body) TYPE text(tokenizer = 'splitByNonAlpha');
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_log_attribute LogAttributeItems TYPE text(tokenizer = 'array');
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_resource_attribute ResourceAttributeItems TYPE text(tokenizer = 'array');

-- Projections are part of each part: they can't differ from the rows, and an insert stays one part.
-- Histograms, top services, error rates, and how far back a search must look. The bucket of the sorting key stands first,
-- so that one range of it is found by binary search in both, the table and the projection.
ALTER TABLE otel_logs{local}{on_cluster} ADD PROJECTION IF NOT EXISTS by_minute
(
    SELECT
        toStartOfFiveMinutes(Timestamp), toStartOfMinute(Timestamp), ServiceName, SeverityNumber,
        count(), sum(length(Body)), max(IngestedAt)
    GROUP BY toStartOfFiveMinutes(Timestamp), toStartOfMinute(Timestamp), ServiceName, SeverityNumber
);
-- For each attribute how many events have it, and its most frequent values: a sketch that is exact up to 64 of them.
ALTER TABLE otel_logs{local}{on_cluster} ADD PROJECTION IF NOT EXISTS by_hour
(
    SELECT
        toStartOfHour(Timestamp),
        countMap(LogAttributes), approx_top_kMap(64)(LogAttributes),
        countMap(ResourceAttributes), approx_top_kMap(64)(ResourceAttributes)
    GROUP BY toStartOfHour(Timestamp)
);
