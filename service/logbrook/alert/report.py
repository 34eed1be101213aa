"""What `logbrook alert test` shows: whether a file is in order, and when its rules would have fired."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from logbrook import config
from logbrook.alert import evaluate
from logbrook.alert.evaluator import begin
from logbrook.alert.rules import Rule, load
from logbrook.alert.state import State
from logbrook.query.engine import Engine
from logbrook.query.terminal import visible
from logbrook.query.timerange import SECOND, rfc3339


def run(file: Path, backfill: int) -> None:
    """Check a file, and evaluate each rule over the last window, or over every window of the last `backfill` ns.

    Raises MistakesError for mistakes, LogbrookError if ClickHouse does not answer.
    """
    rules = load(file)
    asyncio.run(_run(rules, backfill, config.load(config.Query), config.load(config.ClickHouse)))


async def _run(rules: list[Rule], backfill: int, query: config.Query, clickhouse: config.ClickHouse) -> None:
    console, engine = Console(highlight=False), Engine(clickhouse, query)
    try:
        with TemporaryDirectory() as folder:
            state = State(Path(folder) / "state")
            for rule in rules:
                await _rule(console, engine, state, rule, backfill)
            state.close()
    finally:
        await engine.close()


async def _rule(console: Console, engine: Engine, state: State, rule: Rule, backfill: int) -> None:
    end = (time.time_ns() - rule.lateness) // rule.every * rule.every
    windows = list(range(end - backfill // rule.every * rule.every, end + 1, rule.every))
    await begin(engine, state, rule, windows[0] - rule.window)
    fired = 0
    for at in track(windows, rule.name, console=Console(stderr=True), transient=True, disable=len(windows) == 1):
        found = await evaluate.evaluate(engine, rule, at)
        holding = state.holding(rule, at, found)
        firing = state.firing(rule, at, holding)
        state.record(rule, at, found, holding, {each.group: {} for each in firing})
        fired += len(firing)
        for each in firing:
            # Senders choose these: no markup, no escape sequence, no further line.
            group = visible(f" {', '.join(each.group)}" if each.group else "").replace("\n", "\\n")
            text = f"{rfc3339(at)[:19]}Z fires {rule.name}{group}: {each.value:g}, {each.events} events"
            console.print(text, markup=False)
    length = f"{(windows[-1] - windows[0]) // SECOND} s" if backfill else "the last window"
    console.print(
        f"{rule.name}: {rule.condition.text}: fired {fired} time{'s' * (fired != 1)} in {length}", markup=False
    )
