-- Batches of whose events no text must be read take a short cut past text_view.sql.
CREATE MATERIALIZED VIEW IF NOT EXISTS settled_view{on_cluster} TO {database}.otel_logs{local} AS
SELECT * EXCEPT (needs_text, arrived, time_usable, head, time_line, time_as_text, is_time_alone, split_error, problems)
FROM {database}.parsed WHERE NOT needs_text;
