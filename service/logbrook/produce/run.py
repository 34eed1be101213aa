"""The command itself: options in, a source and a target wired together, a summary and an exit status out."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Literal

from logbrook import config
from logbrook.errors import ConfigError, LogbrookError
from logbrook.produce import made_up
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


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where to, and how long to try."""

    to: Literal["kafka", "gateway"]
    timeout_seconds: float = 60.0
    gateway_url: str = "http://127.0.0.1:4318"
    token: str = ""

    def open(self, stop: Stop) -> Target:
        """Connect. Raises LogbrookError."""
        if self.to == "kafka":
            return KafkaTarget(config.load(config.Kafka), stop, self.timeout_seconds)
        config.load(config.Log)
        return GatewayTarget(self.gateway_url, self.token, stop, self.timeout_seconds)


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """What to make up."""

    seed: int = 1
    count: int | None = None
    rate: float | None = None
    start_time: datetime | None = None
    spread: timedelta | None = None
    event_ids: bool = False
    per_message: int = 500

    def total(self) -> int | None:
        """Number of events; None is: until stopped."""
        return self.count if self.count is not None or self.rate else DEFAULT_COUNT

    def batches(self, stop: Stop) -> Iterator[Batch]:
        """The events. Raises ConfigError if the options do not go together."""
        if not 1 <= self.per_message <= MAX_EVENTS_PER_MESSAGE:
            raise ConfigError(f"--events-per-message: {self.per_message} is not 1 to {MAX_EVENTS_PER_MESSAGE}")
        if self.rate is not None and self.rate <= 0:
            raise ConfigError(f"--rate: {self.rate} is not above 0 events per second")
        events, stamps = Events(self.seed, event_ids=self.event_ids), self._stamps()
        return made_up.batches(
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


def _ns(time: datetime) -> int:
    """Nanoseconds since 1970, exactly. A time without a zone is UTC."""
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def produce(source: MadeUp, destination: Destination, *, as_json: bool) -> int:
    """Send everything, print what became of it, and return the exit status.

    0 if all was acknowledged, 1 if not, 130 or 143 after SIGINT or SIGTERM. The first signal stops the source and
    waits for what is under way, the second one does not wait.
    """
    stop = Stop()
    _on_signals(stop)
    target = destination.open(stop)
    error: LogbrookError | None = None
    with Report(target.tally, source.total(), quiet=as_json) as report:
        try:
            with suppress(StoppedError):
                for batch in source.batches(stop):
                    target.send(batch)
                    report.tick()
            while target.tally.waiting and stop.level < 2:
                target.wait()
                report.tick()
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


def _on_signals(stop: Stop) -> None:
    def handle(number: int, _frame: FrameType | None) -> None:
        stop.request(number)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
