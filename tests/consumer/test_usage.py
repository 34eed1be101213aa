"""`logbrook usage` on the real engine: shares, rates and the day on which the disk is full, from its own figures."""

import dataclasses
import io
import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from logbrook import cli, clickhouse, config, usage

TODAY = date(2026, 3, 1)


def fill(database: config.ClickHouse, service: str, events: int, body: str, source: str = "shop") -> None:
    """Store events that arrive over the last two hours."""
    clickhouse.connect(database).command(
        "INSERT INTO otel_logs (Timestamp, ServiceName, Source, Body, IngestedAt) "
        f"SELECT now64(9), '{service}', '{source}', repeat('{body}', 10), now64(3) - 7200 * number / {events} "
        f"FROM numbers({events})"
    )


def test_shares_are_by_what_was_sent(database: config.ClickHouse) -> None:
    """A service with three times the bytes has three quarters of the traffic, of the disk and of the bill."""
    fill(database, "loud", 3000, "x" * 100)
    fill(database, "quiet", 1000, "x" * 100, source="other")

    found = usage.usage(database, config.Usage(dollars_per_month=100.0), hours=24)

    loud, quiet = found.shares
    assert (loud.service, loud.source, quiet.service, quiet.source) == ("loud", "shop", "quiet", "other")
    assert loud.share == pytest.approx(0.75, abs=0.01)
    assert loud.dollars_per_month == pytest.approx(75, abs=1)
    assert sum(each.share for each in found.shares) == pytest.approx(1)
    # 4000 events in two hours.
    assert loud.events_per_day + quiet.events_per_day == pytest.approx(48_000, rel=0.05)
    [disk, *_] = found.disks
    assert disk.retention_days == 30
    assert disk.bytes_per_day == pytest.approx(48_000 * found.bytes_per_row, rel=0.05)
    assert loud.disk_bytes + quiet.disk_bytes == pytest.approx(30 * disk.bytes_per_day, rel=0.01)
    assert disk.total_bytes > disk.used_bytes > 0


