"""What wakes somebody: alert policies that say what to do, an uptime check, a budget."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings


@dataclass(frozen=True)
class Threshold:
    """An alert on a metric that stays above a value."""

    name: str
    title: str
    filter: str
    above: float
    seconds: int
    runbook: str
    aligner: str = "ALIGN_MEAN"


def node_alerts(settings: Settings) -> list[Threshold]:
    """The data node's, from what Google's agent on it reports, and from the kernel's log."""
    node = f'resource.type = "gce_instance" AND metadata.system_labels.name = "{settings.name}-node"'
    where = f"--zone {settings.zone} --project {settings.project}"
    log = f"gcloud compute ssh {settings.name}-node {where} --tunnel-through-iap"
    return [
        Threshold(
            "disk",
            "A data disk is more than 80 % full",
            f'{node} AND metric.type = "agent.googleapis.com/disk/percent_used" AND metric.labels.state = "used"'
            ' AND metric.labels.device = monitoring.regex.full_match("/dev/sd[b-z].*")',
            80,
            300,
            "Kafka stops when its disk is full, and ClickHouse refuses inserts; nothing acknowledged is lost, the "
            f"gateway answers 503.\n\n1. See which disk: `{log}`, then `df -h /mnt/logbrook/*`.\n"
            "2. Make it larger: raise `logbrook:kafkaDiskGib` or `logbrook:clickhouseDiskGib` in the stack's file, "
            "`make up`, then reboot the node (or `resize2fs` the device) to grow the file system.\n"
            "3. Or keep less: `logbrook:kafkaRetentionBytes` (per partition), `logbrook:retentionDays`.",
        ),
        Threshold(
            "memory",
            "The data node uses more than 90 % of its memory",
            f'{node} AND metric.type = "agent.googleapis.com/memory/percent_used" AND metric.labels.state = "used"',
            90,
            600,
            "The limits of the containers fit the machine, so that something else grows.\n\n"
            f"1. `{log}`, then `docker stats --no-stream` and `ps aux --sort=-rss | head`.\n"
            "2. If ClickHouse is at its limit: heavy queries in `system.query_log`, ordered by `memory_usage`.\n"
            "3. Take the next machine type: `logbrook:machineType`, `make up`. It stops, resizes and starts; data "
            "is kept.",
        ),
        Threshold(
            "oom",
            "The kernel killed a process for lack of memory",
            f'resource.type = "gce_instance" AND metric.type = "logging.googleapis.com/user/{settings.name}-oom"',
            0,
            0,
            "A container went over its limit and is started again by itself; what was acknowledged is kept.\n\n"
            f"1. Which one: `{log}`, then `journalctl --dmesg --grep 'Killed process'`.\n"
            "2. ClickHouse: `max_server_memory_usage` is below its limit, so report it with the query that ran.\n"
            "3. Take the next machine type if it comes back.",
            "ALIGN_DELTA",
        ),
    ]


def consumer_alerts(settings: Settings) -> list[Threshold]:
    """The Cloud Run side's."""
    return [
        Threshold(
            "gateway-errors",
            "The gateway answers with errors",
            f'resource.type = "cloud_run_revision" AND resource.labels.service_name = "{settings.name}-gateway"'
            ' AND metric.type = "run.googleapis.com/request_count" AND metric.labels.response_code_class = "5xx"',
            1,
            300,
            "Senders are told to try again, and do; they lose nothing unless it lasts longer than they keep.\n\n"
            f"1. Why: `gcloud run services logs read {settings.name}-gateway --region {settings.region} "
            f"--project {settings.project}`.\n"
            "2. `kafka_unavailable`: see whether the data node is up, and its disk alert.",
            "ALIGN_RATE",
        )
    ]


