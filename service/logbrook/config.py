"""Every setting of every process: its name, default, unit and meaning, read from environment variables.

A field `max_batch_bytes` of the section `Consumer` is the variable `LOGBROOK_CONSUMER_MAX_BATCH_BYTES`
and the heading of the same name in docs/configuration.md. Nothing else reads `os.environ`.
"""

import ipaddress
import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

from logbrook.errors import ConfigError

PREFIX = "LOGBROOK_"


def setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    """Declare a setting. A default of `...` makes it required; a secret is left out of `repr`."""
    return field(
        default=MISSING if default is ... else default, repr=not secret, metadata={"meaning": meaning, "secret": secret}
    )


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """How every process reaches the brokers, and the shape of the topic."""

    bootstrap_servers: str = setting("127.0.0.1:9092", "Brokers to contact first: host:port, comma-separated.")
    topic: str = setting("logs", "The one topic that holds all events.")
    partitions: int = setting(
        8,
        "Partitions of the topic when `logbrook migrate` creates it, over which idempotency keys are spread: "
        "the largest number of consumers that can share the work.",
    )
    replication_factor: int = setting(1, "Copies of each partition when the topic is created; 3 on a cluster.")
    retention_hours: int = setting(72, "How long the topic keeps events: the longest outage to recover from.")
    retention_bytes: int = setting(
        4 * 2**30,
        "Maximum number of bytes that one partition keeps; whichever of the two limits is reached first applies.",
    )
    security_protocol: str = setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str = setting("SCRAM-SHA-512", "SCRAM-SHA-512, PLAIN, or OAUTHBEARER for Google's managed Kafka.")
    sasl_username: str = setting("", "User of the SASL mechanism.")
    sasl_password: str = setting("", "Password of the SASL mechanism.", secret=True)


