"""The repositories of container images, and the service's own image: built from service/, deployed by digest."""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker_build as docker_build
import pulumi_gcp as gcp

from infra.config import Settings
from infra.errors import StackError
from infra.identity import Identity
from infra.render import ROOT
from infra.secret_store import DOCKER_HUB, SecretStore


def base_of(dockerfile: str) -> str:
    """The image that a Dockerfile's BASE_IMAGE names, with its digest where one is pinned."""
    values: dict[str, str] = dict(re.findall(r"(?m)^ARG (BASE_IMAGE|BASE_DIGEST)=(\S*)", dockerfile))
    return values["BASE_IMAGE"] + values.get("BASE_DIGEST", "")


def base_digest(image: str) -> str:
    """The digest that the base image's tag currently points to, as `@sha256:...`; a pinned one is returned as it is.

    Raises StackError if the registry can't be asked: an image that is never rebuilt keeps its old base forever.
    """
    if "@sha256:" in image:
        return "@" + image.partition("@")[2]
    # https://docs.docker.com/engine/reference/commandline/buildx_imagetools_inspect/ (read 2026-11-28)
    command = ["docker", "buildx", "imagetools", "inspect", image]
    try:
        done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=60)
        if found := re.search(r"(?m)^Digest:\s+(sha256:[0-9a-f]{64})$", done.stdout):
            return f"@{found[1]}"
        reason = f"it says {done.stdout.strip()[:200]!r}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()[:500]
    raise StackError(
        f"`{' '.join(command)}` does not print the digest of the base image: {reason}. Set logbrook:image to an image "
        "that is already built, or pin BASE_DIGEST in service/Dockerfile."
    )


def content_tag(directory: Path, base: str = "") -> str:
    """A tag made from the names and contents of all files, and the base: any difference makes a new tag; none moves."""
    digest = hashlib.sha256(base.encode())
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not any(p.endswith(".egg-info") for p in path.parts):
            digest.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Images(pulumi.ComponentResource):
    """`image` is the service's image by digest; the public images are pulled through `mirror`."""

    def __init__(self, settings: Settings, store: SecretStore, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Images", "images", None, opts)
        self.settings = settings
        self.store = store
        self._child = pulumi.ResourceOptions(parent=self)
        host = f"{settings.region}-docker.pkg.dev"
        self.registry = host
        self.mirror = f"{host}/{settings.project}/{settings.name}-mirror"
        self.own = self._own_repository()
        self.public = self._mirror_repository() if settings.on_vm else None
        self.image: pulumi.Output[str] = (
            pulumi.Output.from_input(settings.image)
            if settings.image
            else self._build(f"{host}/{settings.project}/{settings.name}/service").ref
        )
        self.register_outputs({})

    def grant(self, identity: Identity) -> list[pulumi.Resource]:
        """Let an identity pull images. Whatever it starts should wait for the result."""
        repositories = {"service": self.own} | ({"mirror": self.public} if self.public else {})
        return [
            gcp.artifactregistry.RepositoryIamMember(
                f"{identity.role}-pulls-{name}",
                location=self.settings.region,
                repository=repository.repository_id,
                role="roles/artifactregistry.reader",
                member=identity.member,
                opts=self._child,
            )
            for name, repository in repositories.items()
            if name == "service" or identity.role == "node"
        ]

    def _own_repository(self) -> gcp.artifactregistry.Repository:
        return gcp.artifactregistry.Repository(
            "repository",
            repository_id=self.settings.name,
            location=self.settings.region,
            format="DOCKER",
            description="Logbrook's own images",
            docker_config={"immutable_tags": True},
            cleanup_policies=[
                {"id": "keep-recent", "action": "KEEP", "most_recent_versions": {"keep_count": 10}},
                {
                    "id": "delete-old",
                    "action": "DELETE",
                    "condition": {"tag_state": "ANY", "older_than": f"{30 * 86400}s"},
                },
            ],
            opts=self._child,
        )

    def _mirror_repository(self) -> gcp.artifactregistry.Repository:
        """Many machines behind one NAT address soon reach Docker Hub's limit; here each image is fetched once."""
        credentials, rights = self._docker_hub()
        remote: Any = {
            "description": "Docker Hub",
            "docker_repository": {"public_repository": "DOCKER_HUB"},
            "upstream_credentials": credentials,
        }
        return gcp.artifactregistry.Repository(
            "mirror",
            repository_id=f"{self.settings.name}-mirror",
            location=self.settings.region,
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            description="Public images, as the data node pulls them",
            remote_repository_config=remote,
            opts=pulumi.ResourceOptions(parent=self, depends_on=rights),
        )

    def _docker_hub(self) -> tuple[Any, list[pulumi.Resource]]:
        """Who pulls from Docker Hub. Artifact Registry's own account reads the token.

        https://github.com/hashicorp/terraform-provider-google-beta/blob/93c65b2d60fe/website/docs/r/artifact_registry_repository.html.markdown
        """
        if not self.settings.docker_hub_user:
            return None, []
        agent = gcp.projects.ServiceIdentity(
            "registry-agent", service="artifactregistry.googleapis.com", opts=self._child
        )
        password = {
            "username": self.settings.docker_hub_user,
            "password_secret_version": self.store.versions[DOCKER_HUB.name].name,
        }
        return {"username_password_credentials": password}, self.store.let_read("mirror", agent.member)

    def _build(self, name: str) -> docker_build.Image:
        service = ROOT / "service"
        base = base_digest(base_of((service / "Dockerfile").read_text()))
        return docker_build.Image(
            "service",
            # Relative to infra/, the program's directory.
            context=docker_build.BuildContextArgs(location="../service"),
            dockerfile=docker_build.DockerfileArgs(location="../service/Dockerfile"),
            platforms=[docker_build.Platform.LINUX_AMD64],
            build_args={"BASE_DIGEST": base},
            tags=[f"{name}:{content_tag(service, base)}"],
            push=True,
            build_on_preview=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.own]),
        )
