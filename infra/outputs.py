"""What a deploy tells its user: what to open, and how to connect."""

import pulumi

from infra.config import Settings


def commands(settings: Settings, gateway_url: pulumi.Output[str]) -> dict[str, pulumi.Input[str]]:
    """The stack's outputs by name. docs/deploy.md refers to them."""
    place = f"--project {settings.project} --region {settings.region}"
    outputs: dict[str, pulumi.Input[str]] = {
        "gateway_url": gateway_url,
        "send_first_event": gateway_url.apply(_send_first_event),
        "open_explorer": f"gcloud run services proxy {settings.name}-query {place} --port 8080",
        "explorer_url": "http://localhost:8080",
        "consumer_logs": f"gcloud beta run worker-pools logs read {settings.name}-consumer {place}",
    }
    if settings.on_vm:
        node = f"gcloud compute ssh {settings.name}-node --project {settings.project} --zone {settings.zone}"
        outputs |= {
            "open_node": f"{node} --tunnel-through-iap",
            "open_clickhouse": f"{node} --tunnel-through-iap -- -N -L 8123:localhost:8123",
            "node_address": settings.node_address,
        }
    else:
        outputs["create_tables"] = f"gcloud run jobs execute {settings.name}-migrate {place} --wait"
        outputs["run_audit"] = f"gcloud run jobs execute {settings.name}-audit {place} --wait"
    return outputs


def _send_first_event(url: str) -> str:
    """A line for a shell in which LOGBROOK_TOKEN is set: the token is neither in it nor in a process's arguments.

    `printf` is the shell's own, and curl reads the header from its standard input.
    """
    return (
        f"printf 'Authorization: Bearer %s' \"$LOGBROOK_TOKEN\" | curl --fail-with-body {url}/ingest -H @- "
        "-H 'Content-Type: application/json' "
        """-d '{"body": "hello, Logbrook", "severity_text": "INFO", "resource": {"service.name": "first-steps"}}'"""
    )
