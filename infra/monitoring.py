"""Monitoring: alert policies that say what to do, an uptime check, a dashboard, a budget."""

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
        gcp.monitoring.Dashboard(
            "pipeline", project=settings.project, dashboard_json=dashboard.document(settings), opts=self._child
        )
        if settings.billing_account:
            self._budget()
        self.register_outputs({})

    def _promql(self, alert: alerts.Alert) -> None:
        """A rule, unchanged. Its metric need not exist yet: nothing has been reported when a stack is created.

        https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#PrometheusQueryLanguageCondition
        """
        args = gcp.monitoring
        condition = args.AlertPolicyConditionArgs(
            display_name=alert.summary,
            condition_prometheus_query_language=args.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
                query=alert.query,
                duration=f"{alert.seconds}s",
                evaluation_interval="30s",
                rule_group=alert.group,
                alert_rule=alert.name,
                disable_metric_validation=True,
            ),
        )
        self._policy(alert.name, condition, alert.content, critical=alert.critical)

    def _out_of_memory(self, node_id: pulumi.Output[str]) -> None:
        """On the log itself: a log-based metric is unknown for up to ten minutes, and an alert on it is refused.

        hashicorp/terraform-provider-google #11102; https://cloud.google.com/logging/docs/alerting/log-based-alerts
        """
        args = gcp.monitoring
        summary = "The kernel killed a process for lack of memory"
        condition = args.AlertPolicyConditionArgs(
            display_name=summary,
            condition_matched_log=args.AlertPolicyConditionConditionMatchedLogArgs(
                # The kernel writes to the serial console, which is logged without an agent. A machine is known by its
                # number there: https://cloud.google.com/logging/docs/api/v2/resource-list (read 2026-11-28).
                filter=pulumi.Output.concat(
                    'resource.type="gce_instance" AND resource.labels.instance_id="',
                    node_id,
                    '" AND log_id("serialconsole.googleapis.com/serial_port_1_output") '
                    'AND (textPayload:"Out of memory: Killed process" '
                    'OR textPayload:"Memory cgroup out of memory: Killed process")',
                )
            ),
        )
        content = alerts.section("docs/operations.md", "the-data-node-is-short-of-memory")
        self._policy("OutOfMemory", condition, content)

    def _policy(
        self,
        name: str,
        condition: gcp.monitoring.AlertPolicyConditionArgs,
        content: str,
        critical: bool = True,
    ) -> None:
        args = gcp.monitoring
        # Required for a policy on a log, and for no other.
        limit = args.AlertPolicyAlertStrategyNotificationRateLimitArgs(period="300s")
        strategy = args.AlertPolicyAlertStrategyArgs(notification_rate_limit=limit, auto_close="86400s")
        args.AlertPolicy(
            name,
            display_name=f"Logbrook {self.settings.environment}: {condition.display_name}",
            project=self.settings.project,
            combiner="OR",
            conditions=[condition],
            severity="CRITICAL" if critical else "WARNING",
            notification_channels=self.channels.critical if critical else self.channels.every,
            documentation=args.AlertPolicyDocumentationArgs(content=content, mime_type="text/markdown"),
            alert_strategy=strategy if condition.condition_matched_log else None,
            opts=self._child,
        )

    def _uptime(self, host: pulumi.Input[str]) -> None:
        """Only for the gateway: nothing else has an address that a check from outside could reach."""
        args = gcp.monitoring
        check = args.UptimeCheckConfig(
            "gateway",
            display_name=f"{self.settings.name}-gateway",
            project=self.settings.project,
            timeout="10s",
            period="300s",
            monitored_resource=args.UptimeCheckConfigMonitoredResourceArgs(
                type="uptime_url", labels={"project_id": self.settings.project, "host": host}
            ),
            http_check=args.UptimeCheckConfigHttpCheckArgs(
                # Google's front end keeps /healthz for itself. Without a token, the gateway returns 401: it is up.
                path="/v1/logs",
                port=443,
                use_ssl=True,
                validate_ssl=True,
                request_method="POST",
                content_type="URL_ENCODED",
                body="e30=",
                accepted_response_status_codes=[
                    args.UptimeCheckConfigHttpCheckAcceptedResponseStatusCodeArgs(status_value=401)
                ],
            ),
            opts=self._child,
        )
        self._unreachable(check.uptime_check_id)

    def _unreachable(self, check: pulumi.Output[str]) -> None:
        """At least two of the checkers around the world must fail: a single one may itself be cut off."""
        args = gcp.monitoring
        condition = args.AlertPolicyConditionArgs(
            display_name="The gateway can't be reached",
            condition_threshold=args.AlertPolicyConditionConditionThresholdArgs(
                filter=check.apply(
                    lambda check_id: (
                        'resource.type = "uptime_url" AND metric.type = '
                        '"monitoring.googleapis.com/uptime_check/check_passed" AND '
                        f'metric.labels.check_id = "{check_id}"'
                    )
                ),
                comparison="COMPARISON_GT",
                threshold_value=1,
                duration="600s",
                aggregations=[
                    args.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="300s",
                        per_series_aligner="ALIGN_NEXT_OLDER",
                        cross_series_reducer="REDUCE_COUNT_FALSE",
                        group_by_fields=["resource.label.host"],
                    )
                ],
            ),
        )
        content = alerts.section("docs/operations.md", "the-gateway-cant-be-reached")
        self._policy("GatewayUnreachable", condition, content)

    def _budget(self) -> None:
        args = gcp.billing
        args.Budget(
            "budget",
            display_name=self.settings.name,
            billing_account=self.settings.billing_account,
            amount=args.BudgetAmountArgs(
                specified_amount=args.BudgetAmountSpecifiedAmountArgs(units=str(self.settings.budget_per_month))
            ),
            budget_filter=args.BudgetBudgetFilterArgs(projects=[f"projects/{self.settings.project}"]),
            threshold_rules=[
                args.BudgetThresholdRuleArgs(threshold_percent=0.5),
                args.BudgetThresholdRuleArgs(threshold_percent=0.9),
                args.BudgetThresholdRuleArgs(threshold_percent=1.0, spend_basis="FORECASTED_SPEND"),
            ],
            # "You must use email notification channels": the API's reference of NotificationsRule
            # (https://cloud.google.com/billing/docs/reference/budget/rest/v1/billingAccounts.budgets).
            all_updates_rule=args.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=self.channels.mail)
            if self.channels.mail
            else None,
            opts=self._child,
        )
