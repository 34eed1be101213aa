"""The gateway, killed while a Collector sends what it takes by syslog and Fluent Forward."""

import signal
import socket
import time
from pathlib import Path
from typing import Any

from fluent import sender

from logbrook.config import Kafka
from logbrook.tokens import issue
from native import ports
from tests.collector import collector
from tests.collector.test_kills import load
from tests.components import until
from tests.gateway import process, reading

KILLS = 3
SOURCES = [collector.CONFIGURATIONS / name for name in ("syslog.yaml", "forward.yaml")]


def test_a_killed_gateway_loses_nothing_of_syslog_and_forward(topic: Kafka, tmp_path: Path) -> None:
    """Both protocols deliver without a pause; each event is in Kafka, whenever the gateway was killed."""
    [port] = ports.free(1)
    issued, host = issue("edge"), collector.loopback()

    def gateway() -> Any:
        return process.start(topic, tmp_path / "gateway.log", port=port, tokens=issued.entry).child

    with collector.started(tmp_path, port, issued.token, *SOURCES, options=(), COLLECTOR_HOST=host) as edge:
        collector.ready(tmp_path, edge)
        fluent = sender.FluentSender("app", host=host, port=24224)
        with socket.create_connection((host, 5514)) as syslog:

            def send(number: int) -> None:
                syslog.sendall(f"<13>1 2026-11-28T09:15:02Z web app - - - syslog {number}\n".encode())
                assert fluent.emit("forward", {"message": f"forward {number}"})
                time.sleep(0.001)

            running = gateway()
            with load(send) as sent:
                for _ in range(KILLS):
                    before = len(sent)
                    until(lambda: len(sent) > before + 100)  # noqa: B023
                    running.send_signal(signal.SIGKILL)
                    running.wait()
                    until(lambda: len(sent) > before + 200)  # noqa: B023
                    running = gateway()
        fluent.close()
        expected = {f"{kind} {number}" for kind in ("syslog", "forward") for number in sent}
        try:
            until(lambda: bodies(topic) >= expected, 60)
        finally:
            running.kill()
            running.wait()


def bodies(topic: Kafka) -> set[str]:
    """What the events in the topic say."""
    return {event["body"] for event in reading.events([each.value for each in reading.kept(topic, 0)])}
