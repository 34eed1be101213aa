"""Secrets and settings of the local stack: generated once into `.env`, overridden by the environment."""

import difflib
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import cast

from logbrook import config
from native.failure import Failure

REPOSITORY = Path(__file__).parent.parent.parent
DEFAULT_STATE = REPOSITORY / ".local"
READER_PASSWORD = "CLICKHOUSE_READONLY_PASSWORD"  # noqa: S105 - a variable's name
VIEWS_PASSWORD = "CLICKHOUSE_VIEWS_PASSWORD"  # noqa: S105 - the same

_TOKENS = {"LOGBROOK_TOKEN", "LOGBROOK_GATEWAY_TOKENS"}
_KAFKA, _CLICKHOUSE = "LOGBROOK_KAFKA_SASL_PASSWORD", "LOGBROOK_CLICKHOUSE_PASSWORD"
# The secrets that each process needs. The query API and the alerts get the reader's password instead of this one.
_SECRETS: Mapping[str, set[str]] = {
    "migrate": {_KAFKA, _CLICKHOUSE},
    "gateway": {_KAFKA, "LOGBROOK_GATEWAY_TOKENS"},
    "consumer": {_KAFKA, _CLICKHOUSE},
    "query": {"LOGBROOK_QUERY_TOKENS"},
    "alert": set(),
    "audit": {_KAFKA, _CLICKHOUSE, "LOGBROOK_BACKUP_KEY_SECRET"},
    "ship": {"LOGBROOK_TOKEN"},
}


def _port(variable: str, default: int) -> int:
    return field(default=default, metadata={"variable": variable})


@dataclass(frozen=True)
class Ports:
    """Where everything listens, on loopback, unless the environment says otherwise."""

    zookeeper: int = _port("LOGBROOK_ZOOKEEPER_PORT", 2181)
    kafka: int = _port("LOGBROOK_KAFKA_PORT", 9092)
    clickhouse: int = _port("LOGBROOK_CLICKHOUSE_PORT", config.ClickHouse.port)
    gateway: int = _port("LOGBROOK_GATEWAY_PORT", config.Gateway.port)
    gateway_grpc: int = _port("LOGBROOK_GATEWAY_GRPC_PORT", 4317)
    consumer: int = _port("LOGBROOK_CONSUMER_HEALTH_PORT", config.Consumer.health_port)
    query: int = _port("LOGBROOK_QUERY_PORT", config.Query.port)
    audit: int = _port("LOGBROOK_AUDIT_PORT", 9465)
    alert: int = _port("LOGBROOK_ALERT_HEALTH_PORT", config.Alert.health_port)
    kafka_metrics: int = _port("LOGBROOK_KAFKA_METRICS_PORT", 9404)
    zookeeper_metrics: int = _port("LOGBROOK_ZOOKEEPER_METRICS_PORT", 9405)
    # Not 9090: Debian's package starts its own Prometheus there.
    prometheus: int = _port("LOGBROOK_PROMETHEUS_PORT", 9095)

    def variables(self) -> dict[str, tuple[int, str]]:
        """Each port by the name of its process, with the variable that changes it."""
        return {
            each.name.replace("_metrics", "'s metrics").replace("_grpc", " over gRPC"): (
                getattr(self, each.name),
                each.metadata["variable"],
            )
            for each in fields(self)
        }


