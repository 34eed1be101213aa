"""What is needed before `make preview` and `make up`: says what is missing, each with the command that helps.

If nothing is missing, it says what may still stop the deploy (limits.py); that alone is not a failure.

python -m infra.ready --stack dev
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from infra import budget, limits, passwords, rule_files
from infra.config import Settings
from infra.errors import StackError
from infra.limits import Ask, ask
from infra.project import FIRST_APIS, full_names
from infra.secret_store import missing

PLACEHOLDER_PROJECT = "my-project"


def missing_programs(settings: Settings | None) -> list[str]:
    """Programs that are not on PATH."""
    found = []
    if not shutil.which("pulumi"):
        found.append("pulumi is not on PATH: https://www.pulumi.com/docs/iac/download-install/")
    if not shutil.which("gcloud"):
        found.append("gcloud is not on PATH: https://cloud.google.com/sdk/docs/install")
    if settings is not None and not settings.image and not shutil.which("docker"):
        found.append("docker is not on PATH: it builds the image. Or set logbrook:image to an image by digest")
    return found


def missing_logins(ask: Ask = ask) -> list[str]:
    """Pulumi's and Google's."""
    found = []
    if ask("pulumi", "whoami").code:
        found.append("not logged in to Pulumi: `pulumi login`, or `pulumi login gs://BUCKET`")
    if ask("gcloud", "auth", "print-access-token").code:
        found.append("not logged in to Google: `gcloud auth login`")
    if ask("gcloud", "auth", "application-default", "print-access-token").code:
        found.append("no application default credentials: `gcloud auth application-default login`")
    return found


def missing_in_project(settings: Settings, ask: Ask = ask) -> list[str]:
    """The project, its APIs, and the way to push the image."""
    project = settings.project
    if project == PLACEHOLDER_PROJECT:
        return ["gcp:project is still the example's: `pulumi config set gcp:project YOUR_PROJECT`"]
    if ask("gcloud", "projects", "describe", project).code:
        return [f"project {project} does not exist, or you may not see it: `gcloud projects create {project}`"]
    enabled = ask("gcloud", "services", "list", "--enabled", "--project", project, "--format", "value(config.name)")
    if enabled.code:
        return [f"can't list the APIs of {project}: `gcloud auth login` as one of its owners"]
    off = [name for name in full_names(FIRST_APIS) if name not in enabled.text.split()]
    return [f"APIs are off: `gcloud services enable --project {project} {' '.join(off)}`"] if off else []


def missing_helper(settings: Settings) -> list[str]:
    """Docker has to log in to Artifact Registry when it pushes."""
    if settings.image:
        return []
    host = f"{settings.region}-docker.pkg.dev"
    try:
        helpers = json.loads((Path.home() / ".docker/config.json").read_text()).get("credHelpers", {})
    except (OSError, ValueError):
        helpers = {}
    return [] if host in helpers else [f"Docker can't push to {host}: `gcloud auth configure-docker {host}`"]


def concerns(stack: str) -> list[str]:
    """What may stop the deploy even if nothing is missing."""
    settings, _ = passwords.settings_of(stack)
    compute = ask(
        "gcloud", "services", "list", "--enabled", "--project", settings.project, "--format", "value(config.name)"
    )
    return limits.concerns(settings, "compute.googleapis.com" in compute.text.split())


def check(stack: str) -> list[str]:
    """Everything that is missing for this stack. What can't be checked yet is left out."""
    found = missing_programs(None)
    if found:
        return found
    found = missing_logins()
    try:
        settings, keys = passwords.settings_of(stack)
        budget.check(settings)
        rule_files.check(settings)
    except subprocess.CalledProcessError:
        return [*found, f"no stack {stack}: `pulumi stack init {stack}`"]
    except StackError as error:
        return [*found, str(error)]
    found += missing_programs(settings) + missing_helper(settings)
    if secrets := missing(settings, keys):
        found.append(f"secrets are not set ({', '.join(secrets)}): `make secrets STACK={stack}`")
    return found + missing_in_project(settings)


def main() -> int:
    """Print what is missing; 1 if anything is."""
    parser = argparse.ArgumentParser(description="Say what is missing before a deploy.")
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args().stack
    found = check(stack)
    for each in found:
        print(f"missing: {each}", file=sys.stderr)
    if found:
        return 1
    for each in concerns(stack):
        print(f"look at: {each}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
