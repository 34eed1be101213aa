"""The command itself: options in, a source and a target wired together, a summary and an exit status out."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, Protocol

from logbrook import config
from logbrook.errors import ConfigError, LogbrookError
from logbrook.produce import samples
from logbrook.produce.generator import Events
from logbrook.produce.pace import FixedStamps, NowStamps, Pace
from logbrook.produce.report import Report, Summary
from logbrook.produce.target import Batch, Stop, StoppedError, Target
from logbrook.produce.to_gateway import GatewayTarget
from logbrook.produce.to_kafka import KafkaTarget

DEFAULT_COUNT = 10_000
MAX_EVENTS_PER_MESSAGE = 1_000
_NS = 1_000_000_000
_DEFAULT_STEP_NS = 1_000_000
# After a signal, how long to wait for answers that the next run can do without.
_PATIENT_STOP_SECONDS = 5.0


class Source(Protocol):
    """Where batches come from."""

    @property
    def patient(self) -> bool:
        """Whether to try for as long as it takes, and leave what is not acknowledged when stopped to the next run."""

    def total(self) -> int | None:
        """The number of events to come, None if it is not known."""

    def batches(self, stop: Stop) -> Iterator[Batch | None]:
        """The events; None: go on only once everything before is acknowledged. Ends soon after the user stops."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where to, and how long to try."""

    to: Literal["kafka", "gateway"]
    timeout_seconds: float = 60.0
    gateway_url: str = "http://127.0.0.1:4318"
    token: str = ""

    def open(self, stop: Stop, *, patient: bool) -> Target:
        """Connect. A patient source's events never time out. Raises LogbrookError."""
        timeout_seconds = math.inf if patient else self.timeout_seconds
        if self.to == "kafka":
            return KafkaTarget(config.load(config.Kafka), stop, timeout_seconds)
        return GatewayTarget(self.gateway_url, self.token, stop, timeout_seconds)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Which sample events to generate."""

    seed: int = 1
    count: int | None = None
    rate: float | None = None
    start_time: datetime | None = None
    spread: timedelta | None = None
    event_ids: bool = False
    per_message: int = 500
    patient: ClassVar[bool] = False

    def total(self) -> int | None:
        """Number of events; None means until stopped."""
        return self.count if self.count is not None or self.rate else DEFAULT_COUNT

    def batches(self, stop: Stop) -> Iterator[Batch]:
        """The events. Raises ConfigError if the options do not go together."""
        if not 1 <= self.per_message <= MAX_EVENTS_PER_MESSAGE:
            raise ConfigError(f"--events-per-message: {self.per_message} is not 1 to {MAX_EVENTS_PER_MESSAGE}")
        if self.rate is not None and self.rate <= 0:
            raise ConfigError(f"--rate: {self.rate} is not more than 0 events per second")
        events, stamps = Events(self.seed, event_ids=self.event_ids), self._stamps()
        return samples.batches(
            lambda size: events.take(size, *stamps.next(size)),
            stop,
            count=self.total(),
            per_message=self.per_message,
            pace=Pace(self.rate) if self.rate else None,
        )

    def _stamps(self) -> FixedStamps | NowStamps:
        if self.spread is not None:
            total = self.total()
            if not total:
                raise ConfigError("--spread needs --count: it divides the time among the events")
            start = self.start_time or datetime.now(UTC) - self.spread
            return FixedStamps(_ns(start), int(self.spread.total_seconds() * _NS) // total)
        if self.start_time is not None:
            return FixedStamps(_ns(self.start_time), int(_NS / self.rate) if self.rate else _DEFAULT_STEP_NS)
        return NowStamps()


def _ns(moment: datetime) -> int:
    """Nanoseconds since 1970, exactly. A time without a zone is UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def produce(source: Source, destination: Destination, *, as_json: bool) -> int:
    """Send everything, print what became of it, and return the exit status.

    0 if all was acknowledged, 1 if not, 130 or 143 after SIGINT or SIGTERM. The first signal stops the source and
    waits for what is under way, the second one does not wait.
    """
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda which, _frame: stop.request(which))
    target = destination.open(stop, patient=source.patient)
    error: LogbrookError | None = None
    with Report(target.tally, source.total(), quiet=as_json) as report:
        try:
            _transfer(source, target, report, stop)
        except LogbrookError as problem:
            error = problem
        finally:
            target.close()
    summary = Summary.of(target.tally, report.seconds, interrupted=bool(stop.signal))
    summary.print(as_json=as_json)
    if error is not None:
        raise error
    if stop.signal:
        return 128 + stop.signal
    return 1 if summary.failed else 0


def _transfer(source: Source, target: Target, report: Report, stop: Stop) -> None:
    """Hand over all batches, and wait for the answers."""
    with suppress(StoppedError):
        for batch in source.batches(stop):
            if batch is not None:
                target.send(batch)
            elif not _settle(source, target, report, stop):
                return
            report.tick()
    _settle(source, target, report, stop)


def _settle(source: Source, target: Target, report: Report, stop: Stop) -> bool:
    """Wait until something is known about every event; whether all were acknowledged."""
    since = None
    while target.tally.waiting and stop.level < 2:
        if stop.level and source.patient:
            since = since or time.monotonic()
            if time.monotonic() - since > _PATIENT_STOP_SECONDS:
                break
        target.wait()
        report.tick()
    return not target.tally.failed
