"""What waiting says in the log: when it begins to wait, and when that is over."""

import threading
from collections.abc import Iterator

from structlog.testing import capture_logs

from logbrook.errors import LogbrookError
from logbrook.waiting import Waiting


def test_the_end_of_a_wait_is_said_once() -> None:
    """The audit asks before each of its rounds: only the first answer after a wait is news."""

    def outcomes() -> Iterator[bool]:
        yield False
        while True:
            yield True

    given = outcomes()

    def attempt() -> str:
        if not next(given):
            raise LogbrookError("nobody is there")
        return "here"

    waiting = Waiting(attempt)
    with capture_logs() as said:
        answers = [waiting.until_there(threading.Event()) for _ in range(3)]

    assert answers == ["here"] * 3
    assert [each["event"] for each in said] == ["waiting", "everything is available now"]
