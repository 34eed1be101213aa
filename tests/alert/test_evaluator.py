"""Rules over the real engine: what fires, when, once, with what it says; and a real Alertmanager that is told."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from logbrook import clickhouse as connection
from logbrook import config, rereading
from logbrook.alert.evaluator import INCOMPLETE, Evaluator, _evaluating
from logbrook.alert.rules import parse
from logbrook.alert.state import Alert, State
from logbrook.query.timerange import SECOND
from tests.alert.alertmanager import alertmanager
from tests.components import ClickHouseServer, until
from tests.query.conftest import as_reader
from tests.query.door import NOW_NS, event, serving, store

# Rules of the tests are evaluated every ten seconds; this is the end of such a window.
BASE = NOW_NS // (60 * SECOND) * 60 * SECOND
RULE = """
rules:
  - name: Errors
    query: level>=error
    condition: count > 2
    window: 1m
    every: 10s
    lateness: 5s
"""


def failure(offset: int, seconds: float, **fields: object) -> dict[str, object]:
    """An error so many seconds after BASE."""
    at = BASE + int(seconds * SECOND)
    stamp = f"{at // SECOND}.{at % SECOND:09d}"
    return event(offset, f"charge {offset} failed", SeverityNumber=17, Timestamp=stamp, **fields)


class Running:
    """An evaluator whose events are complete until whenever the test says, in seconds after BASE."""

    def __init__(self, rules: str, path: Path, database: config.ClickHouse, /, **settings: Any) -> None:
        self.runner, self.database = asyncio.Runner(), database
        usual: dict[str, Any] = {"incomplete_after_seconds": 1e12, "explorer_url": "http://explorer/"}
        self.state = State(path)
        self.evaluator = Evaluator(
            parse(rules, "alerts.yaml"),
            self.state,
            config.Alert(**usual | settings),
            config.Query(allow_privileged_user=True),
            database,
        )

    def complete(self, seconds: float) -> str | None:
        """A turn when all is stored until then."""
        writer = connection.connect(self.database)
        writer.command("TRUNCATE TABLE partition_progress")
        writer.command(
            "INSERT INTO partition_progress (KafkaTopic, KafkaTopicId, KafkaPartition, CompleteUntil, ReportedAt,"
            f" PartitionCount) SELECT 'logs', 'a', 0, fromUnixTimestamp64Milli({BASE // 10**6 + int(seconds * 1000)}),"
            " now64(3), 1"
        )
        writer.close()
        self.evaluator.completeness._read_at = float("-inf")
        return self.runner.run(self.evaluator.turn())

    def firing(self) -> list[Alert]:
        """What fires now."""
        return [each for each in self.state.alerts() if each.fired is not None and each.resolved is None]

    def fired(self) -> list[tuple[int, tuple[str, ...], str]]:
        """All that happened: seconds after BASE, group, and what; the oldest first."""
        return [((at - BASE) // SECOND, group, what) for at, _, group, what, _ in reversed(self.state.history(1000))]

    def close(self) -> None:
        """End, as a process does."""
        self.runner.run(self.evaluator.close())
        self.runner.close()
        self.state.close()


@contextmanager
def evaluating(rules: str, path: Path, database: config.ClickHouse, /, **settings: Any) -> Iterator[Running]:
    """An evaluator for the time of the block."""
    running = Running(rules, path, database, **settings)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state file that is not there yet."""
    return tmp_path / "state" / "alerts"


def test_a_window_is_evaluated_once_it_is_complete(state: Path, database: config.ClickHouse) -> None:
    """Not before all of it is stored and its lateness has passed; then once, with what shows it; later it is over."""
    with evaluating(RULE, state, database) as running:
        running.complete(5)
        store(database, [failure(n, 1 + n) for n in range(5)])
        running.complete(14)
        assert not running.firing()

        running.complete(15)
        [alert] = running.firing()
        running.complete(16)
        running.complete(65)
        assert running.firing() == [alert]

        running.complete(75)
        assert not running.firing()
        assert running.fired() == [(10, (), "fired"), (70, (), "resolved")]

    assert alert.message["labels"] == {"alertname": "Errors", "severity": "warning"}
    said = alert.message["annotations"]
    assert said["matches"] == "5"
    lines = [line.rpartition(": ")[2] for line in said["lines"].splitlines()]
    assert lines == ["charge 4 failed", "charge 3 failed", "charge 2 failed"]


