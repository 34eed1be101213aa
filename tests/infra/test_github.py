"""GitHub's workflow: who it may be, what that may do, and that no key and no broad right is in it."""

import re
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infra.__main__ import program
from infra.config import load
from infra.errors import StackError
from infra.github import ROLES, grants
from infra.policy import violations
from tests.infra import fake_gcp, recorded
from tests.infra.engine import ROOT
from tests.infra.fake_gcp import Cloud
from tests.infra.recorded import record, stack_config

IDS = {"githubRepositoryId": "260064828", "githubOwnerId": "1342004"}
# PyYAML reads the key `on` as true.
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())


def _act(provider: dict[str, Any], claims: dict[str, str]) -> str | None:
    """What a token with these claims may act as. A claim that is not there is an error, which trusts nobody."""
    condition, mapping = provider["attributeCondition"], provider["attributeMapping"]["attribute.act"]
    python = condition.replace("&&", "and").replace("||", "or")
    assertion = SimpleNamespace(**claims)
    try:
        if not eval(python, {"assertion": assertion}):
            return None
    except AttributeError:
        return None
    asked, yes, no = re.fullmatch(r"(.+) \? '(\w+)' : '(\w+)'", mapping).groups()  # type: ignore[union-attr]
    return yes if eval(asked, {"assertion": assertion}) else no


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
    trusted = {"repository_id": "260064828", "repository_owner_id": "1342004"}
    pull = {"event_name": "pull_request", "ref": "refs/pull/7/merge"}
    merged = {"event_name": "push", "ref": "refs/heads/main", "environment": "dev"}
    for claims, act in (
        (trusted | pull, "preview"),
        (trusted | merged, "deploy"),
        (trusted | merged | {"event_name": "pull_request_target"}, None),
        (trusted | merged | {"environment": "another"}, None),
        (trusted | {"event_name": "push", "ref": "refs/heads/main"}, None),
        (trusted | merged | {"ref": "refs/heads/branch"}, None),
        (trusted | merged | {"repository_id": "1"}, None),
        (trusted | pull | {"repository_owner_id": "1"}, None),
    ):
        assert _act(provider, claims) == act, claims
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


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"backend": "managed", "clickhouseHost": "c.example"},
        {"billingAccount": "012345-6789AB-CDEF01"},
        {"cloudLoggingFilter": "severity>=INFO"},
    ],
)
def test_an_owner_grants_what_the_stack_needs(changes: dict[str, str]) -> None:
    """Lines that a shell takes as they are. A deploy may grant what the stacks grant, and nothing else."""
    settings = load(stack_config("prod", **changes, **IDS), frozenset(stack_config("prod")))
    lines = grants(settings, {act: f"{act}@my-project.iam.gserviceaccount.com" for act in ROLES})
    shell = 'gcloud() { printf "%s\\n" "$@" --; }; ' + "\n".join(lines)
    calls = subprocess.check_output(["bash", "-euc", shell], text=True).split("\n--\n")[:-1]
    granted = {}
    for call in calls:
        words = call.split("\n")
        member, role = words[words.index("--member") + 1], words[words.index("--role") + 1]
        granted[member.partition("@")[0].removeprefix("serviceAccount:"), role] = words
    deploy = {role for act, role in granted if act == "deploy"}
    assert {role for act, role in granted if act == "preview"} == {"roles/compute.viewer"}
    for role in ("roles/cloudscheduler.admin", "roles/managedkafka.admin"):
        assert (role in deploy) == ("backend" in changes)
    assert ("roles/pubsub.admin" in deploy) == ("cloudLoggingFilter" in changes)
    assert ("roles/billing.costsManager" in deploy) == ("billingAccount" in changes)
    assert not {"roles/owner", "roles/editor"} & deploy
    limited = granted["deploy", "roles/resourcemanager.projectIamAdmin"]
    condition = limited[limited.index("--condition") + 1]
    allowed = set(re.findall(r"'(roles/[^']+)'", condition))
    assert condition.startswith("^:^title=only what a stack grants:expression=api.getAttribute('iam.googleapis.com/")
    assert condition.count(":") == 2
    found = record(
        program, stack_config("prod", grafana=str(settings.on_vm).lower(), autoscaler="true", **changes, **IDS)
    )
    assert {each.inputs["role"] for each in found if each.token.startswith("gcp:projects/iAMMember")} <= allowed
    assert not [role for role in allowed if role.endswith("dmin")]


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
