"""ClickHouse killed, cut off, slow, full or changed while the consumer inserts."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, Sender, check
from tests.faults.parts import in_full
from tests.faults.processes import until
from tests.faults.proxy import Fault, Proxy
from tests.faults.stack import Place, Stack, running

# The head of an insert's request, as the proxy sees it.
INSERT = b"INSERT+INTO+inlet_"


@contextmanager
def proxied(place: Place) -> Iterator[Proxy]:
    """A proxy in front of the place's ClickHouse that counts inserts."""
    with Proxy(place.stack.clickhouse_port) as proxy:
        proxy.watch(INSERT)
        yield proxy


def grows(place: Place, seconds: float = 40) -> None:
    """Wait until more is stored than now."""
    before = place.stored()
    until(lambda: place.stored() > before, seconds, "more is stored")


def test_killed_while_inserting(place: Place, ledger: Ledger, sender: Sender, seed: int, progress: Progress) -> None:
    """ClickHouse killed with -9 in the middle of an insert, and started again, has each event once (I1-I6)."""
    rng = random.Random(seed)
    place.consumer(FAULT_SLOW_INSERT="0.3").spawn()
    with sender.sending():
        for number in range(2):
            until(place.insert_queries, 40, "an insert is under way")
            time.sleep(rng.random() * 0.35)
            place.stack.clickhouse.restart()
            progress(f"ClickHouse kill {number + 1}: {place.stored()} stored")
            grows(place)
    check(ledger, place)


_SHORT = {Fault.LOSE_REPLY, Fault.RESET_IN_BODY}


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each.name.lower(), marks=() if each in _SHORT else in_full) for each in Fault]
)
def test_connection_breaks(fault: Fault, place: Place, ledger: Ledger, sender: Sender) -> None:
    """An insert whose connection breaks at any stage is neither lost nor stored twice, and never sent again unseen."""
    with proxied(place) as proxy:
        consumer = place.consumer(clickhouse_port=proxy.port, LOGBROOK_CLICKHOUSE_TIMEOUT_SECONDS="4")
        consumer.spawn()
        with sender.sending():
            until(lambda: proxy.requests[INSERT] >= 2, 40, "inserts flow")
            proxy.arm(fault, times=2, marker=b"" if fault is Fault.REFUSE else INSERT, seconds=5.5)
            until(lambda: proxy.done >= 2, 40, f"{fault.name} happens twice")
            grows(place)
        check(ledger, place)
    assert "taking over again" in consumer.log


def test_nothing_is_sent_again_by_the_client(place: Place, ledger: Ledger, sender: Sender) -> None:
    """After a lost reply the same inlet is never written again: the library's own second try is off."""
    with proxied(place) as proxy:
        sender.send(50)
        proxy.arm(Fault.LOSE_REPLY, marker=INSERT)
        place.consumer(clickhouse_port=proxy.port).spawn()
        verdict = check(ledger, place)
        assert proxy.done == 1
        # The one whose reply was lost had stored everything that was there.
        assert proxy.requests[INSERT] == 1, verdict


@in_full
def test_too_slow_for_the_timeout(place: Place, ledger: Ledger, sender: Sender) -> None:
    """A batch that takes ClickHouse longer than the consumer waits goes in pieces that do not (I1-I6)."""
    sender.send(2000)
    consumer = place.consumer(
        LOGBROOK_CLICKHOUSE_TIMEOUT_SECONDS="3", FAULT_SLOW_ROWS="0.005", LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS="2"
    )
    consumer.spawn()
    check(ledger, place, drain_seconds=120)
    assert "timed out" in consumer.log


