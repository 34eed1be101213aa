"""What a wire format declares to the application."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch

BOM = b"\xef\xbb\xbf"
_INK = re.compile(rb"\S")


@dataclass(frozen=True)
class Format:
    """One format.

    `content_types` are those that name it on its path; without any it takes what no other format of the path does.
    `encoding` is what its bodies are compressed with although no header says so.
    `read` makes a whole body, inflated, into a batch. It may run in a thread. It raises RejectedError: 400 for a broken
    body, 413 for an event or a number of events over the limit.
    """

    path: str
    content_types: tuple[str, ...]
    read: Callable[[bytes, Gateway], Batch]
    taken: Callable[[Batch], Response] = answers.taken
    refused: Callable[[RejectedError | UnavailableError], Response] = answers.refused
    encoding: str | None = None


def beginning(body: bytes) -> int:
    """Where a text begins, after a byte order mark. Raises RejectedError (400) if it is blank."""
    start = len(BOM) if body.startswith(BOM) else 0
    if not _INK.search(body, start):
        raise RejectedError(400, "empty_body", "The body contains no event.")
    return start
