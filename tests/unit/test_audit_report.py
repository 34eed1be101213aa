"""What `logbrook audit` prints."""

import pytest

from logbrook.consumer import report
from logbrook.consumer.audit import Finding
from logbrook.consumer.span import Bounds


def test_a_table_in_a_file_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is no terminal that reads, no heading and no number is cut, however many digits there are."""
    many = 123_456_789_012
    finding = Finding(many, many, many, many, many, many, many, many, many, ())
    monkeypatch.setattr(report, "audit", lambda *_: [finding])
    monkeypatch.setenv("LOGBROOK_CLICKHOUSE_PASSWORD", "a-password-of-a-test")

    report.run_audit(Bounds(), as_json=False)

    printed = capsys.readouterr().out
    for heading in ("partition", "first offset", "end offset", "events", "missing", "double", "pending"):
        assert heading in printed
    assert "…" not in printed
    assert printed.count(f"{many:,}") == 12  # nine in the row, three below it