class Monitoring(pulumi.ComponentResource):
    """Alerts for one stack; they go to `alertEmail`."""

    def __init__(
        self, settings: Settings, gateway_host: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("logbrook:infra:Monitoring", "monitoring", None, opts)
        self.settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.channels = self._channels()
        if settings.on_vm:
            metric = self._oom_metric()
            for alert in node_alerts(settings):
                self._alert(alert, [metric])
        for alert in consumer_alerts(settings):
            self._alert(alert, [])
        if settings.minutes_without_data:
            self._absence()
        self._uptime(gateway_host)
        if settings.billing_account:
            self._budget()
        self.register_outputs({})

    def _channels(self) -> list[pulumi.Output[str]]:
        if not self.settings.alert_email:
            return []
        channel = gcp.monitoring.NotificationChannel(
            "email",
            display_name=f"Logbrook {self.settings.environment}",
            project=self.settings.project,
            type="email",
            labels={"email_address": self.settings.alert_email},
            opts=self._child,
        )
        return [channel.name]

    def _oom_metric(self) -> gcp.logging.Metric:
        return gcp.logging.Metric(
            "oom",
            name=f"{self.settings.name}-oom",
            project=self.settings.project,
            description="Processes that the data node's kernel killed for lack of memory",
            # The kernel writes to the serial console, which is logged without an agent.
            filter='resource.type="gce_instance" AND log_id("serialconsole.googleapis.com/serial_port_1_output") '
            'AND (textPayload:"Out of memory: Killed process" '
            'OR textPayload:"Memory cgroup out of memory: Killed process")',
            metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(metric_kind="DELTA", value_type="INT64"),
            opts=self._child,
        )

    def _alert(self, alert: Threshold, needs: list[pulumi.Resource]) -> None:
        args = gcp.monitoring
        condition = args.AlertPolicyConditionArgs(
            display_name=alert.title,
            condition_threshold=args.AlertPolicyConditionConditionThresholdArgs(
                filter=alert.filter,
                comparison="COMPARISON_GT",
                threshold_value=alert.above,
                duration=f"{alert.seconds}s",
                aggregations=[
                    args.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="60s", per_series_aligner=alert.aligner
                    )
                ],
            ),
        )
        self._policy(alert.name, alert.title, condition, alert.runbook, needs)

    def _absence(self) -> None:
        args = gcp.monitoring
        minutes = self.settings.minutes_without_data
        title = f"No log arrived for {minutes} minutes"
        condition = args.AlertPolicyConditionArgs(
            display_name=title,
            condition_absent=args.AlertPolicyConditionConditionAbsentArgs(
                filter='resource.type = "cloud_run_revision" AND resource.labels.service_name = '
                f'"{self.settings.name}-gateway" AND metric.type = "run.googleapis.com/request_count" '
                'AND metric.labels.response_code_class = "2xx"',
                duration=f"{60 * minutes}s",
                aggregations=[
                    args.AlertPolicyConditionConditionAbsentAggregationArgs(
                        alignment_period="60s",
                        per_series_aligner="ALIGN_RATE",
                        cross_series_reducer="REDUCE_SUM",
                    )
                ],
            ),
        )
        runbook = (
            "The gateway accepted nothing. Either nobody sends, or nobody can.\n\n"
            "1. Send one event yourself: `pulumi stack output send_first_event`.\n"
            "2. 401: the senders' token is not in `logbrook:gatewayTokens`. 503: Kafka does not answer.\n"
            "3. It works: look at the senders."
        )
        self._policy("no-data", title, condition, runbook, [])

    def _policy(
        self,
        name: str,
        title: str,
        condition: gcp.monitoring.AlertPolicyConditionArgs,
        runbook: str,
        needs: list[pulumi.Resource],
    ) -> None:
        args = gcp.monitoring
        args.AlertPolicy(
            name,
            display_name=f"Logbrook {self.settings.environment}: {title}",
            project=self.settings.project,
            combiner="OR",
            conditions=[condition],
            severity="CRITICAL" if self.settings.prod else "WARNING",
            notification_channels=self.channels,
            documentation=args.AlertPolicyDocumentationArgs(content=runbook, mime_type="text/markdown"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )

    def _uptime(self, host: pulumi.Input[str]) -> None:
        """The gateway only: everything else has no address that a check from outside could reach."""
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
                # Google's front end keeps /healthz for itself. Without a token, the gateway says 401: it is there.
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
        runbook = (
            "From outside, the gateway does not answer as it should.\n\n"
            f"1. Does it run: `gcloud run services describe {self.settings.name}-gateway --region "
            f"{self.settings.region} --project {self.settings.project}`; the last revision must be ready.\n"
            "2. A revision that never gets ready: its log says what it lacks."
        )
        self._policy("gateway-down", "The gateway can't be reached", condition, runbook, [])

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
            all_updates_rule=args.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=self.channels)
            if self.channels
            else None,
            opts=self._child,
        )
