"""One set of rules for both worlds: each has a policy or a reason, sees figures that get there, and means the same."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import alerts, budget, dashboard
from infra.__main__ import program
from infra.policy import Declared
from infra.render import boot_file
from logbrook import metrics
from native import prometheus
from tests.infra.engine import ROOT, settings_of
from tests.infra.recorded import record, stack_config
from tests.infra.refused import World

PROD, DEV = settings_of("prod"), settings_of("dev")
MANAGED = {"backend": "managed", "clickhouseHost": "abc.clickhouse.example"}
RULES = {"alertRules": "compose/alerts.yaml"}
# Google's own, by its lists of metrics (read 2026-11-28): cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run,
# metrics_gcp_c#gcp-compute, metrics_opsagent. Cloud Run's table of built-in metrics has worker pools' billable time and
# jobs' completed executions: cloud.google.com/run/docs/monitoring.
GOOGLE = {
    "run_googleapis_com:request_count",
    "run_googleapis_com:request_latencies_bucket",
    "run_googleapis_com:container_billable_instance_time",
    "run_googleapis_com:container_instance_count",
    "run_googleapis_com:job_completed_execution_count",
    "compute_googleapis_com:instance_uptime",
    "agent_googleapis_com:memory_percent_used",
    "agent_googleapis_com:disk_percent_used",
    "agent_googleapis_com:disk_bytes_used",
}
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason=f"promtool is not installed: {prometheus.INSTALL}"
)


def _rules(path: Path) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def _policies(resources: list[Declared]) -> dict[str, dict[str, Any]]:
    return {each.name: each.inputs for each in resources if each.kind == "AlertPolicy"}


def _queries(stack: str, **changes: str) -> list[str]:
    """Every PromQL query of a stack's policies and of its dashboard."""
    resources = record(program, stack_config(stack, **changes))
    conditions = [
        policy["conditions"][0].get("conditionPrometheusQueryLanguage") for policy in _policies(resources).values()
    ]
    found = [each for each in conditions if each]
    [board] = [each.inputs["dashboardJson"] for each in resources if each.kind == "Dashboard"]
    drawn = re.findall(r'"prometheusQuery": "((?:[^"\\]|\\.)*)"', board)
    return [each["query"] for each in found] + [each.replace('\\"', '"') for each in drawn]


@pytest.mark.parametrize("stack", ["dev", "prod"])
@pytest.mark.parametrize("changes", [{}, MANAGED], ids=["vm", "managed"])
def test_every_rule_has_a_policy_or_a_reason(stack: str, changes: dict[str, str]) -> None:
    """Of both files; the reason names the metric that does not get there, or the key that turns the alert off."""
    policies = _policies(record(program, stack_config(stack, **changes)))
    settings = settings_of(stack)
    reasons = alerts.render(_changed(settings, changes))[1]

    known = _rules(alerts.LOCAL) | _rules(alerts.GCP)
    assert policies.keys() - {"OutOfMemory", "GatewayUnreachable"} == known.keys() - reasons.keys()
    assert all(re.search(r"logbrook:\w+|nothing sends it", reason) for reason in reasons.values())
    if stack == "prod" and not changes:
        assert reasons.keys() == {"AuditFailed", "NoAudit", "NotificationsFail"}


def _changed(settings: Any, changes: dict[str, str]) -> Any:
    renamed = {re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), key): value for key, value in changes.items()}
    return dataclasses.replace(settings, **renamed)


