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
"""Makes a whole body, inflated, into a batch. It may run in a thread. Raises RejectedError: 400 for a broken body, 413
for an event or a number of events over the limit."""


@dataclass(frozen=True)
class Format:
    """One format.

    It is sent to `path` or to one of `also`, where a `*` stands for any one part. `content_types` are those that name
    it there; without any it takes what no other format of the path does. `encoding` is what its bodies are compressed
    with although no header says so. Where a request's head says something about its events, `reader` makes the `read`
    of that request. `asked` is what its senders ask with GET before they send, `ready` where they ask whether they may.
    """

    path: str
    content_types: tuple[str, ...]
    read: Read
    taken: Callable[[Batch], Response] = answers.taken
    refused: Callable[[RejectedError | UnavailableError], Response] = answers.refused
    encoding: str | None = None
    methods: tuple[str, ...] = ("POST",)
    also: tuple[str, ...] = ()
    reader: Callable[[Request], Read] | None = None
    asked: Mapping[str, Callable[[], Response]] = field(default_factory=dict)
    ready: tuple[str, ...] = ()


def beginning(body: bytes) -> int:
    """Where a text begins, after a byte order mark. Raises RejectedError (400) if it is blank."""
    start = len(BOM) if body.startswith(BOM) else 0
    if not _INK.search(body, start):
        raise RejectedError(400, "empty_body", "The body contains no event.")
    return start