@dataclass(frozen=True)
class Environment:
    """The settings of one stack, whose files are all in `state` (except for the default stack's .env)."""

    state: Path
    variables: Mapping[str, str]

    @property
    def env_file(self) -> Path:
        """Where the secrets are."""
        return env_file(self.state)

    @property
    def ports(self) -> Ports:
        """The ports, as the variables have them. Raises Failure if one is not a port."""
        return Ports(
            **{each.name: self._port(each.metadata["variable"], cast(int, each.default)) for each in fields(Ports)}
        )

    @property
    def password(self) -> str:
        """ClickHouse's password."""
        return self.variables["LOGBROOK_CLICKHOUSE_PASSWORD"]

    @property
    def reader_password(self) -> str:
        """The password of ClickHouse's user `reader`."""
        return self.variables[READER_PASSWORD]

    @property
    def views_password(self) -> str:
        """The password of ClickHouse's user `views`."""
        return self.variables[VIEWS_PASSWORD]

    @property
    def database(self) -> str:
        """The database of the tables."""
        return self.variables.get("LOGBROOK_CLICKHOUSE_DATABASE", config.ClickHouse.database)

    @property
    def clickhouse(self) -> config.ClickHouse:
        """How this machine reaches ClickHouse, however the stack is run."""
        # The name is Compose's; the native front accepts any.
        return config.ClickHouse(
            port=self.ports.clickhouse, username="logbrook", password=self.password, database=self.database
        )

    def for_service(self, name: str | None = None) -> dict[str, str]:
        """What a process of the service is started with: its own settings, pointed at this stack.

        The process `name` gets only its secrets in `_SECRETS`; without a name, for a command that a person runs, all of
        them.
        """
        _ = self.ports  # raises Failure if one is not a port
        settings = config.of_local_stack(self.variables)
        if name is None:
            return settings
        secret = {variable for _, each, variable in config.declared() if each.metadata["secret"]}
        withheld = (secret | _TOKENS) - _SECRETS[name]
        return {variable: value for variable, value in settings.items() if variable not in withheld}

    @property
    def reader(self) -> dict[str, str]:
        """The login of what only reads events: it refuses to run as a user who may do more."""
        return {
            "LOGBROOK_CLICKHOUSE_USERNAME": "reader",
            "LOGBROOK_CLICKHOUSE_PASSWORD": self.reader_password,
        }

    def _port(self, name: str, default: int) -> int:
        text = self.variables.get(name, str(default))
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise Failure(f"{name}: {text!r} is not a port.", f"Correct it in {self.env_file} or the environment.")
        return int(text)


def env_file(state: Path) -> Path:
    """The file with a stack's secrets."""
    return REPOSITORY / ".env" if state == DEFAULT_STATE else state / ".env"


def unread(path: Path) -> dict[str, str]:
    """The variables of a stack's file with our prefix that nothing reads, and the known name that each is like, or "".

    The service would refuse to start with one; but it only gets what it knows, so nobody else would say so.
    """
    compose = re.findall(r"\$\{(\w+)", (REPOSITORY / "compose/compose.yaml").read_text())
    known = config.KNOWN | {each.metadata["variable"] for each in fields(Ports)} | set(compose)
    names = sorted(config.read_env_file(path).keys() - known)
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), "")
        for name in names
        if name.startswith(config.PREFIX)
    }


def load(state: Path) -> Environment:
    """Read the stack's settings, and generate its secrets if there are none yet. The environment wins over the file."""
    path = env_file(state)
    values = config.read_env_file(path)
    missing = {name: value for name, value in _generated().items() if name not in values}
    if "LOGBROOK_TOKEN" in values or "LOGBROOK_GATEWAY_TOKENS" in values:
        # The two belong together.
        missing = {name: value for name, value in missing.items() if "TOKEN" not in name}
    if missing:
        _append(path, missing)
    return Environment(state, {**values, **missing, **os.environ})


def forget_secrets(state: Path) -> None:
    """Remove the generated secrets from the file; ports and other settings stay."""
    path = env_file(state)
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines(keepends=True) if _name(line) not in _generated()]
    if any(_name(line) for line in kept):
        path.write_text("".join(kept))
    else:
        path.unlink()


def _name(line: str) -> str:
    """The variable that a line sets; empty for a comment."""
    return "" if line.lstrip().startswith("#") else line.partition("=")[0].strip()


def _generated() -> dict[str, str]:
    token = secrets.token_urlsafe(24)
    return {
        "LOGBROOK_CLICKHOUSE_PASSWORD": secrets.token_urlsafe(24),
        READER_PASSWORD: secrets.token_urlsafe(24),
        VIEWS_PASSWORD: secrets.token_urlsafe(24),
        "LOGBROOK_GATEWAY_TOKENS": f"local={hashlib.sha256(token.encode()).hexdigest()}",
        "LOGBROOK_TOKEN": token,
    }


def _append(path: Path, values: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        if new:
            file.write("# Secrets and settings of the local stack, made by `make local-up`. Not for version control.\n")
        file.writelines(f"{name}={value}\n" for name, value in values.items())