@dataclass(frozen=True, kw_only=True)
class ClickHouse:
    """How every process reaches ClickHouse."""

    host: str = setting("127.0.0.1", "Host of ClickHouse's HTTP interface.")
    port: int = setting(8123, "Port of ClickHouse's HTTP interface.")
    secure: bool = setting(False, "Use TLS.")
    username: str = setting("default", "User to log in as.")
    password: str = setting(..., "Password of that user; `.env` has the local stack's.", secret=True)
    database: str = setting("otel", "Database of the tables.")
    connect_timeout_seconds: float = setting(5.0, "Longest wait for a connection.")
    timeout_seconds: float = setting(30.0, "Longest wait for an answer; after that, the outcome is unknown.")


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What `logbrook migrate` declares."""

    retention_days: int = setting(
        30,
        "Days that an event is kept, counted from its arrival, and that a repeated idempotency key is recognized. "
        "Keep it longer than Kafka's retention.",
    )
    max_event_names: int = setting(
        1000,
        "Maximum number of names in each of an event's maps (attributes, resource, scope). The rest become one "
        "JSON attribute, and the event is flagged. Each name takes memory in ClickHouse wherever maps are read or "
        "counted.",
    )
    max_ahead_seconds: int = setting(
        300,
        "How far the time of an event may be ahead of its arrival. An event further ahead would be outside of what "
        "people search: it is stored at its arrival, keeps the value as an attribute, and is flagged.",
    )
    system_log_retention_days: int = setting(7, "Days that ClickHouse's own system logs are kept.")
    cluster: str = setting(
        "",
        "Name of the ClickHouse cluster (in `system.clusters`) that gets the schema, `default` on ClickHouse Cloud; "
        "empty for one server. Only `logbrook migrate` reads it: the schema tells the consumers.",
    )


@dataclass(frozen=True, kw_only=True)
class Backup:
    """Where `logbrook backup` and `logbrook restore` keep backups."""

    url: str = setting(
        "",
        "Bucket and folder, by S3's protocol: https://storage.googleapis.com/BUCKET/clickhouse. Empty: ClickHouse's "
        "own backup folder.",
    )
    key_id: str = setting("", "Access key of the bucket; on Google Cloud a service account's HMAC key.")
    key_secret: str = setting("", "Secret of that key.", secret=True)
    full_every_days: float = setting(
        7.0,
        "Age at which the last full backup stops being a base: the next backup is full. A bucket that deletes by age "
        "must keep each backup this much longer than you want to be able to restore it.",
    )


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The HTTP service that accepts OTLP and plain logs and writes them to Kafka."""

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(4318, "Port to listen on; 4318 is OTLP/HTTP's own.")
    grpc_port: int = setting(0, "Port to listen on for OTLP over gRPC, usually 4317; 0 turns it off.")
    grpc_max_message_bytes: int = setting(
        4 * 2**20,
        "Largest gRPC message, as sent and decompressed; the default is gRPC's own, which senders stay below. While a "
        "request is read, twice as much counts against `max_buffered_bytes`: gRPC holds it, too.",
    )
    tokens: str = setting(
        "",
        "Sources that may send: name=sha256 of the token in hex, separated by commas or lines. See `logbrook token`. "
        "A file (`LOGBROOK_GATEWAY_TOKENS_FILE`) is reread every 30 seconds.",
        secret=True,
    )
    allow_anonymous: bool = setting(False, "Accept requests without a token, as the source `anonymous`.")
    checked_source: str = setting(
        "",
        "Source of all requests, if something in front of the gateway decides who may send, as Cloud Run's IAM does "
        "for Pub/Sub. Tokens are then ignored.",
    )
    source_bytes_per_second: int = setting(
        0, "Bytes of events that a source may send per second, unless its token says otherwise; 0 means no limit."
    )
    source_burst_seconds: float = setting(
        10.0, "A source that was silent may send this many seconds' worth at once: shippers send in bursts."
    )
    source_bytes_per_day: int = setting(0, "The same from midnight to midnight UTC; 0 means no limit.")
    instances: int = setting(
        1, "Gateways over which a source's requests may be spread: each admits its share of the source's quotas."
    )
    max_body_bytes: int = setting(16 * 2**20, "Largest request body as it is sent (OTLP's clients send 4 MiB).")
    max_inflated_bytes: int = setting(64 * 2**20, "Largest body after decompression: limits the cost of a zip bomb.")
    max_request_events: int = setting(
        100_000, "Maximum number of events in one request: limits the time that one client takes."
    )
    max_message_bytes: int = setting(
        900_000, "Largest Kafka message to build, below the broker's message.max.bytes (1,048,588 by default)."
    )
    max_queued_bytes: int = setting(
        128 * 2**20, "Maximum number of bytes waiting for Kafka's acknowledgement; beyond that, requests get 429."
    )
    max_buffered_bytes: int = setting(
        112 * 2**20,
        "Maximum number of bytes of bodies in memory, for all open requests together; beyond that, requests get 429.",
    )
    body_timeout_seconds: float = setting(
        30.0, "Longest wait for a whole body: a slow sender must not hold memory. 16 MiB in that time is 4.5 Mbit/s."
    )
    wait_seconds: float = setting(
        5.0,
        "Longest time that a body of more than 256 KiB waits for its turn to be decompressed and split, one "
        "at a time; beyond that, the request gets 429. OTLP's exporters give up after 10 s.",
    )
    max_connections: int = setting(
        800,
        "Maximum number of connections that may be open; any others get 503 and are closed. Each may hold 64 KiB of a "
        "request's head. Keep it below the process's limit on open files, which is often 1,024.",
    )
    keep_alive_seconds: float = setting(
        65.0, "How long an idle connection is kept open: longer than a load balancer's usual 60."
    )
    delivery_timeout_seconds: float = setting(
        20.0, "Longest wait for Kafka's acknowledgement before a request gets 503."
    )
    drain_seconds: float = setting(8.0, "Time for open requests after SIGTERM; Cloud Run kills after 10.")


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """The process that moves events from the topic to ClickHouse."""

    group: str = setting("logbrook", "Kafka consumer group.")
    max_batch_messages: int = setting(100_000, "Maximum number of messages in one batch.")
    max_batch_bytes: int = setting(32 * 2**20, "Maximum number of bytes in one batch: limits the memory of both ends.")
    parallel_inserts: int = setting(
        2, "Inserts into which a batch of 8 MiB or more is divided: this many of ClickHouse's cores are used."
    )
    flush_after_seconds: float = setting(
        0.5, "Shortest time between inserts of batches that are not full. After a pause, an insert begins immediately."
    )
    session_timeout_seconds: float = setting(
        10.0,
        "Silence after which a consumer counts as dead and its partitions go to the others: the delay after a crash. "
        "If it is too low, a stall takes partitions away from a consumer that is alive.",
    )
    stalled_after_seconds: float = setting(
        60.0,
        "If messages are pending in a partition and none is stored for this long, it is stalled: /readyz returns "
        "503, and the audit fails. Keep it above the time that an insert may take "
        "(`LOGBROOK_CLICKHOUSE_TIMEOUT_SECONDS`).",
    )
    fetch_queue_kilobytes: int = setting(16_384, "Maximum number of kilobytes that librdkafka fetches ahead.")
    stop_seconds: float = setting(8.0, "Time for the running insert after SIGTERM; Cloud Run kills after 10.")
    health_host: str = setting("127.0.0.1", "Address of /healthz, /readyz and /metrics.")
    health_port: int = setting(9464, "Port of /healthz, /readyz and /metrics.")


