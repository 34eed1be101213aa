"""One set of alert rules for both worlds: Prometheus rules (compose/prometheus/rules.yml) as Cloud Monitoring queries.

A rule is rendered if its metrics reach Cloud Monitoring; alerts.yml replaces those whose metrics come from elsewhere on
GCP, and adds what only Google sees. Every rule that is left out has a reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.config import NAMESPACE, Settings

ROOT = Path(__file__).parent.parent
LOCAL, GCP = ROOT / "compose/prometheus/rules.yml", Path(__file__).parent / "alerts.yml"
# A metric with its labels, unless it is part of a longer name or of a string.
_SELECTOR = re.compile(
    r"(?<![\w:\"])((?:up|(?:alertmanager|consumer|gateway|query|audit|backup|kafka|zookeeper|process|node|ClickHouse[A-Za-z]+)_\w+"
    r"|[a-z]+_googleapis_com:\w+))\b(?:\{([^}]*)\})?"
)


@dataclass(frozen=True)
class Alert:
    """A rule as Cloud Monitoring accepts it. `content` is the text for the person who is woken up."""

    name: str
    group: str
    query: str
    seconds: int
    critical: bool
    summary: str
    content: str


def scopes(settings: Settings) -> dict[str, str]:
    """Which metrics reach Cloud Monitoring, as patterns of their names, and the labels that select this stack's.

    Google's agent on the node sets `namespace` to the machine's id and name, as it does in its own tests; the collector
    next to a consumer is told which one to set (collector.py).
    """
    # Each of them takes events, and senders may all use one of them.
    beside = {"gateway-grpc": settings.gateway_grpc, "logging": settings.cloud_logging_filter}
    gateways = ["gateway", *[name for name, is_there in beside.items() if is_there]]
    gateway = f'monitored_resource="cloud_run_revision",service_name=~"{settings.name}-({"|".join(gateways)})"'
    pool = f'monitored_resource="cloud_run_worker_pool",worker_pool_name="{settings.name}-consumer"'
    found = {
        "run_googleapis_com:request_count": gateway,
        r"run_googleapis_com:request_latencies_\w+": (
            f'monitored_resource="cloud_run_revision",service_name="{settings.name}-query"'
        ),
        "run_googleapis_com:container_billable_instance_time": pool,
    }
    if settings.autoscaler:
        found["run_googleapis_com:container_instance_count"] = (
            f'monitored_resource="cloud_run_revision",service_name="{settings.name}-crema"'
        )
    if not settings.on_vm:
        found["run_googleapis_com:job_completed_execution_count"] = (
            f'monitored_resource="cloud_run_job",job_name="{settings.name}-audit"'
        )
    else:
        node = f"{settings.name}-node"
        found |= {
            r"compute_googleapis_com:\w+": f'instance_name="{node}"',
            r"agent_googleapis_com:\w+": f'monitored_resource="gce_instance",metadata_system_name="{node}"',
            r"up|(kafka|zookeeper|audit|backup|ClickHouse[A-Za-z]+)_\w+": f'namespace=~".+/{node}"',
        }
        if settings.alert_rules:
            found[r"alertmanager_\w+"] = f'namespace=~".+/{node}"'
    if settings.consumer_metrics:
        found[r"consumer_\w+"] = f'cluster="__run__",namespace="{settings.name}-consumer"'
    return found


def render(settings: Settings) -> tuple[list[Alert], dict[str, str]]:
    """The stack's alerts, and by name the reason why each other rule has none."""
    recorded = {rule["record"]: rule["expr"] for _, rule in _rules(LOCAL) if "record" in rule}
    here = {rule["alert"]: (group, rule) for path in (LOCAL, GCP) for group, rule in _rules(path) if "alert" in rule}
    alerts, left_out = [], {}
    for name, (group, rule) in here.items():
        try:
            query = promql(settings, _inlined(rule["expr"], recorded))
            alerts.append(_alert(settings, name, group, rule, query))
        except LookupError as error:
            left_out[name] = str(error)
    if not settings.minutes_without_data:
        alerts = [alert for alert in alerts if alert.name != "NoData"]
        left_out["NoData"] = f"{NAMESPACE}:minutesWithoutData is 0"
    return alerts, left_out


