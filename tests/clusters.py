"""Two servers as one cluster: both are the real engine, which in chdb neither listens to other servers nor copies
parts.

So three things are done here in its place, and nothing else: a statement with ON CLUSTER is parsed by the engine and
then run on each server; clusterAllReplicas of a system table asks each; and a replicated table is a plain one, so that
each server keeps its own rows. `Distributed` tables are real, over the one server that they are on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from logbrook.clickhouse import HttpClient, connect
from native import ports
from native.clickhouse import clickhouse as clickhouse_service
from tests.components import ClickHouseServer, running

NAME = "logs"
_CONFIGURATION = """\
<clickhouse>
  <max_server_memory_usage_to_ram_ratio>0.3</max_server_memory_usage_to_ram_ratio>
  <!-- What makes a server recognize itself in the list below. -->
  <tcp_port>{own}</tcp_port>
  <macros><shard>1</shard><replica>{replica}</replica></macros>
  <zookeeper><node><host>127.0.0.1</host><port>{zookeeper}</port></node></zookeeper>
  <remote_servers>
    <logs><shard><replica><host>127.0.0.1</host><port>{own}</port></replica></shard></logs>
    <broken>
      <shard><replica><host>127.0.0.1</host><port>{own}</port></replica></shard>
      <shard><replica><host>127.0.0.1</host><port>{other}</port></replica></shard>
    </broken>
  </remote_servers>
</clickhouse>
"""
_ON_CLUSTER = re.compile(rf" ON CLUSTER `{NAME}`")
_EVERY = re.compile(rf"clusterAllReplicas\('{NAME}', (system\.\w+)\)")
_REPLICATED = re.compile(r"ENGINE = Replicated(\w*MergeTree)\([^)]*\)")


@contextmanager
def servers(directory: Path, zookeeper: int) -> Iterator[list[ClickHouseServer]]:
    """Two servers with the macros of one shard and the same ZooKeeper."""
    with ExitStack() as stack:
        found = []
        for replica in ("r1", "r2"):
            own, other, port = ports.free(3)
            (directory / replica).mkdir()
            file, log = directory / replica / "config.xml", directory / replica / "front.log"
            file.write_text(_CONFIGURATION.format(own=own, other=other, replica=replica, zookeeper=zookeeper))
            service = clickhouse_service(directory / replica / "data", port, "secret")
            service = replace(service, command=[*service.command, "--config-file", str(file)])
            stack.enter_context(running(service, log))
            found.append(ClickHouseServer("127.0.0.1", port, "secret", "", "", directory / replica / "data", log))
        yield found


@dataclass
class Connection:
    """A client of the first of these servers, in place of an HttpClient."""

    clients: Sequence[HttpClient]
    said: list[str] = field(default_factory=list)
    """Every statement but inserts."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clients[0], name)

    def command(self, statement: str, settings: Mapping[str, Any] | None = None) -> None:
        """Run it: on each server, if it says so."""
        self.said.append(statement)
        plain = _ON_CLUSTER.sub("", statement)
        if plain == statement:
            self.clients[0].command(statement, settings=dict(settings or {}))
            return
        self.clients[0].command(f"EXPLAIN AST {statement}")
        if not plain.startswith("SYSTEM SYNC REPLICA"):
            for client in self.clients:
                client.command(_REPLICATED.sub(r"ENGINE = \1", plain), settings=dict(settings or {}))

    def query(self, statement: str, **more: Any) -> Any:
        """Its rows, of each server if it says so."""
        self.said.append(statement)
        plain = _EVERY.sub(r"\1", statement)
        if plain == statement:
            return self.clients[0].query(statement, **more)
        answers = [client.query(plain, **more).result_rows for client in self.clients]
        return SimpleNamespace(result_rows=[row for rows in answers for row in rows])

    def close(self) -> None:
        """Close every client."""
        for client in self.clients:
            client.close()


def connected(to: Sequence[ClickHouseServer], database: str) -> HttpClient:
    """A connection to the first of them."""
    return cast(HttpClient, Connection([connect(server.settings(database)) for server in to]))


def said(client: HttpClient) -> list[str]:
    """What was asked of it."""
    return cast(Connection, client).said
