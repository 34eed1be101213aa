"""Typed configuration: whatever is wrong is named by its key, before anything is declared."""

import re
import subprocess
import sys
from dataclasses import fields, replace
from importlib.metadata import packages_distributions
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra import budget, config
from infra.config import Settings
from infra.errors import StackError
from infra.secret_store import ALERTMANAGER, DOCKER_HUB, SECRETS, TOKENS, checked, missing
from tests.infra.engine import ROOT, secrets_of, settings_of

LEAST = {
    "gcp:project": "a-project",
    "gcp:region": "europe-west1",
    "gcp:zone": "europe-west1-b",
    "logbrook:environment": "dev",
}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_repositorys_stacks_are_valid(stack: str) -> None:
    """Both files load, fit their machine, and are of the environment that they are named after."""
    settings = settings_of(stack)
    budget.check(settings)
    assert settings.environment == stack
    assert settings.protect_data


def test_pulumi_yaml_refreshes_before_each_deploy() -> None:
    """Without it, a deploy undoes what the autoscaler has set."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert project["options"] == {"refresh": "always"}
    assert project["main"] == "infra"


def test_defaults_alone_are_enough() -> None:
    """Project, region, zone and environment are all that a stack must say."""
    settings = config.load(LEAST)
    assert settings.on_vm
    assert settings.node_address == "10.10.0.10"
    assert settings.name == "logbrook-dev"


@pytest.mark.parametrize("key", sorted(LEAST))
def test_a_required_key_is_named(key: str) -> None:
    """Each of the four is asked for by its name."""
    with pytest.raises(StackError, match=f"{key} is not set"):
        config.load({name: value for name, value in LEAST.items() if name != key})


@given(st.sampled_from([field.name for field in fields(Settings)]), st.integers(0, 40))
def test_a_misspelt_key_is_named(name: str, at: int) -> None:
    """A key with a letter too much is no key of ours."""
    key = config.key_name(name)
    misspelt = f"logbrook:{key[: at % len(key)]}x{key[at % len(key) :]}"
    with pytest.raises(StackError, match=f"{misspelt}: no such key"):
        config.load({**LEAST, misspelt: "1"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gcp:project", "Not A Project"),
        ("gcp:region", "nowhere"),
        ("gcp:zone", "us-east1-b"),
        ("logbrook:environment", "staging"),
        ("logbrook:backend", "cluster"),
        ("logbrook:machineType", "e2-gigantic"),
        ("logbrook:diskType", "floppy"),
        ("logbrook:kafkaDiskGib", "big"),
        ("logbrook:kafkaDiskGib", "-1"),
        ("logbrook:autoscaler", "perhaps"),
        ("logbrook:consumerMin", "9"),
        ("logbrook:vmSubnet", "10.0.0.0/30"),
        ("logbrook:vmSubnet", "8.8.8.0/24"),
        ("logbrook:runSubnet", "10.10.0.0/24"),
        ("logbrook:image", "logbrook:latest"),
        ("logbrook:queryUsers", "[1]"),
        ("logbrook:name", "a-name-of-20-letters"),
        ("logbrook:name", "Upper"),
        ("gcp:project", ""),
        ("logbrook:managedKafkaMemoryGib", "100"),
    ],
)
def test_a_wrong_value_names_its_key(key: str, value: str) -> None:
    """The message begins with the key."""
    with pytest.raises(StackError) as error:
        config.load({**LEAST, key: value})
    assert str(error.value).startswith(key)


@pytest.mark.parametrize("key", ["logbrook:vmSubnet", "logbrook:runSubnet"])
def test_no_subnet_is_taken_for_dockers(key: str) -> None:
    """ClickHouse's administrator may come from there, and the node would look for the subnet in a container."""
    with pytest.raises(StackError, match=f"{key}: Docker's networks"):
        config.load({**LEAST, key: "172.20.0.0/24"})
    users = ET.parse(ROOT / "compose/clickhouse/cloud-users.xml").getroot()
    assert str(config.DOCKER_NETWORKS) in {node.text for node in users.findall("users/logbrook/networks/ip")}


def test_managed_needs_a_clickhouse() -> None:
    """With managed Kafka, ClickHouse has to be somewhere."""
    with pytest.raises(StackError, match="logbrook:clickhouseHost is not set"):
        config.load({**LEAST, "logbrook:backend": "managed"})


def test_managed_evaluates_no_rules() -> None:
    """There is no node that could: the key is refused at once, whatever is in the file."""
    managed = {**LEAST, "logbrook:backend": "managed", "logbrook:clickhouseHost": "c.example"}
    with pytest.raises(StackError, match="logbrook:alertRules: only with backend vm"):
        config.load({**managed, "logbrook:alertRules": "missing.yaml"})