@dataclass(frozen=True, kw_only=True)
class Query:
    """The query API and the log explorer."""

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8080, "Port to listen on.")
    allowed_hosts: str = setting(
        "",
        "Host names that requests may use, comma-separated; `*.example.org` works too. Empty: this machine's own names "
        "if it listens on loopback, else any.",
    )
    allow_privileged_user: bool = setting(
        False,
        "Serve even if the ClickHouse user may do more than read `otel_logs`. A gap in the SQL guard would "
        "then expose everything that this user may do.",
    )
    timeout_seconds: float = setting(20.0, "Longest time that one statement may run in ClickHouse.")
    max_memory_bytes: int = setting(2 * 2**30, "Maximum memory of one statement in ClickHouse.")
    max_bytes_read: int = setting(
        2**40, "Maximum number of bytes, uncompressed, that one statement may read; 0 means no limit."
    )
    max_in_values: int = setting(
        100_000,
        "Maximum number of distinct values that `in (...)` of a query may find: ClickHouse holds them in "
        "memory, and compares each with its indexes. A user with `readonly = 1` has the `max_rows_in_set` of its "
        "profile.",
    )
    max_result_rows: int = setting(
        10_000,
        "Maximum number of rows in one answer of /v1/sql and /v1/query, and so of groups of a count. No other "
        "request is answered while an answer is assembled.",
    )
    max_result_bytes: int = setting(
        64 * 2**20,
        "Largest result of one statement, as JSON. It does not limit exports; a user with `readonly = 1` has the "
        "`max_result_bytes` of its profile for each of their statements.",
    )
    max_sql_result_bytes: int = setting(
        8 * 2**20,
        "The same for an answer of /v1/sql or /v1/query, as JSON. No other request is answered while one is assembled.",
    )
    max_body_characters: int = setting(16_384, "Longest body in a list of events; a single event is returned whole.")
    max_concurrent_requests: int = setting(8, "Requests that may query ClickHouse at the same time; others wait.")
    max_waiting_requests: int = setting(256, "Requests that may wait; others get 503 immediately.")
    wait_seconds: float = setting(30.0, "Longest time that a request waits for its turn before it gets 503.")
    max_connections: int = setting(
        800, "Maximum number of connections that may be open; any others get 503 and are closed, as by the gateway."
    )
    max_concurrent_statements: int = setting(
        32,
        "Statements of searches that may run in ClickHouse at the same time; an abandoned one counts until it has "
        "ended. Keep the sum with `max_concurrent_sql` and `max_streams` well below ClickHouse's "
        "`max_concurrent_queries`, so that there is always room for inserts.",
    )
    max_concurrent_sql: int = setting(
        1,
        "The same for statements of /v1/sql, which may be of any size: two at a time slow searches down.",
    )
    sql_timeout_seconds: float = setting(
        20.0,
        "Longest time that a statement of /v1/sql may run in ClickHouse. This and the next two are sent with the "
        "statement, and must be within what the profile of a read-only user allows.",
    )
    max_sql_memory_bytes: int = setting(
        2**29,
        "Maximum memory of a statement of /v1/sql in ClickHouse, so that the rest is left for searches and inserts.",
    )
    max_sql_threads: int = setting(
        1,
        "Maximum number of threads of one statement of /v1/sql in ClickHouse; `max_concurrent_sql` of them "
        "run at the same time.",
    )
    max_streams: int = setting(32, "Live tails and exports that may be open at the same time.")
    sample_events: int = setting(100_000, "Newest matching events that patterns and facets look at if there are more.")
    tail_poll_seconds: float = setting(0.5, "Pause between two checks for new events in a live tail.")
    prometheus_url: str = setting("", "URL of the Prometheus behind /v1/status, the explorer's *Health* view.")
    views_username: str = setting(
        "views", "ClickHouse's user for saved views, who may only SELECT from and INSERT into `saved_views`."
    )
    views_password: str = setting(
        "",
        "Password of that user. Empty: views are saved only in each browser, not for everyone.",
        secret=True,
    )
    max_views: int = setting(1000, "Maximum number of saved views: each explorer loads the list of them.")
    max_view_changes: int = setting(
        100_000,
        "Maximum number of changes of saved views that are kept, deletions included; after that, nothing is "
        "saved, so that they can't fill the disk. A change takes at most 20 kB, usually 200 bytes.",
    )
    alerts_url: str = setting(
        "", "URL of the health port of `logbrook alert`, behind /v1/alerts and the explorer's *Alerts* view."
    )
    trace_url: str = setting(
        "",
        "Address of a trace's spans in another program, with `{trace_id}` in it: "
        "`https://jaeger.example.org/trace/{trace_id}`. The explorer links to it. Empty: no link.",
    )
    roles: str = setting(
        "",
        "File of roles, which say who may see what (docs/access.md), reread every 30 seconds. Empty: everyone who is "
        "identified sees everything; if the settings below are empty, too, so does everyone else.",
    )
    tokens: str = setting(
        "",
        "Programs that may query: name=sha256 of the token in hex, separated by commas or lines. See `logbrook token "
        "--query`. A file (`LOGBROOK_QUERY_TOKENS_FILE`) is reread every 30 seconds.",
        secret=True,
    )
    iap_audience: str = setting(
        "",
        "Audience of the header that Google's IAP signs: on Cloud Run "
        "/projects/PROJECT_NUMBER/locations/REGION/services/SERVICE_NAME. Empty: that header is ignored.",
    )
    trusted_proxies: str = setting(
        "", "Addresses or networks of proxies that may say who is calling, comma-separated: 10.0.0.5,::1."
    )
    user_header: str = setting("X-Forwarded-Email", "Header in which such a proxy sends the person's e-mail address.")
    groups_header: str = setting(
        "X-Forwarded-Groups", "Header in which it sends the person's groups, comma-separated; it may be missing."
    )


