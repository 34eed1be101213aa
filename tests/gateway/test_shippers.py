"""Other people's clients, as they are installed, deliver through the gateway: each event once, with its fields."""

import subprocess
import sys
from pathlib import Path

from elasticsearch import Elasticsearch, helpers

from logbrook.config import Kafka
from logbrook.tokens import issue
from tests.gateway import reading
from tests.gateway.process import running

EVENTS = 300
# In a process of its own: the library is from before the warnings that are errors here.
PYTHON_LOGGING_LOKI = """
import logging, sys
import logging_loki
handler = logging_loki.LokiHandler(
    url=sys.argv[1] + "/loki/api/v1/push", tags={"service_name": "shop"}, auth=("anybody", sys.argv[2]), version="1"
)
failed = []
handler.handleError = lambda record: failed.append(sys.exc_info()[1])
logger = logging.getLogger("shop.cart")
logger.addHandler(handler)
for number in range(int(sys.argv[3])):
    logger.error("number %d", number, extra={"tags": {"order": f"o-{number}"}})
sys.exit(str(failed[0]) if failed else 0)
"""
PYTHON_LOGGING = """
import logging, sys
import {library}
port, token = sys.argv[1:3]
logger = logging.getLogger("shop.cart")
logger.addHandler({library}.{handler})
for number in range(int(sys.argv[3])):
    logger.error("number %d", number, extra=dict(order=number))
logging.shutdown()
"""


def test_elasticsearch_py(topic: Kafka, tmp_path: Path) -> None:
    """Elastic's Python client checks the product, asks who is there, and finds each document created."""
    token = issue("app")
    with running(topic, tmp_path / "log", tokens=token.entry) as gateway:
        client = Elasticsearch(gateway.url, basic_auth=("anybody", token.token), http_compress=True)
        assert client.info()["version"]["number"].startswith("8.")
        documents = [
            {
                "_op_type": "create",
                "_index": "logs-app",
                "@timestamp": "2026-01-31T12:00:00Z",
                "message": f"number {number}",
            }
            for number in range(EVENTS)
        ]
        outcomes = [(ok, item) for ok, item in helpers.streaming_bulk(client, documents, chunk_size=100)]
        client.close()

    assert outcomes == [(True, {"create": {"_index": "logs-app", "status": 201, "result": "created"}})] * EVENTS
    kept = reading.kept(topic, 3)
    events = reading.events([each.value for each in kept])
    assert {each.source for each in kept} == {b"app"}
    assert sorted(int(event["message"].removeprefix("number ")) for event in events) == list(range(EVENTS))
    assert {(event["_index"], event["@timestamp"]) for event in events} == {("logs-app", "2026-01-31T12:00:00Z")}


def test_python_logging_loki(topic: Kafka, tmp_path: Path) -> None:
    """A handler of Python's logging, which sends each record in a request and insists on 204."""
    token = issue("app")
    with running(topic, tmp_path / "log", tokens=token.entry) as gateway:
        command = [sys.executable, "-W", "ignore", "-c", PYTHON_LOGGING_LOKI, gateway.url, token.token, str(EVENTS)]
        subprocess.run(command, check=True)

    events = reading.events([each.value for each in reading.kept(topic, EVENTS)])
    assert sorted(int(event["body"].removeprefix("number ")) for event in events) == list(range(EVENTS))
    assert {(event["severity_text"], event["resource"]["service.name"]) for event in events} == {("error", "shop")}
    assert {event["resource"]["order"] for event in events} == {f"o-{number}" for number in range(EVENTS)}


def test_splunk_handler(topic: Kafka, tmp_path: Path) -> None:
    """A handler for Python's logging sends many records in a request, one after the other."""
    token = issue("app")
    handler = 'SplunkHandler("127.0.0.1", port, token, "main", protocol="http", verify=False, sourcetype="shop")'
    program = PYTHON_LOGGING.format(library="splunk_handler", handler=handler)
    with running(topic, tmp_path / "log", tokens=token.entry) as gateway:
        command = [sys.executable, "-W", "ignore", "-c", program, str(gateway.port), token.token, str(EVENTS)]
        subprocess.run(command, check=True)

    events = reading.events([each.value for each in reading.kept(topic, 1)])
    assert [event["body"] for event in events] == [f"number {number}" for number in range(EVENTS)]
    resources = {
        (event["resource"]["com.splunk.index"], event["resource"]["com.splunk.sourcetype"]) for event in events
    }
    assert resources == {("main", "shop")}
