"""GitHub's workflow deploys without a key: a pool that trusts one repository, and two accounts that it may act as.

As google-github-actions/auth describes it (README.md and docs/SECURITY_CONSIDERATIONS.md at v3.0.0, 7c6bc77): the
condition and the grants use GitHub's numeric ids, which are never given away again as names are. The claims are
documented at https://docs.github.com/en/actions/reference/security/oidc (read 2026-11-28).
"""

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.identity import Identity
from infra.policy import CONDITIONED_ROLES, PROJECT_ROLES

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
        # Reads the pool that it comes through; only an owner may change that.
        "roles/iam.workloadIdentityPoolViewer",
        "roles/iap.admin",
        "roles/logging.configWriter",
        "roles/monitoring.admin",
        "roles/parametermanager.admin",
        "roles/run.admin",
        "roles/secretmanager.admin",
        "roles/serviceusage.serviceUsageAdmin",
        "roles/storage.admin",
        "roles/storage.hmacKeyAdmin",
    ),
}
# A deploy grants these in the project, and no others:
# https://cloud.google.com/iam/docs/setting-limits-on-granting-roles (read 2026-11-28).
_GRANTED = ", ".join(f"'{role}'" for role in sorted((*PROJECT_ROLES, *CONDITIONED_ROLES)))
GRANTS_ONLY = f"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([{_GRANTED}])"


class GitHub(pulumi.ComponentResource):
    """The pool, its provider, and a job's account: `preview` for a pull request, `deploy` for the main branch."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:GitHub", "github", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        ours = f"assertion.repository_id == '{settings.github_repository_id}'"
        ours += f" && assertion.repository_owner_id == '{settings.github_owner_id}'"
        # The ref alone is not enough: pull_request_target runs a stranger's pull request with main's.
        merged = "assertion.event_name == 'push' && assertion.ref == 'refs/heads/main'"
        merged += f" && assertion.environment == '{pulumi.get_stack()}'"
        pool = gcp.iam.WorkloadIdentityPool(
            "github",
            workload_identity_pool_id=f"{settings.name}-github",
            display_name=f"Logbrook {settings.environment}: GitHub",
            opts=child,
        )
        provider = gcp.iam.WorkloadIdentityPoolProvider(
            "github",
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id="actions",
            attribute_mapping={
                "google.subject": "assertion.sub",
                "attribute.act": "assertion.event_name == 'pull_request' ? 'preview' : 'deploy'",
            },
            attribute_condition=f"{ours} && (assertion.event_name == 'pull_request' || ({merged}))",
            oidc={"issuer_uri": ISSUER},
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
        """The values of GitHub's variables, and what an owner grants once."""
        emails = {act: identity.email for act, identity in self.identities.items()}
        return {
            "github_provider": self.provider,
            "github_preview_account": emails["preview"],
            "github_deploy_account": emails["deploy"],
            "github_grant": pulumi.Output.all(**emails).apply(lambda found: "\n".join(grants(settings, found))),
        }


def grants(settings: Settings, emails: dict[str, str]) -> list[str]:
    """Lines for a shell, to be run by an owner of the project."""
    deploy = [*ROLES["deploy"]]
    deploy += [] if settings.on_vm else ["roles/cloudscheduler.admin", "roles/managedkafka.admin"]
    deploy += ["roles/certificatemanager.owner"] if settings.gateway_domain else []
    deploy += ["roles/pubsub.admin"] if settings.cloud_logging_filter else []
    add = f"gcloud projects add-iam-policy-binding {settings.project}"
    lines = [
        f"for role in {' '.join(roles)}; "
        f"do {add} --member serviceAccount:{emails[act]} --role $role --condition None; done"
        for act, roles in (("preview", ROLES["preview"]), ("deploy", deploy))
    ]
    member = f"--member serviceAccount:{emails['deploy']}"
    # A delimiter other than the comma, which the expression contains: `gcloud topic escaping`.
    condition = f"^:^title=only what a stack grants:expression={GRANTS_ONLY}"
    lines.append(f'{add} {member} --role roles/resourcemanager.projectIamAdmin --condition "{condition}"')
    if settings.billing_account:
        budgets = f"gcloud billing accounts add-iam-policy-binding {settings.billing_account}"
        lines.append(f"{budgets} {member} --role roles/billing.costsManager")
    return lines