@pytest.mark.parametrize(
    "changes", [RULES, {"consumerMetrics": "true"}, MANAGED], ids=["vm with rules", "collector", "managed"]
)
def test_every_metric_of_a_query_gets_there(changes: dict[str, str]) -> None:
    """By what the node's agent and the collector forward, and by Google's lists; and only this stack's series count."""
    agent = boot_file("agent.yaml") + (boot_file("agent-alerts.yaml") if changes == RULES else "")
    jobs = yaml.safe_load(agent)["metrics"]["receivers"]["logbrook"]["config"]["scrape_configs"]
    forwarded = [job["metric_relabel_configs"][0]["regex"] for job in jobs]
    of_consumers = _of_consumers()
    queries = _queries("dev", **changes)

    assert ("alertmanager_notifications_failed_total" in str(queries)) == (changes == RULES)
    for query in queries:
        for name in alerts.metrics(query) - GOOGLE - {"up"}:
            if name.startswith("consumer_"):
                assert changes.get("consumerMetrics") == "true", query
                assert re.sub("_(bucket|count|sum|total)$", "", name) in of_consumers, name
            else:
                assert any(re.fullmatch(each, name) for each in forwarded), name
        selectors = re.findall(r"\b(?:up|\w+_googleapis_com:\w+|[a-zA-Z]+_\w+)\{([^}]*)\}", query)
        assert len(selectors) >= len(alerts.metrics(query))
        assert all("logbrook-dev" in each for each in selectors), query


def _of_consumers() -> set[str]:
    return {
        family.name
        for name in dir(metrics)
        if name.startswith("consumer_")
        for family in getattr(metrics, name).collect()
    }


def test_all_that_take_events_are_watched() -> None:
    """The gateway, the one for gRPC, and Cloud Logging's: where all come through one, the others get no requests."""
    for changes, services in (
        ({}, "gateway"),
        ({"gatewayGrpc": "true", "cloudLoggingFilter": "severity>=INFO"}, "gateway|gateway-grpc|logging"),
    ):
        policies = _policies(record(program, stack_config("prod", **changes)))
        for name in ("NoData", "GatewayErrors"):
            query = policies[name]["conditions"][0]["conditionPrometheusQueryLanguage"]["query"]
            assert f'service_name=~"logbrook-prod-({services})"' in query


def test_the_audit_is_watched_without_a_data_node() -> None:
    """What it finds is critical; that it does not run can wait until morning. Only this stack's job counts."""
    policies = _policies(record(program, stack_config("prod", **MANAGED)))
    for name, result, severity in (("AuditFailed", "failed", "CRITICAL"), ("NoAudit", "succeeded", "WARNING")):
        [condition] = policies[name]["conditions"]
        query = condition["conditionPrometheusQueryLanguage"]["query"]
        assert f'{{result="{result}",monitored_resource="cloud_run_job",job_name="logbrook-prod-audit"}}' in query
        assert policies[name]["severity"] == severity


def test_whatever_the_agent_scrapes_is_missed() -> None:
    """By one policy for each job: BrokerDown for Kafka, TargetDown for the others, those of alert rules included."""
    [broker, target] = [alert for alert in alerts.render(PROD)[0] if "up" in alerts.metrics(alert.query)]
    assert 'up{job="kafka",namespace=~".+/logbrook-prod-node"} == 0' in broker.query
    assert target.query == 'up{job!="kafka",namespace=~".+/logbrook-prod-node"} == 0'


def test_every_policy_says_what_to_do() -> None:
    """The text is the runbook's own section, as long as Google takes it, with the way to the node if there is one."""
    for settings in (PROD, _changed(PROD, MANAGED)):
        for alert in alerts.render(settings)[0]:
            # https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Documentation
            assert len(alert.content) < 8192
            assert f"*{alert.name}*" in alert.content
            assert ("gcloud compute ssh logbrook-prod-node" in alert.content) == settings.on_vm
            assert "{{" not in alert.content
    for name, policy in _policies(record(program, stack_config("prod"))).items():
        assert f"*{name}*" in policy["documentation"]["content"]


