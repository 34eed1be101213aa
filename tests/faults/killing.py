"""The product with points at which it dies, and with parts of the protocol taken out: `python -m tests.faults.killing`.

The product's code knows nothing of this: named functions are wrapped from outside before the command line runs.

    FAULT_AT=before_insert:3       at the third passing of that point the process kills itself (SIGKILL)
    FAULT_AT=before_insert:3:stop  ... stops itself (SIGSTOP), until somebody sends SIGCONT
    FAULT_DELAY_SECONDS=0.05       `in_insert` strikes so long after the request went out
    FAULT_SLOW_INSERT=2.5          each insert takes ClickHouse so many seconds longer
    FAULT_SLOW_ROWS=0.005          ... and so many for each message
    FAULT_INSERT_SETTINGS={...}    more settings for the first FAULT_INSERTS inserts, as JSON
    FAULT_MARGIN_SECONDS=1         the look-up trusts clocks and commits so far, not a day
    FAULT_CLOCK_SECONDS=259200     its clock is so far ahead (behind if negative)
    FAULT_METADATA_SECONDS=1       new partitions are noticed so soon, not after librdkafka's five minutes
    FAULT_MUTANT=no_fence          a part of the protocol is missing: see MUTANTS
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import urllib3.connection

from logbrook import cli, config, schema
from logbrook.clickhouse import ClickHouseError, HttpClient
from logbrook.consumer import batch as batches
from logbrook.consumer import completeness, inlet, loop, member, progress
from logbrook.consumer.batch import ROW_COLUMNS, Batch
from logbrook.consumer.inlet import Inlet
from logbrook.consumer.loop import Loop
from logbrook.consumer.member import Member
from logbrook.consumer.pieces import Pieces
from logbrook.schema import INSERT_SETTINGS

Hit = Callable[[], None]


def before(owner: Any, name: str) -> Callable[[Hit], None]:
    """A point just before a function runs."""

    def install(hit: Hit) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            hit()
            return original(*arguments, **named)

        setattr(owner, name, wrapped)

    return install


def after(owner: Any, name: str) -> Callable[[Hit], None]:
    """A point just after a function has returned."""

    def install(hit: Hit) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            hit()
            return result

        setattr(owner, name, wrapped)

    return install


_inserting = threading.local()


def while_inserting(hit: Hit) -> None:
    """The point at which an insert's request is out and its reply is not read."""
    insert, answer = Inlet.insert, urllib3.connection.HTTPConnection.getresponse

    def marked(self: Inlet, rows: Sequence[bytes]) -> None:
        _inserting.now = True
        try:
            insert(self, rows)
        finally:
            _inserting.now = False

    def sent(self: urllib3.connection.HTTPConnection) -> Any:
        if getattr(_inserting, "now", False):
            delay = float(os.environ.get("FAULT_DELAY_SECONDS", "0"))
            threading.Timer(delay, hit).start()
        return answer(self)

    setattr(Inlet, "insert", marked)  # noqa: B010 - mypy forbids the plain assignment
    setattr(urllib3.connection.HTTPConnection, "getresponse", sent)  # noqa: B010


def half_created(hit: Hit) -> None:
    """The point between an inlet's table and its view."""
    command = HttpClient.command

    def wrapped(self: HttpClient, cmd: str, *arguments: Any, **named: Any) -> Any:
        if cmd.startswith("CREATE MATERIALIZED VIEW inlet_"):
            hit()
        return command(self, cmd, *arguments, **named)

    setattr(HttpClient, "command", wrapped)  # noqa: B010


POINTS: dict[str, Callable[[Hit], None]] = {
    "fetched": after(Member, "fetch"),
    "before_keys": before(Inlet, "repeated"),
    "before_insert": before(Inlet, "insert"),
    "in_insert": while_inserting,
    "after_insert": after(Inlet, "insert"),
    "before_commit": before(Member, "commit"),
    "after_commit": after(Member, "commit"),
    "half_created": half_created,
    "created": before(inlet, "fence"),
    "fenced": before(inlet, "_drain"),
    "drained": after(inlet, "_drain"),
    "views_dropped": after(inlet, "fence"),
    "read": after(inlet, "stored_offsets"),
    "taken_over": after(loop, "take_over"),
    "assigned": after(Member, "_assigned"),
    "revoking": before(Member, "_revoked"),
    "revoked": after(Member, "_revoked"),
    "leaving": before(Loop, "_close"),
}


def arm(point: str) -> None:
    """Install the point `name:passing[:stop]`."""
    name, passing, *stop = point.split(":")
    number = signal.SIGSTOP if stop else signal.SIGKILL
    counted, lock, left = [int(passing)], threading.Lock(), os.getpid()

    def hit() -> None:
        with lock:
            counted[0] -= 1
            due = counted[0] == 0
        if due:
            print(f"fault: {point}", file=sys.stderr, flush=True)
            os.kill(left, number)

    POINTS[name](hit)


