"""Kafka: does it answer, are we let in, and does it send its clients to addresses that they can reach?"""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from logbrook import config
from logbrook.doctor import local, network
from logbrook.doctor.diagnosis import Answer, Diagnosis, Found, NotCheckedError
from logbrook.doctor.place import ANSWER_SECONDS, CONNECT_SECONDS, Place
from logbrook.kafka import client_config

SETTING = "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS"
SILENT = Diagnosis(
    "kafka.silent",
    "Something accepts connections where Kafka should be, and does not answer as Kafka does.",
    "Look whether that port is Kafka's, and whether LOGBROOK_KAFKA_SECURITY_PROTOCOL is the listener's protocol. "
    "If both are right, the broker hangs: see its log, its memory and its disk.",
)
CREDENTIALS = Diagnosis(
    "kafka.credentials",
    "Kafka refuses the user, the password or the way to log in.",
    "Correct LOGBROOK_KAFKA_SASL_USERNAME, LOGBROOK_KAFKA_SASL_PASSWORD and LOGBROOK_KAFKA_SASL_MECHANISM. On GCP the "
    "node sets the passwords (compose/kafka/access.py): after a change, run its start-up again.",
)
ADVERTISED = Diagnosis(
    "kafka.advertised",
    "Kafka answers, but sends its clients to an address that does not work from here: they connect, and then hang.",
    "Set the broker's advertised.listeners to an address that clients reach (KAFKA_ADVERTISED_LISTENERS; on GCP "
    "LOGBROOK_VPC_ADDRESS, the node's static address), or use the listener that is meant for this network.",
)


def zookeeper(place: Place) -> Answer:
    """Whether ZooKeeper answers `srvr`, which its default whitelist allows (ZooKeeper's Administrator's Guide, 3.8)."""
    if known := [each for each in local.processes(place) if each.name == "zookeeper"]:
        return str(known[0])
    if not place.parts.get("zookeeper"):
        raise NotCheckedError("nothing here says where ZooKeeper is (LOGBROOK_ZOOKEEPER_ADDRESS)")
    to = network.target(place.parts["zookeeper"], 2181, "LOGBROOK_ZOOKEEPER_ADDRESS")
    connection = network.connected(to)
    if isinstance(connection, Found):
        return local.ZOOKEEPER.found(connection.text)
    with connection:
        try:
            connection.sendall(b"srvr")
            said = connection.makefile("rb").read()
        except OSError as error:
            return local.ZOOKEEPER.found(f"{to} accepts connections: {error}")
    return f"{to} answers" if b"Mode:" in said else local.ZOOKEEPER.found(f"{to} says {said[:100]!r}")


def address(place: Place) -> Answer:
    """Whether one of the bootstrap servers can be reached."""
    tls = place.kafka.security_protocol.endswith("SSL")
    servers = place.kafka.bootstrap_servers.split(",")
    answers = [network.reach(network.target(each, 9092, SETTING, tls=tls)) for each in servers]
    # librdkafka may ask one that is away for a group's coordinator, again and again.
    usable = [server for server, answer in zip(servers, answers, strict=True) if isinstance(answer, str)]
    place.learned["bootstrap"] = ",".join(usable)
    return next((each for each in answers if isinstance(each, str)), answers[0])


def login(place: Place) -> Answer:
    """Whether Kafka speaks with us: protocol and credentials."""
    where = place.kafka.bootstrap_servers
    contact = Contact(replace(place.kafka, bootstrap_servers=place.learned["bootstrap"]))
    brokers = contact.brokers(ANSWER_SECONDS)
    if brokers is not None:
        place.learned |= {"admin": contact.admin, "brokers": brokers}
        return f"Kafka lets {place.kafka.sasl_username or 'everybody'} in; brokers: {len(brokers)}"
    if contact.refusal:
        return CREDENTIALS.found(f"{where}, user {place.kafka.sasl_username!r}: {contact.refusal.str()}")
    first = network.target(where.split(",")[0], 9092, SETTING)
    if not place.kafka.security_protocol.endswith("SSL") and network.speaks_tls(first):
        return network.TLS_EXPECTED.found(str(first))
    said = f": {contact.errors[-1].str()}" if contact.errors else ""
    return SILENT.found(f"{where} ({SETTING}) did not answer within {ANSWER_SECONDS:g} s{said}")


def advertised(place: Place) -> Answer:
    """Whether every address that the brokers give to their clients leads from here to a Kafka."""
    kafka, brokers = place.kafka, place.learned["brokers"]
    bootstrap = {each.strip() for each in kafka.bootstrap_servers.split(",")}
    others = [each for each in brokers if f"{each[1]}:{each[2]}" not in bootstrap]
    with ThreadPoolExecutor(max_workers=16) as pool:
        for (number, host, port), why in zip(
            others, pool.map(lambda each: _unusable(kafka, each), others), strict=True
        ):
            if why:
                return ADVERTISED.found(
                    f"{kafka.bootstrap_servers} answers, and says that broker {number} is at {host}:{port}: {why}"
                )
    listed = ", ".join(f"{host}:{port}" for _, host, port in brokers)
    return f"{listed}{'' if others else ', the bootstrap address itself'}"


def _unusable(kafka: config.Kafka, broker: tuple[int, str, int]) -> str | None:
    """Why an advertised address can't be used from here."""
    _, host, port = broker
    connection = network.connected(network.Target(host, port, "advertised"))
    if isinstance(connection, Found):
        return connection.text.partition("): ")[2]
    connection.close()
    if Contact(replace(kafka, bootstrap_servers=f"{host}:{port}")).brokers(CONNECT_SECONDS) is None:
        return f"it accepts connections, and does not answer within {CONNECT_SECONDS:g} s"
    return None


class Contact:
    """An attempt to speak with Kafka, and what came of it."""

    def __init__(self, kafka: config.Kafka) -> None:
        self.errors: list[KafkaError] = []
        self._learned: list[tuple[int, str, int]] = []
        quiet = logging.getLogger("logbrook.doctor.librdkafka")
        quiet.setLevel(logging.CRITICAL + 1)
        settings = {"error_cb": self.errors.append, "stats_cb": self._statistics, "statistics.interval.ms": 200}
        self.admin = AdminClient(client_config(kafka) | settings | {"socket.timeout.ms": 4000}, logger=quiet)

    @property
    def refusal(self) -> KafkaError | None:
        """Why we are not let in, if that is so."""
        return next((each for each in self.errors if each.code() == KafkaError._AUTHENTICATION), None)

    def brokers(self, seconds: float) -> list[tuple[int, str, int]] | None:
        """Id, host and port of each broker, as the cluster gives them to its clients; None if it does not answer.

        Where these lead nowhere, librdkafka leaves the bootstrap connection for them, and no request of ours is ever
        answered. But it has learned them, which its statistics show.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.admin.poll(0.01)
            if self.refusal:
                return None
            try:
                return [
                    (each.id, str(each.host), each.port)
                    for each in self.admin.list_topics(timeout=0.5).brokers.values()
                ]
            except KafkaException:
                continue
        return self._learned or None

    def _statistics(self, text: str) -> None:
        """See librdkafka's STATISTICS.md: `source` of a broker, `nodename` as host:port."""
        known = json.loads(text)["brokers"].values()
        self._learned = [
            (each["nodeid"], each["nodename"].rpartition(":")[0], int(each["nodename"].rpartition(":")[2]))
            for each in known
            if each["source"] == "learned"
        ]