def test_a_wrong_clock_is_seen_at_its_source(database: config.ClickHouse) -> None:
    """A source an hour ahead stands out by its clock, whatever the others send; so does one with old events."""
    fill(database, "right", 100, "x")
    clickhouse.connect(database).command(
        "INSERT INTO otel_logs (Timestamp, ServiceName, Source, Body, IngestedAt) "
        "SELECT now64(9) + if(number < 10, 3600, -604800), if(number < 10, 'ahead', 'old'),"
        " if(number < 10, 'edge', 'archive'), 'x', now64(3) FROM numbers(20)"
    )

    found = usage.usage(database, config.Usage(), 24)

    skews = {each.source: each.clock_skew_ms for each in found.shares}
    assert skews["edge"] == pytest.approx(3_600_000, abs=5000)
    out = io.StringIO()
    usage.show(found, Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert {name: next(line for line in lines if name in line).split()[-3:] for name in ("edge", "archive")} == {
        "edge": ["60", "min", "ahead"],
        "archive": ["7", "d", "behind"],
    }


def test_a_clock_is_shown_in_a_unit_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is called ahead or behind for the moment between an event and its row."""
    shares = [
        usage.Share("shop", "web", 1, 1, 1.0, 1, None, milliseconds)
        for milliseconds in (0, -20, 999, -1500, 119_000, -120_000, 7_200_000, -172_800_000, -123_456_789_012)
    ]
    usage.show(usage.Usage("2026-03-01T00:00:00+00:00", 1, 1.0, None, [], shares), Console(width=80))

    shown = [line.split("1 B")[-1].strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert shown == [
        "on time", "on time", "on time", "2 s behind", "119 s ahead", "2 min behind", "2 h ahead", "2 d behind",
        "1,429 d behind",
    ]  # fmt: skip


def test_a_server_whose_disks_are_elsewhere_has_shares_too(
    database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A managed ClickHouse may have object storage alone, which is never full."""
    monkeypatch.setattr(usage, "_disks", lambda _client: [])
    fill(database, "a", 10, "x")
    found = usage.usage(database, config.Usage(), 24)
    assert found.disks == []
    assert found.shares[0].share == 1


def test_the_table_says_how_long_it_keeps(database: config.ClickHouse) -> None:
    """The retention is the table's, not today's setting."""
    fill(database, "a", 10, "x")
    client = clickhouse.connect(database)
    client.command("ALTER TABLE otel_logs MODIFY TTL toDate(IngestedAt) + toIntervalDay(7)")

    assert usage.usage(database, config.Usage(), 24).disks[0].retention_days == 7


def test_nothing_to_count_is_said(database: config.ClickHouse) -> None:
    """An empty table, and one in which nothing arrived lately, get an answer that says what to do."""
    with pytest.raises(usage.UsageError, match="no events are stored yet"):
        usage.usage(database, config.Usage(), 24)
    fill(database, "a", 10, "x")
    clickhouse.connect(database).command(
        "ALTER TABLE otel_logs DELETE WHERE IngestedAt > now() - 600 SETTINGS mutations_sync = 2"
    )
    with pytest.raises(usage.UsageError, match="--hours"):
        usage.usage(database, config.Usage(), 0.1)


def test_events_that_arrived_at_once_are_counted(database: config.ClickHouse) -> None:
    """A table with the events of one insert alone: they are as old as what is looked at, and belong to it."""
    clickhouse.connect(database).command(
        "INSERT INTO otel_logs (ServiceName, Source, Body, IngestedAt) SELECT 'a', 'shop', 'x', now64(3) - 100"
    )

    [share] = usage.usage(database, config.Usage(), 24).shares

    assert (share.service, share.share) == ("a", 1.0)


def test_the_command_prints_both_ways(database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON for programs, with every share; a table for people, with what is left out in words."""
    for number in range(25):
        fill(database, f"service-{number}", 10, "x")
    for each in dataclasses.fields(database):
        monkeypatch.setenv(config.variable(config.ClickHouse, each.name), str(getattr(database, each.name)))
    monkeypatch.setenv("LOGBROOK_USAGE_DOLLARS_PER_MONTH", "50")

    printed = CliRunner().invoke(cli.app, ["usage", "--json"], catch_exceptions=False)
    shown = CliRunner().invoke(cli.app, ["usage"], catch_exceptions=False)

    found = json.loads(printed.stdout)
    assert len(found["shares"]) == 25
    assert found["disks"][0]["full_on"] is None or date.fromisoformat(found["disks"][0]["full_on"])
    assert "and 5 more" in shown.stdout
    assert "$/month" in shown.stdout


@given(
    per_day=st.floats(0, 1e12),
    retention=st.integers(1, 60),
    room=st.floats(1, 1e14),
    old=st.lists(st.floats(0, 1e11), max_size=30),
)
def test_a_disk_is_full_exactly_if_it_ever_is(per_day: float, retention: int, room: float, old: list[float]) -> None:
    """The day is the first on which what is kept outgrows the room; none, if the steady state fits as well."""
    parts = {TODAY - timedelta(days=age): size for age, size in enumerate(old) if age <= retention}
    day, most = usage.full_on(parts, per_day, retention, room, TODAY)

    def kept(on: date) -> float:
        first = on - timedelta(days=retention)
        new = sum(1 for ahead in range(1, (on - TODAY).days + 1) if TODAY + timedelta(days=ahead) >= first)
        return sum(size for each, size in parts.items() if each >= first) + new * per_day

    ends = [TODAY + timedelta(days=ahead) for ahead in range(retention + 2)]
    expected = next((end for end in ends if kept(end) >= room * (1 + 1e-9)), None)
    if day is None:
        assert expected is None
    else:
        assert kept(day) >= room * (1 - 1e-9)
        assert expected is None or day <= expected
    assert most >= sum(parts.values()) * (1 - 1e-9)


def test_a_full_disk_is_told_in_red() -> None:
    """With the date. If it does not fill up, how full it gets is said instead."""
    out = io.StringIO()
    disk = usage.Disk("default", 100 * 2**30, 60 * 2**30, 50 * 2**30, 2**30, 30, date(2026, 4, 1), 1.2)
    usage.show(usage.Usage("2026-03-01", 10, 60.0, None, [disk], []), Console(file=out, width=200))

    assert "kept for 30 days; full on 2026-04-01\n" in out.getvalue()
    assert "60.0 GiB of 100.0 GiB used, 1.0 GiB a day" in out.getvalue()
    kept = usage.Disk("default", 100 * 2**30, 60 * 2**30, 50 * 2**30, 2**30, 30, None, 0.7)
    usage.show(usage.Usage("2026-03-01", 10, 60.0, None, [kept], []), Console(file=out, width=200))
    assert "then retention deletes as much as arrives, and the disk is at most 70% full\n" in out.getvalue()


def test_no_service_steers_the_terminal() -> None:
    """Senders choose these names: no escape sequence, no markup, no line of their own."""
    out = io.StringIO()
    share = usage.Share("\x9b31m", "[/x]\x1b[2J\n[red]b", 1, 1, 1.0, 1, None, 0)
    usage.show(usage.Usage("2026-03-01", 10, 60.0, None, [], [share]), Console(file=out, width=200))

    assert "\\u{9b}31m" in out.getvalue()
    assert "[/x]\\u{1b}[2J\\n[red]b" in out.getvalue()
