"""What a wire format declares to the application."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch

BOM = b"\xef\xbb\xbf"
_INK = re.compile(rb"\S")
Read = Callable[[bytes, Gateway], Batch]
"""Makes a whole body, inflated, into a batch, a piece at a time: only messages add to its memory. It may run in a
thread. Raises RejectedError: 400 for a broken body, 413 for an event or a number of events over the limit."""


@dataclass(frozen=True)
class Format:
    """One format."""

    path: str
    # Those that name it there; none: whatever no other format of the path takes.
    content_types: tuple[str, ...]
    read: Read
    # What is answered.
    taken: Callable[[Batch], Response] = answers.taken
    refused: Callable[[RejectedError | UnavailableError], Response] = answers.refused
    # How its bodies are compressed although no header says so.
    encoding: str | None = None
    methods: tuple[str, ...] = ("POST",)
    # Other paths; a `*` stands for any one part.
    also: tuple[str, ...] = ()
    # Makes the `read` of a request whose head says something about its events.
    reader: Callable[[Request], Read] | None = None
    # What its senders ask with GET before they send, and where they ask whether they may.
    asked: Mapping[str, Callable[[], Response]] = field(default_factory=dict)
    ready: tuple[str, ...] = ()


def beginning(body: bytes) -> int:
    """Where a text begins, after a byte order mark. Raises RejectedError (400) if it is blank."""
    start = len(BOM) if body.startswith(BOM) else 0
    if not _INK.search(body, start):
        raise RejectedError(400, "empty_body", "The body contains no event.")
    return start
