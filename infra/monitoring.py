"""Monitoring: alert policies that say what to do, an uptime check, a dashboard, a budget."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import alerts, channels, dashboard
from infra.config import Settings


class Monitoring(pulumi.ComponentResource):
    """Alerts and charts for one stack."""

    def __init__(
        self,
        settings: Settings,
        gateway_host: pulumi.Input[str],
        node_id: pulumi.Output[str] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("logbrook:infra:Monitoring", "monitoring", None, opts)
        self.settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.channels = channels.declare(settings, self._child)
        for alert in alerts.render(settings)[0]:
            self._promql(alert)
        if node_id is not None:
            self._out_of_memory(node_id)
        self._uptime(gateway_host)
        gcp.monitoring.Dashboard("pipeline", dashboard_json=dashboard.document(settings), opts=self._child)
        if settings.billing_account:
            self._budget()
        self.register_outputs({})

    def _promql(self, alert: alerts.Alert) -> None:
        """A rule, unchanged. Its metric need not exist yet: nothing has been reported when a stack is created.

        https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#PrometheusQueryLanguageCondition
        """
        query: Any = {
            "query": alert.query,
            "duration": f"{alert.seconds}s",
            "evaluation_interval": "30s",
            "rule_group": alert.group,
            "alert_rule": alert.name,
            "disable_metric_validation": True,
        }
        condition = {"condition_prometheus_query_language": query}
        self._policy(alert.name, alert.summary, condition, alert.content, critical=alert.critical)

    def _out_of_memory(self, node_id: pulumi.Output[str]) -> None:
        """On the log itself: a log-based metric is unknown for up to ten minutes, and an alert on it is refused.

        hashicorp/terraform-provider-google #11102; https://cloud.google.com/logging/docs/alerting/log-based-alerts
        """
        # The kernel writes to the serial console, which is logged without an agent. A machine is known by its number
        # there: https://cloud.google.com/logging/docs/api/v2/resource-list (read 2026-11-28).
        killed = pulumi.Output.concat(
            'resource.type="gce_instance" AND resource.labels.instance_id="',
            node_id,
            '" AND log_id("serialconsole.googleapis.com/serial_port_1_output") '
            'AND (textPayload:"Out of memory: Killed process" '
            'OR textPayload:"Memory cgroup out of memory: Killed process")',
        )
        self._policy(
            "OutOfMemory",
            "The kernel killed a process for lack of memory",
            {"condition_matched_log": {"filter": killed}},
            alerts.section("docs/operations.md", "the-data-node-is-short-of-memory"),
        )

    def _policy(self, name: str, summary: str, condition: dict[str, Any], content: str, critical: bool = True) -> None:
        conditions: Any = [{"display_name": summary, **condition}]
        # Required for a policy on a log, and for no other.
        strategy: Any = {"notification_rate_limit": {"period": "300s"}, "auto_close": "86400s"}
        gcp.monitoring.AlertPolicy(
            name,
            display_name=f"Logbrook {self.settings.environment}: {summary}",
            combiner="OR",
            conditions=conditions,
            severity="CRITICAL" if critical else "WARNING",
            notification_channels=self.channels.critical if critical else self.channels.every,
            documentation={"content": content, "mime_type": "text/markdown"},
            alert_strategy=strategy if "condition_matched_log" in condition else None,
            opts=self._child,
        )

    def _uptime(self, host: pulumi.Input[str]) -> None:
        """Only for the gateway: nothing else has an address that a check from outside could reach."""
        check = gcp.monitoring.UptimeCheckConfig(
            "gateway",
            display_name=f"{self.settings.name}-gateway",
            timeout="10s",
            period="300s",
            monitored_resource={"type": "uptime_url", "labels": {"project_id": self.settings.project, "host": host}},
            http_check={
                # Google's front end keeps /healthz for itself. Without a token, the gateway returns 401: it is up.
                "path": "/v1/logs",
                "port": 443,
                "use_ssl": True,
                "validate_ssl": True,
                "request_method": "POST",
                "content_type": "URL_ENCODED",
                "body": "e30=",
                "accepted_response_status_codes": [{"status_value": 401}],
            },
            opts=self._child,
        )
        self._unreachable(check.uptime_check_id)

    def _unreachable(self, check: pulumi.Output[str]) -> None:
        """At least two of the checkers around the world must fail: a single one may itself be cut off."""
        selected = pulumi.Output.concat(
            'resource.type = "uptime_url" AND metric.type = "monitoring.googleapis.com/uptime_check/check_passed" '
            'AND metric.labels.check_id = "',
            check,
            '"',
        )
        aggregation = {
            "alignment_period": "300s",
            "per_series_aligner": "ALIGN_NEXT_OLDER",
            "cross_series_reducer": "REDUCE_COUNT_FALSE",
            "group_by_fields": ["resource.label.host"],
        }
        threshold: Any = {
            "filter": selected,
            "comparison": "COMPARISON_GT",
            "threshold_value": 1,
            "duration": "600s",
            "aggregations": [aggregation],
        }
        self._policy(
            "GatewayUnreachable",
            "The gateway can't be reached",
            {"condition_threshold": threshold},
            alerts.section("docs/operations.md", "the-gateway-cant-be-reached"),
        )

    def _budget(self) -> None:
        gcp.billing.Budget(
            "budget",
            display_name=self.settings.name,
            billing_account=self.settings.billing_account,
            amount={"specified_amount": {"units": str(self.settings.budget_per_month)}},
            budget_filter={"projects": [f"projects/{self.settings.project}"]},
            threshold_rules=[
                {"threshold_percent": 0.5},
                {"threshold_percent": 0.9},
                {"threshold_percent": 1.0, "spend_basis": "FORECASTED_SPEND"},
            ],
            # "You must use email notification channels": the API's reference of NotificationsRule
            # (https://cloud.google.com/billing/docs/reference/budget/rest/v1/billingAccounts.budgets).
            all_updates_rule={"monitoring_notification_channels": self.channels.mail} if self.channels.mail else None,
            opts=self._child,
        )
