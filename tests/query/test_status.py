"""/v1/status where there is no Prometheus to ask; with one, tests/observability looks at it."""

from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader


def test_without_prometheus_it_says_what_to_set(service: door.Door) -> None:
    """The rest of the API works, and this one names the setting."""
    answer = service.ask("status")

    assert answer.status_code == 404
    assert "LOGBROOK_QUERY_PROMETHEUS_URL" in answer.json()["error"]["message"]


def test_a_prometheus_that_is_away_is_no_fault_of_the_request(
    clickhouse: ClickHouseServer, database: config.ClickHouse
) -> None:
    """503, and when to ask again; searches go on."""
    nowhere = config.Query(prometheus_url="http://127.0.0.1:1")
    with door.serving(nowhere, as_reader(clickhouse, database)) as service:
        answer = service.ask("status")

        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "prometheus_unavailable")
        assert answer.headers["Retry-After"]
        assert service.search()["events"] == []
