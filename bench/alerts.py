"""What evaluating alerts costs: `PYTHONPATH=service:compose:. .venv/bin/python -m bench.alerts`.

Loads an hour of 20 million events a day behind the native front, and evaluates 200 rules of all kinds over ten windows,
as `logbrook alert` does in ten minutes. Prints the processor time of both processes for each minute.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from bench import query_data
from bench.query import processor_seconds, server
from logbrook import clickhouse, config
from logbrook.alert.evaluator import Evaluator
from logbrook.alert.rules import parse
from logbrook.alert.state import State
from logbrook.query.timerange import SECOND

EVENTS_PER_DAY = 20_000_000
KINDS = (
    "query: service:checkout level>=error, condition: count > 1000000000",
    "query: level>=warn, condition: rate > 1000000, group_by: [service]",
    "query: '\"timed out\"', condition: count > 1000000",
    "query: level>=error, ratio_of: level>=info, condition: ratio > 2, group_by: [service]",
    "query: service:cart, condition: absent",
    "query: level>=error, condition: distinct(user.id) > 1000000",
    "query: service:checkout, condition: change > 1000000",
    "query: level>=error, condition: new pattern",
)


def main() -> None:
    """Load, evaluate, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rules", type=int, default=200)
    options.add_argument("--minutes", type=int, default=10)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, server(Path(folder)) as (settings, reader):
        client = clickhouse.connect(settings)
        end = time.time_ns() // (60 * SECOND) * 60 * SECOND
        rows = EVENTS_PER_DAY // 24
        for first in range(0, rows, query_data.CHUNK):
            count = min(query_data.CHUNK, rows - first)
            query_data.insert(client, first, count, end - 3600 * SECOND, 3600 * SECOND / rows)
        kinds = [KINDS[number % len(KINDS)] for number in range(given.rules)]
        text = "\n".join(f"  - {{name: Rule{number}, {kind}}}" for number, kind in enumerate(kinds))
        asyncio.run(_evaluate(f"rules:\n{text}\n", reader, Path(folder) / "state", end, given.minutes))


async def _evaluate(rules: str, reader: config.ClickHouse, path: Path, end: int, minutes: int) -> None:
    state = State(path)
    evaluator = Evaluator(parse(rules, "bench"), state, config.Alert(), config.Query(), reader)
    for rule in evaluator.rules:
        state.begin(rule.name, end - minutes * 60 * SECOND)
    own, engine = time.process_time(), processor_seconds()
    for rule in evaluator.rules:
        await evaluator.catch_up(rule, end + rule.lateness)
    own, engine = (time.process_time() - own) / minutes, (processor_seconds() - engine) / minutes
    print(
        f"{len(evaluator.rules)} rules: {own + engine:.2f} s of processor time a minute ({engine:.2f} s in ClickHouse)"
    )
    print(f"{(own + engine) / 60:.3f} cores")
    await evaluator.close()
    state.close()


if __name__ == "__main__":
    main()