@dataclass(frozen=True, kw_only=True)
class Alert:
    """The process that evaluates alert rules. Its statements have the limits of the query API's."""

    rules: str = setting("alerts.yaml", "File with the rules, reread every 30 seconds.")
    state: str = setting("alerts.state", "File that records the state of alerts: on a disk that survives restarts.")
    alertmanager_url: str = setting("", "URL of Alertmanager. Empty: alerts appear only in the log and the metrics.")
    explorer_url: str = setting("http://127.0.0.1:8080", "URL of the log explorer, for the links in alerts.")
    incomplete_after_seconds: float = setting(
        300.0, "How far behind completeness may be before the alert `AlertsIncomplete` fires."
    )
    catch_up_hours: float = setting(
        6.0,
        "Oldest windows that are still evaluated, after an outage of the evaluator or of the pipeline. Alerts about "
        "older events would not help.",
    )
    health_host: str = setting("127.0.0.1", "Address of /healthz, /readyz and /metrics.")
    health_port: int = setting(9466, "Port of /healthz, /readyz and /metrics.")


@dataclass(frozen=True, kw_only=True)
class Mcp:
    """`logbrook mcp`, the tools for assistants. It queries the API at `LOGBROOK_QUERY_URL`."""

    host: str = setting("127.0.0.1", "Address to listen on with `--http`. Anyone who can reach it can read logs.")
    port: int = setting(8090, "Port to listen on with `--http`.")
    max_answer_characters: int = setting(
        20_000,
        "Longest answer of a tool, at least 4,000. A model reads all of it, at 3 to 4 characters a token, and clients "
        "refuse or set aside answers that are too long: some warn above 10,000 tokens.",
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """The processes' own logs."""

    level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR.")
    format: str = setting("json", "json, or console for people.")
    file: str = setting("", "File that gets a copy of the log, for `logbrook produce --follow`; emptied at 4 MiB.")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What `logbrook usage` divides among sources and services."""

    dollars_per_month: float = setting(0.0, "What the whole stack costs per month; 0 means that no costs are shown.")


SECTIONS = (Kafka, ClickHouse, Schema, Backup, Gateway, Consumer, Query, Alert, Mcp, Log, Usage)
# Only the command line reads these: where `logbrook produce --to gateway` sends, with which token, the same for
# searches, and what else `logbrook doctor` checks.
CLIENT_VARIABLES = (
    "LOGBROOK_TOKEN",
    "LOGBROOK_GATEWAY_URL",
    "LOGBROOK_QUERY_URL",
    "LOGBROOK_QUERY_TOKEN",
    "LOGBROOK_ZOOKEEPER_ADDRESS",
)

Section = TypeVar("Section")


def variable(section: type[Any], name: str) -> str:
    """The environment variable of a section's field."""
    return f"{PREFIX}{section.__name__.upper()}_{name.upper()}"


def declared() -> Iterator[tuple[type[Any], Field[Any], str]]:
    """Every setting as (section, field, variable)."""
    for section in SECTIONS:
        for each in fields(section):
            yield section, each, variable(section, each.name)


def load(section: type[Section], environ: Mapping[str, str] | None = None) -> Section:
    """Read one section from the environment. A secret may be in a file that the variable NAME_FILE names, instead.

    Raises ConfigError with the variable's name if a value is invalid, a required one is missing, a file can't be
    read, or a variable with our prefix is unknown (probably misspelled).
    """
    environ = os.environ if environ is None else environ
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in KNOWN:
            raise ConfigError(f"{name}: no such setting. docs/configuration.md lists them all.")
    hints = get_type_hints(section)
    values: dict[str, Any] = {}
    for each in fields(cast(Any, section)):
        name = variable(section, each.name)
        file = environ.get(f"{name}_FILE") if f"{name}_FILE" in _FILES else None
        if file:
            values[each.name] = _cast(name, _content(f"{name}_FILE", file), hints[each.name], each)
        elif name in environ:
            values[each.name] = _cast(name, environ[name], hints[each.name], each)
        elif each.default is MISSING:
            raise ConfigError(f"{name} is not set: {each.metadata['meaning']}")
    return section(**values)


def secret_file(section: type, name: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file that a secret setting is read from; None if it is not read from one."""
    path = (os.environ if environ is None else environ).get(f"{variable(section, name)}_FILE")
    return Path(path) if path else None


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{name}: {path}: {error.strerror}") from None


# A container's environment is kept on the disk of the machine that runs it; a mounted file need not be.
_FILES = frozenset(f"{name}_FILE" for _, each, name in declared() if each.metadata["secret"])
KNOWN = frozenset(name for _, _, name in declared()) | frozenset(CLIENT_VARIABLES) | _FILES


def client_variable(name: str, default: str, environ: Mapping[str, str] | None = None) -> str:
    """The value of one of CLIENT_VARIABLES; an empty one counts as not set."""
    assert name in CLIENT_VARIABLES
    return (os.environ if environ is None else environ).get(name) or default


def query_authorization() -> dict[str, str]:
    """The header for the query API with the token in LOGBROOK_QUERY_TOKEN; none without it."""
    token = client_variable("LOGBROOK_QUERY_TOKEN", "")
    return {"Authorization": f"Bearer {token}"} if token else {}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def environment() -> dict[str, str]:
    """This process's environment variables."""
    return dict(os.environ)


def find_env_file(start: Path) -> Path | None:
    """The nearest `.env` of a local stack that we or root own, in `start` or above; None if there is none."""
    for folder in (start, *start.parents):
        file = folder / ".env"
        if file.is_file() and file.stat().st_uid in {os.getuid(), 0} and f"\n{PREFIX}" in f"\n{file.read_text()}":
            return file
    return None


def of_deployment(environ: Mapping[str, str], start: Path) -> tuple[Mapping[str, str], Path | None]:
    """What the environment says; if it leads nowhere, what the nearest `.env` says about a stack on this machine.

    The file is given, too, if it was read. Variables that were exported from it lead nowhere else.
    """
    file = find_env_file(start)
    written = read_env_file(file) if file else {}
    if file is None or any(environ[name] != written.get(name) for name in _LEADING & environ.keys()):
        return environ, None
    return of_local_stack({**written, **environ}), file


def adopt_local_stack(start: Path) -> Path | None:
    """Give this process the settings of a local stack, if `of_deployment` finds one; the file that has them."""
    values, file = of_deployment(os.environ, start)
    if file is not None:
        # Variables for Compose, exported with the others: to `load` they would be settings that do not exist.
        for name in read_env_file(file).keys() - values.keys():
            os.environ.pop(name, None)
        os.environ.update(values)
    return file


def read_env_file(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; empty if it does not exist."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def of_local_stack(variables: Mapping[str, str]) -> dict[str, str]:
    """The service's settings for a stack on this machine, whose own variables (Compose's) may change its ports."""
    ports = {
        "LOGBROOK_KAFKA_PORT": "9092",
        "LOGBROOK_CLICKHOUSE_PORT": str(ClickHouse.port),
        "LOGBROOK_GATEWAY_PORT": str(Gateway.port),
        "LOGBROOK_QUERY_PORT": str(Query.port),
    } | dict(variables)
    stack = {
        "LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['LOGBROOK_KAFKA_PORT']}",
        "LOGBROOK_CLICKHOUSE_HOST": "127.0.0.1",
        "LOGBROOK_CLICKHOUSE_PORT": ports["LOGBROOK_CLICKHOUSE_PORT"],
        # As in the Compose file. Without Docker, any name is the same user.
        "LOGBROOK_CLICKHOUSE_USERNAME": "logbrook",
        "LOGBROOK_GATEWAY_URL": f"http://127.0.0.1:{ports['LOGBROOK_GATEWAY_PORT']}",
        "LOGBROOK_QUERY_URL": f"http://127.0.0.1:{ports['LOGBROOK_QUERY_PORT']}",
    }
    return stack | {name: value for name, value in variables.items() if name in KNOWN}


# If any of these is set, it says where a deployment is, and no `.env` is looked for: unless its value is that of the
# nearest `.env`.
_LEADING = frozenset(
    f"{PREFIX}{each}"
    for each in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_HOST", "CLICKHOUSE_PASSWORD", "GATEWAY_URL", "QUERY_URL")
)
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number"}


def _cast(name: str, text: str, kind: type[Any], each: Field[Any]) -> Any:
    """`text` as a value of `kind`, or a ConfigError that shows it unless it is secret."""
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if isinstance(kind, types.UnionType):
            kind = get_args(kind)[0]
        value = kind(text)
    except (KeyError, ValueError):
        shown = "the value" if each.metadata["secret"] else repr(text)
        raise ConfigError(f"{name}: {shown} is not {_EXPECTED[kind]}: {each.metadata['meaning']}") from None
    if kind in (int, float) and value < 0:
        raise ConfigError(f"{name}: {text} is negative: {each.metadata['meaning']}")
    return value
