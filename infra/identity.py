"""A service account for each role, with only those rights that the role is explicitly given."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings


class Identity(pulumi.ComponentResource):
    """The identity of one part of the platform in the cloud."""

    def __init__(self, settings: Settings, role: str, meaning: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Identity", role, None, opts)
        self.role = role
        self.account = gcp.serviceaccount.Account(
            f"{role}-account",
            account_id=f"{settings.name}-{role}",
            display_name=f"{settings.name}: {meaning}",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.email: pulumi.Output[str] = self.account.email
        self.member: pulumi.Output[str] = self.account.email.apply(lambda email: f"serviceAccount:{email}")
        self.register_outputs({})

    def in_project(self, settings: Settings, role: str, condition: Any = None) -> gcp.projects.IAMMember:
        """A right on the whole project: only where Google offers no smaller one (policy.py has the list)."""
        return gcp.projects.IAMMember(
            f"{self.role}-{role.rpartition('.')[2]}",
            project=settings.project,
            role=role,
            member=self.member,
            condition=condition,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def may_be_used_by(self, name: str, member: pulumi.Input[str]) -> gcp.serviceaccount.IAMMember:
        """Let `member` start things that run as this account."""
        return gcp.serviceaccount.IAMMember(
            f"{self.role}-used-by-{name}",
            service_account_id=self.account.name,
            role="roles/iam.serviceAccountUser",
            member=member,
            opts=pulumi.ResourceOptions(parent=self),
        )


def may_call(
    name: str, called: gcp.cloudrunv2.Service, member: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> None:
    """Let `member` call a service that asks for Google's own tokens."""
    gcp.cloudrunv2.ServiceIamMember(
        name, location=called.location, name=called.name, role="roles/run.invoker", member=member, opts=opts
    )
