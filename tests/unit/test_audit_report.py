"""What `logbrook audit` prints."""

from collections.abc import Callable

import pytest

from logbrook.consumer import report
from logbrook.consumer.audit import Finding
from logbrook.consumer.span import Bounds
from logbrook.errors import KafkaUnavailableError, LogbrookError, UnavailableError


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


def test_a_failed_audit_shows_until_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """/readyz says what went wrong between rounds too, and while the next audit runs."""
    monkeypatch.setenv("LOGBROOK_CLICKHOUSE_PASSWORD", "a-password-of-a-test")
    ready: list[Callable[[], str | None]] = []
    monkeypatch.setattr("logbrook.consumer.report.health.serve", lambda *settings: ready.append(settings[-1]))
    monkeypatch.setattr(report, "need_topic", lambda _: None)
    monkeypatch.setattr(report, "need_tables", lambda _: None)
    monkeypatch.setattr("logbrook.consumer.report.backup.observe", lambda *_: None)
    seen: list[str | None] = []

    def audit(*_: object) -> list[Finding]:
        seen.append(ready[0]())
        if len(seen) == 1:
            raise LogbrookError("the topic is away")
        if len(seen) == 3:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(report, "audit", audit)
    with pytest.raises(KeyboardInterrupt):
        report.watch(0)

    assert seen == [None, "the topic is away", None]


@pytest.mark.parametrize("run", [report.run_audit, report.run_replay])
def test_it_waits_for_what_does_not_answer_yet(monkeypatch: pytest.MonkeyPatch, run: Callable[..., object]) -> None:
    """With `--wait`, and no longer than that; a new instance on Cloud Run may be without a network for a minute."""
    monkeypatch.setenv("LOGBROOK_CLICKHOUSE_PASSWORD", "a-password-of-a-test")
    monkeypatch.setattr(report, "audit", lambda *_: [])
    monkeypatch.setattr(report, "replay", lambda *_: 0)
    monkeypatch.setattr(report, "need_tables", lambda _: None)
    refusals = [KafkaUnavailableError("Kafka does not answer")] * 2

    def need_topic(_: object) -> None:
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr(report, "need_topic", need_topic)
    assert not run(Bounds(), wait_seconds=60, as_json=True)
    assert refusals == []
    refusals = [KafkaUnavailableError("Kafka does not answer")] * 10
    with pytest.raises(UnavailableError, match=r"within 0\.1 s"):
        run(Bounds(), wait_seconds=0.1, as_json=True)
