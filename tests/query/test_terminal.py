"""`logbrook search` on a terminal: the same events, readable, harmless, and as JSON for programs."""

import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from logbrook import config
from logbrook.query import terminal
from logbrook.query.terminal import visible
from tests.query.door import Door, event, store
from tests.query.test_completeness import report


def command(service: Door, *arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "logbrook", "search", *arguments, "--url", service.url]


def search(service: Door, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(command(service, *arguments), capture_output=True, text=True, timeout=60, check=False)


def test_matches_are_printed_the_newest_last(service: Door, database: config.ClickHouse) -> None:
    """Each match is a line with its time, level, service and text; the newest is next to the prompt."""
    store(database, [event(1, "first"), event(2, "second", SeverityNumber=17), event(3, "other")])

    done = search(service, "first", "OR", "second", "--since", "2025-11-24", "--until", "2025-11-25")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "2025-11-24 16:00:01.000Z info  checkout first",
        "2025-11-24 16:00:02.000Z error checkout second",
    ]
    assert "2 events" in done.stderr


def test_json_has_every_field(service: Door, database: config.ClickHouse) -> None:
    """With --json each line is an event as the API has it, and nothing else is printed."""
    store(database, [event(1, "x", LogAttributes={"k": "v"})])

    done = search(service, "x", "--since", "2025-11-24", "--json")

    assert [json.loads(line)["attributes"] for line in done.stdout.splitlines()] == [{"k": "v"}]
    assert not done.stderr


def test_json_has_whole_events(service: Door, database: config.ClickHouse) -> None:
    """A body that is cut in lists is whole for a program, and one event is not several."""
    store(database, [event(1, "y" * 50_000)])

    assert len(json.loads(search(service, "--since", "2025-11-24", "--json").stdout)["body"]) == 50_000
    assert "1 event in" in search(service, "--since", "2025-11-24").stderr


def test_more_than_a_page_can_be_asked_for(service: Door, database: config.ClickHouse) -> None:
    """A limit above a page of the API is fetched page after page."""
    store(database, [event(offset, "line") for offset in range(1500)])

    done = search(service, "--since", "2025-11-24", "--limit", "1200", "--json")

    offsets = [json.loads(line)["offset"] for line in done.stdout.splitlines()]
    assert offsets == list(range(300, 1500))


