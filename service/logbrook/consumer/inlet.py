"""The delivery protocol: how a consumer writes each message exactly once, no matter what happens around it.

Read this module from top to bottom next to docs/delivery.md, which explains in the same order why each window is
closed.

An inlet is one consumer's Null table, with a view that passes its rows on to `arrivals`. Its comment says which
partitions it is for. A consumer that takes over partitions

1. creates its own inlet,
2. fences: drops every other inlet that shares a partition, so that a late insert from the former owner fails,
3. drains: kills the inserts that had already begun, and waits until they are gone,
4. reads which messages, from the committed offset on, are stored.

From then on only this consumer can add messages of these partitions, and it knows everything that is stored.

On a cluster an inlet is on the one server that its consumer talks to; fences and drains reach every server, and before
the lookup each replica catches up with the others.
"""

import json
import secrets
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from logbrook.clickhouse import HttpClient
from logbrook.cluster import ONE_SERVER, Cluster
from logbrook.consumer.batch import ROW_COLUMNS, Batch, Coordinate
from logbrook.errors import UnavailableError
from logbrook.leb128 import string
from logbrook.schema import INSERT_SETTINGS

log = structlog.get_logger()

_COLUMNS = (
    "partition Int32, offset Int64, timestamp_ms Int64, source String, idempotency_key String, payload String,"
    " refused String"
)
# Of 36 bytes each: a quarter of the longest statement that ClickHouse reads by default (`max_query_size`, 256 KiB).
_KEYS_AT_A_TIME = 2000
_PLACE = struct.Struct("<iq")
# The clocks of a cluster's servers may differ: a bound on ingest time leaves this much room.
_CLOCK_MARGIN_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Topic:
    """One incarnation of a topic: a topic that was deleted and recreated has the same name but another id."""

    name: str
    id: str


@dataclass(frozen=True)
class Position:
    """Where a partition's reader resumes: the committed offset, and a time (Unix seconds, ClickHouse's clock) before
    which nothing above it was stored.

    A time of 0 means unknown: the lookup of what is stored then has no lower bound on ingest time.
    """

    offset: int
    stored_at_seconds: int


