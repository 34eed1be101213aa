"""ClickHouse as a cluster: what the schema looks like there, and how a statement reaches every server.

docs/delivery.md says what delivery needs from it, docs/deploy.md how to run it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logbrook.clickhouse import HttpClient
from logbrook.errors import SchemaError

_NAME = re.compile(r"[\w.-]+")
# ClickHouse fills in what is in braces: each server's shard and replica, and the table's own names.
_ZOOKEEPER_PATH = "/clickhouse/tables/{shard}/{database}/{table}"


@dataclass(frozen=True)
class Cluster:
    """The servers that have the schema: one (no name), those of `remote_servers`, or those of ClickHouse Cloud."""

    name: str = ""
    cloud: bool = False

    @classmethod
    def named(cls, client: HttpClient, name: str) -> "Cluster":
        """The cluster that a setting names; SchemaError if ClickHouse does not know it."""
        if not name:
            return ONE_SERVER
        known = [row[0] for row in client.query("SELECT DISTINCT cluster FROM system.clusters").result_rows]
        if name not in known or not _NAME.fullmatch(name):
            raise SchemaError(f"ClickHouse has no cluster {name!r}. Its system.clusters has: {', '.join(known) or '-'}")
        return cls(name, cloud=bool(client.query("SELECT getSetting('cloud_mode')").result_rows[0][0]))

    @classmethod
    def of(cls, client: HttpClient) -> "Cluster | None":
        """What the schema was made for, as recorded in it; None if there is no schema."""
        rows = client.query(
            "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = 'arrivals'"
        ).result_rows
        if not rows:
            return None
        found = re.fullmatch(r"(cluster|cloud) (\S+)", rows[0][0])
        return cls(found[2], cloud=found[1] == "cloud") if found else ONE_SERVER

    def __str__(self) -> str:
        return f"{'cloud' if self.cloud else 'cluster'} {self.name}" if self.name else "one server"

    @property
    def on(self) -> str:
        """The clause that makes DDL reach every server. ClickHouse Cloud needs none."""
        return "" if self.cloud else self.on_each

    @property
    def on_each(self) -> str:
        """The same for statements that are not DDL."""
        return f" ON CLUSTER `{self.name}`" if self.name else ""

    def every(self, table: str) -> str:
        """A system table of every server."""
        return f"clusterAllReplicas('{self.name}', {table})" if self.name else table

    def database(self, client: HttpClient) -> str:
        """The database of the connection, as an expression that means the same on every server."""
        return f"'{client.database}'" if self.name else "currentDatabase()"

    @property
    def has_local(self) -> bool:
        """Whether a table that keeps rows is two tables: `_local` has a server's own rows, the plain name reads all."""
        return bool(self.name) and not self.cloud

    def local(self, table: str) -> str:
        """The table that this server keeps rows in."""
        return f"{table}_local" if self.has_local else table

    def forms(self, database: str) -> dict[str, str]:
        """What replaces the names in braces in the schema's files that depend on where it is run."""
        replicated = f"('{_ZOOKEEPER_PATH}', '{{replica}}')"
        return {
            "database": quoted(database),
            "cluster": self.name,
            "cluster_only": "",
            "on_cluster": self.on,
            "local": self.local(""),
            "made_for": str(self),
            "merge_tree": f"ReplicatedMergeTree{replicated}" if self.has_local else "MergeTree",
            # Of a small table that every server has whole, whatever its shard.
            "merge_tree_of_all": "ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}')"
            if self.has_local
            else "MergeTree",
            "replacing_merge_tree": f"ReplicatedReplacingMergeTree{replicated}"
            if self.has_local
            else "ReplacingMergeTree",
        }

    @property
    def waiting(self) -> Mapping[str, Any]:
        """Settings of a statement with `on`: it returns when every server has run it, or fails."""
        return {"distributed_ddl_output_mode": "throw", "distributed_ddl_task_timeout": 20} if self.on else {}

    @property
    def reading(self) -> Mapping[str, Any]:
        """Settings of a read that must not miss anything: no server is left out, and this one reads its own shard."""
        if not self.name:
            return {}
        settings = {"skip_unavailable_shards": 0, "prefer_localhost_replica": 1, "max_parallel_replicas": 1}
        return settings | ({"select_sequential_consistency": 1} if self.cloud else {})

    @property
    def inserting(self) -> Mapping[str, Any]:
        """Settings of an insert: no block is skipped because it equals another."""
        return {"insert_deduplicate": 0} if self.name else {}

    def catch_up(self, client: HttpClient) -> None:
        """Make every replica have all rows that any of them had when this began. On Cloud, reads see them anyway."""
        if self.on:
            for table in ("otel_logs", "idempotency_keys"):
                client.command(
                    f"SYSTEM SYNC REPLICA{self.on} {self.local(table)} LIGHTWEIGHT", settings=dict(self.waiting)
                )


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


ONE_SERVER = Cluster()
