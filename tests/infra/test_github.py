"""GitHub's workflow: who it may be, what that may do, and that no key and no broad right is in it."""

import subprocess
from typing import Any

import pytest
import yaml

from infra.__main__ import program
from infra.config import load
from infra.errors import StackError
from infra.github import ROLES, _grant
from infra.policy import violations
from tests.infra import fake_gcp, recorded
from tests.infra.engine import ROOT
from tests.infra.fake_gcp import Cloud
from tests.infra.recorded import record, stack_config

IDS = {"githubRepositoryId": "260064828", "githubOwnerId": "1342004"}
# PyYAML reads the key `on` as true.
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())


def test_one_repository_is_trusted_by_its_number() -> None:
    """Tokens of any other repository, and of one that took its name, are refused; pull requests can't deploy."""
    found = record(program, stack_config("prod", **IDS))
    [provider] = [each.inputs for each in found if each.kind == "WorkloadIdentityPoolProvider"]
    bound = {
        each.inputs["serviceAccountId"].rpartition("/")[2].partition("@")[0]: each.inputs["member"]
        for each in found
        if each.inputs.get("role") == "roles/iam.workloadIdentityUser"
    }

    assert provider["oidc"] == {"issuerUri": "https://token.actions.githubusercontent.com"}
    assert provider["attributeCondition"] == (
        "assertion.repository_id == '260064828' && assertion.repository_owner_id == '1342004'"
    )
    assert provider["attributeMapping"]["attribute.act"].startswith("assertion.ref == 'refs/heads/main' ? 'deploy'")
    assert {account: member.rpartition("/")[2] for account, member in bound.items()} == {
        "logbrook-prod-gh-preview": "preview",
        "logbrook-prod-gh-deploy": "deploy",
    }
    assert all("/attribute.act/" in member and "*" not in member for member in bound.values())
    assert violations(found, prod=True) == []


def test_the_longest_name_fits_every_account() -> None:
    """A service account's id has 6 to 30 characters: https://cloud.google.com/iam/docs/service-accounts-create."""
    name = "a" * 19
    with pytest.raises(StackError):
        load(stack_config("prod", name=name + "a"), frozenset(stack_config("prod")))
    found = record(program, stack_config("prod", name=name, grafana="true", **IDS))
    accounts = [each.inputs["accountId"] for each in found if each.kind == "Account"]
    assert len(accounts) > 8
    assert not [each for each in accounts if not 6 <= len(each) <= 30]


def test_without_the_key_nothing_is_declared() -> None:
    """No pool, no accounts."""
    assert not [each for each in record(program, stack_config("prod")) if "github" in each.name]


def test_both_numbers_are_needed() -> None:
    """A pool that trusts half of what it should is refused before anything is declared."""
    with pytest.raises(StackError, match="belong together"):
        load(stack_config("dev", githubRepositoryId="1"), frozenset(stack_config("dev")))


def test_the_workflow_has_what_it_needs_and_no_more() -> None:
    """A read-only token of GitHub's, one of Google's by identity; forks of others get neither."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for name, job in WORKFLOW["jobs"].items():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        checkout, identity, *rest = job["steps"]
        assert checkout["uses"].startswith("actions/checkout@")
        assert checkout["with"] == {"persist-credentials": False}
        assert identity["with"]["service_account"] == f"${{{{ vars.LOGBROOK_{name.upper()}_ACCOUNT }}}}"
        assert "credentials_json" not in identity["with"]
        assert rest
    assert "head.repo.full_name == github.repository" in WORKFLOW["jobs"]["preview"]["if"]
    assert WORKFLOW["jobs"]["deploy"]["environment"]
    assert "--refresh=false" in WORKFLOW["jobs"]["preview"]["steps"][-1]["run"]


def test_docker_may_push_before_the_deploy_is_checked() -> None:
    """`make ready` refuses to go on until Docker is logged in to the stack's registry; a runner of GitHub's is not."""
    commands = [step.get("run", "") for step in WORKFLOW["jobs"]["deploy"]["steps"]]
    [push] = [number for number, command in enumerate(commands) if "gcloud auth configure-docker" in command]
    assert "-docker.pkg.dev" in commands[push]
    assert push < commands.index("make ready")


def test_a_preview_may_look_up_what_the_program_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is all in Compute Engine, which its account may view; without that, each preview would end with a 403."""
    asked = []

    def look_up(cloud: Cloud, token: str, inputs: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(token)
        return fake_gcp.look_up(cloud, token, inputs)

    monkeypatch.setattr(recorded, "look_up", look_up)
    recorded.record(program, stack_config("prod", **IDS))
    assert {token.partition("/")[0] for token in asked} == {"gcp:compute"}
    assert ROLES["preview"] == ("roles/compute.viewer",)


def test_an_owner_grants_both_accounts_their_roles() -> None:
    """A line for each, which a shell takes as it is."""
    line = _grant("my-project", "deploy@my-project.iam.gserviceaccount.com", ("roles/run.admin", "roles/iap.admin"))
    shell = 'gcloud() { printf "%s\\n" "$*"; }; ' + line
    assert subprocess.check_output(["bash", "-euc", shell], text=True).splitlines() == [
        f"projects add-iam-policy-binding my-project --member serviceAccount:deploy@my-project.iam.gserviceaccount.com "
        f"--role roles/{role} --condition None"
        for role in ("run.admin", "iap.admin")
    ]


def test_the_workflow_asks_for_variables_that_the_program_puts_out() -> None:
    """Each variable that a person sets in GitHub is named in docs/deploy.md."""
    text = (ROOT / ".github/workflows/deploy.yml").read_text()
    page = (ROOT / "docs/deploy.md").read_text()
    variables = {part.split(" ")[0].split("'")[0] for part in text.split("vars.")[1:]}

    assert variables == {
        "LOGBROOK_STACK",
        "LOGBROOK_STATE",
        "LOGBROOK_IDENTITY_PROVIDER",
        "LOGBROOK_PREVIEW_ACCOUNT",
        "LOGBROOK_DEPLOY_ACCOUNT",
    }
    assert not [each for each in variables if each not in page]