def test_critical_alerts_are_critical() -> None:
    """Severity is the rule's; PagerDuty is called for those alone."""
    secrets = {"alertPagerdutyKey": "k" * 32, "alertSlackToken": "t" * 32}
    channels = {"alertEmail": "ops@example.com", "alertPagerduty": "true", "alertSlackChannel": "#ops"}
    resources = record(program, stack_config("prod", **channels, **secrets))
    for name, policy in _policies(resources).items():
        rule = (_rules(alerts.LOCAL) | _rules(alerts.GCP)).get(name)
        severity = rule["labels"]["severity"] if rule else "critical"
        assert policy["severity"] == severity.upper(), name
        assert len(policy["notificationChannels"]) == (3 if severity == "critical" else 2)
    by_type = {each.inputs["type"]: each.inputs for each in resources if each.kind == "NotificationChannel"}
    assert by_type["slack"]["labels"] == {"channel_name": "#ops"}
    assert by_type["slack"]["sensitiveLabels"] == {"authToken": "t" * 32}
    assert by_type["pagerduty"]["sensitiveLabels"] == {"serviceKey": "k" * 32}


@pytest.mark.parametrize(
    ("secret", "kind"), [({}, "webhook_tokenauth"), ({"alertWebhookPassword": "p" * 24}, "webhook_basicauth")]
)
def test_a_webhook_is_posted_to(secret: dict[str, str], kind: str) -> None:
    """With a password if there is one: as Google's kinds of webhook have it."""
    resources = record(program, stack_config("dev", alertWebhook="https://hooks.example/x", **secret))
    [channel] = [each.inputs for each in resources if each.kind == "NotificationChannel"]

    assert channel["type"] == kind
    assert channel["labels"]["url"] == "https://hooks.example/x"
    assert ("password" in channel.get("sensitiveLabels", {})) == bool(secret)


def test_disks_are_watched_beyond_what_is_planned() -> None:
    """A disk that is as full as its stack's file plans for wakes nobody; no device is known by its letter."""
    query = _rules(alerts.GCP)["DiskFilling"]["expr"]

    assert float(query.rpartition(">")[2]) > budget.FULL_DISK * 100
    assert "sd" not in query


@needs_promtool
def test_the_rules_of_gcp_fire_when_they_should(tmp_path: Path) -> None:
    """alerts.yml, by promtool, with a case for each alert in which it fires and one in which it does not."""
    files = sorted(Path(__file__).parent.glob("alerts*_test.yml"))
    for file in (alerts.GCP, *files):
        shutil.copy(file, tmp_path)
    done = _promtool(tmp_path, *[file.name for file in files])

    assert done.returncode == 0, done.stdout + done.stderr
    cases = [case for file in files for case in yaml.safe_load(file.read_text())["tests"]]
    fired = {look["alertname"] for case in cases for look in case["alert_rule_test"] if look["exp_alerts"]}
    assert fired == _rules(alerts.GCP).keys()


@needs_promtool
def test_what_is_rendered_means_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queries of the policies, without the labels of the stack, pass the cases that Prometheus' own rules pass."""
    monkeypatch.setattr(alerts, "scopes", lambda settings: {r".*": ""})
    rules = _rules(alerts.LOCAL)
    rendered = [
        rules[alert.name] | {"expr": alert.query}
        for alert in alerts.render(PROD)[0]
        if alert.name in rules.keys() - _rules(alerts.GCP).keys()
    ]
    cases = yaml.safe_load((alerts.LOCAL.parent / "rules_test.yml").read_text())
    names = {rule["alert"] for rule in rendered}
    for case in cases["tests"]:
        case["alert_rule_test"] = [look for look in case["alert_rule_test"] if look["alertname"] in names]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "rendered", "rules": rendered}]}))
    (tmp_path / "rules_test.yml").write_text(yaml.safe_dump(cases))
    done = _promtool(tmp_path, "rules_test.yml")

    assert len(names) > 10
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """Those of the dashboard too, with the interval that Cloud Monitoring fills in."""
    queries = [query.replace("${__interval}", "1m") for query in [*_queries("prod"), *_queries("prod", **MANAGED)]]
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _promtool(directory: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "test", "rules", *files]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_the_dashboard_has_the_seven_figures() -> None:
    """As the explorer's view Health has them; what does not get there says why."""
    assert len(dashboard.FIGURES) == 7
    assert dashboard.document(PROD).count('"prometheusQuery"') == 7
    assert dashboard.document(DEV).count('"prometheusQuery"') == 6
    # Without a data node there is no disk, but an audit.
    managed = dashboard.document(_changed(PROD, MANAGED))
    assert managed.count('"prometheusQuery"') == 6
    assert 'job_name=\\"logbrook-prod-audit\\"' in managed
    assert "logbrook:consumerMetrics is off" in dashboard.document(DEV)


