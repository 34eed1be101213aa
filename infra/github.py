"""GitHub's workflow deploys without a key: a pool that trusts one repository, and two accounts that it may act as.

As google-github-actions/auth describes it (README.md and docs/SECURITY_CONSIDERATIONS.md at v3.0.0, 7c6bc77): the
condition and the grants use GitHub's numeric ids, which are never given away again as names are.
"""

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.identity import Identity

ISSUER = "https://token.actions.githubusercontent.com"
# What an owner grants once, as `pulumi stack output github_grant` prints it; the program does not. A deploy must be
# allowed to create what the program declares, and a preview to look up the data disks (disks.py).
ROLES = {
    "preview": ("roles/compute.viewer",),
    "deploy": (
        "roles/artifactregistry.admin",
        "roles/compute.admin",
        "roles/iam.serviceAccountAdmin",
        "roles/iam.serviceAccountUser",
        "roles/iap.admin",
        "roles/logging.configWriter",
        "roles/monitoring.admin",
        "roles/parametermanager.admin",
        "roles/resourcemanager.projectIamAdmin",
        "roles/run.admin",
        "roles/secretmanager.admin",
        "roles/serviceusage.serviceUsageAdmin",
        "roles/storage.admin",
        "roles/storage.hmacKeyAdmin",
    ),
}


class GitHub(pulumi.ComponentResource):
    """The pool, its provider, and who a job is: of a pull request `preview`, of the main branch `deploy`."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:GitHub", "github", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        ours = f"assertion.repository_id == '{settings.github_repository_id}'"
        ours += f" && assertion.repository_owner_id == '{settings.github_owner_id}'"
        pool = gcp.iam.WorkloadIdentityPool(
            "github",
            project=settings.project,
            workload_identity_pool_id=f"{settings.name}-github",
            display_name=f"Logbrook {settings.environment}: GitHub",
            opts=child,
        )
        provider = gcp.iam.WorkloadIdentityPoolProvider(
            "github",
            project=settings.project,
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id="actions",
            attribute_mapping={
                "google.subject": "assertion.sub",
                # A pull request's ref is refs/pull/N/merge, whatever its branch is called.
                "attribute.act": "assertion.ref == 'refs/heads/main' ? 'deploy' : 'preview'",
            },
            attribute_condition=ours,
            oidc=gcp.iam.WorkloadIdentityPoolProviderOidcArgs(issuer_uri=ISSUER),
            opts=child,
        )
        self.identities = {}
        for act, meaning in (("preview", "a pull request's preview"), ("deploy", "the deploy of what is merged")):
            identity = self.identities[act] = Identity(settings, f"gh-{act}", meaning, child)
            gcp.serviceaccount.IAMMember(
                f"github-acts-as-{act}",
                service_account_id=identity.account.name,
                role="roles/iam.workloadIdentityUser",
                member=pulumi.Output.concat("principalSet://iam.googleapis.com/", pool.name, "/attribute.act/", act),
                opts=child,
            )
        self.provider: pulumi.Output[str] = provider.name
        self.register_outputs({})

    def outputs(self, settings: Settings) -> dict[str, pulumi.Input[str]]:
        """What GitHub's variables are set to, and what an owner grants once."""
        emails = {act: identity.email for act, identity in self.identities.items()}
        return {
            "github_provider": self.provider,
            "github_preview_account": emails["preview"],
            "github_deploy_account": emails["deploy"],
            "github_grant": pulumi.Output.all(**emails).apply(
                lambda found: "\n".join(_grant(settings.project, found[act], ROLES[act]) for act in ROLES)
            ),
        }


def _grant(project: str, email: str, roles: tuple[str, ...]) -> str:
    """A line for a shell, to be run by an owner of the project."""
    return (
        f"for role in {' '.join(roles)}; do gcloud projects add-iam-policy-binding {project} "
        f"--member serviceAccount:{email} --role $role --condition None; done"
    )