def test_the_link_shows_the_lines(clickhouse: ClickHouseServer, state: Path, database: config.ClickHouse) -> None:
    """What the explorer shows at an alert's address is what was counted: the window, the query, the group."""
    rules = RULE + "    group_by: [service, attr.path]\n"
    with evaluating(rules, state, database) as running:
        running.complete(5)
        odd = {"LogAttributes": {"path": 'a "b" \\c'}, "ServiceName": "my shop"}
        store(database, [failure(n, 1 + n, **odd) for n in range(4)])
        store(database, [failure(10 + n, 1 + n) for n in range(2)] + [failure(20, 30, **odd), failure(21, -60, **odd)])
        running.complete(15)
        [alert] = running.firing()

    assert alert.message["labels"] == {
        "alertname": "Errors", "severity": "warning", "service": "my shop", "path": 'a "b" \\c',
    }  # fmt: skip
    address = urlsplit(alert.message["generatorURL"])
    shown = {name: values[0] for name, values in parse_qs(address.query).items()}
    with serving(config.Query(), as_reader(clickhouse, database)) as service:
        found = service.get("search", query=shown["query"], from_=shown["from"], to=shown["to"])["events"]
    assert sorted(each["offset"] for each in found) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rule", "rows", "expected"),
    [
        ("condition: rate > 0.05", [failure(n, n) for n in range(4)], [10]),
        ("condition: rate > 0.07", [failure(n, n) for n in range(4)], []),
        (
            "condition: distinct(user.id) >= 3",
            [failure(n, 1, LogAttributes={"user.id": str(n % 3)}) for n in range(9)],
            [10],
        ),
        (
            "condition: distinct(user.id) > 3",
            [failure(n, 1, LogAttributes={"user.id": str(n % 3)}) for n in range(9)],
            [],
        ),
        ("condition: count == 0", [], [10]),
        ("condition: absent", [failure(1, 1)], []),
        ("condition: absent", [failure(1, 11)], [10]),
        (
            "condition: ratio > 0.5\n    ratio_of: service:checkout",
            [failure(n, 1) for n in range(3)] + [event(9)],
            [10],
        ),
        (
            "condition: ratio == 0.5\n    ratio_of: service in (level>=error)",
            [failure(1, 1), event(9), event(8, ServiceName="cart"), failure(2, -60, ServiceName="cart")],
            [10],
        ),
        ("condition: ratio > 0.5\n    ratio_of: service:none", [failure(n, 1) for n in range(3)], []),
        ("condition: change > 2", [failure(n, 1) for n in range(3)] + [failure(9, 1 - 86400)], [10]),
        ("condition: change > 2", [failure(n, 1) for n in range(3)] + [failure(n, 1 - 86400) for n in (7, 8)], []),
        ("condition: change < 0.5", [failure(n, 1 - 86400) for n in (7, 8)], [10]),
        ("condition: new pattern", [failure(1, -9000), failure(2, 1)], []),
        ("condition: new pattern", [failure(1, -9000), failure(2, 1, Body="never seen")], [10]),
    ],
)
def test_each_condition_says_what_it_means(
    state: Path, database: config.ClickHouse, rule: str, rows: list[dict[str, object]], expected: list[int]
) -> None:
    """In a window of a minute, of which some match: whether and when it fires."""
    rules = (
        f"rules:\n  - name: A\n    query: level>=error\n    window: 1m\n    every: 10s\n    lateness: 0s\n    {rule}\n"
    )
    store(database, rows) if rows else None

    with evaluating(rules, state, database) as running:
        running.complete(0)
        running.complete(10)

        assert [at for at, _, what in running.fired() if what == "fired"] == expected


def test_what_arrives_late_has_windows_of_its_arrival(state: Path, database: config.ClickHouse) -> None:
    """Events of a year ago that arrive now: the window of their own time is long over, that of their arrival is not."""
    now = time.time()
    with evaluating(RULE + "    time: arrival\n", state, database) as running:
        running.complete(now - 60 - BASE / SECOND)
        store(database, [failure(n, 1, IngestedAt=f"{now - 20:.3f}") for n in range(3)])
        running.complete(now - 1 - BASE / SECOND)

        [alert] = running.firing()
    assert len(alert.message["annotations"]["lines"].splitlines()) == 3


