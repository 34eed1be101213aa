"""Gateway and Collector, killed under load: what the configurations of compose/collector promise, and nothing more."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub

from tests.collector.collector import CONFIGURATIONS, Gateway, loopback, ready, running
from tests.components import until

KILLS = 6


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway of the test's own."""
    with Gateway().running() as each:
        yield each


@contextmanager
def load(send: Callable[[int], None]) -> Iterator[list[int]]:
    """Send numbers from another thread, each until it is taken, for the time of the block; those that were taken."""
    taken: list[int] = []
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            try:
                send(number)
            except grpc.RpcError:
                time.sleep(0.02)
                continue
            taken.append(number)
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def test_a_killed_collector_loses_no_line_of_a_file(gateway: Gateway, tmp_path: Path) -> None:
    """Lines come without a pause; the Collector is killed at any time, the gateway is away at times: all arrive."""
    chance = random.Random(1)
    with (tmp_path / "app.log").open("w", buffering=1) as app:

        def write(number: int) -> None:
            app.write(f"line {number}\n")
            time.sleep(0.0005)

        with load(write) as written:
            for kill in range(KILLS):
                gateway.away = kill % 2 == 1
                before = len(written)
                with collector(tmp_path, gateway) as process:
                    ready(tmp_path, process, kill + 1)
                    # At any time of what it does in a moment.
                    until(lambda: len(written) > before + 200)  # noqa: B023
                    time.sleep(chance.random() / 3)
        gateway.away = False
        with collector(tmp_path, gateway):
            until(lambda: len(gateway.bodies) >= len(written), 60)

    assert gateway.bodies == {f"line {number}" for number in written}


def collector(directory: Path, gateway: Gateway) -> Any:
    """A Collector that reads the test's file, and is killed at the end of the block."""
    files = str([str(directory / "app.log")])
    return running(directory, gateway, CONFIGURATIONS / "files.yaml", COLLECTOR_FILES=files)


def test_what_the_collector_took_by_otlp_is_not_lost(gateway: Gateway, tmp_path: Path) -> None:
    """An OTLP request that was answered is on the disk: no death of Collector or gateway loses it."""
    otlp, host = CONFIGURATIONS / "otlp.yaml", loopback()

    def send(number: int) -> None:
        request = ExportLogsServiceRequest()
        request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = f"record {number}"
        LogsServiceStub(channel).Export(request, timeout=10)  # type: ignore[no-untyped-call]

    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 100)]
    with grpc.insecure_channel(f"{host}:4317", options) as channel, load(send) as taken:
        for kill in range(KILLS):
            gateway.away = kill % 2 == 0
            before = len(taken)
            with running(tmp_path, gateway, otlp, COLLECTOR_HOST=host):
                until(lambda: len(taken) > before + 20)  # noqa: B023
    gateway.away = False
    with running(tmp_path, gateway, otlp, COLLECTOR_HOST=host):
        until(lambda: gateway.bodies >= {f"record {number}" for number in taken})
