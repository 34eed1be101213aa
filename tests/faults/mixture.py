"""Everything at once: faults of all kinds, drawn by a seed, on a whole pipeline under load, and somebody who watches.

Three consumers (one with its clock days ahead, one days behind), two gateways with clients that retry, a follower of a
log file and a Kafka client. Whatever ends, also by itself, is started again, as a supervisor does; nobody does anything
else.
"""

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException

from logbrook import config
from logbrook.consumer.audit import audit
from logbrook.consumer.span import Bounds
from logbrook.errors import LogbrookError
from tests.faults.campaign import PATIENCE_SECONDS, Campaign, Outcome, pause
from tests.faults.ledger import post
from tests.faults.processes import Process, until
from tests.faults.stack import SESSION_SECONDS, Place

_Answer = TypeVar("_Answer")
STALLED_SECONDS = 10
# By then a consumer that owns the partition must have noticed: it looks every 5 s, later on a busy machine.
_NOTICED_SECONDS = 20
# The longest time that a partition may be between two owners, known to neither, on a busy machine.
_UNOWNED_SECONDS = 90
_DAY = 24 * 3600
_PAST_THE_SESSION = 2 * SESSION_SECONDS


class Watch:
    """Looks every second whether work stands still while those who should know say that all is well."""

    def __init__(self, place: Place, consumers: list[Process]) -> None:
        self.place, self.consumers = place, consumers
        self.blind: list[str] = []
        self.audits = 0
        """How often the audit was asked about work that stood still, and answered."""
        self._moved: dict[int, tuple[int, float]] = {}
        self._well_since: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1):
            now, found, known = time.monotonic(), self.place.look(), self._all_are_well()
            if not found:
                # Kafka is not there to be asked: nobody is blind.
                self._moved.clear()
                continue
            self._well_since = None if known is None else self._well_since or now
            for partition, (committed, end) in found.items():
                before, since = self._moved.get(partition, (-1, now))
                self._moved[partition] = (committed, now if committed >= end or before != committed else since)
            if known is not None and self._well_since is not None:
                self._nobody_is_ready_and_stuck(known, now - self._well_since)
            still = {partition for partition, (_, since) in self._moved.items() if now - since > STALLED_SECONDS}
            if still:
                self._the_audit_agrees(still)

    def _nobody_is_ready_and_stuck(self, known: set[int], well_seconds: float) -> None:
        """Whether work stands still and all have called themselves ready for longer than it takes to notice."""
        now = time.monotonic()
        for partition, (committed, since) in self._moved.items():
            limit = STALLED_SECONDS + _NOTICED_SECONDS if partition in known else _UNOWNED_SECONDS
            if min(now - since, well_seconds) > limit:
                self.blind.append(f"/readyz: {partition} stood still at {committed} for {limit} s, owned: {known}")
                self._moved[partition] = (committed, now)

    def _the_audit_agrees(self, still: set[int]) -> None:
        """What stands still while an audit runs is stalled to it. An audit that can't be made calls nothing well."""
        before = self.place.look()
        settings = config.Consumer(group=self.place.group, stalled_after_seconds=1)
        try:
            findings = audit(settings, self.place.kafka, replace(self.place.database, timeout_seconds=10), Bounds())
        except (LogbrookError, ClickHouseError, KafkaException):
            return
        self.audits += 1
        after = self.place.look()
        for each in findings:
            committed, end = before.get(each.partition, (0, 0))
            stood = committed < end and after.get(each.partition, (-1, 0))[0] == committed
            if each.partition in still and stood and not each.stalled:
                self.blind.append(f"audit: {each.partition} stands still at {committed} of {end}")

    def _all_are_well(self) -> set[int] | None:
        """The partitions of which consumers know that messages wait; None if one of them does not call itself ready."""
        known = set[int]()
        for consumer in self.consumers:
            port = consumer.environment["LOGBROOK_CONSUMER_HEALTH_PORT"]
            try:
                ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code
                metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=2).text
            except httpx.HTTPError:
                return None
            if ready != 200:
                return None
            found = re.findall(r'^consumer_lag_messages\{partition="(\d+)"\} ([\d.e+]+)', metrics, re.MULTILINE)
            known |= {int(partition) for partition, lag in found if float(lag) > 0}
        return known


