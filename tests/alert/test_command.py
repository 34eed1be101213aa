"""`logbrook alert test` on a terminal: what is wrong with a file, and when its rules would have fired."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from logbrook import config
from tests.components import REPOSITORY, ClickHouseServer
from tests.query.conftest import as_reader
from tests.query.door import event, store

RULES = """
rules:
  - {name: Failing, query: charge failed, condition: count > 2, window: 1m, lateness: 0s, group_by: [service]}
"""


def command(reader: config.ClickHouse, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROOK_")}
    given = {"PORT": str(reader.port), "USERNAME": "reader", "PASSWORD": reader.password, "DATABASE": reader.database}
    environment = own | {f"LOGBROOK_CLICKHOUSE_{name}": value for name, value in given.items()} | {"COLUMNS": "200"}
    line = [sys.executable, "-m", "logbrook", "alert", "test", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def reader(clickhouse: ClickHouseServer, database: config.ClickHouse) -> config.ClickHouse:
    """The user who may only read."""
    return as_reader(clickhouse, database)


def test_mistakes_are_pointed_at(reader: config.ClickHouse, tmp_path: Path) -> None:
    """Exit status 1, and a line for each with its place."""
    file = tmp_path / "alerts.yaml"
    file.write_text(RULES.replace("charge failed", "level>=loud").replace("1m", "soon"))

    done = command(reader, str(file))

    assert done.returncode == 1
    assert f"{file}:3:" in done.stderr.replace("\n", "")
    assert "'soon' is not a time" in done.stderr


def test_a_backfill_shows_when_it_would_have_fired(
    reader: config.ClickHouse, database: config.ClickHouse, tmp_path: Path
) -> None:
    """The window in which a rule fires first, for which group; not every window for which it goes on firing."""
    file = tmp_path / "alerts.yaml"
    file.write_text(RULES)
    minute = int(time.time()) // 60 * 60
    at = minute - 600
    store(database, [event(n, "charge failed", Timestamp=f"{at + 5 + n}", ServiceName="shop") for n in range(9)])
    store(database, [event(n, "charge failed", Timestamp=f"{at + 65 + n}", ServiceName="shop") for n in range(9)])

    done = command(reader, str(file), "--backfill", "1h")

    assert done.returncode == 0, done.stderr
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at + 60))
    assert f"{stamp} fires Failing shop: 9, 9 events" in done.stdout
    assert "Failing: count > 2: fired 1 time in 3600 s" in done.stdout
    assert "fired 0 times in the last window" in command(reader, str(file)).stdout


def test_no_group_steers_the_terminal(reader: config.ClickHouse, database: config.ClickHouse, tmp_path: Path) -> None:
    """Senders choose the values of groups: no escape sequence, no markup, no line of their own."""
    file = tmp_path / "alerts.yaml"
    file.write_text(RULES)
    at = int(time.time()) // 60 * 60 - 600
    store(database, [event(n, "charge failed", Timestamp=f"{at + n}", ServiceName="[/x]\x1b[2J\na") for n in range(9)])

    done = command(reader, str(file), "--backfill", "1h")

    assert done.returncode == 0, done.stderr
    assert "fires Failing [/x]\\u{1b}[2J\\na: 9, 9 events" in done.stdout


def test_a_service_of_another_source_is_told(
    reader: config.ClickHouse, database: config.ClickHouse, tmp_path: Path
) -> None:
    """By the rule of docs/alerts.md: the token's name counts, and nothing that an event says of itself."""
    file = tmp_path / "alerts.yaml"
    blocks = (REPOSITORY / "docs" / "alerts.md").read_text().split("```yaml\n")[1:]
    file.write_text(next(each.partition("```")[0] for each in blocks if "ServiceOfAnotherSource" in each))
    at = int(time.time()) // 60 * 60 - 600
    forged = event(2, Source="blog", LogAttributes={"source": "shop"}, ResourceAttributes={"source": "shop"})
    rows = [event(1, Source="shop"), forged, event(3, Source="blog", ServiceName="blog")]
    store(database, [row | {"Timestamp": f"{at}"} for row in rows])

    done = command(reader, str(file), "--backfill", "1h")

    assert done.returncode == 0, done.stderr
    assert [line.partition(" fires ")[2] for line in done.stdout.splitlines() if " fires " in line] == [
        "ServiceOfAnotherSource blog, checkout: 1, 1 events"
    ]


def test_the_stacks_own_rules_are_in_order(reader: config.ClickHouse) -> None:
    """compose/alerts.yaml, which both local stacks run, and which people change first."""
    done = command(reader, str(REPOSITORY / "compose" / "alerts.yaml"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fired 0 times") == 3
