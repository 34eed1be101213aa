"""What the user sees: progress lines and the summary."""

import json

import pytest

from logbrook.produce import report
from logbrook.produce.report import Report, Summary
from logbrook.produce.target import Stop, Tally


def tally(handed_over: int, acknowledged: int, refused: int = 0) -> Tally:
    """A tally after some events."""
    found = Tally()
    found.hand_over(handed_over)
    found.acknowledge(acknowledged, acknowledged * 100)
    if refused:
        found.refuse(refused, "first reason")
        found.refuse(0, "second reason")
    return found


def test_every_event_is_in_one_state() -> None:
    """Acknowledged, refused or still waited for; all but the first count as failed at the end."""
    found = tally(10, 5, 2)
    assert (found.acknowledged, found.refused, found.waiting, found.failed) == (5, 2, 3, 5)
    assert found.first_error == "first reason"


def test_progress_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, lines say what was acknowledged, not what was handed over; on standard error."""
    monkeypatch.setattr(report, "_LINE_EVERY_SECONDS", 0)
    with Report(tally(10_000, 2_000), 10_000, quiet=False) as shown:
        shown.tick()
    with Report(tally(10_000, 2_000), None, quiet=False) as shown:
        shown.tick()
    output, errors = capsys.readouterr()
    first, second = errors.splitlines()
    assert first.startswith("2,000 of 10,000 events acknowledged, ")
    assert second.startswith("2,000 events acknowledged, ")
    assert output == ""


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json nothing is shown on the way."""
    monkeypatch.setattr(report, "_LINE_EVERY_SECONDS", 0)
    with Report(tally(1, 1), 1, quiet=True) as shown:
        shown.tick()
    assert capsys.readouterr() == ("", "")


def test_summary_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line has the counts and the rate, and what went wrong only if something did."""
    Summary.of(tally(2_000, 2_000), 2.0, interrupted=False).print(as_json=False)
    Summary.of(tally(2_000, 1_000, 500), 2.0, interrupted=False).print(as_json=False)
    Summary.of(tally(2_000, 1_000), 2.0, interrupted=True).print(as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "2,000 of 2,000 events acknowledged in 2.0 s (1,000/s, 0.2 MB)",
        "1,000 of 2,000 events acknowledged in 2.0 s (500/s, 0.1 MB); 1,000 were not: first reason",
        "1,000 of 2,000 events acknowledged in 2.0 s (500/s, 0.1 MB); 1,000 were not: stopped before the answer came",
    ]


def test_summary_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object."""
    Summary.of(tally(10, 8, 2), 4.0, interrupted=True).print(as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "events": 10,
        "acknowledged": 8,
        "failed": 2,
        "bytes": 800,
        "seconds": 4.0,
        "events_per_second": 2,
        "interrupted": True,
        "error": "first reason",
    }


def test_the_first_signal_decides_the_status() -> None:
    """A second one raises the urgency only."""
    stop = Stop()
    stop.request(15)
    stop.request(2)
    assert (stop.signal, stop.level) == (15, 2)
