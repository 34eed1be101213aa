"""Prometheus as a process that watches the others, if it is installed."""

import json
import shutil
from functools import partial
from pathlib import Path

from native.clickhouse import HOST, answers
from native.environment import Ports
from native.processes import Service

NAME = "prometheus"
INSTALL = "apt-get install prometheus"
_RULES = Path(__file__).parent.parent / "prometheus" / "rules.yml"


def installed() -> str | None:
    """Where the program is; None if it is not installed: the stack runs without it, and says so."""
    return shutil.which(NAME)


def prometheus(program: str, directory: Path, ports: Ports) -> Service:
    """Prometheus with its data in `directory`, and the rules of the Compose stack."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "prometheus.yml"
    # JSON is YAML.
    configuration.write_text(json.dumps(_configuration(ports), indent=2))
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=1GB",
        f"--web.listen-address={HOST}:{ports.prometheus}",
        # Pages from other origins must not read the answers. By default any page may.
        "--web.cors.origin=none",
        "--log.level=warn",
    ]
    return Service(
        NAME,
        command,
        partial(answers, ports.prometheus, "/-/ready"),
        ports.prometheus,
        alive=partial(answers, ports.prometheus, "/-/healthy"),
    )


def _configuration(ports: Ports) -> dict[str, object]:
    targets = {
        "prometheus": ports.prometheus,
        "gateway": ports.gateway,
        "consumer": ports.consumer,
        "query": ports.query,
        "audit": ports.audit,
        "alert": ports.alert,
        "zookeeper": ports.zookeeper_metrics,
        "kafka": ports.kafka_metrics,
        "clickhouse": ports.clickhouse,
    }
    return {
        "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
        "rule_files": [str(_RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}"]}]} for job, port in targets.items()
        ],
    }
