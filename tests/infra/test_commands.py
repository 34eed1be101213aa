"""The commands around a deploy: missing things are named with a remedy, secrets generated, costs estimated."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

from infra import config, cost, outputs, ready
from infra.machines import MACHINES
from infra.project import FIRST_APIS, full_names
from infra.secret_store import SECRET_KEYS, SECRETS
from logbrook.gateway.app import FORMATS
from tests.infra.engine import ROOT, settings_of

DEV = settings_of("dev")
DOCS = (ROOT / "docs/deploy.md").read_text()


def _programs(directory: Path, **scripts: str) -> str:
    for name, script in scripts.items():
        path = directory / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    return str(directory)


def _config(**changes: str) -> str:
    values = {"gcp:project": "real-project", "gcp:region": "us-central1", "gcp:zone": "us-central1-a"}
    values |= {"logbrook:environment": "dev", "logbrook:machineType": "e2-medium", "logbrook:kafkaDiskGib": "50"}
    values |= dict.fromkeys(SECRET_KEYS, "") | changes
    return json.dumps({key: {"value": value} for key, value in values.items()})


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On an empty PATH: Pulumi and gcloud, with where they come from."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = ready.check("dev")
    assert [each.split()[0] for each in found] == ["pulumi", "gcloud"]


@pytest.mark.parametrize(
    ("pulumi", "gcloud", "named"),
    [
        ("exit 1", "exit 1", ["pulumi login", "gcloud auth login", "application-default", "pulumi stack init dev"]),
        ("[[ $1 == whoami ]] || exit 1", "exit 0", ["pulumi stack init dev"]),
    ],
)
def test_missing_logins_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pulumi: str, gcloud: str, named: list[str]
) -> None:
    """Each with the command that helps, all at once."""
    monkeypatch.setenv("PATH", _programs(tmp_path, pulumi=pulumi, gcloud=gcloud, docker="exit 0"))
    found = ready.check("dev")
    assert len(found) == len(named)
    assert all(command in each for command, each in zip(named, found, strict=True))


@pytest.mark.parametrize(
    ("changes", "services", "named"),
    [
        ({}, " ".join(full_names(FIRST_APIS)), []),
        (
            {},
            "run.googleapis.com serviceusage.googleapis.com",
            ["services enable --project real-project cloudresourcemanager.googleapis.com`"],
        ),
        ({"gcp:project": "my-project"}, "", ["pulumi config set gcp:project"]),
        ({"logbrook:machineType": "e2-small"}, " ".join(full_names(FIRST_APIS)), ["Take e2-medium"]),
        ({"logbrook:machineTyp": "e2-small"}, " ".join(full_names(FIRST_APIS)), ["logbrook:machineTyp: no such key"]),
        ({"logbrook:alertRules": "no.yaml"}, " ".join(full_names(FIRST_APIS)), ["logbrook:alertRules: "]),
    ],
)
def test_what_the_project_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str], services: str, named: list[str]
) -> None:
    """Logged in, with a stack: the APIs, a configuration that does not fit; or nothing, and all is ready."""
    (tmp_path / ".docker").mkdir()
    helper = {"credHelpers": {"us-central1-docker.pkg.dev": "gcloud"}}
    (tmp_path / ".docker/config.json").write_text(json.dumps(helper))
    monkeypatch.setenv("HOME", str(tmp_path))
    pulumi = f"[[ $1 == config ]] && echo '{_config(**changes)}'; exit 0"
    gcloud = f"[[ $1 == services ]] && echo {services}; exit 0"
    monkeypatch.setenv("PATH", _programs(tmp_path, pulumi=pulumi, gcloud=gcloud, docker="exit 0"))
    found = ready.check("dev")
    assert len(found) == len(named)
    assert all(part in each for part, each in zip(named, found, strict=True))


def test_docs_enable_the_apis_that_are_asked_for() -> None:
    """The command in the guide has the very list that `make ready` checks."""
    (line,) = re.findall(r"gcloud services enable --project YOUR_PROJECT (.*)", DOCS)
    assert line.split() == full_names(FIRST_APIS)


def test_secrets_are_made_up_and_not_shown(tmp_path: Path) -> None:
    """Each missing one is set through a pipe; passwords are not printed, the token is, and its hash is stored."""
    pulumi = f"""
    if [[ $1 == config && $2 == --json ]]; then echo '{{"gcp:project": {{"value": "real-project"}},
      "gcp:region": {{"value": "us-central1"}}, "gcp:zone": {{"value": "us-central1-a"}},
      "logbrook:environment": {{"value": "dev"}}, "logbrook:alertRules": {{"value": "a.yaml"}},
      "logbrook:clickhouseReaderPassword": {{"secret": true}}}}'; exit; fi
    printf '%s=%s\\n' "${{@: -1}}" "$(cat)" >> {tmp_path}/set; echo "$@" >> {tmp_path}/argv"""
    environ = {**os.environ, "PATH": _programs(tmp_path, pulumi=pulumi) + ":" + os.environ["PATH"]}
    command = [sys.executable, "-m", "infra.passwords", "--stack", "dev"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    stored = dict(line.split("=", 1) for line in (tmp_path / "set").read_text().splitlines())
    made_up = {secret.full_key for secret in SECRETS if secret.ours}
    assert stored.keys() == made_up - {"logbrook:clickhouseReaderPassword"}
    assert "its configuration, with `< alertmanager.yml`): pulumi config set --stack dev --secret" in done.stdout
    arguments = (tmp_path / "argv").read_text()
    for key, value in stored.items():
        assert value not in done.stdout
        assert value not in arguments
        if key != "logbrook:gatewayTokens":
            assert len(value) >= 32
    (token,) = re.findall(r"export LOGBROOK_TOKEN=(\S+)", done.stdout)
    assert stored["logbrook:gatewayTokens"] == f"first={hashlib.sha256(token.encode()).hexdigest()}"


@pytest.mark.parametrize(("stack", "least", "most"), [("dev", 45, 75), ("prod", 230, 320)])
def test_cost_is_what_was_planned(stack: str, least: int, most: int) -> None:
    """The estimate is in the range that the design names, has a line for each part, and says that it is one."""
    text = cost.table(cost.of_file(stack), cost.prices())
    (total,) = re.findall(r"ESTIMATE, dollars a month +([\d.]+)", text)
    assert least <= float(total) <= most
    assert "Not verified: pool_cpu_per_second, pool_gib_per_second." in " ".join(text.split())
    parts = ("data node", "data disks", "consumer", "gateway", "query", "NAT, with its address", "NAT traffic")
    for part in (*parts, "secrets", "logs", "Managed Prometheus"):
        assert part in text


def test_every_choice_has_a_price() -> None:
    """No machine or disk type that a stack may have is missing in the table."""
    table = cost.prices()
    assert table["machine_per_hour"].keys() == MACHINES.keys()
    for machine in MACHINES:
        for disk in ("pd-standard", "pd-balanced", "pd-ssd"):
            assert cost.estimate(dataclasses.replace(DEV, machine_type=machine, disk_type=disk), table)


def test_every_price_has_a_source() -> None:
    """A page with a date, or the plain words that there is none; machines by their shape."""
    table = cost.prices()
    priced = {name for name in table if re.search("_per_|_month$", name) and name != "hours_per_month"}
    priced -= {"machine_per_hour", "disk_per_gib_month"}
    priced |= {f"disk_per_gib_month.{disk}" for disk in table["disk_per_gib_month"]}
    shared = {"e2-small", "e2-medium"}
    priced |= {f"machine_per_hour.{name if name in shared else each.shape}" for name, each in MACHINES.items()}
    assert table["sources"].keys() == priced
    for name, source in table["sources"].items():
        assert (
            source.startswith("not verified")
            or re.search(r"https://\S+.*20\d\d-\d\d-\d\d", source, re.DOTALL)
            or ("https://" in source and re.search(r"20\d\d-\d\d-\d\d", source))
        ), name


def test_more_costs_more() -> None:
    """A larger machine, a larger disk, an autoscaler, another consumer: each raises the sum."""
    table = cost.prices()
    base = sum(cost.estimate(DEV, table).values())
    for change in (
        dataclasses.replace(DEV, machine_type="e2-standard-8"),
        dataclasses.replace(DEV, clickhouse_disk_gib=500),
        dataclasses.replace(DEV, autoscaler=True),
        dataclasses.replace(DEV, consumer_min=2),
        dataclasses.replace(DEV, backend="managed"),
    ):
        assert sum(cost.estimate(change, table).values()) > base


def test_the_guides_targets_exist() -> None:
    """Every `make` of the guide is a target with a line of help."""
    makefiles = (ROOT / "infra/Makefile.inc").read_text() + (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z-]+):.* ## ", makefiles))
    assert set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", DOCS)) <= targets


@pytest.mark.parametrize("target", ["ready", "secrets", "preview", "up", "destroy", "outputs", "cost", "test-infra"])
def test_the_targets_work_with_the_makefile(target: str) -> None:
    """Each can be made from the repository's Makefile and this part of it, and is for the stack that was named."""
    own = "infra/Makefile.inc"
    files = [] if own in (ROOT / "Makefile").read_text() else ["-f", "Makefile", "-f", own]
    command = ["make", "-n", *files, target, "STACK=prod"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--stack prod" in done.stdout or target == "test-infra"


def test_the_guides_outputs_exist() -> None:
    """Every output that the guide names is one of a stack's, and it names all of them."""
    url = pulumi.Output.from_input("https://gateway.example")
    managed = dataclasses.replace(DEV, backend="managed", clickhouse_host="c.example")
    names = outputs.commands(DEV, url).keys() | outputs.commands(managed, url).keys()
    table = {name for line in DOCS.splitlines() if line.startswith("| `") for name in re.findall(r"`([a-z_]+)`", line)}
    used = set(re.findall(r"stack output --stack \w+ ([a-z_]+)", DOCS))
    assert used <= names
    assert names <= table


def test_the_guides_keys_exist() -> None:
    """Every `logbrook:key` in the guide and in the decisions is a key of the configuration or a secret."""
    known = {config.full_key(each.name) for each in dataclasses.fields(config.Settings)} | SECRET_KEYS
    for text in (DOCS, *((ROOT / "docs/decisions").joinpath(name).read_text() for name in _DECISIONS)):
        assert set(re.findall(r"\blogbrook:[a-z]\w+", text)) <= known


_DECISIONS = (
    "first-deploy.md",
    "gateway-domain.md",
    "zookeeper-and-kraft.md",
    "worker-pool-and-crema.md",
    "private-addressing.md",
)


def test_the_guides_commands_are_well_formed(tmp_path: Path) -> None:
    """Each block of the guide is shell that parses, and starts nothing but programs that the guide asks for."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) > 8
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.sh"
        path.write_text(block)
        subprocess.run(["bash", "-n", str(path)], check=True)
        # What is pasted after a line that keeps the terminal never runs.
        lines = block.splitlines()
        keeps = [line for line in lines if re.search(r"output .* (open_(explorer|clickhouse))|^read ", line)]
        assert keeps in ([], lines[-1:]), block
        for line in block.replace("\\\n", " ").splitlines():
            assert not line.strip() or line.split()[0] in {
                "gcloud",
                "gh",
                "pulumi",
                "make",
                "eval",
                "curl",
                "export",
                "read",
                "sudo",
                "openssl",
                "chmod",
            }, line


def test_the_first_event_is_one_that_the_gateway_takes(tmp_path: Path) -> None:
    """The line of the output sends JSON to a route that the gateway has, with the header that it wants.

    No process has the token among its arguments, which everybody on a machine may read.
    """
    line = outputs._send_first_event("https://gateway.example")
    (body,) = re.findall(r"-d '(.*)'", line)
    assert json.loads(body)["body"]
    (path,) = re.findall(r"https://gateway.example(/\S+)", line)
    assert path in {each.path for each in FORMATS}
    program = "curl() { cat >headers; printf '%s\\n' \"$@\" >arguments; }; LOGBROOK_TOKEN=of-a-test; " + line
    subprocess.run(["bash", "-euc", program], cwd=tmp_path, check=True)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert (tmp_path / "headers").read_text() == "Authorization: Bearer of-a-test"
    assert arguments[arguments.index("-H") + 1] == "@-"
    assert "of-a-test" not in "".join(arguments)
