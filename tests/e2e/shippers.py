"""What shippers that can't be installed here send with a recipe, after their sources: the same requests.

Each takes what the recipe says (address, token, form), and raises AssertionError where the shipper would have an error.
"""

import base64
import gzip
import json
import re
import shlex
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import httpx
import yaml

from tests.e2e.pipeline import Pipeline
from tests.gateway import push

COUNT = 100
TIME, SECONDS, NANOSECONDS = "2026-11-28T09:15:02.417Z", 1_795_857_302.417, 1_795_857_302_417_000_000
# Where the recipes say that the gateway is.
ADDRESSES = ("http://127.0.0.1:4318", "https://logs.example.org:443", "https://logs.example.org")
JSON, NDJSON = "application/json", "application/x-ndjson"
# What a shipper has read.
EVENTS: list[dict[str, Any]] = [{"message": f"number {n}", "level": "warn", "service": "shop"} for n in range(COUNT)]


class Machine:
    """What a shipper has around it: an environment, a file with the token, and the way to the gateway."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def filled_in(self, block: str) -> str:
        """A recipe with the token in its place."""
        return re.sub(r"\$\{?(?:env:)?LOGBROOK_TOKEN\}?|\b(?:THE )?TOKEN\b", self._pipeline.token, block)

    def bearer(self, path: str) -> dict[str, str]:
        """The header with the token that is in a file."""
        assert path.endswith("/logbrook-token"), f"there is no {path}"
        return {"Authorization": f"Bearer {self._pipeline.token}"}

    def send(self, url: str, body: bytes, headers: dict[str, str], method: str = "POST") -> Any:
        """What the gateway answers, which must be a success."""
        address = next((each for each in ADDRESSES if re.match(re.escape(each) + r"(?![\w.:])", url)), None)
        assert address is not None, f"nobody is at {url}"
        here = self._pipeline.gateway_url + url.removeprefix(address)
        answer = httpx.request(method, here, content=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def typed(content_type: str, **more: str) -> dict[str, str]:
    """The header that says what a body is, and others."""
    return {"Content-Type": content_type, **more}


def lines(values: Iterable[Any]) -> bytes:
    """A line of JSON each."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def bulk(action: dict[str, Any], documents: Iterable[Any]) -> bytes:
    """A bulk request with the same action before each document."""
    return lines(each for document in documents for each in (action, document))


