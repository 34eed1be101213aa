"""What every part of the platform is built on."""

from dataclasses import dataclass
from functools import cached_property

import pulumi

from infra.config import Settings
from infra.iap import Iap
from infra.identity import Identity
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
    opts: pulumi.ResourceOptions

    @cached_property
    def iap(self) -> Iap:
        """Google's sign-in, declared only if something is behind it."""
        return Iap(self.settings, self.opts)

    def rights(self, identity: Identity, *project_roles: str) -> list[pulumi.Resource]:
        """Let an identity read its secrets and pull its images, and give it roles in the project.

        Whatever it starts should wait for the result.
        """
        in_project = [identity.in_project(self.settings, role) for role in project_roles]
        return [*self.store.let_read(identity.role, identity.member), *self.images.grant(identity), *in_project]
