"""Where the doctor stands: which parts of a deployment the settings lead to, and what has been learned of them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka.admin import AdminClient, TopicDescription

from logbrook import clickhouse, config
from logbrook.clickhouse import HttpClient
from logbrook.doctor.diagnosis import NotCheckedError
from logbrook.errors import ConfigError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
# Of Kafka: the coordinator of a group has to be found first.
REQUEST_SECONDS = 10.0
# Any of these says where a deployment is: then no `.env` is looked for.
_LEADING = ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_HOST", "CLICKHOUSE_PASSWORD", "GATEWAY_URL", "QUERY_URL")
Value = TypeVar("Value")


@dataclass
class Place:
    """What is known of a deployment. A part that nobody knows raises NotCheckedError when it is asked for."""

    parts: Mapping[str, Any]
    """Settings of kafka and clickhouse, URLs of gateway and query, the token, the group, ZooKeeper's address."""
    role: str = ""
    """Whose rights to look for; by the user's name if it is empty."""
    stack: Path | None = None
    """The directory whose `.env` was read: that of a stack on this machine."""
    given: frozenset[str] = frozenset()
    """Settings that somebody chose, by their variables."""
    unknown: tuple[str, ...] = ()
    """Variables with our prefix that are not settings."""
    invalid: tuple[str, ...] = ()
    learned: dict[str, Any] = field(default_factory=dict)
    """What checks found out, for those that come after them."""

    @property
    def kafka(self) -> config.Kafka:
        """How to reach Kafka."""
        return self._known("kafka", config.Kafka, "where Kafka is (LOGBROOK_KAFKA_BOOTSTRAP_SERVERS)")

    @property
    def database(self) -> config.ClickHouse:
        """How to reach ClickHouse."""
        return self._known(
            "clickhouse", config.ClickHouse, "how to log in to ClickHouse (LOGBROOK_CLICKHOUSE_PASSWORD)"
        )

    @property
    def gateway(self) -> str:
        """The gateway's URL."""
        return self._known("gateway", str, "where the gateway is (LOGBROOK_GATEWAY_URL)")

    @property
    def query(self) -> str:
        """The query API's URL."""
        return self._known("query", str, "where the query API is (LOGBROOK_QUERY_URL)")

    @property
    def admin(self) -> AdminClient:
        """A connection to Kafka that has worked."""
        return self._learned("admin", AdminClient)

    @property
    def topic(self) -> TopicDescription:
        """What Kafka says of the topic."""
        return self._learned("topic", TopicDescription)

    def _known(self, part: str, kind: type[Value], what: str) -> Value:
        found = self.parts.get(part)
        if not found:
            raise NotCheckedError(f"nothing here says {what}")
        assert isinstance(found, kind)
        return found

    def _learned(self, name: str, kind: type[Value]) -> Value:
        found = self.learned.get(name)
        if found is None:
            raise NotCheckedError("Kafka was not asked")
        assert isinstance(found, kind)
        return found

    def client(self, database: str | None = None) -> HttpClient:
        """A connection to ClickHouse that does not wait long."""
        quick = replace(self.database, connect_timeout_seconds=CONNECT_SECONDS, timeout_seconds=ANSWER_SECONDS)
        return clickhouse.connect(quick, database=database)

    def ask(self, statement: str) -> list[list[Any]]:
        """The rows of one statement in our database."""
        client = self.client()
        try:
            return [list(row) for row in client.query(statement).result_rows]
        finally:
            client.close()


def find(environ: Mapping[str, str], start: Path, role: str = "") -> Place:
    """What the environment says; if it leads nowhere, what the nearest `.env` says of a stack on this machine."""
    leads = any(f"{config.PREFIX}{name}" in environ for name in _LEADING)
    file = None if leads else config.find_env_file(start)
    values = config.of_local_stack({**config.read_env_file(file), **environ}) if file else environ
    ours = {name: value for name, value in values.items() if name.startswith(config.PREFIX)}
    settings = {name: value for name, value in ours.items() if name in config.KNOWN}
    parts: dict[str, Any] = {
        "gateway": settings.get("LOGBROOK_GATEWAY_URL", "").rstrip("/"),
        "query": settings.get("LOGBROOK_QUERY_URL", "").rstrip("/"),
        "token": settings.get("LOGBROOK_TOKEN", ""),
        "zookeeper": settings.get("LOGBROOK_ZOOKEEPER_ADDRESS", ""),
        "group": settings.get("LOGBROOK_CONSUMER_GROUP", config.Consumer.group),
    }
    invalid = []
    for section, name in ((config.Kafka, "BOOTSTRAP_SERVERS"), (config.ClickHouse, "PASSWORD")):
        try:
            if config.variable(section, name) in settings:
                parts[section.__name__.lower()] = config.load(section, settings)
        except ConfigError as error:
            invalid.append(str(error))
    unknown = tuple(sorted(ours.keys() - config.KNOWN))
    stack = file.parent if file else None
    return Place(parts, role, stack, frozenset(settings), unknown, tuple(invalid))


def within(seconds: float, work: Callable[[], Value]) -> Value:
    """What `work` returns. Raises TimeoutError if it takes longer; it goes on in its thread, and holds nobody up."""
    outcome: list[tuple[Any, Exception | None]] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no result after {seconds:g} s")
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]
