"""Following files: appended, rotated, truncated, interrupted; nothing lost, and every repetition under its old key."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logbrook.errors import ConfigError
from logbrook.produce import follow
from logbrook.produce.follow import Follow
from logbrook.produce.lines import Reading
from logbrook.produce.target import TEXT, Batch, Stop

OFF = Reading("text", multiline=False)
ON = Reading("text", multiline=True)


class Reader:
    """What the producer would send: batches by key, so that a repetition counts once, and the bodies in order."""

    def __init__(self, *paths: Path, state: Path | None = None, reading: Reading = OFF) -> None:
        self.stop = Stop()
        self.sent: list[Batch] = []
        self._batches = Follow([str(path) for path in paths], reading, state).batches(self.stop)

    @property
    def bodies(self) -> list[str]:
        """The bodies so far."""
        return bodies(self.sent)

    def round(self, *, acknowledge: bool = True) -> None:
        """One look at the files; without `acknowledge`, the run ends before any answer."""
        for batch in self._batches:
            if batch is None:
                break
            self.sent.append(batch)
        if not acknowledge:
            self._batches.close()  # type: ignore[attr-defined]

    def until(self, *expected: str) -> None:
        """Look until these bodies, and nothing else, are there."""
        deadline = time.monotonic() + 120
        while self.bodies != list(expected):
            assert time.monotonic() < deadline, (self.bodies, expected)
            self.round()

    def finish(self) -> list[str]:
        """Stop as after Ctrl-C; all bodies."""
        self.stop.request(2)
        for batch in self._batches:
            if batch is not None:
                self.sent.append(batch)
        return self.bodies


def bodies(batches: list[Batch]) -> list[str]:
    """The bodies of batches, of each key once."""
    once: dict[object, Batch] = {}
    for batch in batches:
        once.setdefault(batch.key or object(), batch)
    return [
        body
        for batch in once.values()
        for body in (
            [batch.payload.decode(errors="replace")]
            if batch.kind == TEXT
            else [json.loads(line)["body"] for line in batch.payload.split(b"\n")]
        )
    ]


def append(path: Path, text: str) -> None:
    """Write as a logger does."""
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "app.log"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where positions are remembered."""
    return tmp_path / "state.json"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(follow, "_ROTATED_SECONDS", 0.3)
    monkeypatch.setattr(follow, "_SETTLED_SECONDS", 0.1)


def test_a_follower_with_nothing_to_do_shows_that_it_lives(tmp_path: Path) -> None:
    """Each look at the files renews the time of the remembered positions, which nothing else changes."""
    log, state = tmp_path / "a.log", tmp_path / "state"
    log.write_text("a\n")
    reader = Reader(log, state=state)
    reader.until("a")
    for _ in range(2):
        reader.round()
        before = state.read_text()
        os.utime(state, (0, 0))
        reader.round()
        assert state.stat().st_mtime > 0
    assert state.read_text() == before
    state.unlink()
    reader.round()
    assert state.read_text() == before


def test_from_the_end_without_memory(log: Path) -> None:
    """What was there before is left out; a line that was being written is taken whole."""
    append(log, "old\nhalf")
    reader = Reader(log)
    reader.round()
    append(log, " a line\nnew\n")
    reader.until("half a line", "new")
    assert all(batch.key is None for batch in reader.sent)


def test_a_file_that_comes_later(log: Path) -> None:
    """A file that does not exist yet is read from its start once it does."""
    reader = Reader(log)
    reader.round()
    append(log, "first\n")
    reader.until("first")


def test_from_the_start_with_an_empty_memory(log: Path, state: Path) -> None:
    """With a memory nothing is left out, not even what came before the first run."""
    append(log, "old\n")
    Reader(log, state=state).until("old")


def test_resumes_where_it_stopped(log: Path, state: Path) -> None:
    """A second run sends what the first did not."""
    append(log, "a\n")
    first = Reader(log, state=state)
    first.until("a")
    append(log, "b\nc")
    assert first.finish() == ["a", "b"]
    append(log, "c\n")
    Reader(log, state=state).until("cc")


def test_a_stop_without_memory_takes_the_last_line(log: Path) -> None:
    """Nobody will come back for a line without an end, so it is sent when the user stops."""
    reader = Reader(log)
    reader.round()
    append(log, "a\nb")
    assert reader.finish() == ["a", "b"]


def test_unacknowledged_is_repeated_under_its_key(log: Path, state: Path) -> None:
    """After a crash before the answer, the same bytes come under the same key, although the file has grown."""
    append(log, "a\nb\n")
    crashed = Reader(log, state=state)
    crashed.round(acknowledge=False)
    append(log, "c\n")
    second = Reader(log, state=state)
    second.until("a", "b", "c")
    assert [second.sent[0]] == crashed.sent
    assert second.sent[0].key is not None
    assert bodies(crashed.sent + second.sent) == ["a", "b", "c"]


def test_rotation_by_renaming(log: Path, state: Path) -> None:
    """The old file is read to its end, also what is written after it was renamed, and then the new one."""
    append(log, "a\n")
    reader = Reader(log, state=state)
    reader.until("a")
    with log.open("a") as old:
        log.rename(log.with_name("app.log.1"))
        append(log, "c\n")
        reader.until("a", "c")
        old.write("b\n")
        old.flush()
        reader.until("a", "c", "b")
    append(log, "d\n")
    reader.until("a", "c", "b", "d")


