-- What was applied: the name of each file, and a checksum of what it said.
CREATE TABLE IF NOT EXISTS schema_migrations{local}{on_cluster}
(
    name String,
    checksum String,
    applied_at DateTime64(3) DEFAULT now64(3)
)
ENGINE = {replacing_merge_tree}
ORDER BY name;
{cluster_only}CREATE TABLE IF NOT EXISTS schema_migrations{on_cluster} AS {database}.schema_migrations_local
ENGINE = Distributed('{cluster}', {database}, schema_migrations_local);
