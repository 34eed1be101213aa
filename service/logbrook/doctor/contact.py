"""How checks talk to each part of a deployment: the timeouts, and which diagnosis each kind of failure means."""

import errno
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from logbrook import clickhouse, config
from logbrook.clickhouse import ClickHouseError
from logbrook.doctor.diagnosis import NotCheckedError, Wrong
from logbrook.doctor.place import Place
from logbrook.errors import UnavailableError
from logbrook.kafka import client_config

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
# For Kafka: a group's coordinator has to be found first.
REQUEST_SECONDS = 10.0
# Names in ClickHouse's src/Common/ErrorCodes.cpp: UNKNOWN_DATABASE is 81, AUTHENTICATION_FAILED 516.
_CLICKHOUSE_CODES = {
    None: "clickhouse.silent",
    clickhouse.UNKNOWN_TABLE: "schema.missing",
    81: "schema.missing",
    clickhouse.TIMEOUT_EXCEEDED: "check.late",
    clickhouse.MEMORY_LIMIT_EXCEEDED: "memory.short",
    516: "clickhouse.credentials",
}
_KAFKA_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
Item = TypeVar("Item")
Value = TypeVar("Value")


def at_once(work: Callable[[Item], Value], items: Sequence[Item], seconds: float) -> list[Value | Exception]:
    """What `work` returns or raises for each item: TimeoutError if it takes longer, though its thread goes on."""
    outcomes: list[Value | Exception] = [TimeoutError(f"no result after {seconds:g} s") for _ in items]

    def run(index: int) -> None:
        try:
            outcomes[index] = work(items[index])
        except Exception as error:
            outcomes[index] = error

    # Daemons: one that hangs does not keep the process from ending.
    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(items))]
    for each in threads:
        each.start()
    deadline = time.monotonic() + seconds
    for each in threads:
        each.join(max(0.0, deadline - time.monotonic()))
    return list(outcomes)


class Target(NamedTuple):
    """An address, and the setting that it comes from."""

    host: str
    port: int
    setting: str
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.setting})"


def target(text: str, default_port: int, setting: str, *, tls: bool = False) -> Target:
    """The address of `host:port` or of a URL."""
    try:
        parts = urlsplit(text.strip() if "://" in text else f"//{text.strip()}")
        tls = tls or parts.scheme == "https"
        return Target(parts.hostname or "", parts.port or (443 if tls else default_port), setting, tls)
    except ValueError as error:
        raise Wrong("settings.invalid", said=f"{setting}: {text!r}: {error}") from None


def reach(to: Target) -> str:
    """Resolve the name, connect, and shake hands if the settings say TLS."""
    with connected(to) as connection:
        if not to.tls:
            return f"{to.host}:{to.port} accepts connections"
        try:
            ssl.create_default_context().wrap_socket(connection, server_hostname=to.host).close()
        except ssl.SSLCertVerificationError as error:
            raise Wrong("tls.untrusted", to=to, said=error.verify_message) from None
        except OSError as error:
            raise Wrong("tls.missing", to=to, said=type(error).__name__) from None
    return f"{to.host}:{to.port} accepts connections, and its certificate is trusted"


def connected(to: Target) -> socket.socket:
    """A connection."""
    [resolved] = at_once(lambda host: socket.getaddrinfo(host, to.port), [to.host], CONNECT_SECONDS)
    if isinstance(resolved, Exception):
        raise Wrong("address.unresolved", to=to, said=resolved)
    try:
        return socket.create_connection((to.host, to.port), timeout=CONNECT_SECONDS)
    except ConnectionRefusedError:
        raise Wrong("address.refused", to=to) from None
    except OSError as error:
        dropped = isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT
        code = "address.dropped" if dropped else "address.no_route"
        raise Wrong(code, to=to, seconds=CONNECT_SECONDS, said=error.strerror or error) from None


def need_clear_text(to: Target) -> None:
    """Raise a diagnosis if it speaks TLS, with any certificate, although the settings say that it does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with connected(to) as connection:
            context.wrap_socket(connection).close()
    except (OSError, Wrong):
        return
    if not to.tls:
        raise Wrong("tls.expected", to=to)


@cache
def _client() -> httpx.Client:
    # A connection that is kept open could be one that the server is just closing.
    return httpx.Client(timeout=ANSWER_SECONDS, limits=httpx.Limits(max_keepalive_connections=0), trust_env=False)


def http(method: str, url: str, token: str = "", **more: Any) -> httpx.Response:
    """The answer of one of the two HTTP services, unless it says that it can't work now."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = _client().request(method, url, headers=headers, **more)
    except httpx.TimeoutException as error:
        raise Wrong("check.late", said=f"{url}: {type(error).__name__}") from None
    except httpx.HTTPError as error:
        raise Wrong("http.unexpected", url=url, said=type(error).__name__) from None
    if answer.status_code in (429, 503):
        raise Wrong("http.not_ready", url=url, said=f"{answer.status_code} {answer.text.strip()[:300]}")
    return answer