def test_the_last_line_of_a_rotated_file(log: Path) -> None:
    """It is sent although it has no end, once its writer has had time to finish it."""
    append(log, "")
    reader = Reader(log)
    reader.round()
    append(log, "no end")
    log.rename(log.with_name("app.log.1"))
    reader.until("no end")


def test_rotation_while_nobody_looks(log: Path, state: Path) -> None:
    """Files that were rotated between two runs, also several times, are found under their new names."""
    append(log, "a\n")
    first = Reader(log, state=state)
    first.until("a")
    first.finish()
    append(log, "b\n")
    for number, line in ((3, "c"), (2, "d"), (1, "e")):
        os.utime(log, (1_000_000 - number, 1_000_000 - number))
        log.rename(log.with_name(f"app.log.{number}"))
        append(log, line + "\n")
    older = log.with_name("app.log.4")
    append(older, "older than all of this\n")
    os.utime(older, (1_000, 1_000))
    append(log.with_name("app.log.5.gz"), "compressed\n")
    second = Reader(log, state=state)
    second.until("b", "c", "d", "e")
    assert second.finish() == ["b", "c", "d", "e"]


def test_a_file_that_is_gone(log: Path, state: Path) -> None:
    """When the file of the last run was deleted, the new one of its name is read from its start."""
    append(log, "a\n")
    first = Reader(log, state=state)
    first.until("a")
    first.finish()
    log.unlink()
    append(log, "other\n")
    Reader(log, state=state).until("other")


@pytest.mark.parametrize("content", ["b\n", "longer than before, at once\n"])
def test_truncation(log: Path, state: Path, content: str) -> None:
    """A file that was truncated and rewritten is read from its start, under other keys."""
    append(log, "first line\n")
    reader = Reader(log, state=state)
    reader.until("first line")
    log.write_text(content)
    reader.until("first line", content.rstrip())
    assert len({batch.key for batch in reader.sent}) == 2


def test_truncation_while_nobody_looks(log: Path, state: Path) -> None:
    """The same between two runs, and when a chunk was pending."""
    append(log, "first line\n")
    Reader(log, state=state).round(acknowledge=False)
    log.write_text("new\n")
    Reader(log, state=state).until("new")


def test_a_stack_trace_stays_whole(log: Path) -> None:
    """An event whose next line may belong to it waits for it, but not for ever."""
    append(log, "")
    reader = Reader(log, reading=ON)
    reader.round()
    append(log, "failed\n")
    reader.round()
    append(log, "\tat a.b\n\tat c.d\n")
    reader.until("failed\n\tat a.b\n\tat c.d")


def test_several_files(tmp_path: Path, state: Path) -> None:
    """Each file has its own position and its own keys, all in one memory."""
    paths = [tmp_path / f"{name}.log" for name in "abc"]
    for path in paths:
        append(path, path.stem + "\n")
    first = Reader(*paths, state=state)
    first.until("a", "b", "c")
    first.finish()
    append(paths[1], "more\n")
    Reader(*paths, state=state).until("more")
    assert len({batch.key for batch in first.sent}) == 3


def test_a_long_file_goes_in_chunks(log: Path, state: Path) -> None:
    """Megabytes are sent chunk by chunk, each event once, in order."""
    lines = [f"{number:07d} {'x' * 90}" for number in range(40_000)]
    append(log, "\n".join(lines) + "\n")
    reader = Reader(log, state=state)
    reader.until(*lines)
    assert len({batch.key for batch in reader.sent}) == len(reader.sent) > 4


def test_json_is_recognised(log: Path) -> None:
    """The format is decided once per file, by its first bytes."""
    append(log, '{"a":1}\n')
    reader = Reader(log, reading=Reading())
    reader.round()
    append(log, '{"a":2}\n{"a":3}\n')
    wait(reader.round, lambda: sum(batch.events for batch in reader.sent) == 2)
    assert reader.sent[0].payload == b'{"a":2}\n{"a":3}'


def wait(act: Callable[[], None], done: Callable[[], bool]) -> None:
    """Act until it is done."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        act()


@pytest.mark.parametrize("content", ["", "[]", '{"files": [{}]}', "no json"])
def test_a_broken_memory_is_told(log: Path, state: Path, content: str) -> None:
    """A file that holds no positions is not overwritten."""
    state.write_text(content)
    with pytest.raises(ConfigError, match="does not hold positions"):
        Reader(log, state=state).round()
    assert state.read_text() == content


def test_standard_input_can_not_be_followed() -> None:
    """`-` has no end to wait at."""
    batches: Iterator[Batch | None] = Follow(["-"], OFF).batches(Stop())
    with pytest.raises(ConfigError, match="standard input"):
        next(batches)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_told(log: Path, encoding: str) -> None:
    """Also if it was there before: the message says to send it whole."""
    log.write_bytes("\ufeffa line\n".encode(encoding))
    reader = Reader(log)

    def while_it_grows() -> None:
        reader.round()
        with log.open("ab") as file:
            file.write("another\n".encode(encoding))
        reader.round()

    with pytest.raises(ConfigError, match="UTF-16 and can't be followed: send it as it is, without --follow"):
        while_it_grows()
    assert reader.sent == []


def test_a_file_that_must_not_be_read(tmp_path: Path) -> None:
    """A path that is a directory is told at once."""
    with pytest.raises(ConfigError, match="directory"):
        Reader(tmp_path).round()
