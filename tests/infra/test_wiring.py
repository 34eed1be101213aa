"""The parts fit each other: what one advertises another is given, and each has just the rights it needs."""

import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from infra import autoscaler, backend, disks, images, rule_files
from infra.__main__ import program
from infra.errors import StackError

# The real one: where the program calls it, tests have another.
from infra.images import base_digest
from infra.policy import Declared, violations
from logbrook import config
from logbrook.cli import app
from tests.infra.engine import CANARY, ROOT, settings_of
from tests.infra.recorded import record, stack_config


@pytest.fixture(scope="module")
def prod() -> list[Declared]:
    """What the prod stack declares."""
    return record(program, stack_config("prod", sshUsers="user:a@example.com", queryUsers="group:b@example.com"))


def _one(resources: list[Declared], kind: str, name: str) -> dict[str, Any]:
    found = [each.inputs for each in resources if each.kind == kind and each.name == name]
    assert len(found) == 1, (kind, name)
    return found[0]


def _variables(inputs: Mapping[str, Any]) -> dict[str, Any]:
    container, *_ = inputs["template"]["containers"]
    return {each["name"]: each.get("value", each.get("valueSource")) for each in container["envs"]}


def test_one_address_from_the_broker_to_the_consumer(prod: list[Declared]) -> None:
    """The static address is the VM's, Kafka advertises it, and gateway, consumer and autoscaler are given it."""
    address = _one(prod, "Address", "node-address")["address"]
    node = _one(prod, "Instance", "node")
    assert node["networkInterfaces"][0]["networkIp"] == address
    variables = json.loads(node["metadata"]["logbrook-bundle"])["files"]["logbrook.env"].splitlines()
    assert f"LOGBROOK_VPC_ADDRESS={address}" in variables
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway")):
        assert _variables(_one(prod, kind, name))["LOGBROOK_KAFKA_BOOTSTRAP_SERVERS"] == f"{address}:9094"
    for kind, name in (("WorkerPool", "pool"), ("Service", "query")):
        assert _variables(_one(prod, kind, name))["LOGBROOK_CLICKHOUSE_HOST"] == address
    crema = yaml.safe_load(_one(prod, "ParameterVersion", "crema")["parameterData"])
    trigger = crema["spec"]["scaledObjects"][0]["spec"]["triggers"][0]["metadata"]
    assert trigger["bootstrapServers"] == f"{address}:9094"


def test_otlp_over_grpc_has_a_service_of_its_own() -> None:
    """Cloud Run serves one port, by HTTP/2 if it is named h2c. HTTP beside it answers the probes. Tokens are shared."""
    found = record(program, stack_config("prod", gatewayGrpc="true"))
    [http], [grpc] = (_one(found, "Service", name)["template"]["containers"] for name in ("gateway", "gateway-grpc"))
    assert grpc["ports"] == {"name": "h2c", "containerPort": 4317}
    assert {"name": "LOGBROOK_GATEWAY_GRPC_PORT", "value": "4317"} in grpc["envs"]
    assert grpc["startupProbe"] == http["startupProbe"]
    assert grpc["startupProbe"]["httpGet"]["port"] == 4318
    assert grpc["volumeMounts"] == http["volumeMounts"]
    assert not [each for each in record(program, stack_config("prod")) if "grpc" in each.name]


def test_the_firewall_knows_cloud_run_by_its_subnet(prod: list[Declared]) -> None:
    """The source is the range of the very subnet that pool and services are in; the target is the node's account."""
    subnet = _one(prod, "Subnetwork", "run-subnet")
    rule = _one(prod, "Firewall", "run-to-node")
    assert rule["sourceRanges"] == [subnet["ipCidrRange"]]
    assert rule["allows"] == [{"protocol": "tcp", "ports": ["9094", "8123"]}]
    assert rule["targetServiceAccounts"] == [_one(prod, "Instance", "node")["serviceAccount"]["email"]]
    identifier = f"projects/my-project/regions/us-central1/subnetworks/{subnet['name']}"
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway"), ("Service", "query"), ("Service", "crema")):
        (interface,) = _one(prod, kind, name)["template"]["vpcAccess"]["networkInterfaces"]
        assert interface["subnetwork"] == identifier
    assert ipaddress.ip_network(subnet["ipCidrRange"]).num_addresses >= 64


