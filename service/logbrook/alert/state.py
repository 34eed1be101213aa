"""What the evaluator remembers, in one SQLite file: how far each rule is, its alerts, what was seen, what happened.

The file is locked as long as it is open: of several evaluators with one file, one works. A window's outcome and how far
its rule is are written in one transaction, so a crash evaluates a window again or not, and fires no alert twice.
"""

import fcntl
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logbrook.alert.evaluate import Found, Group
from logbrook.alert.rules import Rule
from logbrook.errors import ConfigError
from logbrook.query.timerange import SECOND

_DAY = 86400 * SECOND
# A group that was silent for a day is no longer missed, and a pattern that was not seen for thirty is new again.
_MISSED, _KNOWN, _KEPT = _DAY, 30 * _DAY, 90 * _DAY
_TABLES = """
CREATE TABLE IF NOT EXISTS progress (rule TEXT PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (rule TEXT, grp TEXT, since INTEGER NOT NULL, fired INTEGER, resolved INTEGER,
    sent INTEGER NOT NULL, message TEXT, PRIMARY KEY (rule, grp));
CREATE TABLE IF NOT EXISTS seen (rule TEXT, grp TEXT, at INTEGER NOT NULL, PRIMARY KEY (rule, grp));
CREATE TABLE IF NOT EXISTS history (at INTEGER NOT NULL, rule TEXT, grp TEXT, what TEXT, message TEXT);
"""


@dataclass(frozen=True)
class Alert:
    """An alert that fires or fired. Times are in ns since 1970; `sent` is 0 until it is known as it is."""

    rule: str
    group: Group
    since: int
    fired: int | None
    resolved: int | None
    sent: int
    message: Mapping[str, Any]


