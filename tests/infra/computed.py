"""The fields of a new resource that Google sets and that the provider reads back."""

import re
from typing import Any

Json = dict[str, Any]
PROJECT_NUMBER = "123456789012"
SELF_LINK = "https://www.googleapis.com/compute/v1/"
_NOW = "2026-01-01T00:00:00Z"


def add_computed(key: str, body: Json, number: int) -> dict[str, Json]:
    """Complete `body`, created as `key` (`run/projects/p/...`); all resources that there are now because of it."""
    product, _, path = key.partition("/")
    if product == "compute":
        return _compute(path, body, number)
    body["name"] = path.rpartition("/")[2] if product in ("logging", "storage") else path
    if "/sinks/" in path:
        body["writerIdentity"] = f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-logging.iam.gserviceaccount.com"
    if product not in ("logging", "pubsub"):
        body |= {"createTime": _NOW, "updateTime": _NOW, "etag": "e"}
    if product == "iam":
        body["uniqueId"] = str(number)
    elif product == "managedkafka":
        body["state"] = "ACTIVE"
    elif "/dnsAuthorizations/" in path:
        record = {"name": f"_acme-challenge_abc123.{body['domain']}.", "type": "CNAME"}
        body["dnsResourceRecord"] = record | {"data": "0e40fc77.2.authorize.certificatemanager.goog."}
    elif "/certificates/" in path:
        body["managed"]["state"] = "PROVISIONING"
    elif product == "run":
        _run(path, body, number)
    elif product == "cloudscheduler":
        _schedule(body)
    return {key: body}


def _run(path: str, body: Json, number: int) -> None:
    ready = {"type": "Ready", "state": "CONDITION_SUCCEEDED"}
    body |= {"uid": f"u{number}", "generation": "1", "observedGeneration": "1", "terminalCondition": ready}
    body |= {"conditions": [], "creator": "somebody@example.org", "launchStage": body.get("launchStage", "GA")}
    if "/services/" in path:
        uri = f"https://{path.rpartition('/')[2]}-abc-uc.a.run.app"
        body |= {"uri": uri, "urls": [uri], "trafficStatuses": []}


def _schedule(body: Json) -> None:
    """What the API's reference calls its defaults."""
    pauses = {"minBackoffDuration": "5s", "maxBackoffDuration": "3600s", "maxDoublings": 5, "maxRetryDuration": "0s"}
    body |= {"state": "ENABLED", "retryConfig": pauses | body.get("retryConfig", {})}
    if token := body.get("httpTarget", {}).get("oauthToken"):
        token.setdefault("scope", "https://www.googleapis.com/auth/cloud-platform")


def _compute(path: str, body: Json, number: int) -> dict[str, Json]:
    body |= {"id": str(number), "selfLink": SELF_LINK + path, "creationTimestamp": _NOW}
    body |= {"fingerprint": "abc=", "labelFingerprint": "abc="}
    if found := re.match(r"projects/[^/]+/(zone|region)s/[^/]+", path):
        body[found[1]] = SELF_LINK + found[0]
    made = {f"compute/{path}": body}
    match path.split("/")[-2]:
        case "disks":
            body |= {"sizeGb": str(body.get("sizeGb", 10)), "status": "READY"}
        case "subnetworks":
            body.setdefault("gatewayAddress", "10.0.0.1")
        case "addresses":
            body |= {"address": body.get("address", "192.0.2.1"), "status": "RESERVED"}
        case "instances":
            made |= _instance(path, body, number)
    return made


def _instance(path: str, body: Json, number: int) -> dict[str, Json]:
    """An instance, and the disk that is made with it."""
    made: dict[str, Json] = {}
    body["status"] = "RUNNING"
    for name in ("tags", "metadata"):
        body.setdefault(name, {}).setdefault("fingerprint", "abc=")
    for index, interface in enumerate(body.get("networkInterfaces", [])):
        interface["name"] = f"nic{index}"
        for name, value in {"networkIP": "10.0.0.5", "fingerprint": "abc=", "stackType": "IPV4_ONLY"}.items():
            interface.setdefault(name, value)
    for index, disk in enumerate(body.get("disks", [])):
        for name, value in {
            "deviceName": f"persistent-disk-{index}",
            "mode": "READ_WRITE",
            "type": "PERSISTENT",
        }.items():
            disk.setdefault(name, value)
        if wanted := disk.get("initializeParams"):
            place = f"{path.rpartition('/instances/')[0]}/disks/{body['name']}"
            disk["source"] = SELF_LINK + place
            new = {"name": body["name"], "sizeGb": wanted.get("diskSizeGb", 10), "type": wanted.get("diskType", "")}
            new |= {"sourceImage": wanted.get("sourceImage", ""), "labels": wanted.get("labels", {})}
            made |= _compute(place, new, number + 100_000)
    return made
