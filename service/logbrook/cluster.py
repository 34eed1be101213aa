"""ClickHouse as a cluster: what becomes of the schema there, and how a statement reaches every server.

docs/delivery.md says what delivery needs of it, docs/deploy.md how to run it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logbrook.clickhouse import HttpClient
from logbrook.errors import SchemaError

# The tables that keep rows. On a cluster each is two: `_local` holds a server's own, the name itself reads all of them.
STORED = ("otel_logs", "idempotency_keys", "schema_migrations")
_NAME = re.compile(r"[\w.-]+")
_STATEMENT = re.compile(
    r"^(CREATE TABLE IF NOT EXISTS|CREATE MATERIALIZED VIEW IF NOT EXISTS|ALTER TABLE) (\w+)", re.MULTILINE
)
_TARGET = re.compile(r"(ON CLUSTER \S+ (?:TO|AS)) (\w+)")


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
        """What the schema was made for, as it says itself; None if it is not there."""
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
        """The same for what is no DDL."""
        return f" ON CLUSTER `{self.name}`" if self.name else ""

    def every(self, table: str) -> str:
        """A system table of every server."""
        return f"clusterAllReplicas('{self.name}', {table})" if self.name else table

    def database(self, client: HttpClient) -> str:
        """The database of the connection, as an expression that means the same on every server."""
        return f"'{client.database}'" if self.name else "currentDatabase()"

    def local(self, table: str) -> str:
        """The table that this server keeps rows in."""
        return f"{table}_local" if self.name and not self.cloud else table

    @property
    def waiting(self) -> Mapping[str, Any]:
        """Settings of a statement with `on`: it is answered when every server has run it, or it is an error."""
        return {"distributed_ddl_output_mode": "throw", "distributed_ddl_task_timeout": 20} if self.on else {}

    @property
    def reading(self) -> Mapping[str, Any]:
        """Settings of a read that must miss nothing: no server left out, and this one asked for its own shard."""
        if not self.name:
            return {}
        settings = {"skip_unavailable_shards": 0, "prefer_localhost_replica": 1, "max_parallel_replicas": 1}
        return settings | ({"select_sequential_consistency": 1} if self.cloud else {})

    @property
    def inserting(self) -> Mapping[str, Any]:
        """Settings of an insert: none is left out for looking like another."""
        return {"insert_deduplicate": 0} if self.name else {}

    def catch_up(self, client: HttpClient) -> None:
        """Make every replica have all rows that any of them had when this began. Cloud's reads see them anyway."""
        if self.on:
            for table in ("otel_logs", "idempotency_keys"):
                client.command(
                    f"SYSTEM SYNC REPLICA{self.on} {self.local(table)} LIGHTWEIGHT", settings=dict(self.waiting)
                )

    def rendered(self, statement: str, database: str) -> list[str]:
        """A statement of the schema as it is run here. SchemaError if it is none that a cluster can be told to run."""
        if not self.name:
            return [statement]
        if self.cloud:
            return [self._noted(statement)]
        found = _STATEMENT.search(statement)
        if found is None:
            raise SchemaError(f"how to run this on a cluster is not known: {statement.splitlines()[0]}")
        what, table = found.groups()
        if table not in STORED:
            statement = self._noted(self._headed(statement, table))
            # Where the other servers look for what has no database before its name, is theirs to decide.
            return [_TARGET.sub(lambda at: f"{at[1]} {self._full(at[2], database)}", statement, count=1)]
        local = self._headed(statement, self.local(table))
        if what == "ALTER TABLE":
            return [local, self._headed(statement, table)] if re.search(r"\bCOLUMN\b", statement) else [local]
        path = f"/clickhouse/tables/{{shard}}/{database}/{self.local(table)}"
        return [
            re.sub(r"\bENGINE = (\w*MergeTree)\b", rf"ENGINE = Replicated\1('{path}', '{{replica}}')", local),
            f"CREATE TABLE IF NOT EXISTS {table}{self.on} AS {self._full(table, database)}"
            f" ENGINE = Distributed('{self.name}', '{database}', '{self.local(table)}')",
        ]

    def _full(self, table: str, database: str) -> str:
        return f"`{database}`.{self.local(table) if table in STORED else table}"

    def _headed(self, statement: str, name: str) -> str:
        return _STATEMENT.sub(lambda head: f"{head[1]} {name}{self.on}", statement, count=1)

    def _noted(self, statement: str) -> str:
        """The table `arrivals` says for whom the schema was made, so that no consumer can be told otherwise."""
        if not re.search(r"^CREATE TABLE IF NOT EXISTS arrivals\b", statement, re.MULTILINE):
            return statement
        return re.sub(r"\bENGINE = Null$", f"ENGINE = Null COMMENT '{self}'", statement, flags=re.MULTILINE)


ONE_SERVER = Cluster()