@dataclass
class Mixture(Campaign):
    """One pipeline with all of its processes, and the faults that it is put through."""

    disk: Path | None = None
    """A small file system that ClickHouse's data is on, to be filled up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        common: dict[str, Any] = {
            "LOGBROOK_CONSUMER_STALLED_AFTER_SECONDS": str(STALLED_SECONDS),
            "LOGBROOK_CONSUMER_MAX_BATCH_MESSAGES": "500",
            "LOGBROOK_CLICKHOUSE_TIMEOUT_SECONDS": "8",
        }
        clocks = (0, 3 * _DAY, -3 * _DAY)
        self.consumers = [self.place.consumer(**common, FAULT_CLOCK_SECONDS=str(clock)) for clock in clocks]
        self.gateways = [self.place.gateway() for _ in range(2)]
        self.log_file = self.place.stack.directory / f"{self.place.kafka.topic}.jsonl"
        self.follower = self.place.follower(self.log_file, self.gateways[0].url)
        self.locks = {name: threading.Lock() for name in ("ClickHouse", "Kafka", "ZooKeeper")}
        self._ending = threading.Event()

    def run(self, turns: int) -> Outcome:
        """So many turns of two or three faults at the same time."""
        stack = self.place.stack
        processes = [stack.clickhouse, stack.kafka, stack.zookeeper]
        processes += [*self.consumers, self.follower, *(each.process for each in self.gateways)]
        for process in processes:
            self.place.keep_running(process)
        faults, drawn = self._kinds(), Counter[str]()
        deck: list[str] = []
        with Watch(self.place, self.consumers) as watch, self._sending(), self._others():
            for turn in range(1, turns + 1):
                self._patiently(self._grows)
                # Like cards: each kind comes once before any comes again.
                wanted = self.rng.choice((2, 3))
                if len(deck) < wanted:
                    deck = self.rng.sample(sorted(faults.keys() - deck), len(faults) - len(deck)) + deck
                chosen = [deck.pop() for _ in range(wanted)]
                drawn.update(chosen)
                self.progress(f"turn {turn}: {', '.join(chosen)}")
                self._at_once([faults[name] for name in chosen])
                self._patiently(partial(self.so_far, f"after turn {turn}"))
        until(partial(self._patiently, self._complete), 2 * PATIENCE_SECONDS, "all that was promised is stored")
        verdict = self._patiently(self._check)
        assert not watch.blind, f"stuck work was called healthy: {watch.blind}"
        settings = config.Consumer(group=self.place.group, stalled_after_seconds=STALLED_SECONDS)
        found = audit(settings, self.place.kafka, self.place.database, Bounds())
        assert {(each.missing, each.double, each.stalled) for each in found} == {(0, 0, 0)}
        self.progress(", ".join(f"{kind}: {count}" for kind, count in sorted(drawn.items())))
        self.progress(f"audits while work stood still: {watch.audits}")
        return self.outcome(f"{turns} turns of everything at once", drawn.total(), verdict)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """What `ask` returns once ClickHouse answers: a full disk may have ended it a moment ago."""
        answers = list[_Answer]()

        def asked() -> bool:
            with suppress(ClickHouseError):
                answers.append(ask())
            return bool(answers)

        until(asked, PATIENCE_SECONDS, "ClickHouse answers")
        return answers[0]

    def _complete(self) -> bool:
        with self.ledger.lock:
            wanted = len(self.ledger.acknowledged)
        stored = self.place.client.query("SELECT uniqExact(LogAttributes['id']) FROM otel_logs").result_rows[0][0]
        return int(stored) >= wanted

    @contextmanager
    def _others(self) -> Iterator[None]:
        """Clients of the gateways, and a program that writes a log file, for the time of the block."""
        threads = [
            threading.Thread(target=self._client, args=(number,), name=f"client {number}")
            for number in range(len(self.gateways))
        ]
        threads.append(threading.Thread(target=self._writer, name="writer"))
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._ending.set()
            for each in threads:
                each.join()

    def _client(self, number: int) -> None:
        rng, sent = self.generator(number), 0
        while not self._ending.is_set():
            sent += 1
            url = self.gateways[number].url
            post(self.ledger, url, rng, events=rng.randrange(1, 20), key=f"{number}-{sent}", tries=2000)
            time.sleep(0.1)

    def _writer(self) -> None:
        rng = self.generator(99)
        with self.log_file.open("ab", buffering=0) as file:
            while not self._ending.wait(0.1):
                name, line = self.ledger.event(rng)
                file.write(line + b"\n")
                # The follower promises every line, however often it is killed.
                self.ledger.acknowledge([name], by_kafka=False)

    def _kinds(self) -> dict[str, Callable[[], None]]:
        stack = self.place.stack
        parts = {"ClickHouse": stack.clickhouse, "Kafka": stack.kafka, "ZooKeeper": stack.zookeeper}
        kinds: dict[str, Callable[[], None]] = {
            "consumer killed": lambda: self.rng.choice(self.consumers).kill(),
            "consumer stopped past its session": lambda: pause(self.rng.choice(self.consumers), _PAST_THE_SESSION),
            "partitions revoked while paused": self._revoke_while_paused,
            "keyed backlog": self._keyed_backlog,
            "monstrous events": self._monsters,
            "gateway killed under Kafka's outage": self._gateway_under_outage,
            "follower killed": self.follower.kill,
            "everything down and up": self._down_and_up,
        }
        for name, process in parts.items():
            kinds[f"{name} killed"] = partial(self._alone, name, process.kill)
            kinds[f"{name} stopped"] = partial(self._alone, name, partial(pause, process, _PAST_THE_SESSION))
        if self.disk is not None:
            kinds["disk full"] = self._full_disk
        return kinds

    def _alone(self, name: str, fault: Callable[[], None]) -> None:
        """One fault of a component at a time: who restarts it must find it."""
        with self.locks[name]:
            fault()

    def _revoke_while_paused(self) -> None:
        with self.locks["ClickHouse"]:
            self._rename("arrivals", "elsewhere")
            for _ in range(2000):
                self.sender.send_later(1)
            time.sleep(4)
            guest = self.place.consumer()
            guest.spawn()
            with suppress(AssertionError):
                until(lambda: '"assigned"' in guest.log, 20, "a guest gets a share")
            self._rename("elsewhere", "arrivals")
        time.sleep(2)
        guest.stop()

    def _rename(self, before: str, after: str) -> None:
        def done() -> bool:
            try:
                self.place.client.command(f"RENAME TABLE IF EXISTS {before} TO {after}")
                return bool(self.place.client.command(f"EXISTS TABLE {after}"))
            except ClickHouseError:
                return False

        until(done, PATIENCE_SECONDS, f"{before} is {after}")

    def _keyed_backlog(self) -> None:
        for consumer in self.consumers:
            consumer.pause()
        for number in range(3000):
            self.sender.send_keyed(f"{time.monotonic_ns()}-{number}".encode() * self.rng.choice((1, 1, 40)))
        for consumer in self.consumers:
            consumer.resume()

    def _monsters(self) -> None:
        for _ in range(3):
            name, data = self.ledger.event(self.rng)
            event = json.loads(data)
            event["attributes"] |= {f"{name}.{number:x}": "1" for number in range(45_000)}
            self.sender.send_this(json.dumps(event, separators=(",", ":")).encode(), [name])

    def _gateway_under_outage(self) -> None:
        with self.locks["Kafka"]:
            self.place.stack.kafka.pause()
            time.sleep(2)
            self.rng.choice(self.gateways).process.kill()
            time.sleep(2)
            self.place.stack.kafka.resume()

    def _down_and_up(self) -> None:
        stack = self.place.stack
        with self.locks["ClickHouse"], self.locks["Kafka"], self.locks["ZooKeeper"], self.place.held():
            for process in (*self.place.processes, stack.kafka, stack.zookeeper, stack.clickhouse):
                if process.running:
                    process.stop()
            for process in (stack.clickhouse, stack.zookeeper, stack.kafka):
                process.start()

    def _full_disk(self) -> None:
        assert self.disk is not None
        killed, left_bytes = self.rng.random() < 0.5, self.rng.randrange(4 * 2**20)
        ballast = self.disk / "ballast"
        with self.locks["ClickHouse"]:
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize > left_bytes:
                    file.write(bytes(2**16))
            time.sleep(5)
            if killed:
                self.place.stack.clickhouse.kill()
                time.sleep(2)
            ballast.unlink()