@dataclass
class Inlet:
    """One consumer's way into ClickHouse, for the partitions that it took over."""

    client: HttpClient
    topic: Topic
    name: str
    stored: dict[int, list[range]] = field(default_factory=dict)
    """By partition: the offsets at or above the committed one that were stored when the inlet took over."""
    cluster: Cluster = ONE_SERVER
    opened_at_seconds: float = 0.0
    """When the takeover began, by ClickHouse's clock, Unix time."""
    opened_at: float = field(default_factory=time.monotonic)

    def now_seconds(self) -> float:
        """ClickHouse's time, or slightly earlier. This machine's clock may be days off; it is not used."""
        return self.opened_at_seconds + time.monotonic() - self.opened_at

    def insert(self, rows: Sequence[bytes]) -> None:
        """Store rows (of Batch), each message with all of its events or not at all.

        After any error, whether a refusal or a lost answer, it is unknown whether they are stored: take over again
        before trying again. ClickHouse's code 60, UNKNOWN_TABLE, means that somebody else took over.
        """
        self._insert(b"".join(rows), ROW_COLUMNS)

    def insert_raw(self, row: bytes, reason: str) -> None:
        """Store a message that ClickHouse otherwise refuses as one event, with the payload as its body and the reason
        as its ParseError. As with `insert`, it is one part, and after an error it is unknown whether it is stored."""
        self._insert(row + string(reason.encode()), (*ROW_COLUMNS, "refused"))

    def _insert(self, rows: bytes, columns: Sequence[str]) -> None:
        # clickhouse-connect sends bytes a second time when the connection is reset, no matter what its settings say:
        # the first copy may have been stored. It can't resend what came from a generator.
        body = (whole for whole in (rows,))
        settings = {**INSERT_SETTINGS, **self.cluster.inserting}
        self.client.raw_insert(self.name, columns, body, settings, "RowBinary")

    def repeated(self, batch: Batch) -> set[Coordinate]:
        """Record the batch's idempotency keys, and return the messages whose key an earlier offset already has.

        Keys are recorded before the messages are stored, so that no crash can lose one; a key is always in the same
        partition, whose earlier messages are stored before later ones are checked. So of the messages with one key, the
        one with the lowest offset counts. Recording a key again changes nothing.
        """
        if not batch.keys:
            return set()
        topic_id = string(self.topic.id.encode())
        # One block, so all of them or none; 80 bytes each, and a batch has at most `max_batch_messages`.
        rows = b"".join(string(key.encode()) + topic_id + _PLACE.pack(*place) for place, key in batch.keys.items())
        self.client.raw_insert(
            self.cluster.local("idempotency_keys"),
            ("idempotency_key", "topic_id", "partition", "offset"),
            rows,
            {**INSERT_SETTINGS, **self.cluster.inserting},
            "RowBinary",
        )
        first: dict[tuple[str, int], int] = {}
        # In the table's order, so that each lookup reads a different part of it.
        keys = sorted(set(batch.keys.values()))
        # On a cluster, only the server that has this inlet is known to have every key.
        here = f" AND (SELECT count() FROM {self.name}) = 0" if self.cluster.name else ""
        for start in range(0, len(keys), _KEYS_AT_A_TIME):
            # Hexadecimal digits need no escaping, and a statement's text has more room than the parameters in its URL.
            some = "', '".join(keys[start : start + _KEYS_AT_A_TIME])
            answer = self.client.query(
                "SELECT idempotency_key, partition, min(offset) FROM idempotency_keys"
                f" WHERE idempotency_key IN ('{some}') AND topic_id = {{topic_id:String}}{here}"
                " GROUP BY idempotency_key, partition",
                parameters={"topic_id": self.topic.id},
                settings=dict(self.cluster.reading),
            )
            first |= {(key, partition): offset for key, partition, offset in answer.result_rows}
        if unknown := sum((key, partition) not in first for (partition, _), key in batch.keys.items()):
            raise UnavailableError("keys_not_found", f"ClickHouse does not find {unknown} keys that it recorded")
        return {
            (partition, offset) for (partition, offset), key in batch.keys.items() if first[key, partition] < offset
        }

    def forget(self, next_offsets: Mapping[int, int]) -> None:
        """Drop what is below these offsets from `stored`: the reader is past it."""
        self.stored = {
            partition: ahead
            for partition, ranges in self.stored.items()
            if (ahead := [each for each in ranges if each.stop > next_offsets.get(partition, 0)])
        }

    def close(self) -> None:
        """Remove the inlet: inserts on their way through it are killed."""
        fence(self.client, [self.name], self.cluster)


def take_over(client: HttpClient, topic: Topic, positions: Mapping[int, Position], writer: str = "consumer") -> Inlet:
    """Become the only writer of these partitions' messages, and learn which are stored from their positions onward.

    A `writer` fences only its own kind: a replay stays below the committed offsets, consumers above.

    Raises ClickHouseError when ClickHouse can't be reached or refuses; nothing is lost by trying again.
    """
    cluster = Cluster.of(client) or ONE_SERVER
    now_seconds = server_time(client)
    inlet = Inlet(client, topic, f"inlet_{secrets.token_hex(8)}", cluster=cluster, opened_at_seconds=now_seconds)
    # Kafka allows letters, digits and ._- in a topic's name: neither literal needs escaping.
    owner = {"writer": writer, "topic": topic.name, "topic_id": topic.id, "partitions": sorted(positions)}
    comment = json.dumps(owner)
    client.command(f"CREATE TABLE {inlet.name} ({_COLUMNS}) ENGINE = Null COMMENT '{comment}'")
    client.command(
        f"CREATE MATERIALIZED VIEW {inlet.name}_view TO arrivals AS"
        f" SELECT '{topic.name}' AS topic, '{topic.id}' AS topic_id, * FROM {inlet.name}"
    )
    fence(client, [name for name in _rivals(client, owner, cluster) if name != inlet.name], cluster)
    cluster.catch_up(client)
    # A time in the future shows that ClickHouse's clock has since been set back: it can't be used as a bound.
    believed = {
        partition: at if at.stored_at_seconds <= now_seconds else Position(at.offset, 0)
        for partition, at in positions.items()
    }
    inlet.stored = stored_offsets(client, topic, believed, None, cluster)
    return inlet


def server_time(client: HttpClient) -> float:
    """Unix time by ClickHouse's clock: the rows' IngestedAt comes from it, and no other clock is compared with it."""
    return float(client.query("SELECT toUnixTimestamp64Milli(now64(3)) / 1000").result_rows[0][0])


