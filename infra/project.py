"""The project's APIs, switched on, and the provider that creates everything else once they are.

Why, with sources: docs/decisions/first-deploy.md.
"""

import asyncio
from collections.abc import Iterable

import pulumi
import pulumi_gcp as gcp

from infra.config import NAMESPACE, Settings

# Switching the others on takes these two, and only `gcloud` can switch these on.
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
    """The APIs that this stack needs, by their full names, in alphabetical order."""
    extra = [] if settings.on_vm else ["cloudscheduler", "managedkafka"]
    extra += ["pubsub"] if settings.cloud_logging_filter else []
    extra += ["certificatemanager"] if settings.gateway_domain else []
    extra += ["billingbudgets"] if settings.billing_account else []
    # sts turns what GitHub says into a token, and iamcredentials turns that into a service account's token.
    extra += ["iamcredentials", "sts"] if settings.github_repository_id else []
    return full_names(sorted((*FIRST_APIS, *APIS, *extra)))


class Project(pulumi.ComponentResource):
    """Every other resource is created with `provider`: it waits for the APIs, and labels what can have labels."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Project", "project", None, opts)
        enabled = self._enable(settings, _provider("apis", settings, pulumi.ResourceOptions(parent=self)))
        self.provider = _provider("cloud", settings, pulumi.ResourceOptions(parent=self, depends_on=enabled))
        # Who read which secret, and when. Google logs changes by default, and reads on request:
        # https://cloud.google.com/secret-manager/docs/audit-logging (read 2026-11-28).
        gcp.projects.IAMAuditConfig(
            "secret-reads",
            project=settings.project,
            service="secretmanager.googleapis.com",
            audit_log_configs=[{"log_type": "DATA_READ"}],
            opts=pulumi.ResourceOptions(parent=self, provider=self.provider),
        )
        self.register_outputs({})

    def _enable(self, settings: Settings, provider: gcp.Provider) -> list[pulumi.Resource]:
        async def settle(_args: pulumi.ResourceHookArgs) -> None:
            """Google reports that an API is on some time before all of its servers know."""
            await asyncio.sleep(settings.api_wait_seconds)

        hooks = pulumi.ResourceHookBinding(after_create=[settle])
        return [
            gcp.projects.Service(
                name.partition(".")[0],
                project=settings.project,
                service=name,
                # Somebody else in the project may be using it by then.
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
        # With a person's own login, requests count against the quota of one of Google's projects unless they name
        # another; some APIs, such as the one for budgets, refuse that.
        user_project_override=True,
        billing_project=settings.project,
        default_labels={"app": NAMESPACE, "environment": settings.environment, "stack": settings.name},
        opts=opts,
    )
