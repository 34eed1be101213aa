CREATE MATERIALIZED VIEW IF NOT EXISTS rest_view{on_cluster} TO {database}.rest AS
SELECT * EXCEPT (events, is_canonical) FROM {database}.routed WHERE NOT is_canonical;
