"""Typed configuration: whatever is wrong is named by its key, before anything is declared."""

from dataclasses import fields, replace
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra import budget, config
from infra.config import Settings
from infra.errors import StackError
from infra.secret_store import DOCKER_HUB, SECRET_KEYS, SECRETS, TOKENS, checked, missing
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
    assert set(missing(settings, frozenset())) == SECRET_KEYS - {DOCKER_HUB.full_key}
    assert missing(settings, frozenset(secrets_of(settings))) == []
    pulls_as_somebody = replace(settings, docker_hub_user="somebody")
    assert missing(pulls_as_somebody, frozenset(secrets_of(settings))) == [DOCKER_HUB.full_key]


@pytest.mark.parametrize("value", ["short", "has spaces in it, and is long enough", "quote'quote'quote'quote'quote"])
def test_a_bad_secret_is_refused_and_not_shown(value: str) -> None:
    """It would break the file that docker compose reads; the message does not have it."""
    with pytest.raises(StackError) as error:
        checked("logbrook:kafkaGatewayPassword", value)
    assert value not in str(error.value)
    assert "logbrook:kafkaGatewayPassword" in str(error.value)


@pytest.mark.parametrize("value", ["", "name", "name=abc", "a=" + "0" * 64 + ",b"])
def test_bad_tokens_are_refused(value: str) -> None:
    """The gateway would not start with them."""
    with pytest.raises(StackError, match="gatewayTokens"):
        checked(TOKENS.full_key, value)
