"""The whole native stack, watched by a real Prometheus, with events in it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from native import prometheus
from tests.components import NativeStack, native_stack, until
from tests.observability.test_rules import GROUPS


class Watched(NativeStack):
    """A running stack, and what its Prometheus answers."""

    def prometheus(self, path: str, **parameters: str) -> Any:
        """`data` of Prometheus' answer."""
        url = f"http://127.0.0.1:{self.settings.ports.prometheus}/api/v1/{path}"
        answer = httpx.get(url, params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        found: list[dict[str, Any]] = self.prometheus("query", query=promql)["result"]
        return found

    @property
    def explorer(self) -> str:
        """The address of the query service."""
        return f"http://127.0.0.1:{self.settings.ports.query}"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """It came up, took generated events and an odd one, was asked, and Prometheus has seen and recorded all that."""
    if not prometheus.installed():
        pytest.skip(f"Prometheus is not installed: {prometheus.INSTALL}")
    with native_stack(tmp_path_factory.mktemp("watched")) as running:
        watched = Watched(running.settings, running.variables)
        fill(watched)
        yield watched


def fill(watched: Watched) -> None:
    """Give every figure something to count, again and again until Prometheus has seen it grow."""

    gateway = f"http://127.0.0.1:{watched.settings.ports.gateway}/ingest"
    token = {"Authorization": f"Bearer {watched.settings.variables['LOGBROOK_TOKEN']}"}
    odd = {"service": "it's", "level": "error", "message": "order 17 failed"}
    assert httpx.post(gateway, json=odd, headers=token, timeout=30).status_code == 200

    def counted() -> bool:
        watched.run("run", "produce", "--count", "5000", "--spread", "30m", "--to", "gateway")
        for path in ("search", "stats", "histogram", "search?query=service:("):
            httpx.get(f"{watched.explorer}/v1/{path}", timeout=30)
        httpx.post(gateway, content="from nobody", timeout=30)
        return all(watched.query(f"sum(rate({name}[1m])) > 0") for name in GROWING)

    until(counted)
    until(lambda: all(watched.query(name) for name in RECORDED))


RECORDED = [rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule]
GROWING = (
    "gateway_events_total",
    "gateway_rejected_total",
    "consumer_messages_total",
    "consumer_freshness_seconds_count",
    "query_requests_total",
    "query_rejected_total",
    "kafka_server_bytesin_total",
    "ClickHouseProfileEvents_InsertedRows",
)