def slow_inserts(sleep: str) -> None:
    """Make each insert take longer inside ClickHouse: after its request, before its part."""
    command = HttpClient.command
    INSERT_SETTINGS["function_sleep_max_microseconds_per_block"] = 60_000_000

    def wrapped(self: HttpClient, cmd: str, *arguments: Any, **named: Any) -> Any:
        if cmd.startswith("CREATE MATERIALIZED VIEW inlet_"):
            cmd += f" WHERE NOT ignore({sleep})"
        return command(self, cmd, *arguments, **named)

    setattr(HttpClient, "command", wrapped)  # noqa: B010


def other_insert_settings(settings: dict[str, Any], inserts: int) -> None:
    """Let the first inserts run with further settings."""
    insert, usual, counted = Inlet.insert, dict(INSERT_SETTINGS), [inserts]

    def wrapped(self: Inlet, rows: Sequence[bytes]) -> None:
        counted[0] -= 1
        setattr(inlet, "INSERT_SETTINGS", usual | (settings if counted[0] >= 0 else {}))  # noqa: B010
        try:
            insert(self, rows)
        finally:
            # Keys are recorded with them, too.
            setattr(inlet, "INSERT_SETTINGS", usual)  # noqa: B010

    setattr(Inlet, "insert", wrapped)  # noqa: B010


def wrong_clock(seconds: float) -> None:
    """Shift what every module of the process reads as the time. Intervals (`time.monotonic`) stay true."""
    seconds_since_epoch, nanoseconds_since_epoch = time.time, time.time_ns
    setattr(time, "time", lambda: seconds_since_epoch() + seconds)  # noqa: B010
    setattr(time, "time_ns", lambda: nanoseconds_since_epoch() + int(seconds * 1e9))  # noqa: B010


def fresh_metadata(seconds: str) -> None:
    """Look for new partitions often."""
    usual = member.consumer_config
    often = {"topic.metadata.refresh.interval.ms": int(float(seconds) * 1000)}
    setattr(member, "consumer_config", lambda *arguments: usual(*arguments) | often)  # noqa: B010


# The protocol without one of its parts


def _no_fence() -> None:
    def fence(client: HttpClient, inlets: Sequence[str], *_: Any) -> None:
        inlet._drain(client, inlets)

    setattr(inlet, "fence", fence)  # noqa: B010


def _no_drain() -> None:
    setattr(inlet, "_drain", lambda *_: None)  # noqa: B010


def _no_set_difference() -> None:
    setattr(inlet, "stored_offsets", lambda *_: {})  # noqa: B010


def _maximum_instead_of_set() -> None:
    read = inlet.stored_offsets

    def filled(*arguments: Any) -> dict[int, list[range]]:
        return {partition: [range(found[-1].stop)] for partition, found in read(*arguments).items()}

    setattr(inlet, "stored_offsets", filled)  # noqa: B010


def _commit_before_insert() -> None:
    insert = Loop._insert

    def wrapped(self: Loop, way: Inlet, batch: Batch) -> Any:
        self.member.commit(batch.next_offsets, int(way.now_seconds()), ())
        # So that it is on its way, as it would be with a synchronous commit.
        time.sleep(0.05)
        return insert(self, way, batch)

    setattr(Loop, "_insert", wrapped)  # noqa: B010


def _blind_resend() -> None:
    insert = Inlet.insert

    def wrapped(self: Inlet, rows: Sequence[bytes]) -> None:
        try:
            insert(self, rows)
        except ClickHouseError:
            insert(self, rows)

    setattr(Inlet, "insert", wrapped)  # noqa: B010


def _library_resend() -> None:
    def insert(self: Inlet, rows: Sequence[bytes]) -> None:
        self.client.raw_insert(self.name, ROW_COLUMNS, b"".join(rows), dict(INSERT_SETTINGS), "RowBinary")

    setattr(Inlet, "insert", insert)  # noqa: B010


def _whole_batch_again() -> None:
    setattr(Pieces, "_learn", lambda *_, **__: None)  # noqa: B010


def _committed_instead_of_held() -> None:
    inserted = Loop._inserted

    def wrapped(self: Loop, way: Inlet, stored: Any) -> None:
        self.inserting = stored.batch.of(self.member.owned)
        inserted(self, way, stored)

    setattr(Loop, "_inserted", wrapped)  # noqa: B010
    setattr(Member, "positions", lambda self: self._committed(self.owned))  # noqa: B010


def _commit_hides_what_is_ahead() -> None:
    commit = Member.commit
    setattr(Member, "commit", lambda self, offsets, since, _: commit(self, offsets, since, ()))  # noqa: B010


def _no_keys() -> None:
    setattr(Inlet, "repeated", lambda *_: set())  # noqa: B010


def _keys_as_given() -> None:
    """Keys of any length are recorded and looked up as they came."""
    setattr(batches, "fixed_key", lambda given: given)  # noqa: B010


def _all_keys_at_a_time() -> None:
    setattr(inlet, "_KEYS_AT_A_TIME", 10**9)  # noqa: B010