def test_a_group_that_falls_silent_is_missed(state: Path, database: config.ClickHouse) -> None:
    """Of those that were there within the last day, the one that stops; when it is back, the alert is over."""
    rules = RULE.replace("count > 2", "absent").replace("1m", "10s") + "    group_by: [service]\n"
    with evaluating(rules, state, database) as running:
        running.complete(5)
        both = [failure(n, n, ServiceName=name) for n, name in enumerate(("a", "b"), 1)]
        store(database, [*both, failure(11, 11, ServiceName="b"), failure(21, 21, ServiceName="a")])
        running.complete(35)

        assert running.fired() == [(20, ("a",), "fired"), (30, ("a",), "resolved"), (30, ("b",), "fired")]


def test_a_group_that_a_changed_rule_leaves_out_is_not_missed(state: Path, database: config.ClickHouse) -> None:
    """Only groups of the query and the fields that the rule has now are."""
    rules = RULE.replace("count > 2", "absent").replace("1m", "10s") + "    group_by: [service]\n"
    with evaluating(rules, state, database) as running:
        running.complete(5)
        store(database, [failure(1, 1, ServiceName="a"), *(failure(n, n, ServiceName="b") for n in (2, 11))])
        store(database, [failure(n, n, LogAttributes={"code": "1"}) for n in (21, 31)])
        running.complete(15)
        assert running.evaluator.renew(rules.replace("level>=error", "-service:a"))
        running.complete(25)
        assert running.evaluator.renew(rules.replace("[service]", "[attr.code]"))
        running.complete(45)

        assert running.fired() == []


def test_a_condition_must_hold_for_its_time(state: Path, database: config.ClickHouse) -> None:
    """What is over before that never fires; what stays fires then."""
    rules = RULE.replace("window: 1m", "window: 10s") + "    for: 20s\n"
    with evaluating(rules, state, database) as running:
        running.complete(5)
        store(database, [failure(n, n) for n in (1, 2, 3, 11, 12, 13, 31, 32, 33, 41, 42, 43, 51, 52, 53)])
        running.complete(65)

        assert running.fired() == [(60, (), "fired")]


def test_a_restart_changes_nothing(state: Path, database: config.ClickHouse) -> None:
    """Windows that ended while no evaluator ran are evaluated in their order, and what fired does not fire again."""
    with evaluating(RULE, state, database) as running:
        running.complete(5)
        store(database, [failure(n, 1) for n in range(3)])
        running.complete(15)
        before = running.firing()
    store(database, [failure(n, 101) for n in range(10, 13)])

    with evaluating(RULE, state, database) as running:
        assert running.firing() == before
        running.complete(115)

        assert running.fired() == [(10, (), "fired"), (70, (), "resolved"), (110, (), "fired")]


def test_what_is_too_long_ago_is_left_out(state: Path, database: config.ClickHouse) -> None:
    """After a long outage, evaluation goes on with the windows that still help somebody."""
    with evaluating(RULE, state, database, catch_up_hours=0.01) as running:
        running.complete(5)
        store(database, [failure(n, 1) for n in range(3)] + [failure(n, 601) for n in range(10, 13)])
        running.complete(615)

        assert [at for at, _, _ in running.fired()] == [610]


def test_of_two_evaluators_one_works(state: Path, database: config.ClickHouse) -> None:
    """The second can't open the state; it can once the first has ended, however that came."""
    with evaluating(RULE, state, database), pytest.raises(BlockingIOError):
        State(state)

    State(state).close()


def test_what_stays_incomplete_is_an_alert(state: Path, database: config.ClickHouse) -> None:
    """Windows that wait too long, because events wait or nobody says, are told about, until they no longer do."""
    with evaluating(RULE, state, database, incomplete_after_seconds=300, catch_up_hours=0.1) as running:
        assert "old" in str(running.complete(5))
        assert [each.rule for each in running.firing()] == [INCOMPLETE]

        writer = connection.connect(database)
        writer.command(
            "INSERT INTO partition_progress (KafkaTopic, KafkaTopicId, KafkaPartition, CompleteUntil, ReportedAt,"
            " PartitionCount) SELECT 'logs', 'a', 0, now64(3), now64(3), 1"
        )
        writer.close()
        running.evaluator.completeness._read_at = float("-inf")
        running.runner.run(running.evaluator.turn())
        assert [each.rule for each in running.firing()] == []


