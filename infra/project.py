"""The project's APIs, switched on, and the provider that makes everything else once they are.

Why, with sources: docs/decisions/first-deploy.md.
"""

import asyncio
from collections.abc import Iterable

import pulumi
import pulumi_gcp as gcp

from infra.config import NAMESPACE, Settings

# Switching the others on takes these two, and nobody but `gcloud` can switch them on.
FIRST_APIS = ("cloudresourcemanager", "serviceusage")
APIS = (
    "artifactregistry",
    "compute",
    "iam",
    "iap",
    "logging",
    "monitoring",
    "parametermanager",
    "run",
    "secretmanager",
    "storage",
)


def full_names(names: Iterable[str]) -> list[str]:
    """`compute` as `compute.googleapis.com`."""
    return [f"{name}.googleapis.com" for name in names]


def apis(settings: Settings) -> list[str]:
    """The APIs that this stack needs, by their full names, in the order of the alphabet."""
    extra = [] if settings.on_vm else ["managedkafka"]
    extra += ["billingbudgets"] if settings.billing_account else []
    # Of what GitHub says, sts makes a token, and iamcredentials one of a service account.
    extra += ["iamcredentials", "sts"] if settings.github_repository_id else []
    return full_names(sorted((*FIRST_APIS, *APIS, *extra)))


class Project(pulumi.ComponentResource):
    """`provider` is what each other resource is made with: it waits for the APIs, and labels what has labels."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Project", "project", None, opts)
        enabled = self._enable(settings, _provider("apis", settings, pulumi.ResourceOptions(parent=self)))
        self.provider = _provider("cloud", settings, pulumi.ResourceOptions(parent=self, depends_on=enabled))
        # Who read which secret, when. Google logs changes by itself, and reads if it is asked to:
        # https://cloud.google.com/secret-manager/docs/audit-logging (read 2026-11-28).
        gcp.projects.IAMAuditConfig(
            "secret-reads",
            project=settings.project,
            service="secretmanager.googleapis.com",
            audit_log_configs=[gcp.projects.IAMAuditConfigAuditLogConfigArgs(log_type="DATA_READ")],
            opts=pulumi.ResourceOptions(parent=self, provider=self.provider),
        )
        self.register_outputs({})

    def _enable(self, settings: Settings, provider: gcp.Provider) -> list[pulumi.Resource]:
        async def settle(_args: pulumi.ResourceHookArgs) -> None:
            """Google says that an API is on a while before all of its servers know."""
            await asyncio.sleep(settings.api_wait_seconds)

        hooks = pulumi.ResourceHookBinding(after_create=[settle])
        return [
            gcp.projects.Service(
                name.partition(".")[0],
                project=settings.project,
                service=name,
                # Somebody else in the project may use it by now.
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self, provider=provider, hooks=hooks),
            )
            for name in apis(settings)
        ]


def _provider(name: str, settings: Settings, opts: pulumi.ResourceOptions) -> gcp.Provider:
    return gcp.Provider(
        name,
        project=settings.project,
        region=settings.region,
        zone=settings.zone,
        # With a person's own login, requests count against the quota of a project of Google's unless they name
        # another; some APIs, the one for budgets first, refuse that.
        user_project_override=True,
        billing_project=settings.project,
        default_labels={"app": NAMESPACE, "environment": settings.environment, "stack": settings.name},
        opts=opts,
    )