def test_a_collector_sends_the_consumers_metrics_on() -> None:
    """It runs beside the consumer, asks it where it serves, and may write metrics; off, there is none of that."""
    found = record(program, stack_config("prod"))
    [pool] = [each.inputs for each in found if each.kind == "WorkerPool"]
    consumer, beside = pool["template"]["containers"]
    served = {each["name"]: each.get("value") for each in consumer["envs"]}
    [told] = beside["envs"]
    config = yaml.safe_load(told["value"])
    [scrape] = config["receivers"]["prometheus"]["config"]["scrape_configs"]

    assert beside["args"] == ["--config=env:OTELCOL_CONFIG"]
    assert scrape["static_configs"] == [{"targets": [f"localhost:{served['LOGBROOK_CONSUMER_HEALTH_PORT']}"]}]
    used = {name for name, parts in config.items() if name != "service"} & {"receivers", "processors", "exporters"}
    for kind in used:
        assert list(config[kind]) == config["service"]["pipelines"]["metrics"][kind]
    writers = [each.inputs for each in found if each.inputs.get("role") == "roles/monitoring.metricWriter"]
    assert any("-consumer@" in each["member"] for each in writers)
    off = record(program, stack_config("prod", consumerMetrics="false"))
    [pool] = [each.inputs for each in off if each.kind == "WorkerPool"]
    assert len(pool["template"]["containers"]) == 1


def test_memory_is_watched_on_this_stacks_machine() -> None:
    """Other machines of the project run out of memory without waking whoever runs this stack."""
    policy = _policies(record(program, stack_config("prod")))["OutOfMemory"]
    asked = policy["conditions"][0]["conditionMatchedLog"]["filter"]
    assert 'resource.labels.instance_id="number-of-logbrook-prod-node"' in asked
    assert asked.count(" AND ") == 3


def test_a_new_stack_has_a_backup_before_its_absence_is_an_alert() -> None:
    """The first is made soon after the machine has booted, not only at night."""
    timer = (ROOT / "infra/boot/logbrook-backup.timer").read_text()
    first, spread = (int(re.search(rf"{key}=(\d+)min", timer)[1]) for key in ("OnActiveSec", "RandomizedDelaySec"))  # type: ignore[index]
    waits = _rules(alerts.GCP)["BackupStale"]["for"]
    assert first + spread + 30 <= 60 * int(waits.removesuffix("h"))


def test_an_alert_on_what_does_not_exist_yet_is_refused() -> None:
    """The fake does what Google does: a condition on a metric that nothing has reported is answered 404."""
    policy, world = "gcp:monitoring/alertPolicy:AlertPolicy", World(on={"monitoring": 0.0})
    threshold = {"conditionThreshold": {"filter": 'metric.type = "logging.googleapis.com/user/oom"'}}
    promql = {"query": "consumer_lag_messages > 1"}
    for condition in (threshold, {"conditionPrometheusQueryLanguage": promql}):
        refusal = world.create(policy, {"conditions": [condition]}, "1", {})
        assert refusal is not None
        assert refusal[0] == 404
        assert "Cannot find metric" in refusal[1]
    unasked = {"conditionPrometheusQueryLanguage": promql | {"disableMetricValidation": True}}
    assert world.create(policy, {"conditions": [unasked]}, "1", {}) is None