def test_ctrl_c_keeps_what_was_found(
    service: Door, database: config.ClickHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While pages are fetched it prints those that are there, says how many, and exits with 130, as a shell expects."""
    store(database, [event(offset, "line") for offset in range(1500)])
    fetched: list[dict[str, Any]] = []
    page = terminal._page

    def pressed_at_the_second(*arguments: Any) -> dict[str, Any]:
        if fetched:
            raise KeyboardInterrupt
        fetched.append(page(*arguments))
        return dict(fetched[0])

    monkeypatch.setattr(terminal, "_page", pressed_at_the_second)
    with pytest.raises(SystemExit) as left:
        terminal.run(service.url, terminal.Wanted("", "2025-11-24", "now", 1200), follow=False, as_json=True)

    shown = capsys.readouterr()
    assert left.value.code == 130
    assert [json.loads(line)["offset"] for line in shown.out.splitlines()] == list(range(500, 1500))
    assert "interrupted after 1,000 of at most 1,200 events" in shown.err


def test_it_is_said_how_a_query_was_read(service: Door, database: config.ClickHouse) -> None:
    """What may have meant something else is said beside the events, where no program reads it for one."""
    store(database, [event(1, "this or that")])

    done = search(service, "this or that", "--since", "2025-11-24", "--json")

    assert json.loads(done.stdout)["body"] == "this or that"
    assert "the operators are AND, OR, and NOT" in done.stderr


def test_a_mistake_is_pointed_at(service: Door) -> None:
    """A query that can't be understood is printed with a mark under the place, and the exit status is 1."""
    done = search(service, "[bold] level>=loud")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["  [bold] level>=loud", "                ^"]


def test_counts_are_a_table_csv_or_json(service: Door, database: config.ClickHouse) -> None:
    """A query with stages prints its columns: aligned, for a spreadsheet without formulas, or one object a row."""
    store(
        database,
        [event(1), event(2, SeverityNumber=17), event(3, ServiceName="=cmd\x1b"), event(4, ServiceName="日本")],
    )
    query = ("| stats count, count(level:error) as errors by service", "--since", "2025-11-24")

    table, as_csv, as_json = (
        search(service, *query),
        search(service, *query, "--csv"),
        search(service, *query, "--json"),
    )

    assert table.stdout.splitlines() == [
        "service     count  errors",
        "checkout        2       1",
        "=cmd\\u{1b}      1       0",
        "日本            1       0",
    ]
    assert "3 rows in" in table.stderr
    assert "complete" in table.stderr
    assert as_csv.stdout.splitlines() == ["service,count,errors", "checkout,2,1", "'=cmd\\u{1b},1,0", "日本,1,0"]
    assert [json.loads(line)["service"] for line in as_json.stdout.splitlines()] == ["checkout", "=cmd\x1b", "日本"]
    assert "\x1b" not in as_json.stdout
    two = search(service, *query, "--limit", "2")
    assert "Only the first 2 rows" in two.stderr
    assert "--limit 20" in two.stderr
    assert search(service, *query, "--follow").returncode != 0
    assert search(service, "hello | stat count").stderr.splitlines()[-1] == "          ^"


def test_a_service_that_is_not_there_is_named() -> None:
    """Without a service the message says which address did not answer."""
    done = subprocess.run(
        [sys.executable, "-m", "logbrook", "search", "x"],
        env={**os.environ, "LOGBROOK_QUERY_URL": "http://127.0.0.1:1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "http://127.0.0.1:1 can't be reached" in done.stderr


def test_following_goes_on_with_what_arrives(service: Door, database: config.ClickHouse) -> None:
    """With --follow new matches are printed as they arrive, until it is stopped."""
    arguments = command(service, "follow", "--follow", "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        stop = threading.Event()

        def write() -> None:
            offset = 0
            while not stop.wait(0.2):
                offset += 1
                store(database, [event(offset, "follow me"), event(10_000 + offset, "not me")])

        writer = threading.Thread(target=write)
        writer.start()
        lines = [json.loads(following.stdout.readline()) for _ in range(3)]
        stop.set()
        writer.join()
        following.terminate()

    assert {line["body"] for line in lines} == {"follow me"}
    assert len({line["id"] for line in lines}) == 3


def test_tail_begins_with_the_newest_and_goes_on(service: Door, database: config.ClickHouse) -> None:
    """`logbrook tail` prints the newest ten matches, and then what arrives."""
    store(database, [event(offset, "tail me") for offset in range(1, 15)])
    line = [sys.executable, "-m", "logbrook", "tail", "tail", "--since", "2025-11-24", "--json", "--url", service.url]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as tailing:
        assert tailing.stdout is not None
        offsets = [json.loads(tailing.stdout.readline())["offset"] for _ in range(10)]
        tailing.terminate()

    assert offsets == list(range(5, 15))


def test_fields_and_patterns_are_printed(
    service: Door, database: config.ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line each, the names with how many events have them, the patterns with their counts, levels, and services."""
    store(database, [event(offset, f"order {offset} paid", LogAttributes={"k\x1b": "v"}) for offset in (1, 2)])
    terminal.fields(service.url, "2025-11-24", "2025-11-25", as_json=False)
    assert "           2  attr.k\\u{1b}" in capsys.readouterr().out.splitlines()

    wanted = terminal.Wanted("order", "2025-11-24", "2025-11-25", 50)
    terminal.patterns(service.url, wanted, as_json=False)
    assert capsys.readouterr().out == "           2  info  checkout order <*> paid\n"
    terminal.patterns(service.url, wanted, as_json=True)
    assert json.loads(capsys.readouterr().out)["count"] == 2


def test_log_lines_do_not_take_the_terminal_over() -> None:
    """Escape sequences and reordering characters are written out; tabs and line breaks stay."""
    assert visible("\x1b[31mred\x07 \u202egnp\tx\ny") == "\\u{1b}[31mred\\u{7} \\u{202e}gnp\tx\ny"


def test_no_event_passes_for_another_or_steers_the_terminal(service: Door, database: config.ClickHouse) -> None:
    """A body's own lines are indented, and JSON has no raw control or reordering characters, C1 included."""
    body = "first\n2025-11-24 16:00:09.000 fatal bank robbed \x9b31m \u202e"
    store(database, [event(1, body, ServiceName="a\nb")])

    text = search(service, "--since", "2025-11-24").stdout
    as_json = search(service, "--since", "2025-11-24", "--json").stdout

    assert [line[:4] for line in text.splitlines()] == ["2025", "    "]
    assert "\x9b" not in text + as_json
    assert "\u202e" not in text + as_json
    assert json.loads(as_json)["body"] == body


def test_it_is_said_until_when_a_search_is_complete(service: Door, database: config.ClickHouse) -> None:
    """Beside the events: that it is now, what is pending if it is not, or since when nobody knows."""
    store(database, [event(1)])
    report(database, {})
    assert "complete up to 20" in search(service, "--since", "2025-11-24").stderr

    report(database, {"ago": 60, "end": 14_007})
    late = search(service, "--since", "2025-11-24").stderr
    assert "; 14,000 messages pending" in late

    report(database, {"ago": 60, "at": 60})
    assert "not known to be complete since 20" in search(service, "--since", "2025-11-24").stderr
