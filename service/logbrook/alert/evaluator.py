"""`logbrook alert`: every rule over every window, once all of the window is stored; what fires goes to Alertmanager."""

import asyncio
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import structlog

from logbrook import config, health, metrics
from logbrook.alert import evaluate, message
from logbrook.alert.evaluate import Found
from logbrook.alert.rules import Condition, Rule, load, parse
from logbrook.alert.show import shows
from logbrook.alert.state import State
from logbrook.errors import LogbrookError, UnavailableError
from logbrook.query import timerange
from logbrook.query.completeness import Completeness
from logbrook.query.engine import Engine
from logbrook.query.timerange import SECOND
from logbrook.rereading import reread

log = structlog.get_logger()

_TURN_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0
_DAY = 86400 * SECOND
# Of a rule for new patterns: what its first window is compared with.
_LEARNED_DAYS = 7
INCOMPLETE = "AlertsIncomplete"
_INCOMPLETE = Rule(
    name=INCOMPLETE,
    query="",
    condition=Condition("not complete", "count"),
    window=SECOND,
    every=SECOND,
    lateness=0,
    by_arrival=True,
    hold=0,
    groups={},
    labels={"severity": "critical"},
    summary="Alerts are not evaluated: events wait in Kafka, or nobody says whether they do",
    runbook="",
)


def run(settings: config.Alert, query: config.Query, clickhouse: config.ClickHouse) -> None:
    """Evaluate until SIGTERM or SIGINT. Raises ConfigError for a file with mistakes, or a bad state file.

    While another evaluator has the state file, this one waits, and goes on when that one ends.
    """
    load(Path(settings.rules))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    complaint = ["waiting: another evaluator works"]
    shown = [shows([], None, {})]
    documents = {"/alerts": lambda: shown[0]}
    health.serve(settings.health_host, settings.health_port, lambda: None, lambda: complaint[0] or None, documents)
    state = _locked(Path(settings.state), stop)
    if state is not None:
        # As they are now: this process may have waited for days.
        rules = load(Path(settings.rules))
        log.info("evaluating", rules=len(rules))
        complaint[0] = ""
        asyncio.run(_evaluating(Evaluator(rules, state, settings, query, clickhouse), stop, complaint, shown))
        state.close()


def _locked(path: Path, stop: threading.Event) -> State | None:
    said = False
    while not stop.is_set():
        try:
            return State(path)
        except BlockingIOError:
            if not said:
                log.info("another evaluator works: this one waits", state=str(path))
            said = True
            stop.wait(_TURN_SECONDS)
    return None


async def _evaluating(evaluator: "Evaluator", stop: threading.Event, complaint: list[str], shown: list[bytes]) -> None:
    said_at = float("-inf")
    rereading = asyncio.create_task(reread(Path(evaluator.settings.rules), evaluator.renew))
    try:
        while not stop.is_set():
            complaint[0] = await evaluator.turn() or ""
            shown[0] = shows(evaluator.rules, evaluator.state, evaluator.matches)
            if complaint[0] and time.monotonic() - said_at > _SAY_AGAIN_SECONDS:
                said_at = time.monotonic()
                log.warning("alerts are late", reason=complaint[0])
            await asyncio.sleep(_TURN_SECONDS)
    finally:
        rereading.cancel()
        await evaluator.close()


async def begin(engine: Engine, state: State, rule: Rule, at: int) -> None:
    """Let a rule's first window end after `at`; what a rule for new patterns has to know lies before."""
    seen = set[evaluate.Group]()
    if rule.condition.kind == "new pattern":
        for day in range(_LEARNED_DAYS):
            seen |= {each.group for each in await evaluate.evaluate(engine, rule, at - day * _DAY, length=_DAY)}
    state.begin(rule.name, at, seen)