def test_roles_need_to_know_who_somebody_is() -> None:
    """Without IAP on the query service itself, it can't tell one from another."""
    with pytest.raises(StackError, match="logbrook:queryRoles: only with logbrook:queryIap"):
        config.load({**LEAST, "logbrook:queryRoles": "roles.yaml"})
    assert config.load({**LEAST, "logbrook:queryRoles": "roles.yaml", "logbrook:queryIap": "true"}).query_iap


@pytest.mark.parametrize("text", ['["user:a@b.c", "group:d@e.f"]', "user:a@b.c", ""])
def test_lists(text: str) -> None:
    """Pulumi hands lists over as JSON; one value may stand alone."""
    assert all("@" in member for member in config.load({**LEAST, "logbrook:queryUsers": text}).query_users)


def test_every_key_says_what_it_is() -> None:
    """A meaning for each, and no key twice."""
    names = [config.full_key(field.name) for field in fields(Settings)]
    assert len(names) == len(set(names))
    assert all(field.metadata["meaning"].endswith(".") for field in fields(Settings))


def test_secrets_have_readers() -> None:
    """No secret is declared that nobody reads; tokens are the gateway's alone."""
    assert all(secret.readers and secret.backends and secret.meaning for secret in SECRETS)
    assert TOKENS.readers == ("gateway",)


def test_missing_secrets_are_named() -> None:
    """All of them at first, none when all are set."""
    settings = settings_of("dev")
    assert set(missing(settings, frozenset())) == {secret.full_key for secret in SECRETS if secret.ours}
    assert missing(settings, frozenset(secrets_of(settings))) == []
    pulls_as_somebody = replace(settings, docker_hub_user="somebody")
    assert missing(pulls_as_somebody, frozenset(secrets_of(settings))) == [DOCKER_HUB.full_key]
    has_rules = replace(settings, alert_rules="compose/alerts.yaml")
    assert missing(has_rules, frozenset(secrets_of(settings)) - {ALERTMANAGER.full_key}) == [ALERTMANAGER.full_key]


@pytest.mark.parametrize("value", ["short", "has spaces in it, and is long enough", "quote'quote'quote'quote'quote"])
def test_a_bad_secret_is_refused_and_not_shown(value: str) -> None:
    """It would break the file that docker compose reads; the message does not have it."""
    with pytest.raises(StackError) as error:
        checked("logbrook:kafkaGatewayPassword", value)
    assert value not in str(error.value)
    assert "logbrook:kafkaGatewayPassword" in str(error.value)


@pytest.mark.parametrize(
    "value", ["", "name", "name=abc", "a=" + "0" * 64 + ",b", "a=" + "0" * 64 + ";expires=soon", "a b=" + "0" * 64]
)
def test_bad_tokens_are_refused(value: str) -> None:
    """The gateway would not start with them."""
    with pytest.raises(StackError, match="gatewayTokens"):
        checked(TOKENS.full_key, value)


def test_tokens_that_the_gateway_reads_are_accepted() -> None:
    """Digests in upper case, limits, and an entry a line."""
    value = "a=" + "AB" * 32 + ";expires=2027-01-31;paths=/v1/logs+/ingest\nb=" + "ab" * 32
    assert checked(TOKENS.full_key, value) == value


@pytest.mark.parametrize(
    "value",
    ["", "route: [", "just words", "route: {receiver: a}", "route: {receiver: a}\nreceivers: [{name: xoxb-of-slack}]"],
)
def test_a_configuration_without_its_receiver_is_refused_and_not_shown(value: str) -> None:
    """Alertmanager would not start with it; the message has none of it, since there are secrets in it."""
    with pytest.raises(StackError, match="logbrook:alertmanagerConfig: not a configuration") as error:
        checked(ALERTMANAGER.full_key, value)
    assert "xoxb" not in str(error.value)


def test_the_example_of_a_configuration_is_taken() -> None:
    """The one in docs/alerts.md; tests/alert has what a real Alertmanager makes of it."""
    [example] = re.findall(r"```yaml\n(route:.*?)```", (ROOT / "docs/alerts.md").read_text(), re.DOTALL)
    assert checked(ALERTMANAGER.full_key, example) == example


def test_a_deploy_can_read_rules() -> None:
    """With the service's own code, which is not installed there, and nothing but infra/requirements.txt."""
    pinned = set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / "infra/requirements.txt").read_text()))
    hidden = [
        module
        for module, names in packages_distributions().items()
        if not pinned & {re.sub(r"[._]", "-", name).lower() for name in names}
    ]
    program = """if True:
        import sys
        class Hidden:
            def find_spec(self, name, path=None, target=None):
                if name in sys.argv: raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Hidden())
        sys.path[:] = [path for path in sys.path if not path.endswith("/service")]
        import infra.__main__, logbrook.alert.rules, logbrook.query.roles
        """
    command = [sys.executable, "-c", program, *{*hidden} - {"logbrook"}]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
