"""Passwords and tokens: declared once, kept in Secret Manager, each readable only by those who need it.

Their values come from the stack's configuration, encrypted (`make secrets` generates them); in the state they are
encrypted, too, and nothing else gets to see them: programs are given the secret's name.
"""

import re
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_gcp as gcp
import yaml

from infra.config import NAMESPACE, Settings
from infra.errors import StackError
from logbrook import tokens
from logbrook.errors import ConfigError


@dataclass(frozen=True)
class Declared:
    """A secret: its key in the configuration, who reads it, and the backends that have it."""

    key: str
    readers: tuple[str, ...]
    backends: tuple[str, ...] = ("vm", "managed")
    meaning: str = ""
    ours: bool = True
    """Whether we may generate it. If not, it is somebody else's, and needed only with the key `only_with`."""
    only_with: str = ""

    @property
    def name(self) -> str:
        """`clickhouseWriterPassword` as `clickhouse-writer-password`."""
        return re.sub(r"([A-Z])", lambda match: "-" + match.group(1).lower(), self.key)

    @property
    def full_key(self) -> str:
        """The key as it stands in the stack's file."""
        return f"{NAMESPACE}:{self.key}"


TOKENS = Declared(
    "gatewayTokens", ("gateway",), meaning="Sources that may send: entries of `logbrook token`, by commas"
)
DOCKER_HUB = Declared(
    "dockerHubToken", ("mirror",), ("vm",), "Docker Hub: an access token", ours=False, only_with="docker_hub_user"
)
ALERTMANAGER = Declared(
    "alertmanagerConfig",
    ("node",),
    ("vm",),
    "Alertmanager: its configuration, with `< alertmanager.yml`",
    ours=False,
    only_with="alert_rules",
)
SECRETS = (
    Declared("clickhouseAdminPassword", ("node", "migrate"), meaning="ClickHouse: the administrator"),
    Declared("clickhouseWriterPassword", ("node", "consumer", "audit"), meaning="ClickHouse: the consumer"),
    Declared("clickhouseReaderPassword", ("node", "query", "grafana"), meaning="ClickHouse: the query API"),
    Declared("clickhouseViewsPassword", ("node", "query"), meaning="ClickHouse: saved views"),
    Declared("kafkaGatewayPassword", ("node", "gateway"), ("vm",), "Kafka: the gateway"),
    Declared("kafkaConsumerPassword", ("node", "consumer"), ("vm",), "Kafka: the consumer"),
    Declared("kafkaAutoscalerPassword", ("node", "autoscaler"), ("vm",), "Kafka: the lag autoscaler"),
    TOKENS,
    DOCKER_HUB,
    ALERTMANAGER,
)
SECRET_KEYS = frozenset(secret.full_key for secret in SECRETS)
# The autoscaler accepts a user name only from Secret Manager, so it is kept there although it is not secret.
AUTOSCALER_USERNAME = "kafka-autoscaler-username"


def wanted(settings: Settings) -> list[Declared]:
    """The secrets that this stack has."""
    return [
        secret
        for secret in SECRETS
        if settings.backend in secret.backends and (not secret.only_with or getattr(settings, secret.only_with))
    ]


def missing(settings: Settings, configured: frozenset[str]) -> list[str]:
    """Keys of secrets that are not configured yet, including the gateway's tokens: without any, nobody could send."""
    return [secret.full_key for secret in wanted(settings) if secret.full_key not in configured]


def checked(key: str, value: str) -> str:
    """The value, if it is valid for this secret; otherwise StackError says what is wrong without showing it."""
    if key == TOKENS.full_key:
        if not _are_entries(value):
            raise StackError(
                f"{key}: not of the form name=sha256,... with 64 hex digits each, as `logbrook token` prints"
            )
    elif key == ALERTMANAGER.full_key:
        if not _has_receiver(value):
            raise StackError(f"{key}: not a configuration of Alertmanager: YAML with a route and the receiver it names")
    elif not re.fullmatch(r"[A-Za-z0-9_-]{24,}", value):
        raise StackError(f"{key}: use 24 or more letters, digits, _ and -, as `make secrets` does")
    return value


def _are_entries(text: str) -> bool:
    """Whether the gateway accepts them, by its own reader."""
    try:
        return tokens.entries(text) != []
    except ConfigError:
        return False


def _has_receiver(text: str) -> bool:
    """Whether this can be Alertmanager's configuration, which Alertmanager itself checks when it starts."""
    try:
        document = yaml.safe_load(text)
        return document["route"]["receiver"] in [each["name"] for each in document["receivers"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return False


class SecretStore(pulumi.ComponentResource):
    """Every secret with its current version. `grant` lets an identity read the secrets that declare it as a reader."""

    def __init__(self, settings: Settings, config: pulumi.Config, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:SecretStore", "secrets", None, opts)
        self.settings = settings
        self.secrets: dict[str, gcp.secretmanager.Secret] = {}
        self.versions: dict[str, gcp.secretmanager.SecretVersion] = {}
        self.readers: dict[str, tuple[str, ...]] = {}
        for secret in wanted(settings):
            value = config.require_secret(secret.key).apply(partial(checked, secret.full_key))
            self.add(secret.name, value, secret.readers)
        if settings.autoscaler and settings.on_vm:
            self.add(AUTOSCALER_USERNAME, "autoscaler", ("autoscaler",))
        self.register_outputs({})

    def add(self, name: str, value: pulumi.Input[str], readers: tuple[str, ...]) -> None:
        """Declare a secret with its value. Call this before `grant` for its readers."""
        self.readers[name] = readers
        child = pulumi.ResourceOptions(parent=self)
        self.secrets[name] = gcp.secretmanager.Secret(
            name,
            secret_id=f"{self.settings.name}-{name}",
            replication={"user_managed": {"replicas": [{"location": self.settings.region}]}},
            deletion_protection=self.settings.guarded,
            opts=child,
        )
        self.versions[name] = gcp.secretmanager.SecretVersion(
            name,
            secret=self.secrets[name].id,
            secret_data=value,
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["secretData"]),
        )

    def let_read(self, role: str, member: pulumi.Input[str]) -> list[pulumi.Resource]:
        """The same for a member that is not one of our identities."""
        return [
            gcp.secretmanager.SecretIamMember(
                f"{role}-reads-{name}",
                secret_id=self.secrets[name].secret_id,
                role="roles/secretmanager.secretAccessor",
                member=member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for name, readers in self.readers.items()
            if role in readers
        ]