class State:
    """The open file. Raises BlockingIOError while another evaluator has it, ConfigError if it can't be used."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = path.with_name(f"{path.name}.lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                raise
            self._file = sqlite3.connect(path)
            # What a power cut takes is evaluated again, with the same outcome.
            self._file.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_TABLES}")
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, BlockingIOError):
                raise
            raise ConfigError(f"LOGBROOK_ALERT_STATE: {path}: {error}") from error

    def close(self) -> None:
        """Let another evaluator have it."""
        self._file.close()
        self._lock.close()

    def until(self, rule: str) -> int | None:
        """The end of the last window that was evaluated; None if there was none."""
        row = self._file.execute("SELECT until FROM progress WHERE rule = ?", (rule,)).fetchone()
        return int(row[0]) if row else None

    def begin(self, rule: str, until: int, seen: Iterable[Group] = ()) -> None:
        """Go on behind this time, with groups that were seen by then."""
        with self._file:
            self._see(rule, seen, until)
            self._file.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (rule, until))

    def holding(self, rule: Rule, at: int, found: Iterable[Found]) -> list[Found]:
        """Where the condition holds: with the groups that are missing, and without the patterns that were seen."""
        if rule.condition.kind == "absent" and rule.groups:
            here = {each.group for each in found if each.events}
            return [Found(group, 0.0, 0, holds=True) for group in self._seen(rule, at - _MISSED) - here]
        if rule.condition.kind == "new pattern":
            known = self._seen(rule, at - _KNOWN)
            return [each for each in found if each.group not in known]
        return [each for each in found if each.holds]

    def firing(self, rule: Rule, at: int, holding: Iterable[Found]) -> list[Found]:
        """Those of them that have not fired yet, and have held for long enough."""
        alerts = self._open(rule.name)
        return [
            each
            for each in holding
            if ((alert := alerts.get(each.group)) is None and not rule.hold)
            or (alert is not None and alert.fired is None and at - alert.since >= rule.hold)
        ]

    def record(
        self, rule: Rule, at: int, found: Iterable[Found], holding: Collection[Found], fired: Mapping[Group, Any]
    ) -> None:
        """Write what a window brought: `fired` has the messages of those that fire now."""
        alerts = self._open(rule.name)
        with self._file:
            for group in {each.group for each in holding} - {name for name, each in alerts.items() if each.fired}:
                since, message = alerts[group].since if group in alerts else at, json.dumps(fired.get(group))
                row = (rule.name, json.dumps(group), since, at if group in fired else None, None, 0, message)
                self._file.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                if group in fired:
                    self._happened(at, rule.name, group, "fired", message)
            for group in alerts.keys() - {each.group for each in holding}:
                self._end(alerts[group], at)
            if rule.condition.kind in ("absent", "new pattern"):
                self._see(_memory(rule), [each.group for each in found if each.events], at)
            self._file.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (rule.name, at))
            self._file.execute("DELETE FROM history WHERE at < ?", (at - _KEPT,))
            self._file.execute("DELETE FROM seen WHERE at < ?", (at - _KEPT,))

    def end_others(self, rules: Collection[str], at: int) -> None:
        """End the alerts of rules that are no more."""
        gone = {row[0] for row in self._file.execute("SELECT DISTINCT rule FROM alerts")} - set(rules)
        with self._file:
            for name in gone:
                for each in self._open(name).values():
                    self._end(each, at)

    def unsent(self, before: int) -> list[Alert]:
        """What Alertmanager does not know, and what it was told before that time and would forget."""
        return [each for each in self.alerts() if each.fired and (each.sent == 0 or each.sent < before)]

    def mark_sent(self, alerts: Iterable[Alert], at: int) -> None:
        """Alertmanager knows them as they are; those that are over are done."""
        with self._file:
            for each in alerts:
                key = (each.rule, json.dumps(each.group), each.fired)
                if each.resolved is None:
                    change = "UPDATE alerts SET sent = ? WHERE rule = ? AND grp = ? AND fired = ? AND resolved IS NULL"
                    self._file.execute(change, (at, *key))
                else:
                    self._file.execute("DELETE FROM alerts WHERE rule = ? AND grp = ? AND fired = ?", key)

    def alerts(self) -> list[Alert]:
        """All that hold, fire, or are over and still to be told."""
        rows = self._file.execute("SELECT rule, grp, since, fired, resolved, sent, message FROM alerts ORDER BY since")
        return [
            Alert(rule, tuple(json.loads(group)), since, fired, resolved, sent, json.loads(message) or {})
            for rule, group, since, fired, resolved, sent, message in rows
        ]

    def history(self, most: int) -> list[tuple[int, str, Group, str, Any]]:
        """What happened, the latest first: when, to which alert, `fired` or `resolved`, and its message."""
        rows = self._file.execute("SELECT at, rule, grp, what, message FROM history ORDER BY at DESC LIMIT ?", (most,))
        return [(at, rule, tuple(json.loads(grp)), what, json.loads(message)) for at, rule, grp, what, message in rows]

    def _open(self, rule: str) -> dict[Group, Alert]:
        return {each.group: each for each in self.alerts() if each.rule == rule and each.resolved is None}

    def _seen(self, rule: Rule, since: int) -> set[Group]:
        rows = self._file.execute("SELECT grp FROM seen WHERE rule = ? AND at >= ?", (_memory(rule), since))
        return {tuple(json.loads(row[0])) for row in rows}

    def _see(self, rule: str, groups: Iterable[Group], at: int) -> None:
        rows = [(rule, json.dumps(group), at) for group in groups]
        self._file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", rows)

    def _end(self, alert: Alert, at: int) -> None:
        key = (alert.rule, json.dumps(alert.group))
        if alert.fired is None:
            self._file.execute("DELETE FROM alerts WHERE rule = ? AND grp = ?", key)
        elif alert.resolved is None:
            self._file.execute("UPDATE alerts SET resolved = ?, sent = 0 WHERE rule = ? AND grp = ?", (at, *key))
            self._happened(at, alert.rule, alert.group, "resolved", json.dumps(dict(alert.message)))

    def _happened(self, at: int, rule: str, group: Group, what: str, message: str) -> None:
        row = (at, rule, json.dumps(group), what, message)
        self._file.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?)", row)


def _memory(rule: Rule) -> str:
    """Where a rule's groups are remembered: for absence, only those of its present query and fields."""
    if rule.condition.kind == "new pattern":
        return rule.name
    return json.dumps([rule.name, rule.query, *rule.groups.values()])
