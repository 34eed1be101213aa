"""The consumer's one loop: fetch, batch, insert, commit.

The main thread fetches and serves Kafka's callbacks; a worker thread talks to ClickHouse, so that an insert overlaps
with fetching the next batch. At most one batch is being inserted and one being filled, so memory is bounded. A big
batch is sent in several inserts at the same time, since ClickHouse gives each of them only one core.

No matter what goes wrong with an insert, the response is the same: its batch is kept, the partitions are taken over
again, what turns out to be stored is left out, and the rest is tried again.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException

from logbrook import clickhouse, config, health, metrics
from logbrook.consumer.batch import Batch
from logbrook.consumer.completeness import Completeness
from logbrook.consumer.inlet import Inlet, Position, take_over
from logbrook.consumer.member import Member
from logbrook.consumer.pieces import Pieces
from logbrook.consumer.progress import Progress
from logbrook.consumer.stored import Stored, store
from logbrook.errors import UnavailableError
from logbrook.waiting import Waiting, need_tables, need_topic

log = structlog.get_logger()

_FETCH_MESSAGES = 10_000
# The size that messages are assumed to have before the first one is seen: the most that brokers accept by default.
_FIRST_MESSAGE_BYTES = 2**20
# How long to wait on a full buffer before fetching is paused: pausing discards librdkafka's queue.
_PATIENCE_SECONDS = 1.0
_LAG_EVERY_SECONDS = 5.0
_STUCK_AFTER_SECONDS = 120.0
_LONGEST_BACK_OFF_SECONDS = 5.0


def run(settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse) -> None:
    """Wait for Kafka, the topic, ClickHouse and the tables; consume until SIGTERM or SIGINT; leave within
    `stop_seconds`. The health port is open the whole time.

    Raises LogbrookError if the topic was recreated.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    loop: Loop | None = None

    def connected() -> Loop:
        need_topic(kafka)
        need_tables(database)
        return Loop(settings, kafka, database)

    waiting = Waiting(connected)
    health.serve(
        settings.health_host,
        settings.health_port,
        lambda: loop.unhealthy() if loop is not None else None,
        lambda: loop.unready() if loop is not None else waiting.reason,
    )
    loop = waiting.until_there(stop)
    if loop is not None:
        loop.run(stop)
    if loop is None or loop.job is not None:
        # Otherwise exit would wait for its thread, until the client's timeout. The batch was not committed.
        os._exit(0)


Finish = Callable[[], None]
"""What the main thread does once a job of the worker has succeeded."""


def _is_gone(table: str, error: Exception) -> bool:
    return re.search(rf"Table \S*{table}\S* does", str(error)) is not None