class Evaluator:
    """The rules, with what they are evaluated over, and where alerts go."""

    def __init__(
        self,
        rules: Sequence[Rule],
        state: State,
        settings: config.Alert,
        query: config.Query,
        clickhouse: config.ClickHouse,
    ) -> None:
        self.rules, self.state, self.settings = rules, state, settings
        self.engine = Engine(clickhouse, query)
        self.completeness = Completeness(self.engine)
        self.client = httpx.AsyncClient(base_url=settings.alertmanager_url, timeout=10, trust_env=False)
        self.known_at = time.monotonic()
        self.matches: dict[str, int] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        await self.engine.close()

    def renew(self, text: str) -> bool:
        """From the next turn on, evaluate the rules of a text. Returns whether they differ. Raises MistakesError."""
        before, self.rules = self.rules, parse(text, self.settings.rules)
        return self.rules != before

    async def turn(self) -> str | None:
        """Evaluate what is due and deliver what is new; what keeps alerts from being on time, if anything does."""
        self._end_others()
        known = await self.completeness.known()
        complaints = [self._incomplete(known["complete_until"], known["behind_seconds"])]
        if known["complete_until"] is not None:
            until = timerange.parse(known["complete_until"], 0, "complete_until")
            for rule in self.rules:
                try:
                    await self.catch_up(rule, until)
                except LogbrookError as error:
                    metrics.alert_evaluations_total.labels("failed").inc()
                    complaints.append(f"{rule.name}: {error}")
        complaints.append(await self._deliver())
        return "; ".join(each for each in complaints if each) or None

    def _end_others(self) -> None:
        """End the alerts and the metrics of rules that are no longer in the file."""
        names = {rule.name for rule in self.rules}
        self.state.end_others({INCOMPLETE, *names}, time.time_ns())
        for name in self.matches.keys() - names:
            del self.matches[name]
            metrics.logbrook_alert_matches.remove(name)
            metrics.alert_firing.remove(name)

    def _incomplete(self, until: str | None, behind_seconds: float | None) -> str | None:
        """Let an alert of its own say that windows have been incomplete for too long."""
        if behind_seconds is None:
            behind_seconds = time.monotonic() - self.known_at
        else:
            self.known_at = time.monotonic() - behind_seconds
        metrics.alert_behind_seconds.set(behind_seconds)
        late = behind_seconds > self.settings.incomplete_after_seconds
        if late or any(each.rule == INCOMPLETE and each.resolved is None for each in self.state.alerts()):
            said = f"complete until {until or 'an unknown time'}, {behind_seconds:.0f} s ago"
            alert = {
                "labels": {"alertname": INCOMPLETE, "severity": "critical"},
                "annotations": {"summary": _INCOMPLETE.summary, "description": said},
                "generatorURL": self.settings.explorer_url,
            }
            found, now = [Found((), behind_seconds, 0, holds=True)] if late else [], time.time_ns()
            fired = {each.group: alert for each in self.state.firing(_INCOMPLETE, now, found)}
            self.state.record(_INCOMPLETE, now, found, found, fired)
        return f"what is stored is {behind_seconds:.0f} s old" if late else None

    async def catch_up(self, rule: Rule, until: int) -> None:
        """Every window that ended by now, one after the other; those of too long ago are left out."""
        last = (until - rule.lateness) // rule.every * rule.every
        at = self.state.until(rule.name)
        if at is None:
            await begin(self.engine, self.state, rule, last)
            return
        # The rule may have had another `every`.
        at = at // rule.every * rule.every
        oldest = last - int(self.settings.catch_up_hours * 3600) * SECOND // rule.every * rule.every
        if at < oldest:
            log.warning("windows are left out: they are too old", rule=rule.name, seconds=(oldest - at) // SECOND)
            at = oldest
        while at < last:
            at += rule.every
            await self._step(rule, at)

    async def _step(self, rule: Rule, at: int) -> None:
        found = await evaluate.evaluate(self.engine, rule, at)
        holding = self.state.holding(rule, at, found)
        fired = {}
        for each in self.state.firing(rule, at, holding):
            lines = await evaluate.lines(self.engine, rule, at, each.group) if each.events else []
            fired[each.group] = message.message(rule, at, each, lines, self.settings.explorer_url)
        self.state.record(rule, at, found, holding, fired)
        for group, alert in fired.items():
            log.warning("alert fired", rule=rule.name, group=list(group), **alert["annotations"])
        metrics.alert_evaluations_total.labels("evaluated").inc()
        self.matches[rule.name] = sum(each.events for each in found)
        metrics.logbrook_alert_matches.labels(rule.name).set(self.matches[rule.name])
        metrics.alert_firing.labels(rule.name).set(
            sum(each.rule == rule.name and each.fired is not None for each in self.state.alerts())
        )

    async def _deliver(self) -> str | None:
        now = time.time_ns()
        unsent = self.state.unsent(now - message.RESEND)
        if not unsent or not self.settings.alertmanager_url:
            return None
        try:
            await message.post(self.client, unsent, now)
        except UnavailableError as error:
            metrics.alert_deliveries_total.labels("failed").inc()
            return str(error)
        self.state.mark_sent(unsent, now)
        metrics.alert_deliveries_total.labels("delivered").inc()
        return None
