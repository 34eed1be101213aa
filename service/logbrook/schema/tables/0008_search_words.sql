-- What an inverted index takes is mostly ids and numbers, each an entry of its dictionary for a row or two. So text
-- indexes have the words without digits alone, and what has a digit is in bloom filters: 18 bytes an event, not 47
-- (docs/decisions/search-indexes.md). An id is such a word of eight bytes or more.
-- One filter in another, where AND would do: with an AND, ClickHouse does not recognize the index's expression in a query.
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS BodyWords Array(String)
    ALIAS arrayFilter(word -> NOT match(word, '[0-9]'), tokens(lower(Body)));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS BodyWords Array(String)
    ALIAS arrayFilter(word -> NOT match(word, '[0-9]'), tokens(lower(Body)));
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS BodyNumbers Array(String)
    ALIAS arrayFilter(word -> length(word) < 8, arrayFilter(word -> match(word, '[0-9]'), tokens(lower(Body))));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS BodyNumbers Array(String)
    ALIAS arrayFilter(word -> length(word) < 8, arrayFilter(word -> match(word, '[0-9]'), tokens(lower(Body))));
-- Those of the body and of all attributes' values together: many ids are in both, and a resource's are few.
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS Ids Array(String)
    ALIAS arrayFilter(word -> match(word, '[0-9]'), arrayFilter(word -> length(word) >= 8,
        tokens(lower(concat(Body, ' ', arrayStringConcat(mapValues(LogAttributes), ' '), ' ',
            arrayStringConcat(mapValues(ResourceAttributes), ' '))))));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS Ids Array(String)
    ALIAS arrayFilter(word -> match(word, '[0-9]'), arrayFilter(word -> length(word) >= 8,
        tokens(lower(concat(Body, ' ', arrayStringConcat(mapValues(LogAttributes), ' '), ' ',
            arrayStringConcat(mapValues(ResourceAttributes), ' '))))));
-- `key=value` of the attributes, but for those whose value has an id.
ALTER TABLE otel_logs{local}{on_cluster} ADD COLUMN IF NOT EXISTS LogAttributeTerms Array(String)
    ALIAS arrayFilter((item, value) -> NOT match(value, '[0-9][0-9A-Za-z]{7}|[0-9A-Za-z]{7}[0-9]'),
        LogAttributeItems, mapValues(LogAttributes));
{cluster_only}ALTER TABLE otel_logs{on_cluster} ADD COLUMN IF NOT EXISTS LogAttributeTerms Array(String)
    ALIAS arrayFilter((item, value) -> NOT match(value, '[0-9][0-9A-Za-z]{7}|[0-9A-Za-z]{7}[0-9]'),
        LogAttributeItems, mapValues(LogAttributes));

ALTER TABLE otel_logs{local}{on_cluster}
    DROP INDEX IF EXISTS by_body, DROP INDEX IF EXISTS by_log_attribute, DROP INDEX IF EXISTS by_resource_attribute;
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_word BodyWords TYPE text(tokenizer = 'array');
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_log_term LogAttributeTerms
    TYPE text(tokenizer = 'array', posting_list_codec = 'bitpacking');
-- One filter for eight granules. A number is in most of them anyway, so its filter may say yes more often in vain.
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_id Ids TYPE bloom_filter(0.001) GRANULARITY 8;
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_number BodyNumbers TYPE bloom_filter(0.01) GRANULARITY 8;
-- The same as before, but packed.
ALTER TABLE otel_logs{local}{on_cluster} ADD INDEX IF NOT EXISTS by_resource_attribute ResourceAttributeItems
    TYPE text(tokenizer = 'array', posting_list_codec = 'bitpacking');
-- In the background, part by part; a part that waits for it is searched without.
ALTER TABLE otel_logs{local}{on_cluster}
    MATERIALIZE INDEX by_word, MATERIALIZE INDEX by_log_term, MATERIALIZE INDEX by_resource_attribute,
    MATERIALIZE INDEX by_id, MATERIALIZE INDEX by_number;