def promql(settings: Settings, expression: str) -> str:
    """The expression on this stack's series. Of alternatives, those remain whose metrics reach Cloud Monitoring.

    Raises LookupError, with the metric and the reason, if none of them does.
    """
    there, missing = [], ""
    for alternative in _alternatives(" ".join(expression.split())):
        try:
            there.append(_SELECTOR.sub(lambda found: _scoped(settings, found), alternative))
        except LookupError as error:
            missing = str(error)
    if not there:
        raise LookupError(missing)
    return " or ".join(there)


def metrics(query: str) -> set[str]:
    """The names of the metrics in a query."""
    return {found[1] for found in _SELECTOR.finditer(query)}


def _rules(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            yield group["name"], rule


def _inlined(expression: str, recorded: dict[str, str]) -> str:
    """Nothing evaluates recording rules for Cloud Monitoring: what they would record is in the query itself."""
    for name, definition in recorded.items():
        expression = expression.replace(name, f"({definition})")
    return expression


def _alternatives(expression: str) -> list[str]:
    """The operands of `or` outside any parentheses; `or` has the lowest precedence."""
    depth, parts = 0, [""]
    for word in re.split(r"(\bor\b|[()])", expression):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "or" and depth == 0:
            parts.append("")
        else:
            parts[-1] += word
    return [part.strip() for part in parts]


def _scoped(settings: Settings, found: re.Match[str]) -> str:
    name, labels = found[1], found[2]
    for pattern, ours in scopes(settings).items():
        if re.fullmatch(pattern, name):
            return f"{name}{{{labels},{ours}}}" if labels else f"{name}{{{ours}}}"
    for beginning, why in (
        ("consumer_", "consumerMetrics is off"),
        ("alertmanager_", "alertRules is empty"),
        ("run_googleapis_com:container_instance_count", "autoscaler is off"),
        ("run_googleapis_com:job_", "backend is vm: the node audits"),
    ):
        if name.startswith(beginning):
            raise LookupError(f"{name}: {NAMESPACE}:{why}")
    raise LookupError(f"{name}: nothing sends it to Cloud Monitoring")


def _alert(settings: Settings, name: str, group: str, rule: dict[str, Any], query: str) -> Alert:
    if name == "NoData":
        query = query.replace("[30m]", f"[{settings.minutes_without_data or 30}m]")
    texts = rule["annotations"]
    page, _, anchor = texts["runbook"].partition("#")
    content = [f"**{texts['summary']}.**", _described(texts["description"])]
    if settings.on_vm:
        where = f"--zone {settings.zone} --project {settings.project}"
        content.append(f"To the node: `gcloud compute ssh {settings.name}-node {where} --tunnel-through-iap`")
    content.append(section(page, anchor))
    return Alert(
        name,
        group,
        query,
        _seconds(rule.get("for", "0s")),
        rule["labels"]["severity"] == "critical",
        texts["summary"],
        "\n\n".join(part for part in content if part),
    )


def _described(text: str) -> str:
    """Prometheus templates as Cloud Monitoring's, which can't show a value: the sentence with it is dropped.

    https://cloud.google.com/monitoring/alerts/doc-variables
    """
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"${metric_or_resource.label.\1}", text)
    return " ".join(part for part in re.split(r"(?<=[.;]) ", text) if "{{" not in part)


def section(page: str, anchor: str) -> str:
    """The part of a page under the heading with that anchor. Raises KeyError if there is none."""
    parts = re.split(r"^#{2,3} ", (ROOT / page).read_text(), flags=re.MULTILINE)
    by_anchor = {re.sub(r"[^\w\- ]", "", part.split("\n")[0].lower()).replace(" ", "-"): part for part in parts}
    return by_anchor[anchor].partition("\n")[2].strip()


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]