def test_alerts_on_logs_run_where_the_stack_names_rules(prod: list[Declared]) -> None:
    """The node gets the file and the name of a secret that it alone reads; the explorer asks the evaluator there."""
    found = record(program, stack_config("prod", alertRules="compose/alerts.yaml"))
    metadata = _one(found, "Instance", "node")["metadata"]
    bundle = json.loads(metadata["logbrook-bundle"])
    assert bundle["files"]["compose/alert/rules.yaml"] == (ROOT / "compose/alerts.yaml").read_text()
    [secret] = [each for each in bundle["secrets"].values() if each["name"] == "alertmanager-config"]
    assert secret["version"].endswith("/logbrook-prod-alertmanager-config/versions/1")
    assert CANARY not in json.dumps(metadata)
    assert _grants(found) - _grants(prod) == {
        ("node", "roles/secretmanager.secretAccessor", "logbrook-prod-alertmanager-config")
    }
    assert _one(found, "Firewall", "run-to-node")["allows"] == [{"protocol": "tcp", "ports": ["9094", "8123", "9466"]}]
    url = _variables(_one(found, "Service", "query"))["LOGBROOK_QUERY_ALERTS_URL"]
    assert url == f"http://{_one(found, 'Address', 'node-address')['address']}:9466"
    assert "LOGBROOK_QUERY_ALERTS_URL" not in _variables(_one(prod, "Service", "query"))
    without = _one(prod, "Instance", "node")["metadata"]["logbrook-bundle"]
    assert not {"compose/alert/rules.yaml", "alertmanager-config"} & {*re.findall(r'"([^"]+)"', without)}


def test_the_explorer_links_to_the_spans_of_traces() -> None:
    """Where the stack's file says where they are; an address without the trace's id is refused."""
    address = "https://jaeger.example.org/trace/{trace_id}"
    found = record(program, stack_config("prod", queryTraceUrl=address))
    assert _variables(_one(found, "Service", "query"))["LOGBROOK_QUERY_TRACE_URL"] == address
    with pytest.raises(StackError, match="logbrook:queryTraceUrl"):
        record(program, stack_config("prod", queryTraceUrl="https://jaeger.example.org/"))


