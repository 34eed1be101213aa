"""Hundreds of seeded faults in a row: what test_campaign.py runs, and what the comparison of consumers uses."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.faults.killing import POINTS
from tests.faults.ledger import Ledger, Sender, Verdict, check, compare
from tests.faults.processes import Process, until
from tests.faults.proxy import Fault, Proxy
from tests.faults.stack import Place
from tests.faults.witness import Witness

Progress = Callable[[str], None]
"""Prints a line about a fault that was injected."""
# The machine may be busy with other things: only a standstill counts.
PATIENCE_SECONDS = 240.0
_LIFE_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """A line of the table: faults injected, and what they cost."""

    name: str
    faults: int
    acknowledged: int
    missing: int
    double: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.faults:>6} {self.acknowledged:>12} {self.missing:>8} {self.double:>7}"
            f" {self.seconds:>8.0f}"
        )


Counts = list[Outcome]
HEADING = f"{'':<44} {'faults':>6} {'acknowledged':>12} {'missing':>8} {'double':>7} {'seconds':>8}"


@dataclass
class Campaign:
    """One place under load, and the faults that it is put through."""

    place: Place
    seed: int
    progress: Progress
    messages_per_second: float = 60.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.ledger = Ledger()
        self.sender = Sender(self.ledger, self.place.kafka, self.seed, self.messages_per_second)
        self.witness = Witness(self.place)
        self.began = time.monotonic()

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """Load, and somebody who takes answers meanwhile and until `_check`."""
        self.witness.start()
        with self.sender.sending():
            yield

    def generator(self, number: int) -> random.Random:
        """Randomness of a thread's own, from the same seed."""
        return random.Random(f"{self.seed}-{number}")

    def outcome(self, name: str, faults: int, verdict: Verdict) -> Outcome:
        """The line for the table."""
        seconds = time.monotonic() - self.began
        return Outcome(name, faults, verdict.acknowledged, len(verdict.missing), len(verdict.double), seconds)

    def so_far(self, text: str) -> None:
        """What can be said at any time: none twice, none passed, none changed, none unknown. Raises AssertionError."""
        verdict = compare(self.ledger, self.place)
        assert verdict.harmless, f"{text}: {verdict}"
        self.progress(f"{text}: {verdict.stored} stored, none twice")

    def consumer_kills(self, kills: int, lanes: int = 3) -> Outcome:
        """Consumers that kill themselves at seeded points, each followed by another at once."""
        done, lock = Counter[str](), threading.Lock()

        def lane() -> None:
            while done.total() < kills:
                with lock:
                    point, delay = self.rng.choice(list(POINTS)), self.rng.random() * 0.05
                    passing = self.rng.choices((1, 2, 3), (6, 3, 1))[0]
                reached = self._kill_at(point, passing, delay)
                with lock:
                    done[point] += reached
                    # One that does not come so far is killed from outside, and not counted.
                    self.progress(f"kill {done.total()}: {point}:{passing}{'' if reached else ' (not reached)'}")

        with self._sending():
            threads = [threading.Thread(target=lane, name=f"lane {number}") for number in range(lanes)]
            for each in threads:
                each.start()
            for each in threads:
                while each.is_alive():
                    each.join(30)
                    self.so_far(f"after {done.total()} consumer kills")
            self.place.consumer().spawn()
        self.progress(", ".join(f"{point}: {count}" for point, count in sorted(done.items())))
        return self.outcome("consumer killed at its points (kill -9)", done.total(), self._check())

    def _check(self) -> Verdict:
        verdict = check(self.ledger, self.place, drain_seconds=PATIENCE_SECONDS)
        self.witness.check(self.ledger)
        return verdict

    def _kill_at(self, point: str, passing: int, delay: float) -> bool:
        """One consumer's life; False if it did not come to its point in time, and was killed from outside."""
        consumer = self.place.consumer(FAULT_AT=f"{point}:{passing}", FAULT_DELAY_SECONDS=f"{delay:.3f}")
        consumer.spawn()
        deadline, leaving = time.monotonic() + _LIFE_SECONDS, False
        while consumer.running and time.monotonic() < deadline:
            time.sleep(0.1)
            if point == "leaving" and not leaving and "took over" in consumer.log and consumer.child is not None:
                leaving = True
                consumer.child.terminate()
        reached = not consumer.running and "fault: " in consumer.log
        consumer.kill()
        return reached

    def clickhouse_kills(self, kills: int) -> Outcome:
        """ClickHouse killed while it inserts."""
        self.place.supervised(FAULT_SLOW_INSERT="0.1")
        with self._sending():
            for number in range(1, kills + 1):
                self._grows()
                until(self.place.insert_queries, PATIENCE_SECONDS, "an insert is under way", poll_seconds=0.01)
                time.sleep(self.rng.random() * 0.15)
                self.place.stack.clickhouse.restart()
                self.progress(f"ClickHouse kill {number}")
                if number % 10 == 0:
                    self.so_far(f"after {number} ClickHouse kills")
        return self.outcome(
            "ClickHouse killed while inserting (kill -9)",
            kills,
            self._check(),
        )

    def broker_kills(self, kills: int) -> Outcome:
        """Kafka killed under load."""
        for _ in range(2):
            self.place.supervised()
        with self._sending():
            for number in range(1, kills + 1):
                self._grows()
                time.sleep(self.rng.random())
                self.place.stack.kafka.restart()
                self.progress(f"broker kill {number}")
                if number % 5 == 0:
                    self.so_far(f"after {number} broker kills")
        return self.outcome("Kafka killed under load (kill -9)", kills, self._check())

    def combinations(self, turns: int) -> Outcome:
        """Two or three faults at the same time."""
        with Proxy(self.place.stack.clickhouse_port) as proxy:
            consumers = [
                self.place.supervised(
                    clickhouse_port=proxy.port, FAULT_SLOW_INSERT="0.1", LOGBROOK_CLICKHOUSE_TIMEOUT_SECONDS="8"
                )
                for _ in range(2)
            ]
            faults = self._faults(proxy, consumers)
            count = 0
            with self._sending():
                for turn in range(1, turns + 1):
                    self._grows()
                    chosen = self.rng.sample(sorted(faults), self.rng.choice((2, 3)))
                    count += len(chosen)
                    self.progress(f"combination {turn}: {', '.join(chosen)}")
                    self._at_once([faults[name] for name in chosen])
                    proxy.disarm()
                    self.so_far(f"after combination {turn}")
            name = f"{turns} combinations of two or three faults"
            return self.outcome(name, count, self._check())

    def _at_once(self, faults: list[Callable[[], None]]) -> None:
        delays = [self.rng.random() for _ in faults]

        def later(delay: float, fault: Callable[[], None]) -> None:
            time.sleep(delay)
            fault()

        threads = [threading.Thread(target=later, args=pair) for pair in zip(delays, faults, strict=True)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def _faults(self, proxy: Proxy, consumers: list[Process]) -> dict[str, Callable[[], None]]:
        stack = self.place.stack
        insert = b"INSERT+INTO+inlet_"
        pauses = {"ClickHouse": stack.clickhouse, "Kafka": stack.kafka, "ZooKeeper": stack.zookeeper}
        faults: dict[str, Callable[[], None]] = {
            "consumer killed": consumers[0].kill,
            "consumer stopped 4 s": lambda: pause(consumers[1], 4),
            "ClickHouse killed": stack.clickhouse.restart,
            "Kafka killed": stack.kafka.restart,
        }
        for name, process in pauses.items():
            faults[f"{name} stopped 3 s"] = partial(pause, process, 3)
        for fault in Fault:
            marker = b"" if fault is Fault.REFUSE else insert
            faults[f"connection: {fault.name.lower()}"] = partial(
                proxy.arm, fault, times=3, marker=marker, seconds=9.0, for_seconds=3.0
            )
        return faults

    def _grows(self) -> None:
        before = self.place.stored()
        until(lambda: self.place.stored() > before, PATIENCE_SECONDS, "more is stored")

    def killed_from_outside(self, kind: str, kills: int) -> Outcome:
        """Consumers of a kind (a peer's name, or "" for ours) killed at seeded times. The outcome is only counted."""
        with self.sender.sending():
            for number in range(1, kills + 1):
                before = self.place.stored()
                consumer = self.place.consumer(naive=kind)
                consumer.spawn()
                until(lambda: self.place.stored() > before, PATIENCE_SECONDS, "more is stored")  # noqa: B023
                time.sleep(self.rng.random() * 1.5)
                consumer.kill()
                self.progress(f"{kind or 'logbrook'}: kill {number}")
            self.place.consumer(naive=kind).spawn()
        self.place.drain(PATIENCE_SECONDS)
        return self.outcome(kind or "logbrook", kills, compare(self.ledger, self.place))


def pause(process: Process, seconds: float) -> None:
    """Suspend a process for the given time."""
    if not process.running:
        return
    process.pause()
    time.sleep(seconds)
    process.resume()