class Loop:
    """The buffers between a member of the group and its inlet, and the jobs that move them."""

    def __init__(self, settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse) -> None:
        self.settings = settings
        self.client = clickhouse.connect(database)
        self.member = Member(settings, kafka, self._changing, self._changed)
        self.progress = Progress(kafka, settings.stalled_after_seconds)
        self.completeness = Completeness(self.member.topic, kafka, database, self._stored)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="clickhouse")
        self.pieces = Pieces(settings.max_batch_messages, settings.parallel_inserts)
        self.filling = Batch()
        self.inserting: Batch | None = None
        self.inlet: Inlet | None = None
        self.stale: str | None = None
        self.job: Future[Finish] | None = None
        self.failures, self.not_before, self.flush_due = 0, 0.0, 0.0
        self.message_bytes = _FIRST_MESSAGE_BYTES
        self.ticked_at = self.lag_due = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop` is set."""
        log.info("consuming", topic=self.member.topic.name, group=self.settings.group)
        self.completeness.start()
        try:
            while not stop.is_set():
                self.step()
        finally:
            self._leave()

    def unhealthy(self) -> str | None:
        """Why this process should be restarted, if it should."""
        age = time.monotonic() - self.ticked_at
        if age > _STUCK_AFTER_SECONDS:
            return f"the loop has not turned for {age:.0f} s"
        busy = self.failures or self.member.paused or self.job is not None
        if not busy and self.progress.stalled_seconds() > self.settings.stalled_after_seconds + _STUCK_AFTER_SECONDS:
            return self.progress.complaint()
        return None

    def unready(self) -> str | None:
        """What is currently keeping events from being stored, if anything."""
        if self.failures:
            return f"ClickHouse or Kafka failed {self.failures} times in a row"
        return self.progress.complaint()

    def step(self) -> None:
        """One turn: collect, finish what is done, start what is due."""
        self.ticked_at = time.monotonic()
        if self._full():
            self._hold()
        else:
            self.member.resume()
            self._collect(self._room())
        self._finish()
        if self.job is None and time.monotonic() >= self.not_before:
            self._start()
        if self.ticked_at >= self.lag_due:
            self.member.commit_again()
            self.progress.look(self._stored())
            self.lag_due = self.ticked_at + _LAG_EVERY_SECONDS

    def _stored(self) -> dict[int, int]:
        """By owned partition, the offset below which everything is stored."""
        return {partition: at.offset for partition, at in self.member.positions().items()}

    def _full(self) -> bool:
        return (
            len(self.filling.rows) >= self.settings.max_batch_messages
            or self.filling.size_bytes >= self.settings.max_batch_bytes
        )

    def _room(self) -> int:
        """How many messages fit if they are as big as those before; otherwise one fetch could fill many batches."""
        left = (self.settings.max_batch_bytes - self.filling.size_bytes) // self.message_bytes
        return max(1, min(left, self.settings.max_batch_messages - len(self.filling.rows), _FETCH_MESSAGES))

    def _collect(self, most: int) -> None:
        messages, before = self.member.fetch(most), self.filling.size_bytes
        if not self.filling.rows:
            self.filling.opened_at = time.monotonic()
        self.filling.add(messages)
        if messages:
            self.message_bytes = max(1, (self.filling.size_bytes - before) // len(messages))

    def _hold(self) -> None:
        """The buffer is full: wait for the worker; if that takes long, pause, so that rebalances are still served."""
        if self._settle():
            return
        if self.member.pause():
            metrics.consumer_pauses_total.inc()
            log.warning("paused: ClickHouse does not keep up", failures=self.failures)
        self._collect(1)

    def _settle(self) -> bool:
        """Give the running job a moment; True if it is done."""
        if self.job is None:
            return False
        wait_for([self.job], timeout=_PATIENCE_SECONDS)
        return self.job.done()

    # Called by the member when its partitions change

    def _changing(self) -> None:
        """Partitions are about to go: once the current insert is committed, their next owner has less to look up."""
        self._settle()
        self._finish()

    def _changed(self, cause: str) -> None:
        self.stale = cause
        self.filling = self.filling.of(self.member.owned)
        if self.inserting is not None:
            # If the current insert fails, these are not ours to try again: if they come back to us, they are
            # fetched again from the committed offset.
            self.inserting = self.inserting.of(self.member.owned)

    # Jobs of the worker

    def _start(self) -> None:
        """Start what is due: a takeover, a batch that failed before, or one that is full or old enough."""
        if self.stale is not None or (self.inlet is None and self.member.owned):
            metrics.consumer_take_overs_total.labels(self.stale or "failed insert").inc()
            self.stale = None
            self.job = self.worker.submit(self._take_over, self.inlet, self.member.positions())
        elif self.inlet is not None and self.inserting is not None:
            self.job = self.worker.submit(self._insert, self.inlet, self.inserting)
        elif self.filling.rows and (self._full() or time.monotonic() >= self.flush_due):
            # What comes after a pause is inserted at once; a stream is collected for this long, or until it is full.
            self.flush_due = time.monotonic() + self.settings.flush_after_seconds
            self.inserting, self.filling = self.filling, Batch()
            self._start()

    def _take_over(self, former: Inlet | None, positions: dict[int, Position]) -> Finish:
        if former is not None:
            former.close()
        inlet = take_over(self.client, self.member.topic, positions) if positions else None
        return lambda: self._took_over(inlet)

    def _took_over(self, inlet: Inlet | None) -> None:
        self.inlet = inlet
        if inlet is not None:
            stored = sum(len(each) for ranges in inlet.stored.values() for each in ranges)
            log.info("took over", inlet=inlet.name, partitions=len(self.member.owned), stored_above_committed=stored)

    def _insert(self, inlet: Inlet, batch: Batch) -> Finish:
        now_seconds = int(inlet.now_seconds())
        # After the fetch and before the insert, so that the batch belongs to the incarnation that its rows name.
        self.member.check_topic()
        stored = store(inlet, batch, self.pieces, now_seconds)
        return lambda: self._inserted(inlet, stored)

    def _inserted(self, inlet: Inlet, stored: Stored) -> None:
        """Commit, now that all of the batch is in ClickHouse, and count.

        A partition that was given up in the meantime is not committed, even if it is ours again: it is being fetched
        again from its committed offset, and the next takeover must see what this batch stored of it.
        """
        assert self.inserting is not None
        kept, self.inserting = self.inserting.next_offsets, None
        inlet.forget(kept)
        self.member.commit(kept, stored.started_at_seconds, inlet.stored.keys())
        stored.count(inlet.now_seconds())

    def _finish(self) -> None:
        """Carry out what a finished job left to do; a failed one is followed by a takeover and another try."""
        if self.job is None or not self.job.done():
            return
        job, self.job = self.job, None
        try:
            job.result()()
        except (ClickHouseError, KafkaException, UnavailableError) as error:
            self._failed(error)
        else:
            # A takeover alone does not show that what failed before works now.
            if self.inserting is None:
                self.failures, self.not_before = 0, 0.0

    def _failed(self, error: Exception) -> None:
        code = clickhouse.error_code(error)
        # If any other table is missing, that does not fix itself. (Its error may name the inlet, too:
        # "Target table 'otel.routed' of view 'otel.inlet_…' doesn't exists".)
        fenced = code == clickhouse.UNKNOWN_TABLE and self.inlet is not None and _is_gone(self.inlet.name, error)
        self.inlet = None
        if fenced:
            reason = "fenced"
        else:
            reason = f"code {code}" if code is not None else type(error).__name__
            # It takes a few tries to isolate the message that is to blame.
            wait_seconds = 0.1 if self.pieces.narrowing else min(0.1 * 2**self.failures, _LONGEST_BACK_OFF_SECONDS)
            self.pieces.narrowing = False
            self.not_before = time.monotonic() + wait_seconds
            self.failures += 1
        metrics.consumer_insert_failures_total.labels(reason).inc()
        log.warning("refused, or the outcome is unknown: taking over again", reason=reason, error=str(error)[:500])

    def _leave(self) -> None:
        """Finish the current insert, commit, remove the inlet, and leave the group, all within `stop_seconds`.

        What is buffered is left to the next owner: it was not committed.
        """
        log.info("stopping")
        self.completeness.stop()
        deadline = time.monotonic() + self.settings.stop_seconds
        if self.job is not None:
            wait_for([self.job], timeout=self.settings.stop_seconds)
            self._finish()
        self.worker.shutdown(wait=False, cancel_futures=True)
        self.pieces.close()
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(max(1.0, deadline - time.monotonic()))
        log.info("stopped", in_time=not closing.is_alive())

    def _close(self) -> None:
        try:
            self.member.close()
            if self.inlet is not None:
                self.inlet.close()
        except (ClickHouseError, KafkaException) as error:
            # The next owner removes the inlet, and the group notices by itself that a member is missing.
            log.warning("closed without leaving the group", error=str(error)[:500])
        self.client.close()