def test_mistakes_in_rules_are_refused_with_their_place(tmp_path: Path) -> None:
    """Before anything is declared, by the service's own reader: every mistake, with its line and column."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - name: One\n    query: 'level>='\n    condition: plenty\n")
    with pytest.raises(StackError, match=r"(?s)logbrook:alertRules: .*rules.yaml:3:\d+: .*\n.*rules.yaml:4:16: "):
        record(program, stack_config("dev", alertRules=str(rules)))
    with pytest.raises(StackError, match=r"logbrook:alertRules: .*No such file"):
        rule_files.check(dataclasses.replace(settings_of("dev"), alert_rules="missing.yaml"))
    roles = tmp_path / "roles.yaml"
    roles.write_text("roles:\n  - name: team\n    who: [nobody]\n")
    with pytest.raises(StackError, match=r"logbrook:queryRoles: .*roles.yaml:3:11: "):
        record(program, stack_config("dev", queryIap="true", queryRoles=str(roles)))


def _grants(resources: list[Declared]) -> set[tuple[str, str, str]]:
    return {
        (each.inputs["member"].split("@")[0].rpartition(":")[2].removeprefix("logbrook-prod-"), each.inputs["role"],
         each.inputs.get("secretId") or each.inputs.get("repository") or each.inputs.get("name")
         or each.inputs.get("bucket") or each.inputs.get("instance") or each.inputs.get("instanceName")
         or each.inputs.get("serviceAccountId", "").rpartition("/")[2].partition("@")[0] or "project")
        for each in resources
        if "member" in each.inputs
    }  # fmt: skip


def test_each_identity_has_its_rights_and_no_other(prod: list[Declared]) -> None:
    """All grants of the stack, by who and where. A new line here is a new right: look twice."""
    grants = _grants(prod)
    secret = "roles/secretmanager.secretAccessor"
    pull = "roles/artifactregistry.reader"
    assert grants == {
        ("node", secret, "logbrook-prod-clickhouse-admin-password"),
        ("node", secret, "logbrook-prod-clickhouse-writer-password"),
        ("node", secret, "logbrook-prod-clickhouse-reader-password"),
        ("node", secret, "logbrook-prod-clickhouse-views-password"),
        ("node", secret, "logbrook-prod-kafka-gateway-password"),
        ("node", secret, "logbrook-prod-kafka-consumer-password"),
        ("node", secret, "logbrook-prod-kafka-autoscaler-password"),
        ("node", secret, "logbrook-prod-backup-key-secret"),
        ("backup", "roles/storage.objectUser", "my-project-logbrook-prod-backups"),
        ("node", pull, "logbrook-prod"),
        ("node", pull, "logbrook-prod-mirror"),
        ("node", "roles/logging.logWriter", "project"),
        ("node", "roles/monitoring.metricWriter", "project"),
        ("consumer", secret, "logbrook-prod-clickhouse-writer-password"),
        ("consumer", secret, "logbrook-prod-kafka-consumer-password"),
        ("consumer", pull, "logbrook-prod"),
        ("consumer", "roles/monitoring.metricWriter", "project"),
        ("gateway", secret, "logbrook-prod-kafka-gateway-password"),
        ("gateway", secret, "logbrook-prod-gateway-tokens"),
        ("gateway", pull, "logbrook-prod"),
        ("query", secret, "logbrook-prod-clickhouse-reader-password"),
        ("query", secret, "logbrook-prod-clickhouse-views-password"),
        ("query", pull, "logbrook-prod"),
        ("autoscaler", secret, "logbrook-prod-kafka-autoscaler-username"),
        ("autoscaler", secret, "logbrook-prod-kafka-autoscaler-password"),
        ("autoscaler", pull, "logbrook-prod"),
        ("autoscaler", "roles/run.developer", "logbrook-prod-consumer"),
        ("autoscaler", "roles/iam.serviceAccountUser", "logbrook-prod-consumer"),
        ("autoscaler", "roles/parametermanager.parameterViewer", "project"),
        ("a", "roles/iap.tunnelResourceAccessor", "logbrook-prod-node"),
        ("a", "roles/compute.osAdminLogin", "logbrook-prod-node"),
        ("a", "roles/iam.serviceAccountUser", "logbrook-prod-node"),
        ("b", "roles/run.invoker", "logbrook-prod-query"),
    }
    (parameter,) = (each.inputs for each in prod if each.inputs.get("role") == "roles/parametermanager.parameterViewer")
    assert '== "logbrook-prod-crema"' in parameter["condition"]["expression"]


def test_programs_get_settings_that_they_know(prod: list[Declared]) -> None:
    """Every variable is one of service/logbrook/config.py: an unknown one would keep a program from starting."""
    known = config.KNOWN
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway"), ("Service", "query")):
        assert set(_variables(_one(prod, kind, name))) <= known
    managed = record(program, stack_config("dev", backend="managed", clickhouseHost="c.example"))
    for name in ("migrate", "audit"):
        assert set(_variables(_one(managed, "Job", name)["template"])) <= known


def test_an_audit_every_hour_without_a_data_node() -> None:
    """Cloud Scheduler starts the job as its own account, which may start nothing else, and has the consumer's rights.

    It waits for its network. Both of its tries end before it is started again.
    """
    managed = record(program, stack_config("prod", backend="managed", clickhouseHost="c.example"))
    job, schedule = _one(managed, "Job", "audit"), _one(managed, "Schedule", "audit-hourly")
    task, target = job["template"]["template"], schedule["httpTarget"]
    path = "projects/my-project/locations/us-central1/jobs/logbrook-prod-audit"
    assert (target["httpMethod"], target["uri"]) == ("POST", f"https://run.googleapis.com/v2/{path}:run")
    assert target["oauthToken"] == {"serviceAccountEmail": task["serviceAccount"]}
    assert re.fullmatch(r"\d+ \* \* \* \*", schedule["schedule"])
    assert (1 + task["maxRetries"]) * int(task["timeout"].removesuffix("s")) < 3600
    [waits] = [each.removeprefix("--wait=") for each in task["containers"][0]["args"] if each.startswith("--wait=")]
    assert int(waits) > 120
    assert {grant[1:] for grant in _grants(managed) if grant[0] == "audit"} == {
        ("roles/secretmanager.secretAccessor", "logbrook-prod-clickhouse-writer-password"),
        ("roles/artifactregistry.reader", "logbrook-prod"),
        ("roles/managedkafka.client", "project"),
        ("roles/run.invoker", "logbrook-prod-audit"),
    }
    variables, consumers = _variables({"template": task}), _variables(_one(managed, "WorkerPool", "pool"))
    assert variables.items() <= consumers.items()


def test_the_gateways_tokens_are_a_file_that_is_always_the_newest(prod: list[Declared]) -> None:
    """Where its variable says, and only there: a new token makes no new revision."""
    gateway = _one(prod, "Service", "gateway")
    [container], [volume] = gateway["template"]["containers"], gateway["template"]["volumes"]
    [mount], [item] = container["volumeMounts"], volume["secret"]["items"]
    variables = {each["name"]: each.get("value") for each in container["envs"]}

    assert mount["name"] == volume["name"]
    assert variables["LOGBROOK_GATEWAY_TOKENS_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert volume["secret"]["secret"] == "logbrook-prod-gateway-tokens"
    assert item["version"] == "latest"
    assert "LOGBROOK_GATEWAY_TOKENS" not in variables
    assert variables["LOGBROOK_GATEWAY_INSTANCES"] == str(gateway["template"]["scaling"]["maxInstanceCount"])


def test_googles_sign_in_on_the_explorer_says_who_somebody_is() -> None:
    """IAP alone may call it, the members of `queryUsers` alone pass, and the service knows its audience and the roles.

    The audience of a service: docs.cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29).
    """
    chosen = {"queryIap": "true", "queryRoles": "tests/infra/roles.yaml", "queryUsers": "group:b@example.com"}
    found = record(program, stack_config("prod", **chosen))
    query, variables = _one(found, "Service", "query"), _variables(_one(found, "Service", "query"))
    let_in = {
        each.inputs["role"]: each.inputs["member"]
        for each in found
        if "query" in each.name and "role" in each.inputs and each.kind.startswith(("ServiceIamMember", "WebCloudRun"))
    }

    assert query["iapEnabled"] is True
    assert set(let_in) == {"roles/run.invoker", "roles/iap.httpsResourceAccessor"}
    number = re.match(r"serviceAccount:service-(\d+)@gcp-sa-iap", let_in["roles/run.invoker"])
    assert number is not None
    place = f"/projects/{number[1]}/locations/{query['location']}/services/{query['name']}"
    assert variables["LOGBROOK_QUERY_IAP_AUDIENCE"] == place
    assert let_in["roles/iap.httpsResourceAccessor"] == "group:b@example.com"
    [mount] = query["template"]["containers"][0]["volumeMounts"]
    assert variables["LOGBROOK_QUERY_ROLES"] == f"{mount['mountPath']}/query-roles"
    assert ("query", "roles/secretmanager.secretAccessor", "logbrook-prod-query-roles") in _grants(found)
    assert _one(found, "SecretVersion", "query-roles")["secretData"] == (ROOT / "tests/infra/roles.yaml").read_text()
    assert violations(found, prod=True) == []


@pytest.mark.parametrize(
    ("chosen", "url"), [({}, ""), ({"queryIap": "true"}, "https://logbrook-prod-query-1.us-central1.run.app")]
)
def test_links_in_alerts_lead_to_the_explorer(chosen: dict[str, str], url: str) -> None:
    """With Google's sign-in, to the address that Cloud Run will give it; else to compose.cloud.yaml's, the proxy's."""
    found = record(program, stack_config("prod", alertRules="compose/alerts.yaml", **chosen))
    assert [each.name for each in found if each.kind == "ServiceIdentity"].count("iap") == len(chosen)
    bundle = json.loads(_one(found, "Instance", "node")["metadata"]["logbrook-bundle"])
    assert f"LOGBROOK_ALERT_EXPLORER_URL={url}" in bundle["files"]["logbrook.env"].splitlines()
    assert violations(found, prod=True) == []


