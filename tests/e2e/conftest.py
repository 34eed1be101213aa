"""The pipeline that all end-to-end tests share. Each looks only at what it sent itself (see Pipeline.position)."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.e2e.pipeline")

from tests.components import ClickHouseServer, KafkaBroker  # noqa: E402 - after the line above
from tests.e2e.pipeline import Pipeline, started  # noqa: E402


@pytest.fixture(scope="session")
def pipeline(
    clickhouse: ClickHouseServer, kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """A gateway and a consumer that are ready."""
    with started(clickhouse, kafka, tmp_path_factory.mktemp("pipeline")) as running:
        yield running
