"""Google's sign-in (Identity-Aware Proxy) in front of services."""

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.identity import may_call


class Iap(pulumi.ComponentResource):
    """It checks who the user is, and then calls the service as its own agent, of which the project has one."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions) -> None:
        super().__init__("logbrook:infra:Iap", "iap", None, opts)
        self._settings = settings
        self._agent = gcp.projects.ServiceIdentity(
            "iap", service="iap.googleapis.com", opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({})

    def audience(self, service_name: str) -> pulumi.Output[str]:
        """The audience of the header that it signs for a service.

        https://docs.cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29).
        """
        place = f"locations/{self._settings.region}/services/{service_name}"
        return pulumi.Output.concat("/projects/", self._project_number, "/", place)

    def url(self, service_name: str) -> pulumi.Output[str]:
        """The address that Cloud Run gives a service of that name, which need not exist yet.

        https://docs.cloud.google.com/run/docs/triggering/https-request, "Deterministic URL" (read 2026-11-29): there is
        one if the name and the project's number take at most 63 characters, and config.py limits the name to fewer.
        """
        rest = f".{self._settings.region}.run.app"
        return pulumi.Output.concat("https://", service_name, "-", self._project_number, rest)

    @property
    def _project_number(self) -> pulumi.Output[str]:
        """From the agent's name: serviceAccount:service-NUMBER@gcp-sa-iap.iam.gserviceaccount.com."""
        return self._agent.member.apply(lambda member: member.partition("@")[0].removeprefix("serviceAccount:service-"))

    def let_in(self, name: str, called: gcp.cloudrunv2.Service, opts: pulumi.ResourceOptions) -> None:
        """Admit the members of `queryUsers` to a service, and only through it."""
        may_call(f"iap-calls-{name}", called, self._agent.member, opts)
        for number, member in enumerate(self._settings.query_users):
            gcp.iap.WebCloudRunServiceIamMember(
                f"{name}-user-{number}",
                location=self._settings.region,
                cloud_run_service_name=called.name,
                role="roles/iap.httpsResourceAccessor",
                member=member,
                opts=opts,
            )