@pytest.mark.parametrize("cluster", ["", "default"])
def test_the_schema_is_made_for_the_cluster(cluster: str) -> None:
    """The job that creates the tables is told the cluster's name; no other program needs it."""
    chosen = {"backend": "managed", "clickhouseHost": "c.example", "clickhouseCluster": cluster}
    managed = record(program, stack_config("dev", **chosen))
    told = [each.name for each in managed if "LOGBROOK_SCHEMA_CLUSTER" in str(each.inputs)]
    assert told == ["migrate"]
    (container,) = _one(managed, "Job", "migrate")["template"]["template"]["containers"]
    values = {each["name"]: each.get("value") for each in container["envs"]}
    assert values["LOGBROOK_SCHEMA_CLUSTER"] == cluster


def test_programs_are_started_by_commands_that_exist(prod: list[Declared]) -> None:
    """The first argument of each container is a command of `logbrook`."""
    commands = {each.name or (each.callback.__name__ if each.callback else "") for each in app.registered_commands}
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway"), ("Service", "query")):
        container, *_ = _one(prod, kind, name)["template"]["containers"]
        assert set(container["args"]) <= commands, container["args"]
    managed = record(program, stack_config("dev", backend="managed", clickhouseHost="c.example"))
    for name in ("migrate", "audit"):
        [container] = _one(managed, "Job", name)["template"]["template"]["containers"]
        command, *arguments = container["args"]
        get_command(app).commands[command].make_context(command, arguments)  # type: ignore[attr-defined]


