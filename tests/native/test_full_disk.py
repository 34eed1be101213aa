"""A full disk under the native ClickHouse: what is answered with success is there after a restart."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from logbrook import config, migrate
from logbrook.schema import INSERT_SETTINGS
from native import ports, processes
from native.clickhouse import clickhouse as service
from native.processes import Service
from tests.components import running, until

SECRET = "a-password"
MIB = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class Filler:
    """Another program that takes room on the disk."""

    def __init__(self, place: Path) -> None:
        self._place, self._file = place, place / "filler"

    def fill(self, leave: int) -> None:
        """Take all but so many bytes."""
        with self._file.open("ab", buffering=0) as file:
            while (more := min(self.free() - leave, MIB)) > 0:
                file.write(b"x" * more)

    def free(self) -> int:
        """The bytes that are free."""
        return shutil.disk_usage(self._place).free

    def go(self) -> None:
        """Give it back."""
        self._file.unlink()


class Front:
    """The front as a process, and a client of it."""

    def __init__(self, place: Path, log: Path) -> None:
        [self.port] = ports.free(1)
        whole = service(place / "data", self.port, SECRET)
        mutant = os.environ.get("FAULT_MUTANT")
        command = (
            [sys.executable, "-m", "tests.native.mutants", mutant, *whole.command[3:]] if mutant else whole.command
        )
        path = os.pathsep.join((whole.environment["PYTHONPATH"], "service", "."))
        self.service: Service = replace(whole, command=command, environment={**whole.environment, "PYTHONPATH": path})
        self.log = log
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"X-ClickHouse-Key": SECRET}, timeout=60
        )

    def ask(self, statement: str) -> httpx.Response:
        """The answer to a statement."""
        return self.http.post("/", content=statement)


@pytest.fixture
def front(small_disk: Path, tmp_path: Path) -> Iterator[Front]:
    """A front on the small disk, not started."""
    found = Front(small_disk, tmp_path / "log")
    yield found
    found.http.close()


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Front]:
    """A front on a disk that is not full, not started."""
    found = Front(tmp_path, tmp_path / "log")
    yield found
    found.http.close()


def wide_table(columns: int) -> str:
    """A table whose smallest part takes more than two pages of disk for each column: far more than its rows have."""
    names = ", ".join(f"c{number} UInt8" for number in range(columns))
    settings = "min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0"
    return f"CREATE TABLE wide (a UInt64, {names}) ENGINE = MergeTree ORDER BY a SETTINGS {settings}"


def test_an_insert_begins_only_if_there_is_room(front: Front, small_disk: Path) -> None:
    """Below the reserve it is refused with code 243, and works again once there is room."""
    filler = Filler(small_disk)
    with running(front.service, front.log):
        assert front.ask(wide_table(300)).is_success
        filler.fill(leave=int(1.25 * MIB))
        for _ in range(3):
            refused = front.ask("INSERT INTO wide (a) VALUES (1)")
            assert refused.headers["X-ClickHouse-Exception-Code"] == "243", refused.text
        filler.go()
        assert front.ask("INSERT INTO wide (a) VALUES (2)").is_success
    with running(front.service, front.log):
        assert front.ask("SELECT sum(a + c1 + c299) FROM wide").text == "2\n"


def test_an_insert_that_meets_a_full_disk_fails(front: Front, small_disk: Path) -> None:
    """There was room when it began, and none before it was done: an error, and nothing of it is left."""
    filler = Filler(small_disk)
    with running(front.service, front.log):
        assert front.ask(wide_table(4500)).is_success
        filler.fill(leave=34 * MIB)
        # Without an answer, if not even taking the part back fits.
        with contextlib.suppress(httpx.TransportError):
            failed = front.ask("INSERT INTO wide (a) VALUES (1)")
            assert failed.headers.get("X-ClickHouse-Exception-Code") == "243", failed.text
        filler.go()
    with running(front.service, front.log):
        assert front.ask("SELECT count() FROM wide").text == "0\n"


def test_all_that_was_acknowledged_is_stored_once(front: Front, small_disk: Path) -> None:
    """Messages into the real schema while the disk fills up, is full, and is emptied: none missing, none double."""
    filler = Filler(small_disk)
    settings = config.ClickHouse(port=front.port, password=SECRET, database="default")
    acknowledged = []
    with running(front.service, front.log):
        migrate.apply(config.Schema(), settings)
        for offset in range(24):
            if offset < 16:
                filler.fill(leave=int((40 - 2.5 * offset) * MIB))
            elif offset == 16:
                filler.go()
            if front.http.post(
                "/", params={"query": _ARRIVALS, **INSERT_SETTINGS}, content=_message(offset)
            ).is_success:
                acknowledged.append(offset)
        assert 0 < len(acknowledged) < 24
        assert set(range(17, 24)) <= set(acknowledged)
    with running(front.service, front.log):
        found = front.ask("SELECT KafkaOffset, count() FROM otel_logs GROUP BY 1 ORDER BY 1 FORMAT TSV").text
        assert [tuple(map(int, line.split())) for line in found.splitlines()] == [(each, 50) for each in acknowledged]


_ARRIVALS = "INSERT INTO arrivals FORMAT JSONEachRow"


def _message(offset: int) -> bytes:
    events = "\n".join(json.dumps({"message": f"{offset} {os.urandom(40).hex()}", "level": "info"}) for _ in range(50))
    row = {"topic": "logs", "topic_id": "x", "partition": 0, "offset": offset, "timestamp_ms": 1, "payload": events}
    return json.dumps(row).encode()


def test_merges_wait_while_the_disk_is_nearly_full(front: Front, small_disk: Path) -> None:
    """What a merge would write might not fit: none begins, and they go on when there is room."""
    filler = Filler(small_disk)
    with running(front.service, front.log):
        assert front.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").is_success
        for number in range(3):
            assert front.ask(f"INSERT INTO t VALUES ({number})").is_success
        filler.fill(leave=12 * MIB)
        until(lambda: "merges wait" in front.log.read_text())
        assert not front.ask("OPTIMIZE TABLE t FINAL").is_success
        filler.go()
        until(lambda: "merges go on" in front.log.read_text())
        assert front.ask("OPTIMIZE TABLE t FINAL").is_success
        assert front.ask("SELECT count(), sum(a) FROM t").text == "3\t3\n"


def test_a_table_is_not_created_on_a_full_disk(front: Front, small_disk: Path) -> None:
    """CREATE is refused while its definition might not fit, and the directory opens again."""
    filler = Filler(small_disk)
    with running(front.service, front.log):
        filler.fill(leave=0)
        assert front.ask("CREATE TABLE t (a UInt8) ENGINE = Null").headers["X-ClickHouse-Exception-Code"] == "243"
    with running(front.service, front.log):
        filler.go()
        assert front.ask("CREATE TABLE t (a UInt8) ENGINE = Null").is_success


def _definitions(place: Path) -> dict[str, Path]:
    return {path.stem: path for path in place.glob("data/store/*/*/*.sql")}


@pytest.mark.parametrize("left", [0, 40])
def test_a_definition_that_was_cut_short_is_set_aside(roomy: Front, tmp_path: Path, left: int) -> None:
    """As a full disk leaves it, empty or cut: ClickHouse starts without that table, and says so."""
    with running(roomy.service, roomy.log):
        roomy.ask("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        roomy.ask("INSERT INTO kept VALUES (7)")
        roomy.ask("CREATE TABLE inlet_1 (a UInt8) ENGINE = Null")
    os.truncate(_definitions(tmp_path)["inlet_1"], left)
    with running(roomy.service, roomy.log):
        assert roomy.ask("SELECT a FROM kept").text == "7\n"
        assert roomy.ask("EXISTS inlet_1").text == "0\n"
        assert "the definition of inlet_1 was cut short" in roomy.log.read_text()
        assert roomy.ask("CREATE TABLE inlet_1 (a UInt8) ENGINE = Null").is_success


def test_a_database_that_was_cut_short_is_written_anew(roomy: Front, tmp_path: Path) -> None:
    """Its tables are all there."""
    with running(roomy.service, roomy.log):
        roomy.ask("CREATE DATABASE logs")
        roomy.ask("CREATE TABLE logs.kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        roomy.ask("INSERT INTO logs.kept VALUES (7)")
    os.truncate(tmp_path / "data" / "metadata" / "logs.sql", 0)
    with running(roomy.service, roomy.log):
        assert roomy.ask("SELECT a FROM logs.kept").text == "7\n"


def test_a_lost_definition_of_rows_is_a_persons_decision(roomy: Front, tmp_path: Path) -> None:
    """A table with rows is never set aside: the front ends, and says what can be done."""
    with running(roomy.service, roomy.log):
        roomy.ask("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        roomy.ask("INSERT INTO kept VALUES (7)")
    definition = _definitions(tmp_path)["kept"]
    whole = definition.read_bytes()
    os.truncate(definition, 0)
    assert processes.start(roomy.service, roomy.log).wait(60) == 1
    assert "Restore a backup (make restore)" in roomy.log.read_text()
    definition.write_bytes(whole)
    with running(roomy.service, roomy.log):
        assert roomy.ask("SELECT a FROM kept").text == "7\n"