def _no_bound_of_names() -> None:
    """An event may have any number of names: for whoever migrates."""
    usual = schema._in_views

    def unbounded(settings: config.Schema) -> dict[str, int]:
        return usual(settings) | {"max_event_names": 10**9}

    setattr(schema, "_in_views", unbounded)  # noqa: B010


def _nothing_waits() -> None:
    """What Kafka holds beyond what is stored does not count."""
    setattr(progress._Partition, "waiting", 0)  # noqa: B010


def _no_topic_check() -> None:
    setattr(Member, "check_topic", lambda *_: None)  # noqa: B010


def _no_forgetting() -> None:
    """What was fetched of partitions that were given up is inserted all the same."""
    setattr(Batch, "of", lambda self, _: self)  # noqa: B010


def _pause_stays() -> None:
    """Partitions that come back are not told to go on."""
    assigned = Member._assigned

    class Deaf:
        def __init__(self, consumer: Any) -> None:
            self.consumer = consumer

        def __getattr__(self, name: str) -> Any:
            return getattr(self.consumer, name) if name != "resume" else lambda _: None

    def wrapped(self: Member, consumer: Any, partitions: Any) -> None:
        assigned(self, cast(Any, Deaf(consumer)), partitions)

    setattr(Member, "_assigned", wrapped)  # noqa: B010


def _own_clock() -> None:
    """What is committed says when it was stored by the consumer's own clock."""
    setattr(Inlet, "now_seconds", lambda _: time.time())  # noqa: B010


def _early_completeness() -> None:
    """What is reported as complete is so a while later."""
    asked = inlet.server_time
    setattr(completeness, "server_time", lambda client: asked(client) + 3)  # noqa: B010


def _never_raw() -> None:
    """What is refused alone is tried again and again."""
    setattr(Inlet, "insert_raw", lambda self, row, _: self.insert([row]))  # noqa: B010


def _early_acknowledgement() -> None:
    from logbrook.gateway.topic import KafkaTopic  # noqa: PLC0415 - the consumer needs nothing of it

    send, under_way = KafkaTopic.send, set[asyncio.Task[None]]()

    async def wrapped(self: KafkaTopic, *arguments: Any) -> None:
        under_way.add(asyncio.create_task(send(self, *arguments)))

    setattr(KafkaTopic, "send", wrapped)  # noqa: B010


MUTANTS: dict[str, Callable[[], None]] = {
    "no_fence": _no_fence,
    "no_drain": _no_drain,
    "no_set_difference": _no_set_difference,
    "maximum_instead_of_set": _maximum_instead_of_set,
    "commit_before_insert": _commit_before_insert,
    "blind_resend": _blind_resend,
    "library_resend": _library_resend,
    "whole_batch_again": _whole_batch_again,
    "committed_instead_of_held": _committed_instead_of_held,
    "commit_hides_what_is_ahead": _commit_hides_what_is_ahead,
    "no_keys": _no_keys,
    "keys_as_given": _keys_as_given,
    "all_keys_at_a_time": _all_keys_at_a_time,
    "no_bound_of_names": _no_bound_of_names,
    "nothing_waits": _nothing_waits,
    "no_topic_check": _no_topic_check,
    "no_forgetting": _no_forgetting,
    "pause_stays": _pause_stays,
    "own_clock": _own_clock,
    "early_completeness": _early_completeness,
    "never_raw": _never_raw,
    "early_acknowledgement": _early_acknowledgement,
}


def pytest_configure() -> None:
    """A plugin of tests that run the product in their own process: it lacks the same part."""
    MUTANTS.get(os.environ.get("FAULT_MUTANT", ""), lambda: None)()


def main() -> None:
    """Prepare what the environment asks for, then be `logbrook`."""
    environ = os.environ
    pytest_configure()
    if "FAULT_SLOW_INSERT" in environ:
        slow_inserts(f"sleep({environ['FAULT_SLOW_INSERT']})")
    if "FAULT_SLOW_ROWS" in environ:
        slow_inserts(f"sleepEachRow({environ['FAULT_SLOW_ROWS']})")
    if "FAULT_INSERT_SETTINGS" in environ:
        other_insert_settings(json.loads(environ["FAULT_INSERT_SETTINGS"]), int(environ["FAULT_INSERTS"]))
    if "FAULT_MARGIN_SECONDS" in environ:
        setattr(inlet, "_CLOCK_MARGIN_SECONDS", int(environ["FAULT_MARGIN_SECONDS"]))  # noqa: B010
    if "FAULT_CLOCK_SECONDS" in environ:
        wrong_clock(float(environ["FAULT_CLOCK_SECONDS"]))
    if "FAULT_METADATA_SECONDS" in environ:
        fresh_metadata(environ["FAULT_METADATA_SECONDS"])
    if "FAULT_AT" in environ:
        arm(environ["FAULT_AT"])
    cli.main()


if __name__ == "__main__":
    main()
