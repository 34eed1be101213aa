"""Where the doctor runs: which parts of a deployment the settings lead to, and what the checks have learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient, TopicDescription

from logbrook import config
from logbrook.errors import ConfigError

if TYPE_CHECKING:
    from logbrook.doctor.processes import Process

PARTS = ("kafka", "clickhouse", "gateway", "query")
UNKNOWN = {
    "stack": "no stack on this machine is known here",
    "kafka": "nothing here says where Kafka is (LOGBROOK_KAFKA_BOOTSTRAP_SERVERS)",
    "clickhouse": "nothing here says how to log in to ClickHouse (LOGBROOK_CLICKHOUSE_PASSWORD)",
    "gateway": "nothing here says where the gateway is (LOGBROOK_GATEWAY_URL)",
    "query": "nothing here says where the query API is (LOGBROOK_QUERY_URL)",
    "members": "Kafka did not say which consumers there are",
    "message_offset_seconds": "the probe was not found in Kafka",
}
"""Why a check that needs this can't run. Once Kafka has answered, the rest about it is known."""


class Place(SimpleNamespace):
    """What is known about a deployment. An unknown part without a default is not an attribute at all."""

    kafka: config.Kafka
    clickhouse: config.ClickHouse
    gateway: str
    query: str
    stack: Path
    """The directory whose `.env` was read, if it belongs to a stack on this machine."""
    token: str = ""
    query_token: str = ""
    zookeeper: str = ""
    group: str = config.Consumer.group
    role: str = ""
    """Whose rights to check; if empty, the user's name decides."""
    given: frozenset[str] = frozenset()
    """Settings that somebody set, by their variables."""
    unknown: Sequence[str] = ()
    """Variables with our prefix that are not settings."""
    invalid: Sequence[str] = ()

    processes: Mapping[str, "Process"] = {}
    """From here on: what checks have learned for those that come after them."""
    reached: config.Kafka
    """The same, with only those bootstrap servers that accept connections."""
    admin: AdminClient
    brokers: Sequence[tuple[int, str, int]]
    topic: TopicDescription
    members: Sequence[set[int]]
    message_offset_seconds: float


def find(environ: Mapping[str, str], start: Path, role: str = "") -> Place:
    """The deployment that the environment or the nearest `.env` names: see `config.of_deployment`."""
    values, file = config.of_deployment(environ, start)
    ours = {name: value for name, value in values.items() if name.startswith(config.PREFIX)}
    settings = {name: value for name, value in ours.items() if name in config.KNOWN}
    place = Place(role=role, given=frozenset(settings), unknown=sorted(ours.keys() - settings.keys()), invalid=[])
    if file:
        place.stack = file.parent
    place.token = settings.get("LOGBROOK_TOKEN", "")
    place.query_token = settings.get("LOGBROOK_QUERY_TOKEN", "")
    place.zookeeper = settings.get("LOGBROOK_ZOOKEEPER_ADDRESS", "")
    place.group = settings.get("LOGBROOK_CONSUMER_GROUP", place.group)
    for part in ("gateway", "query"):
        if url := settings.get(f"LOGBROOK_{part.upper()}_URL"):
            setattr(place, part, url.rstrip("/"))
    for section, name in ((config.Kafka, "BOOTSTRAP_SERVERS"), (config.ClickHouse, "PASSWORD")):
        try:
            variable = config.variable(section, name)
            if {variable, f"{variable}_FILE"} & settings.keys():
                setattr(place, section.__name__.lower(), config.load(section, settings))
        except ConfigError as error:
            place.invalid = [*place.invalid, str(error)]
    return place