def test_the_consumers_probes_tolerate_a_minute_without_network(prod: list[Declared]) -> None:
    """The first egress of an instance may take that long."""
    for kind, name in (("WorkerPool", "pool"), ("Service", "gateway"), ("Service", "query")):
        container, *_ = _one(prod, kind, name)["template"]["containers"]
        probe = container["startupProbe"]
        assert 60 < probe["periodSeconds"] * probe["failureThreshold"] <= 240
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]
        assert container["livenessProbe"]["failureThreshold"] > 1


def test_the_autoscaler_is_one_that_always_runs(prod: list[Declared]) -> None:
    """Two would pull at the same rope, and one that sleeps scales nothing."""
    template = _one(prod, "Service", "crema")["template"]
    assert template["scaling"] == {"minInstanceCount": 1, "maxInstanceCount": 1}
    assert template["containers"][0]["resources"]["cpuIdle"] is False
    version = _one(prod, "ParameterVersion", "crema")
    assert _variables({"template": template})["CREMA_CONFIG"].endswith(version["parameterVersionId"])


@pytest.mark.parametrize("kind", ["vm", "managed"])
def test_crema_reads_its_configuration(kind: str) -> None:
    """Version and kind, a trigger for what the group lags behind, and a target that is the pool of this stack."""
    settings = dataclasses.replace(settings_of("prod"), backend=kind, clickhouse_host="c.example")
    crema = yaml.safe_load(autoscaler.crema_config(settings, "10.10.0.10:9094"))
    assert (crema["apiVersion"], crema["kind"]) == ("crema/v1", "CremaConfig")
    (scaled,) = (each["spec"] for each in crema["spec"]["scaledObjects"])
    target = "projects/my-project/locations/us-central1/workerpools/logbrook-prod-consumer"
    assert scaled["scaleTargetRef"]["name"] == target
    (trigger,) = scaled["triggers"]
    assert trigger["authenticationRef"]["name"] == crema["spec"]["triggerAuthentications"][0]["metadata"]["name"]
    assert trigger["type"] == {"vm": "kafka", "managed": "gcp-stackdriver"}[kind]
    if kind == "managed":
        # Other groups of the project have a lag of their own.
        assert 'consumer_group_id="logbrook"' in trigger["metadata"]["filter"]
    # KEDA's metadata are strings, every one.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] < behavior["scaleDown"]["stabilizationWindowSeconds"]