def test_rules_that_are_gone_end_their_alerts(state: Path, database: config.ClickHouse) -> None:
    """A rule that is taken out of the file does not leave an alert that nobody can end."""
    with evaluating(RULE, state, database) as running:
        running.complete(5)
        store(database, [failure(n, 1) for n in range(3)])
        running.complete(15)
        assert len(running.firing()) == 1

    with evaluating("rules: []", state, database) as running:
        running.complete(16)
        assert not running.firing()
        assert [what for _, _, what in running.fired()] == ["fired", "resolved"]


def test_changed_rules_need_no_restart(
    state: Path, database: config.ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with mistakes changes nothing; a rule that stays fires once; what is taken out ends, its figures, too."""
    monkeypatch.setattr(rereading, "REREAD_SECONDS", 0.01)
    file, stop, shown = tmp_path / "alerts.yaml", threading.Event(), [b'{"firing": []}']
    both = RULE + RULE.replace("rules:\n", "").replace("Errors", "Gone")
    file.write_text(both)
    store(database, [failure(n, 1) for n in range(3)])

    async def changing(running: Running) -> None:
        working = asyncio.create_task(_evaluating(running.evaluator, stop, [""], shown))
        with capture_logs() as logs:
            file.write_text(both.replace("10s", "soon"))
            await asyncio.to_thread(until, lambda: any("can't be read again" in each["event"] for each in logs))
            assert len(running.evaluator.rules) == 2
            # As an editor or a deployment does it: another file under the same name.
            tmp_path.joinpath("new").write_text(RULE)
            tmp_path.joinpath("new").rename(file)
            await asyncio.to_thread(
                until, lambda: [each["rule"] for each in json.loads(shown[0])["firing"]] == ["Errors"]
            )
        stop.set()
        await working

    with evaluating(both, state, database) as running:
        running.evaluator.settings = replace(running.evaluator.settings, rules=str(file))
        running.complete(5)
        running.complete(15)
        [kept] = [each for each in running.firing() if each.rule == "Errors"]
        assert REGISTRY.get_sample_value("alert_firing", {"rule": "Gone"}) == 1
        running.runner.run(changing(running))

        assert running.firing() == [kept]
        assert [(rule, what) for _, rule, _, what, _ in running.state.history(9)].count(("Errors", "fired")) == 1
        assert running.state.history(1)[0][1:4] == ("Gone", (), "resolved")
    assert REGISTRY.get_sample_value("alert_firing", {"rule": "Gone"}) is None


def test_no_window_is_early_after_a_change_of_its_step(state: Path, database: config.ClickHouse) -> None:
    """A rule whose `every` changes goes on with whole steps of the new one: none before its end, and none again."""
    with evaluating(RULE, state, database) as running:
        running.complete(5)
        running.complete(15)
        assert running.evaluator.renew(RULE.replace("every: 10s", "every: 1m"))
        running.complete(64)
        assert running.state.until("Errors") == BASE + 10 * SECOND
        running.complete(65)
        assert running.state.until("Errors") == BASE + 60 * SECOND


def test_a_rule_is_a_metric(state: Path, database: config.ClickHouse) -> None:
    """What its query matched in its last window, and how many of its alerts fire."""
    with evaluating(RULE.replace("Errors", "Measured"), state, database) as running:
        running.complete(5)
        store(database, [failure(n, 1) for n in range(4)])
        running.complete(15)

    assert REGISTRY.get_sample_value("logbrook_alert_matches", {"rule": "Measured"}) == 4
    assert REGISTRY.get_sample_value("alert_firing", {"rule": "Measured"}) == 1


def test_alertmanager_is_told_once(state: Path, database: config.ClickHouse, tmp_path: Path) -> None:
    """A real one takes the alert, notifies of it once however often it hears of it, and of its end."""
    store(database, [failure(n, 1) for n in range(3)])
    with alertmanager(tmp_path / "alertmanager") as receiver:
        with evaluating(RULE, state, database, alertmanager_url=receiver.url) as running:
            running.complete(5)
            running.complete(15)
            until(lambda: bool(receiver.told))
            running.state.mark_sent([], 0)
            running.state._file.execute("UPDATE alerts SET sent = 1")
            running.complete(16)
        with evaluating(RULE, state, database, alertmanager_url=receiver.url) as running:
            running.state._file.execute("UPDATE alerts SET sent = 0")
            running.complete(17)
            running.complete(75)
            until(lambda: bool(receiver.alerts("resolved")))
            assert not running.state.alerts()

        [fired] = receiver.alerts("firing")
        assert fired["labels"]["alertname"] == "Errors"
        assert "charge 2 failed" in fired["annotations"]["lines"]
        assert json.dumps(receiver.told).count('"status": "resolved"') >= 1


def test_the_example_for_the_node_tells_slack(state: Path, database: config.ClickHouse, tmp_path: Path) -> None:
    """Alertmanager takes the configuration in docs/alerts.md, and posts an alert's lines and link with the bot's token.

    A line can't call everybody: `<` begins what is more than text, and is escaped as `&lt;`
    (https://api.slack.com/docs/message-formatting).
    https://github.com/prometheus/alertmanager/blob/68fb2d5759b3a92c0bb2a1a13d4ef7ff5b06256d/docs/configuration.md:
    with a bot's token, `api_url` is chat.postMessage, and the token is the credentials in `http_config`.
    """
    page = (Path(__file__).parents[2] / "docs/alerts.md").read_text()
    [example] = re.findall(r"```yaml\n(route:.*?)```", page, re.DOTALL)
    here = example.replace("https://slack.com/api/chat.postMessage", "RECEIVER").replace("wait: 30s", "wait: 0s")
    store(database, [*(failure(n, 1) for n in range(3)), failure(3, 2, Body="<!channel> hello")])
    with (
        alertmanager(tmp_path / "alertmanager", here) as receiver,
        evaluating(RULE, state, database, alertmanager_url=receiver.url) as running,
    ):
        running.complete(5)
        running.complete(15)
        until(lambda: bool(receiver.told))

        [told], [login] = receiver.told, receiver.logins
    [attachment] = told["attachments"]
    assert (login, told["channel"]) == ("Bearer xoxb-YOUR-BOT-TOKEN", "#ops")
    assert attachment["title"] == "Errors: firing"
    assert attachment["title_link"].startswith("http://explorer/?query=")
    assert "charge 2 failed" in attachment["text"]
    assert "&lt;!channel> hello" in attachment["text"]


def test_a_receiver_that_refuses_is_counted(state: Path, database: config.ClickHouse, tmp_path: Path) -> None:
    """By the metric that the rule NotificationsFail watches, which is there, at zero, before anything fails.

    https://github.com/prometheus/alertmanager/blob/main/notify/notify.go
    """

    def failed(url: str) -> float:
        lines = httpx.get(f"{url}/metrics").text.splitlines()
        name = 'alertmanager_notifications_failed_total{integration="webhook"'
        return sum([float(line.split()[-1]) for line in lines if line.startswith(name)] or [-1])

    store(database, [failure(n, 1) for n in range(3)])
    with (
        alertmanager(tmp_path / "alertmanager") as receiver,
        evaluating(RULE, state, database, alertmanager_url=receiver.url) as running,
    ):
        assert failed(receiver.url) == 0
        receiver.status = 403
        running.complete(5)
        running.complete(15)
        until(lambda: failed(receiver.url) > 0)


def test_an_alertmanager_that_is_away_is_told_later(state: Path, database: config.ClickHouse, tmp_path: Path) -> None:
    """Evaluation goes on; what fired, and what ended meanwhile, is told when it is back."""
    store(database, [failure(n, 1) for n in range(3)])
    with evaluating(RULE, state, database, alertmanager_url="http://127.0.0.1:9") as running:
        running.complete(5)
        assert "can't be reached" in str(running.complete(15))
        assert len(running.firing()) == 1

    with (
        alertmanager(tmp_path / "alertmanager") as receiver,
        evaluating(RULE, state, database, alertmanager_url=receiver.url) as running,
    ):
        assert running.complete(16) is None
        until(lambda: len(receiver.alerts("firing")) == 1)
