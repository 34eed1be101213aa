"""Cloud Logging's entries, on their way through Pub/Sub to a gateway that nobody else reaches."""

import pytest

from infra import cloud_logging
from infra.__main__ import program
from infra.config import load
from infra.policy import Declared, violations
from logbrook.gateway.formats import pubsub
from tests.infra.recorded import record, stack_config

ON = {"cloudLoggingFilter": "severity>=INFO"}


@pytest.fixture(scope="module")
def found() -> list[Declared]:
    """The prod stack that takes Cloud Logging's entries."""
    return record(program, stack_config("prod", **ON))


def _one(found: list[Declared], kind: str, name: str) -> Declared:
    [one] = [each for each in found if (each.kind, each.name) == (kind, name)]
    return one


def test_google_checks_who_pushes(found: list[Declared]) -> None:
    """The account in the subscription's token may call the service, and nobody else; from outside nobody reaches it."""
    service = _one(found, "Service", "logging").inputs
    token = _one(found, "Subscription", "logging").inputs["pushConfig"]["oidcToken"]
    callers = [
        each.inputs["member"]
        for each in found
        if each.kind == "ServiceIamMember" and each.inputs["name"] == "logbrook-prod-logging"
    ]
    assert callers == [f"serviceAccount:{token['serviceAccountEmail']}"]
    assert service["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert not service.get("invokerIamDisabled")
    assert violations(found, prod=True) == []


def test_an_entry_finds_its_way(found: list[Declared]) -> None:
    """From the sink to the topic, from there to the path of the gateway that reads it, under the source's name."""
    topic, sink = _one(found, "Topic", "logging").inputs, _one(found, "ProjectSink", "logging").inputs
    subscription = _one(found, "Subscription", "logging").inputs
    [container] = _one(found, "Service", "logging").inputs["template"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["envs"]}

    assert sink["destination"] == f"pubsub.googleapis.com/projects/my-project/topics/{topic['name']}"
    assert sink["filter"] == ON["cloudLoggingFilter"]
    assert subscription["topic"] == f"projects/my-project/topics/{topic['name']}"
    address = subscription["pushConfig"]["oidcToken"]["audience"]
    assert subscription["pushConfig"]["pushEndpoint"] == address + pubsub.FORMAT.path
    assert container["args"] == ["gateway"]
    assert variables["LOGBROOK_GATEWAY_CHECKED_SOURCE"] == cloud_logging.SOURCE
    assert "LOGBROOK_GATEWAY_TOKENS_FILE" not in variables


def test_a_push_is_not_logged_into_another_push(found: list[Declared]) -> None:
    """Cloud Run logs every request: the entries of the stack's own services stay out."""
    [exclusion] = _one(found, "ProjectSink", "logging").inputs["exclusions"]
    names = {each.inputs["name"] for each in found if each.token.startswith("gcp:cloudrunv2/service:")}

    assert exclusion["filter"].endswith('=~"^logbrook-prod-"')
    assert all(name.startswith("logbrook-prod-") for name in names)


def test_what_is_refused_again_and_again_is_kept(found: list[Declared]) -> None:
    """After a hundred attempts it is moved to a topic whose subscription keeps it; neither subscription expires."""
    subscription, dead = (_one(found, "Subscription", name).inputs for name in ("logging", "logging-dead"))
    policy = subscription["deadLetterPolicy"]

    assert policy["deadLetterTopic"] == dead["topic"]
    assert policy["maxDeliveryAttempts"] == 100
    assert (dead["messageRetentionDuration"], dead["expirationPolicy"]) == ("2678400s", {"ttl": ""})
    assert subscription["expirationPolicy"] == {"ttl": ""}


def test_each_may_do_just_its_part(found: list[Declared]) -> None:
    """The sink publishes, Pub/Sub's own account moves what is refused."""
    grants = {
        (each.inputs["member"].split(":")[1].split("@")[1].split(".")[0], each.inputs["role"],
         each.inputs.get("topic") or each.inputs["subscription"])
        for each in found
        if each.token.startswith("gcp:pubsub/") and "role" in each.inputs
    }  # fmt: skip
    assert grants == {
        ("gcp-sa-logging", "roles/pubsub.publisher", "logbrook-prod-logging"),
        ("gcp-sa-pubsub", "roles/pubsub.publisher", "logbrook-prod-logging-dead"),
        ("gcp-sa-pubsub", "roles/pubsub.subscriber", "logbrook-prod-logging"),
    }


def test_without_a_filter_there_is_nothing_of_it() -> None:
    """No topic, no service, no API."""
    plain = record(program, stack_config("prod"))
    assert not [each for each in plain if "pubsub" in each.token or each.kind == "ProjectSink"]
    assert load(stack_config("prod"), frozenset(stack_config("prod"))).cloud_logging_filter == ""
