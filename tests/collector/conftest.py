"""One Collector with all configurations of compose/collector at once, which is also to say that they go together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from native import ports
from tests.collector.collector import CONFIGURATIONS, PROCESSORS, Gateway, loopback, processors_of, ready, running

SOURCES = [CONFIGURATIONS / f"{name}.yaml" for name in ("files", "syslog", "forward", "docker", "pods", "otlp")]


@dataclass(frozen=True)
class Edge:
    """A running Collector, where it listens and reads, and the gateway that it sends to."""

    gateway: Gateway
    host: str
    # What COLLECTOR_FILES, COLLECTOR_CONTAINERS, and COLLECTOR_PODS lead to.
    files: Path
    # For each file of processors/, a port for OTLP over HTTP, and no queue behind it.
    otlp: dict[str, int]


@pytest.fixture(scope="package")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The Collector, started once."""
    directory = tmp_path_factory.mktemp("collector")
    names = [file.stem for file in PROCESSORS]
    with Gateway().running() as gateway:
        made = Edge(
            gateway,
            loopback(),
            directory / "files",
            dict(zip(names, ports.free(len(names)), strict=True)),
        )
        made.files.mkdir()
        with running(
            directory,
            gateway,
            *SOURCES,
            *PROCESSORS,
            overrides=_direct(made),
            COLLECTOR_HOST=made.host,
            COLLECTOR_FILES=f"[{made.files}/*.log]",
            COLLECTOR_CONTAINERS=f"{made.files}/containers",
            COLLECTOR_PODS=f"{made.files}/pods",
        ) as process:
            ready(directory, process)
            yield made


def _direct(edge: Edge) -> dict[str, Any]:
    """A pipeline for each file of processors: what is sent to it has arrived when it is answered."""
    to_gateway = {
        "endpoint": f"http://127.0.0.1:{edge.gateway.port}",
        "headers": {"authorization": f"Bearer {edge.gateway.token}"},
        "sending_queue": {"enabled": False},
    }
    return {
        "receivers": {
            f"otlp/{name}": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}
            for name, port in edge.otlp.items()
        },
        "exporters": {"otlp_http/direct": to_gateway},
        "service": {
            "pipelines": {
                f"logs/{file.stem}": {
                    "receivers": [f"otlp/{file.stem}"],
                    "processors": processors_of(file),
                    "exporters": ["otlp_http/direct"],
                }
                for file in PROCESSORS
            }
        },
    }