def without(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """All fields but that one."""
    return {each: event[each] for each in event if each != name}


# Vector: https://github.com/vectordotdev/vector/tree/ff1446a0a35cf6737e2fffcdced88fbe99665ffd/src/sinks and, for what a
# codec sends, lib/codecs/src/encoding/encoder.rs of later versions.


def vector(block: str, machine: Machine) -> None:
    """Its events, by the sink of that type, which refuses a configuration that lacks something."""
    sink = yaml.safe_load(machine.filled_in(block))["sinks"]["logbrook"]
    events = [{**event, "timestamp": TIME, "host": "web-1"} for event in EVENTS]
    try:
        _SINKS[sink["type"]](sink, events, machine)
    except KeyError as error:
        raise AssertionError(f"the sink {sink['type']} needs {error}") from None


def _authorized(sink: dict[str, Any]) -> dict[str, str]:
    auth = sink["auth"]
    if auth["strategy"] == "basic":
        return basic(auth["user"], auth["password"])
    return {"Authorization": f"Bearer {auth['token']}"}


def _http_sink(sink: dict[str, Any], events: list[dict[str, Any]], machine: Machine) -> None:
    assert sink["framing"] == {"method": "newline_delimited"}
    codec = sink["encoding"]["codec"]
    if codec == "gelf":
        events = [
            {
                "version": "1.1",
                "host": event["host"],
                "short_message": event["message"],
                "timestamp": SECONDS,
                "level": 4,
                "_service": event["service"],
            }
            for event in events
        ]
    body = lines(events) if codec != "text" else "".join(f"{event['message']}\n" for event in events).encode()
    headers = typed(NDJSON if codec == "json" else "text/plain") | _authorized(sink)
    if "compression" in sink:
        assert sink["compression"] == "gzip"
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    machine.send(sink["uri"], body, headers, sink.get("method", "post").upper())


def _loki_sink(sink: dict[str, Any], events: list[dict[str, Any]], machine: Machine) -> None:
    """Without a timestamp in the line, in protobuf, of which it says twice that it is compressed by snappy."""
    machine.send(f"{sink['endpoint']}/ready", b"", _authorized(sink), "GET")
    values = [[NANOSECONDS, json.dumps(without("timestamp", event))] for event in events]
    body = push.compressed(push.from_json({"streams": [{"stream": sink["labels"], "values": values}]}))
    headers = typed("application/x-protobuf", **{"Content-Encoding": "snappy"}) | _authorized(sink)
    machine.send(f"{sink['endpoint']}/loki/api/v1/push", body, headers)


def _elasticsearch_sink(sink: dict[str, Any], events: list[dict[str, Any]], machine: Machine) -> None:
    [endpoint] = sink["endpoints"]
    machine.send(f"{endpoint}/_cluster/health", b"", _authorized(sink), "GET")
    body = bulk({"index": {"_index": sink["bulk"]["index"]}}, events)
    assert not machine.send(f"{endpoint}/_bulk", body, typed(NDJSON) | _authorized(sink))["errors"]


def _datadog_sink(sink: dict[str, Any], events: list[dict[str, Any]], machine: Machine) -> None:
    headers = typed(JSON, **{"DD-API-KEY": sink["default_api_key"]})
    machine.send(f"{sink['endpoint']}/api/v1/validate", b"", headers, "GET")
    renamed = {"timestamp": int(SECONDS * 1000), "hostname": "web-1"}
    logs = [without("host", event) | renamed for event in events]
    machine.send(f"{sink['endpoint']}/api/v2/logs", json.dumps(logs).encode(), headers)


def _splunk_sink(sink: dict[str, Any], events: list[dict[str, Any]], machine: Machine) -> None:
    """It also asks for the acknowledgement."""
    machine.send(f"{sink['endpoint']}/services/collector/health/1.0", b"", {}, "GET")
    channel = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"
    token = {"Authorization": f"Splunk {sink['default_token']}", "X-Splunk-Request-Channel": channel}
    body = b"".join(
        json.dumps({"event": event, "fields": {}, "time": SECONDS, "host": event["host"]}).encode() for event in events
    )
    number = machine.send(f"{sink['endpoint']}/services/collector/event", body, typed(JSON) | token)["ackId"]
    asked = json.dumps({"acks": [number]}).encode()
    acks = machine.send(f"{sink['endpoint']}/services/collector/ack", asked, typed(JSON) | token)
    assert acks == {"acks": {str(number): True}}


_SINKS: dict[str, Callable[[dict[str, Any], list[dict[str, Any]], Machine], None]] = {
    "http": _http_sink,
    "loki": _loki_sink,
    "elasticsearch": _elasticsearch_sink,
    "datadog_logs": _datadog_sink,
    "splunk_hec_logs": _splunk_sink,
}


def fluent_bit(block: str, machine: Machine) -> None:
    """Its records, by the output of that name.

    https://github.com/fluent/fluent-bit/tree/014528cdae5a09e0a16325c3f10916d4567bd29d/plugins: out_http/http.c,
    out_loki/loki.c, out_es/es.c, out_datadog/datadog.c, out_splunk/splunk.c
    """
    [output] = yaml.safe_load(machine.filled_in(block))["pipeline"]["outputs"]
    records = [{"log": event["message"], "level": event["level"], "service": event["service"]} for event in EVENTS]
    secure = output.get("tls", False)
    address = f"{'https' if secure else 'http'}://{output['host']}:{output.get('port', 443 if secure else 80)}"
    password = basic(output["http_user"], output["http_passwd"]) if "http_user" in output else {}
    match output["name"]:
        case "http":
            key = output.get("json_date_key", "date")
            dated = [{key: "2026-11-28T09:15:02.417000Z", **record} for record in records]
            name, _, value = output.get("header", " ").partition(" ")
            headers = password | ({name: value} if name else {})
            if output.get("format") == "json_lines":
                body, headers["Content-Type"] = lines(dated), NDJSON
            elif output.get("format") == "json":
                body, headers["Content-Type"] = json.dumps(dated).encode(), JSON
            else:
                body, headers["Content-Type"] = b"\x92\xd7\x00", "application/msgpack"
            if "compress" in output:
                assert output["compress"] == "gzip"
                body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
            machine.send(address + output.get("uri", "/"), body, headers)
        case "loki":
            labels = dict(pair.split("=") for pair in output["labels"].split(","))
            values = [[str(NANOSECONDS), json.dumps(record)] for record in records]
            body = json.dumps({"streams": [{"stream": labels, "values": values}]}).encode()
            machine.send(f"{address}/loki/api/v1/push", body, typed(JSON) | password)
        case "es":
            assert output["suppress_type_name"] is True
            body = bulk({"create": {"_index": output["index"]}}, [{"@timestamp": TIME, **each} for each in records])
            assert not machine.send(f"{address}/_bulk", body, typed(NDJSON) | password)["errors"]
        case "datadog":
            each = {"timestamp": int(SECONDS * 1000), "ddsource": output["dd_source"], "service": output["dd_service"]}
            logs = [{**each, "message": record["log"], "level": record["level"]} for record in records]
            key = {"DD-API-KEY": output["apikey"]}
            machine.send(f"{address}/api/v2/logs", json.dumps(logs).encode(), typed(JSON) | key)
        case "splunk":
            body = b"".join(json.dumps({"time": SECONDS, "event": record}).encode() for record in records)
            token = {"Authorization": f"Splunk {output['splunk_token']}"}
            machine.send(f"{address}/services/collector/event", body, typed(JSON) | token)


def filebeat(block: str, machine: Machine) -> None:
    """It asks who is there, then sends with gzip.

    https://github.com/elastic/beats/blob/c61ce5f6cf0cccd934202174e318e1de3dea6178/libbeat/esleg/eslegclient/enc.go
    """
    output = yaml.safe_load(machine.filled_in(block)).get("output.elasticsearch")
    assert output is not None, "it speaks another protocol"
    [host] = output["hosts"]
    password = basic(output["username"], output["password"])
    for path in ("/", "/_license"):
        machine.send(host + path, b"", password, "GET")
    around = {"@timestamp": TIME, "log": {"level": "warn"}, "host": {"name": "web-1"}, "service": {"name": "shop"}}
    body = bulk({"create": {"_index": output["index"]}}, [{**around, "message": each["message"]} for each in EVENTS])
    headers = typed("application/json; charset=UTF-8", **{"Content-Encoding": "gzip"}) | password
    path = "/_bulk?filter_path=errors,items.index.status,items.index.error,items.create.status,items.create.error"
    assert not machine.send(host + path, gzip.compress(body), headers)["errors"]


def logstash(block: str, machine: Machine) -> None:
    """Its actions name an id, and an empty one.

    https://github.com/logstash-plugins/logstash-output-elasticsearch/blob/746bab4dad5c9e6ec961ec754d0989fcd1df2919/lib/logstash/outputs/elasticsearch/common.rb
    """
    assert re.match(r"output \{\n +elasticsearch \{\n", block), "it speaks another protocol"
    option = dict(re.findall(r'(\w+) => \[?"([^"]+)"', machine.filled_in(block)))
    password = basic(option["user"], option["password"])
    for method, path in (("HEAD", "/"), ("GET", "/"), ("GET", "/_license")):
        machine.send(option["hosts"] + path, b"", password, method)
    around = {"@timestamp": TIME, "@version": "1", "level": "warn", "service": {"name": "shop"}}
    action = {"index": {"_id": None, "_index": option["index"], "routing": None}}
    body = bulk(action, [{**around, "message": each["message"]} for each in EVENTS])
    assert not machine.send(option["hosts"] + "/_bulk", body, typed(JSON) | password)["errors"]


def promtail(block: str, machine: Machine) -> None:
    """https://github.com/grafana/loki/blob/4c2859bcaacbd54c67e3919c76d809398bc0f44a/clients/pkg/promtail/client/client.go"""
    [client] = yaml.safe_load(block)["clients"]
    _pushed(client["url"], client["bearer_token_file"], machine)


def alloy(block: str, machine: Machine) -> None:
    """What Promtail sends: https://grafana.com/docs/alloy/latest/reference/components/loki/loki.write/."""
    option = dict(re.findall(r'(\w+) += "([^"]+)"', block))
    _pushed(option["url"], option["bearer_token_file"], machine)


def _pushed(url: str, file: str, machine: Machine) -> None:
    labels = {"service_name": "shop", "filename": "/var/log/shop.log", "level": "warn"}
    values = [[NANOSECONDS, event["message"]] for event in EVENTS]
    body = push.compressed(push.from_json({"streams": [{"stream": labels, "values": values}]}))
    machine.send(url, body, typed("application/x-protobuf") | machine.bearer(file))


def datadog_agent(block: str, machine: Machine) -> None:
    """It asks with an empty object whether somebody is there.

    https://github.com/DataDog/datadog-agent/blob/00565c059602ced26a6270adabb24698de53ae9b/pkg/logs/client/http/destination.go,
    ../../processor/json.go
    """
    configuration = yaml.safe_load(machine.filled_in(block))["logs_config"]
    assert configuration["force_use_http"], "it sends over TCP"
    [endpoint] = configuration["additional_endpoints"]
    url = f"https://{endpoint['Host']}:{endpoint['Port']}/api/v2/logs"
    headers = typed(JSON, **{"DD-API-KEY": endpoint["api_key"]})
    machine.send(url, b"{}", headers)
    around = {"status": "warn", "timestamp": int(SECONDS * 1000), "hostname": "web-1", "service": "shop"}
    logs = [{"message": each["message"], **around, "ddsource": "app", "ddtags": "env:prod"} for each in EVENTS]
    machine.send(url, gzip.compress(json.dumps(logs).encode()), headers | {"Content-Encoding": "gzip"})


def docker(block: str, machine: Machine) -> None:
    """It asks with OPTIONS before it starts a container, and sends no content type.

    https://github.com/moby/moby/blob/02b851b4974580bc659d6e4262d81073c9c90478/daemon/logger/splunk/splunk.go
    """
    words = shlex.split(machine.filled_in(block).replace("\\\n", " "))
    assert words[words.index("--log-driver") + 1] == "splunk"
    option = dict(word.split("=", 1) for before, word in pairwise(words) if before == "--log-opt")
    url = f"{option['splunk-url']}/services/collector/event/1.0"
    if option.get("splunk-verify-connection", "true") == "true":
        machine.send(url, b"", {}, "OPTIONS")
    tag = option.get("tag", "4f1c2b3a4d5e")
    body = b""
    for event in EVENTS:
        said = {"line": event, "source": "stdout", **({"tag": tag} if tag else {})}
        told = f"{tag} {json.dumps(event)}".lstrip() if option["splunk-format"] == "raw" else said
        body += json.dumps({"event": told, "time": f"{SECONDS:f}", "host": "web-1"}).encode()
    machine.send(url, body, {"Authorization": f"Splunk {option['splunk-token']}"})


def collector_to_splunk(block: str, machine: Machine) -> None:
    """The exporter splunk_hec: the resource's attributes and the severity are fields.

    https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/v0.149.0/exporter/splunkhecexporter/client.go
    """
    exporters = yaml.safe_load(machine.filled_in(block))["exporters"]
    assert "splunk_hec" in exporters, "it speaks another protocol"
    exporter = exporters["splunk_hec"]
    fields = {"service.name": "shop", "otel.log.severity.text": "WARN", "otel.log.severity.number": 13}
    around = {"time": SECONDS, "host": "web-1", "fields": fields}
    body = b"".join(json.dumps({**around, "event": each["message"]}).encode() for each in EVENTS)
    headers = typed(JSON, Authorization=f"Splunk {exporter['token']}", **{"Content-Encoding": "gzip"})
    machine.send(exporter["endpoint"], gzip.compress(body), headers)


def syslog_ng(block: str, machine: Machine) -> None:
    """What syslog-ng 3.38.1 sent with this recipe, but for its events: a name with a dot is an object in an object."""
    text = machine.filled_in(block)
    [url] = re.findall(r'url\("([^"]+)"\)', text)
    [pairs] = re.findall(r"body\('\$\(format-json (.+)\)'\)", text)
    macros = {"ISODATE": TIME, "LEVEL": "warning", "PROGRAM": "shop", "HOST": "web-1", "PID": "4711"}
    written = []
    for event in EVENTS:
        line: dict[str, Any] = {}
        for name, macro in (pair.split("=$") for pair in pairs.split()):
            outer, _, inner = name.rpartition(".")
            (line.setdefault(outer, {}) if outer else line)[inner] = (macros | {"MESSAGE": event["message"]})[macro]
        written.append(line)
    machine.send(url, lines(written), dict(header.split(": ") for header in re.findall(r'"(\S+: [^"]+)"', text)))


def cloud_logging(block: str, machine: Machine) -> None:
    """What Cloud Logging makes of a container's line, as pushed by Pub/Sub: half of them of Cloud Run, half of GKE.

    https://docs.cloud.google.com/logging/docs/structured-logging
    """
    line = json.loads(block)
    resources = (
        {"type": "cloud_run_revision", "labels": {"service_name": "shop"}},
        {"type": "k8s_container", "labels": {"container_name": "shop"}},
    )
    for n in range(10):
        entry = {
            "insertId": str(n),
            "logName": "projects/p/logs/stdout",
            "timestamp": TIME,
            "severity": line["severity"],
            "trace": line["logging.googleapis.com/trace"],
            "resource": resources[n % 2],
            "jsonPayload": {"message": f"{line['message']} {n}", "order": line["order"]},
        }
        pushed = {"message": {"data": base64.b64encode(json.dumps(entry).encode()).decode(), "messageId": str(n)}}
        machine.send(f"{ADDRESSES[0]}/pubsub", json.dumps(pushed).encode(), machine.bearer("/logbrook-token"))
