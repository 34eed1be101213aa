"""What every part of the platform is built on."""

from dataclasses import dataclass

from infra.config import Settings
from infra.images import Images
from infra.network import Network
from infra.secret_store import SecretStore


@dataclass(frozen=True)
class Foundation:
    """The stack's settings, and what is declared first."""

    settings: Settings
    network: Network
    images: Images
    store: SecretStore