def clickhouse_target(place: Place) -> Target:
    """ClickHouse's address."""
    to = place.clickhouse
    return Target(to.host, to.port, "LOGBROOK_CLICKHOUSE_HOST, _PORT", to.secure)


@contextmanager
def database(place: Place, name: str | None = None) -> Iterator[Callable[..., Any]]:
    """A function from a statement and its parameters to its rows, on one connection."""
    settings, client = place.clickhouse, None
    quick = replace(settings, connect_timeout_seconds=CONNECT_SECONDS, timeout_seconds=ANSWER_SECONDS)
    try:
        connection = client = clickhouse.connect(quick, database=name)
        yield lambda statement, **values: connection.query(statement, parameters=values).result_rows
    except (ClickHouseError, UnavailableError) as error:
        cause = error.__cause__ if isinstance(error, UnavailableError) else error
        code = clickhouse.error_code(cause) if isinstance(cause, ClickHouseError) else None
        if code == clickhouse.ACCESS_DENIED:
            raise NotCheckedError(f"because {settings.username} may not ask for it: {str(cause)[:200]}") from None
        found = _CLICKHOUSE_CODES.get(code, "check.broken")
        if client is not None and clickhouse.answered_too_late(error):
            found = "check.late"
        elif code is None:
            need_clear_text(clickhouse_target(place))
        facts = {"user": settings.username, "database": settings.database, "said": str(cause)[:300]}
        raise Wrong(found, to=clickhouse_target(place), **facts) from error
    finally:
        if client is not None:
            client.close()


def ask(place: Place, statement: str, name: str | None = None) -> Any:
    """The rows of one statement, in our database unless another is named."""
    with database(place, name) as rows:
        return rows(statement)


def kafka(settings: config.Kafka, to: Target, seconds: float) -> tuple[AdminClient, list[tuple[int, str, int]]]:
    """A connection, and the id, host and port of each broker as the cluster gives them to its clients.

    If these lead nowhere, librdkafka leaves the bootstrap connection for them, and none of our requests is ever
    answered. But it has learned them, as its statistics show (STATISTICS.md: `source`, `nodeid`, `nodename`).
    """
    errors: list[KafkaError] = []
    statistics: list[str] = []
    quiet = logging.getLogger("logbrook.doctor.librdkafka")
    quiet.setLevel(logging.CRITICAL + 1)
    listening = {"error_cb": errors.append, "stats_cb": statistics.append, "statistics.interval.ms": 200}
    admin = AdminClient(client_config(settings) | listening | {"socket.timeout.ms": 4000}, logger=quiet)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        admin.poll(0.01)
        if refused := [each for each in errors if each.code() == KafkaError._AUTHENTICATION]:
            raise Wrong("kafka.credentials", to=to, user=settings.sasl_username, said=refused[0].str())
        try:
            if found := admin.list_topics(timeout=0.5).brokers.values():
                return admin, [(each.id, str(each.host), each.port) for each in found]
        except KafkaException:
            continue
    known = json.loads(statistics[-1])["brokers"].values() if statistics else ()
    names = {each["nodeid"]: each["nodename"].rpartition(":") for each in known if each["source"] == "learned"}
    if names:
        return admin, [(broker, host, int(port)) for broker, (host, _, port) in names.items()]
    need_clear_text(to)
    raise Wrong("kafka.silent", to=to, seconds=seconds, said=f": {errors[-1].str()}" if errors else "")


def understood(error: Exception) -> Wrong | NotCheckedError:
    """What an unexpected error means. If the user lacks the right to ask, the check counts as not checked."""
    if isinstance(error, Wrong | NotCheckedError):
        return error
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    known = cause.args[0] if isinstance(cause, KafkaException) else None
    if known is not None and known.code() in _KAFKA_DENIED:
        return NotCheckedError(f"because this user may not ask for it: {known.str()}")
    late = isinstance(error, TimeoutError) or (known is not None and known.code() == KafkaError._TIMED_OUT)
    return Wrong("check.late" if late else "check.broken", said=f"{type(error).__name__}: {str(error)[:300]}")