@in_full
def test_insert_killed(place: Place, ledger: Ledger, sender: Sender) -> None:
    """KILL QUERY on an insert costs a second try and nothing else."""
    consumer = place.consumer(FAULT_SLOW_INSERT="0.5")
    consumer.spawn()
    with sender.sending():
        for _ in range(3):
            until(place.insert_queries, 40, "an insert is under way")
            place.client.command("KILL QUERY WHERE query_kind = 'Insert' AND current_database = currentDatabase() SYNC")
            grows(place)
    check(ledger, place)
    assert "code 394" in consumer.log


@in_full
def test_table_altered(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Columns that come and go while inserts run lose nothing."""
    place.consumer().spawn()
    with sender.sending():
        grows(place)
        for statement in ("ADD COLUMN Extra String DEFAULT 'x'", "DROP COLUMN Extra"):
            place.client.command(f"ALTER TABLE otel_logs {statement}")
            grows(place)
    check(ledger, place)


def test_too_many_parts(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Refused for too many parts, the consumer waits until merging has caught up, then goes on by itself."""
    consumer = place.consumer()
    with sender.sending():
        place.client.command("SYSTEM STOP MERGES otel_logs")
        place.client.command(
            "ALTER TABLE otel_logs MODIFY SETTING parts_to_throw_insert = 3, parts_to_delay_insert = 3"
        )
        consumer.spawn()
        until(lambda: "code 252" in consumer.log, 40, "ClickHouse refuses for too many parts")
        place.client.command("ALTER TABLE otel_logs RESET SETTING parts_to_throw_insert, parts_to_delay_insert")
        place.client.command("SYSTEM START MERGES otel_logs")
    check(ledger, place)


@in_full
def test_memory_limit(place: Place, ledger: Ledger, sender: Sender) -> None:
    """A batch that is too big for ClickHouse's memory goes in smaller pieces."""
    sender.send(3000)
    consumer = place.consumer(
        FAULT_INSERT_SETTINGS='{"max_memory_usage": 1500000}',
        FAULT_INSERTS="3",
    )
    consumer.spawn()
    check(ledger, place)
    assert "code 241" in consumer.log


@in_full
def test_disk_full(tmp_path: Path, ledger: Ledger, seed: int) -> None:
    """With ClickHouse's disk full, events wait in Kafka; with room again, they are stored without anybody's help."""
    disk = tmp_path / "clickhouse"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with running(tmp_path) as stack:
            _fill_and_free(stack, disk, ledger, seed)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill_and_free(stack: Stack, disk: Path, ledger: Ledger, seed: int) -> None:
    place = stack.place("disk_full")
    # A full disk in the middle of a merge ends ClickHouse: docs/delivery.md.
    place.keep_running(stack.clickhouse)
    sender = Sender(ledger, place.kafka, seed)
    consumer = place.consumer()
    consumer.spawn()
    with sender.sending():
        until(place.stored, 40, "something is stored")
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        until(
            lambda: "code 243" in consumer.log or "No space left" in consumer.log, 40, "ClickHouse refuses: disk full"
        )
        ballast.unlink()
    check(ledger, place)
    place.close()


@in_full
def test_midnight(place: Place, ledger: Ledger, sender: Sender) -> None:
    """Events of any day, old and new in one message, make one part an insert: the day of arrival is what counts."""
    sender.send(200)
    for stamp in ("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z", "2026-01-31T23:59:59.999999999Z", "yesterday"):
        sender.stamp = stamp
        sender.send(20, 5)
    place.client.command("SYSTEM STOP MERGES otel_logs")
    place.consumer(LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS="5").spawn()
    check(ledger, place)
    parts = place.client.query(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'otel_logs' AND active"
    ).result_rows[0][0]
    assert parts <= 3, f"{parts} parts"


def test_refused_statement(place: Place) -> None:
    """A fenced inlet refuses with UNKNOWN_TABLE: what the whole protocol builds on."""
    with pytest.raises(ClickHouseError) as refused:
        place.client.raw_insert("inlet_0123456789abcdef", insert_block=b"x", fmt="RowBinary")
    assert getattr(refused.value, "code", None) == 60
