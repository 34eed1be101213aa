CREATE MATERIALIZED VIEW IF NOT EXISTS texts_view{on_cluster} TO {database}.texts AS
SELECT * FROM {database}.parsed WHERE needs_text;
