"""compose/collector/processors: each configuration, run by the real Collector, makes of its input what is expected.

A case is a folder of `cases`: the input as lines (`input.log`) or OTLP records (`input.jsonl`), and the events that
the gateway puts into its topic (`expected.jsonl`).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.collector.collector import PROCESSORS, lines, post
from tests.collector.conftest import Edge

CASES = Path(__file__).parent / "cases"
# Of a record that says nothing of its time.
RECEIVED = "1767225600000000000"


@pytest.mark.parametrize("name", [file.stem for file in PROCESSORS])
def test_input_becomes_what_is_expected(name: str, edge: Edge) -> None:
    """What is masked, parsed, dropped, and sampled is exactly this, field by field."""
    before = len(edge.gateway.events)

    post(edge.otlp[name], records(CASES / name))

    made = lines(edge.gateway.events[before:])
    assert made == (CASES / name / "expected.jsonl").read_text()


def records(case: Path) -> list[dict[str, Any]]:
    """A case's input as OTLP's records."""
    log = case / "input.log"
    if log.exists():
        found: list[dict[str, Any]] = [{"body": {"stringValue": line}} for line in log.read_text().splitlines()]
    else:
        found = [json.loads(line) for line in (case / "input.jsonl").read_text().splitlines()]
    return [{"timeUnixNano": RECEIVED, **record} for record in found]