def _rivals(client: HttpClient, owner: Mapping[str, Any], cluster: Cluster) -> list[str]:
    """The inlets that share a partition with `owner`, and what an interrupted fence left behind."""
    rows = client.query(
        f"SELECT name, comment FROM {cluster.every('system.tables')}"
        f" WHERE database = {cluster.database(client)} AND name LIKE 'inlet\\_%'",
        settings=dict(cluster.reading),
    ).result_rows
    comments = {name: json.loads(comment) for name, comment in rows if not name.endswith("_view")}
    sharing = [
        name
        for name, other in comments.items()
        if (other["writer"], other["topic"]) == (owner["writer"], owner["topic"])
        and (other["topic_id"] != owner["topic_id"] or not set(owner["partitions"]).isdisjoint(other["partitions"]))
    ]
    orphans = {name.removesuffix("_view") for name, _ in rows if name.endswith("_view")} - comments.keys()
    return sharing + sorted(orphans)


def fence(client: HttpClient, inlets: Sequence[str], cluster: Cluster = ONE_SERVER) -> None:
    """Make sure that nothing can come through these inlets any more, and that nothing is on its way.

    The table goes first: from then on inserts fail. The view goes last, when no insert is left: an insert that had
    found its table but not yet its view would otherwise report success and store nothing.
    """
    for name in inlets:
        client.command(f"DROP TABLE IF EXISTS {name}{cluster.on}", settings=dict(cluster.waiting))
    _drain(client, inlets, cluster)
    for name in inlets:
        client.command(f"DROP TABLE IF EXISTS {name}_view{cluster.on}", settings=dict(cluster.waiting))
    if inlets:
        log.info("fenced", inlets=len(inlets))


def _drain(client: HttpClient, inlets: Sequence[str], cluster: Cluster = ONE_SERVER) -> None:
    """Kill the inserts into these inlets that had begun, and return when none is left: DROP does not wait for them."""
    database = cluster.database(client)
    for name in inlets:
        running = f"query_kind = 'Insert' AND current_database = {database} AND position(query, '{name}') > 0"
        looks = [f"SELECT query_id FROM {cluster.every('system.processes')} WHERE {running}"]
        if cluster.name:
            # Where the DROP has not arrived yet, an insert could still begin.
            there = f"database = {database} AND name = '{name}'"
            looks.insert(0, f"SELECT name FROM {cluster.every('system.tables')} WHERE {there}")
        for look in looks:
            while client.query(look, settings=dict(cluster.reading)).result_rows:
                client.command(f"KILL QUERY{cluster.on_each} WHERE {running} SYNC")
                time.sleep(0.02)


def stored_offsets(
    client: HttpClient,
    topic: Topic,
    positions: Mapping[int, Position],
    end: int | None = None,
    cluster: Cluster = ONE_SERVER,
) -> dict[int, list[range]]:
    """By partition: the stored offsets from its position onward (below `end`), as ranges. A set, never a maximum."""
    if not positions:
        return {}
    above = " OR ".join(
        f"(KafkaPartition = {partition} AND KafkaOffset >= {position.offset})"
        for partition, position in sorted(positions.items())
    )
    below = "" if end is None else f"AND KafkaOffset < {end}"
    since = min(position.stored_at_seconds for position in positions.values())
    bound = f"AND IngestedAt >= toDateTime64({since - _CLOCK_MARGIN_SECONDS}, 3)" if since else ""
    rows = client.query(
        "SELECT KafkaPartition, min(KafkaOffset), max(KafkaOffset) FROM ("
        " SELECT KafkaPartition, KafkaOffset,"
        "  KafkaOffset - row_number() OVER (PARTITION BY KafkaPartition ORDER BY KafkaOffset) AS island"
        f" FROM (SELECT DISTINCT KafkaPartition, KafkaOffset FROM otel_logs"
        f"  WHERE KafkaTopic = {{topic:String}} AND KafkaTopicId = {{topic_id:String}} AND ({above}) {below} {bound}))"
        " GROUP BY KafkaPartition, island ORDER BY KafkaPartition, island",
        parameters={"topic": topic.name, "topic_id": topic.id},
        settings=dict(cluster.reading),
    ).result_rows
    stored: dict[int, list[range]] = {}
    for partition, first, last in rows:
        stored.setdefault(partition, []).append(range(first, last + 1))
    return stored
