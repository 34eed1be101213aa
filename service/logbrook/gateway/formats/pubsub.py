"""POST /pubsub: what Google's Pub/Sub pushes, one message in each request. An entry of Cloud Logging becomes an event.

What is pushed, and that any status but 2xx means "again": https://docs.cloud.google.com/pubsub/docs/push; what an entry
is: https://docs.cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry (2026-11-29). An entry keeps Google's
names, so that `jsonPayload.order` and `httpRequest.status` find here what they find in the Logs Explorer.
"""

import base64
import binascii
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch, Packing
from logbrook.gateway.formats import json_document, mend, text
from logbrook.gateway.formats.format import Format

# What stands for the service, in this order: of Kubernetes, Cloud Run, its jobs, functions, App Engine, and others.
_SERVICE_LABELS = ("k8s-pod/app", "k8s-pod/app_kubernetes_io/name")
_SERVICE_RESOURCE_LABELS = ("service_name", "container_name", "job_name", "function_name", "module_id", "service")
# Labels of a resource for which OpenTelemetry has a name: https://opentelemetry.io/docs/specs/semconv/resource/
_OPENTELEMETRY = {
    "cluster_name": "k8s.cluster.name",
    "container_name": "k8s.container.name",
    "function_name": "faas.name",
    "instance_id": "host.id",
    "location": "cloud.region",
    "namespace_name": "k8s.namespace.name",
    "node_name": "k8s.node.name",
    "pod_name": "k8s.pod.name",
    "project_id": "cloud.account.id",
    "region": "cloud.region",
    "revision_name": "service.version",
    "version_id": "service.version",
    "zone": "cloud.availability_zone",
}


class _Message(msgspec.Struct, rename="camel"):
    data: str = ""
    message_id: str = ""
    publish_time: str = ""
    attributes: dict[str, str] = {}


class _Push(msgspec.Struct):
    message: _Message


_PUSH = msgspec.json.Decoder(_Push)


def read(body: bytes, settings: Gateway) -> Batch:
    """One entry of Cloud Logging, or whatever else a topic has: JSON, lines of JSON, or text.

    What is neither is stored as text: refused, it would come again and again. Raises RejectedError: 400 for what
    Pub/Sub does not push, 413 for an event that fits into no message.
    """
    try:
        message = _PUSH.decode(body).message
        content = base64.b64decode(message.data, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise RejectedError(400, "broken_push", f"The body is not what Pub/Sub pushes to an address: {error}") from None
    try:
        entry = orjson.loads(mend.surrogates(content))
    except orjson.JSONDecodeError:
        entry = None
    key = f"pubsub:{message.message_id}".encode() if message.message_id else None
    try:
        if isinstance(entry, dict) and isinstance(entry.get("logName"), str):
            identity = "\n".join(str(entry.get(name)) for name in ("logName", "timestamp", "insertId"))
            key = f"entry:{identity}".encode() if "insertId" in entry else None
            return replace(_one(_event(entry, message), settings), key=key)
        if isinstance(entry, dict):
            batch = _one({**entry, **({"pubsub": message.attributes} if message.attributes else {})}, settings)
        elif not content.strip():
            batch = _one({"timestamp": message.publish_time, "attributes": message.attributes}, settings)
        else:
            batch = _any(content, settings)
    except (orjson.JSONEncodeError, RecursionError):
        # Nested deeper than it can be written again (254 levels): as it came.
        batch = _any(content, settings)
    return replace(batch, key=key)


def _one(event: dict[str, Any], settings: Gateway) -> Batch:
    packing = Packing(settings)
    packing.add(orjson.dumps(event))
    return Batch(packing.messages(), 1)


def _any(content: bytes, settings: Gateway) -> Batch:
    try:
        return json_document.read(content, settings)
    except RejectedError as error:
        if error.status != 400:
            raise
        return text.split(content, 0, settings)


def _event(entry: dict[str, Any], message: _Message) -> dict[str, Any]:
    """The entry with the names that the table's columns need, where Google's are others."""
    entry.setdefault("timestamp", entry.get("receiveTimestamp") or message.publish_time)
    if entry.get("severity") == "DEFAULT":
        # "The log entry has no assigned severity level."
        del entry["severity"]
    trace = entry.get("trace")
    if isinstance(trace, str) and "/traces/" in trace:
        # `projects/PROJECT/traces/ID`
        entry["trace_id"] = trace.rpartition("/")[2]
        del entry["trace"]
    if "traceSampled" in entry:
        entry["trace_flags"] = int(bool(entry.pop("traceSampled")))
    entry["resource"] = _resource(entry)
    if body := _body(entry):
        entry["body"] = body
    return entry


def _resource(entry: dict[str, Any]) -> dict[str, Any]:
    monitored = _object(entry.get("resource"))
    labels, own = _object(monitored.get("labels")), _object(entry.get("labels"))
    services = [own.get(name) for name in _SERVICE_LABELS] + [labels.get(name) for name in _SERVICE_RESOURCE_LABELS]
    named = {
        "service.name": next((each for each in services if each), monitored.get("type")),
        "cloud.provider": "gcp",
        "gcp.resource_type": monitored.get("type"),
    }
    return {name: value for name, value in named.items() if value} | {
        _OPENTELEMETRY.get(name, f"gcp.{name}"): value for name, value in labels.items()
    }


def _body(entry: dict[str, Any]) -> str:
    """What an entry without a text says: a request, or what somebody did by an API."""
    if "textPayload" in entry or "jsonPayload" in entry:
        return ""
    call, request = _object(entry.get("protoPayload")), _object(entry.get("httpRequest"))
    parts = [
        call.get("methodName"),
        call.get("resourceName"),
        _object(call.get("authenticationInfo")).get("principalEmail"),
        _object(call.get("status")).get("message"),
        *(request.get(name) for name in ("requestMethod", "requestUrl", "status", "latency") if not call),
    ]
    return " ".join(str(each) for each in parts if each)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


FORMAT = Format("/pubsub", (), read)
