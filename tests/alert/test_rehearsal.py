"""Three in the morning: a service fails while the consumer is down. One alert, late but right, and never a second."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from confluent_kafka import Producer

from logbrook import config
from logbrook.kafka import producer_config
from logbrook.query.timerange import SECOND
from native import ports
from tests.alert.alertmanager import alertmanager
from tests.components import ClickHouseServer, until
from tests.consumer.test_consumer import SETTINGS, consuming
from tests.query.conftest import as_reader
from tests.query.door import serving

# REHEARSAL_SECONDS=60 is the whole rehearsal.
OUTAGE_SECONDS = float(os.environ.get("REHEARSAL_SECONDS", "25"))
EVENTS_PER_SECOND = 200
WINDOW = 10 * SECOND
RULES = """
rules:
  - name: ShopFails
    query: service:shop level>=error
    condition: count > 500
    window: 10s
    every: 10s
    lateness: 2s
    group_by: [service]
    severity: critical
"""


class Failing:
    """A service that logs errors, each at its time, straight into Kafka."""

    def __init__(self, topic: config.Kafka) -> None:
        self.times: list[int] = []
        self._producer, self._topic = Producer(producer_config(topic, 30)), topic.topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            lines = []
            for _ in range(EVENTS_PER_SECOND // 10):
                self.times.append(time.time_ns())
                event = {
                    "timestamp": str(self.times[-1]),
                    "severity_text": "ERROR",
                    "body": f"charge {len(self.times)} failed",
                    "resource": {"service.name": "shop"},
                }
                lines.append(json.dumps(event))
            self._producer.produce(self._topic, "\n".join(lines).encode())
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def __enter__(self) -> "Failing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Fail no more."""
        self._stop.set()
        self._thread.join()


Process = subprocess.Popen[bytes]


@contextmanager
def evaluator(reader: config.ClickHouse, rules: Path, state: Path, url: str) -> Iterator[tuple[Process, str]]:
    """`logbrook alert` as a process, and where its metrics are; killed in the end."""
    [port] = ports.free(1)
    given = {
        "CLICKHOUSE_PORT": str(reader.port),
        "CLICKHOUSE_USERNAME": reader.username,
        "CLICKHOUSE_PASSWORD": reader.password,
        "CLICKHOUSE_DATABASE": reader.database,
        "ALERT_RULES": str(rules),
        "ALERT_STATE": str(state),
        "ALERT_ALERTMANAGER_URL": url,
        "ALERT_EXPLORER_URL": "http://explorer",
        "ALERT_HEALTH_PORT": str(port),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROOK_")}
    environment = own | {f"LOGBROOK_{name}": value for name, value in given.items()}
    process = subprocess.Popen([sys.executable, "-m", "logbrook", "alert"], env=environment)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def ready(address: str) -> int:
    """What /readyz answers; 0 if nothing does."""
    try:
        return httpx.get(f"{address}/readyz", timeout=5).status_code
    except httpx.HTTPError:
        return 0


def evaluated(address: str) -> float:
    """How many windows an evaluator has evaluated."""
    found = re.search(r'alert_evaluations_total\{outcome="evaluated"\} (\S+)', httpx.get(f"{address}/metrics").text)
    return float(found[1]) if found else 0


def test_a_service_fails_while_the_consumer_is_down(
    clickhouse: ClickHouseServer, topic: config.Kafka, database: config.ClickHouse, tmp_path: Path
) -> None:
    """Nothing is told while nothing is known; then one alert, of the first window that was bad, with a link that shows
    its lines; and no other, although evaluators are killed, take over, and start again."""
    reader = as_reader(clickhouse, database)
    rules, state = tmp_path / "alerts.yaml", tmp_path / "state"
    rules.write_text(RULES)
    with (
        alertmanager(tmp_path / "alertmanager") as receiver,
        evaluator(reader, rules, state, receiver.url) as (first, first_address),
    ):
        until(lambda: ready(first_address) == 200)
        with evaluator(reader, rules, state, receiver.url) as (second, second_address):
            until(lambda: ready(second_address) == 503)
            with consuming(SETTINGS, topic, database):
                until(lambda: evaluated(first_address) > 1)

            with Failing(topic) as failing:
                time.sleep(OUTAGE_SECONDS)
                assert not receiver.told
                first.send_signal(signal.SIGKILL)
                until(lambda: ready(second_address) == 200)
                with consuming(SETTINGS, topic, database):
                    until(lambda: bool(receiver.told))
                    failing.end()
                    until(lambda: bool(receiver.alerts("resolved")))
                    second.kill()
                    with evaluator(reader, rules, state, receiver.url) as (_, third_address):
                        until(lambda: ready(third_address) == 200 and evaluated(third_address) > 1)

        [alert] = receiver.alerts("firing")
    windows = Counter(at // WINDOW for at in failing.times)
    bad = min(window for window, events in windows.items() if events > 500)
    assert datetime.fromisoformat(alert["startsAt"]).timestamp() == (bad + 1) * WINDOW // SECOND
    assert alert["labels"] == {"alertname": "ShopFails", "severity": "critical", "service": "shop"}
    assert alert["annotations"]["matches"] == str(windows[bad])
    assert len(alert["annotations"]["lines"].splitlines()) == 3
    shown = {name: values[0] for name, values in parse_qs(urlsplit(alert["generatorURL"]).query).items()}
    with serving(config.Query(), reader) as service:
        found = service.get("stats", query=shown["query"], from_=shown["from"], to=shown["to"])
        lines = service.get("search", query=shown["query"], from_=shown["from"], to=shown["to"], limit=3)["events"]
    assert found["events"] >= windows[bad]
    assert [each["body"] for each in lines] == [
        line.rpartition(": ")[2] for line in alert["annotations"]["lines"].splitlines()
    ]
