"""Who gets an alert: mail, Slack, PagerDuty, a webhook, each if the stack's file names it."""

from typing import Any, NamedTuple

import pulumi
import pulumi_gcp as gcp

from infra.config import NAMESPACE, Settings


class Channels(NamedTuple):
    """Names of channels: for every alert, for critical alerts, and for a budget, which accepts only mail."""

    every: list[pulumi.Output[str]]
    critical: list[pulumi.Output[str]]
    mail: list[pulumi.Output[str]]


def declare(settings: Settings, opts: pulumi.ResourceOptions) -> Channels:
    """The channels that the stack's file names. PagerDuty is only for critical alerts.

    Labels and secrets are as Google's channel descriptors and the provider have them:
    https://cloud.google.com/monitoring/support/notification-options,
    hashicorp/terraform-provider-google-beta 93c65b2, website/docs/r/monitoring_notification_channel.html.markdown.
    """
    secrets = pulumi.Config(NAMESPACE)

    def channel(name: str, kind: str, public: dict[str, str], secret: Any = None) -> pulumi.Output[str]:
        made = gcp.monitoring.NotificationChannel(
            name,
            display_name=f"Logbrook {settings.environment}: {name}",
            type=kind,
            labels=public,
            sensitive_labels=secret,
            opts=opts,
        )
        return made.name

    mail, critical = [], []
    if settings.alert_email:
        mail.append(channel("email", "email", {"email_address": settings.alert_email}))
    every = [*mail]
    if settings.alert_slack_channel:
        token = {"auth_token": secrets.require_secret("alertSlackToken")}
        every.append(channel("slack", "slack", {"channel_name": settings.alert_slack_channel}, token))
    if settings.alert_webhook:
        password = secrets.get_secret("alertWebhookPassword")
        kind, user = ("webhook_tokenauth", {}) if password is None else ("webhook_basicauth", {"username": NAMESPACE})
        labels = {"password": password} if password else None
        every.append(channel("webhook", kind, {"url": settings.alert_webhook, **user}, labels))
    if settings.alert_pagerduty:
        key = {"service_key": secrets.require_secret("alertPagerdutyKey")}
        critical.append(channel("pagerduty", "pagerduty", {}, key))
    return Channels(every, every + critical, mail)