@given(lag=st.integers(0, 10**9), least=st.integers(1, 4), most=st.integers(4, 64), partitions=st.integers(1, 64))
def test_instances_for_a_lag(lag: int, least: int, most: int, partitions: int) -> None:
    """Between the fewest and the most, never more than partitions, and enough to be done in the wanted time."""
    settings = dataclasses.replace(
        settings_of("prod"), consumer_min=min(least, partitions), consumer_max=most, kafka_partitions=partitions
    )
    # As KEDA's scaler divides the lag, and CREMA then keeps it between the limits of this configuration.
    wanted = -(-lag // autoscaler.lag_threshold(settings))
    desired = min(max(wanted, settings.consumer_min), autoscaler.most_instances(settings))
    assert settings.consumer_min <= desired <= min(most, partitions)
    if desired < autoscaler.most_instances(settings):
        assert lag <= desired * settings.consumer_messages_per_second * settings.drain_seconds


def test_topic_and_group_are_the_services_defaults() -> None:
    """Rights in Kafka, the autoscaler's trigger and the programs name the same topic and group."""
    assert config.Kafka().topic == backend.TOPIC
    assert config.Consumer().group == backend.GROUP


def test_reads_of_secrets_are_logged(prod: list[Declared]) -> None:
    """Secret Manager logs changes by itself, and reads where the project says so."""
    [config] = [each.inputs for each in prod if each.kind == "IAMAuditConfig"]
    assert config["service"] == "secretmanager.googleapis.com"
    assert config["auditLogConfigs"] == [{"logType": "DATA_READ"}]


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        ("compute.disks.get: Error: projects/p/zones/z/disks/d not found", True),
        ("Error 403: Compute Engine API has not been used in project 1 before or it is disabled. Enable it", True),
        ("Error 403: This API method requires billing: billing is disabled for project p", False),
        ("Error 403: Required 'compute.disks.get' permission", False),
    ],
)
def test_a_disk_is_absent_only_if_google_says_so(words: str, absent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the lookup meets stops the deploy: a disk that is there must not be declared anew."""

    def refuse(**_: object) -> None:
        raise ValueError(words)

    monkeypatch.setattr("pulumi_gcp.compute.get_disk", refuse)
    with nullcontext() if absent else pytest.raises(ValueError, match="Error 403"):
        assert disks._existing(settings_of("prod"), "d") is None


def test_budget_and_mail_are_there_when_configured() -> None:
    """With a billing account and an address, spending and alerts reach somebody."""
    resources = record(program, stack_config("dev", billingAccount="0-0-0", alertEmail="ops@example.com"))
    (channel,) = (each for each in resources if each.kind == "NotificationChannel")
    assert channel.inputs["labels"] == {"email_address": "ops@example.com"}
    budget = _one(resources, "Budget", "budget")
    assert budget["allUpdatesRule"]["monitoringNotificationChannels"]
    assert all(each.inputs["notificationChannels"] for each in resources if each.kind == "AlertPolicy")


def test_a_budget_is_given_mail_alone() -> None:
    """Google refuses a budget with another kind of channel; with no address, those of the billing account are told."""
    slack = {"billingAccount": "0-0-0", "alertSlackChannel": "#ops", "alertSlackToken": "t" * 32}
    resources = record(program, stack_config("dev", alertEmail="ops@example.com", **slack))
    alert = next(each.inputs for each in resources if each.kind == "AlertPolicy")
    [mail] = _one(resources, "Budget", "budget")["allUpdatesRule"]["monitoringNotificationChannels"]
    assert len(alert["notificationChannels"]) == 2
    assert mail == alert["notificationChannels"][0]
    assert "allUpdatesRule" not in _one(record(program, stack_config("dev", **slack)), "Budget", "budget")


def test_the_images_tag_is_its_content(tmp_path: Path) -> None:
    """The same files have the same tag; another content, name or file has another. Caches do not count."""
    (tmp_path / "module.py").write_text("a = 1")
    first = images.content_tag(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/module.pyc").write_text("compiled")
    assert images.content_tag(tmp_path) == first
    (tmp_path / "module.py").write_text("a = 2")
    second = images.content_tag(tmp_path)
    (tmp_path / "other.py").write_text("")
    assert len({first, second, images.content_tag(tmp_path), images.content_tag(tmp_path, "@sha256:1")}) == 4


def test_a_patched_base_makes_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's tag is looked up at each deploy: its digest is what is built on, and part of our tag."""
    base = images.base_of((ROOT / "service/Dockerfile").read_text())
    assert re.fullmatch(r"python:3\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", base)
    # What the registry answers, in the words of Docker's documentation.
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!/bin/bash\n[[ $* == 'buildx imagetools inspect python:3' ]] || exit 1\n"
        f"echo 'Name:      docker.io/library/python:3'\necho 'Digest:    sha256:{'1a' * 32}'\n"
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert base_digest("python:3") == "@sha256:" + "1a" * 32
    with pytest.raises(StackError, match=r"imagetools inspect other:1.*pin BASE_DIGEST"):
        base_digest("other:1")
    assert base_digest("other:1@sha256:" + "2b" * 32) == "@sha256:" + "2b" * 32
    built = _one(record(program, stack_config("dev")), "Image", "service")
    assert built["buildArgs"] == {"BASE_DIGEST": "@sha256:" + "0" * 64}


def test_docker_hub_can_be_asked_as_somebody() -> None:
    """With a user, the mirror has the token's version; Artifact Registry's own account reads it, and nobody else."""
    chosen = stack_config("dev", dockerHubUser="somebody", dockerHubToken="dckr_pat_canary_0123456789")
    found = record(program, chosen)
    credentials = _one(found, "Repository", "mirror")["remoteRepositoryConfig"]["upstreamCredentials"]
    assert credentials["usernamePasswordCredentials"] == {
        "username": "somebody",
        "passwordSecretVersion": "projects/my-project/secrets/logbrook-dev-docker-hub-token/versions/1",
    }
    readers = [each.inputs["member"] for each in found if each.name.endswith("-reads-docker-hub-token")]
    assert readers == ["serviceAccount:service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com"]
    asked_as_nobody = record(program, stack_config("dev"))
    assert "upstreamCredentials" not in _one(asked_as_nobody, "Repository", "mirror")["remoteRepositoryConfig"]
