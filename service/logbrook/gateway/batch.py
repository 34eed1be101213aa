"""A request's events, cut into as few messages as the limit allows. The same bytes always give the same messages."""

import re
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field

import orjson

from logbrook.config import Gateway
from logbrook.errors import RejectedError

_EVENT_ID = re.compile(rb'"event_id"\s*:')
_LINE = re.compile(rb"[^\n]+")


@dataclass(frozen=True)
class Batch:
    """What one request adds to the topic.

    Each message is one event as JSON, several of them separated by newlines, or one event as plain text.
    `named` says that each event carries an `event_id`; `key` is the idempotency key that the format has for the request
    (of which one event says who it is). `rejected` is how many events could not be taken (in a format
    that has a way to say so), `reason` why the first of them could not, `first_rejected` its index. `items` is what
    some formats answer for each.
    """

    messages: list[bytes]
    events: int
    named: bool = False
    rejected: int = 0
    reason: str = ""
    first_rejected: int = -1
    items: list[bytes] = field(default_factory=list)
    key: bytes | None = None


class Packing:
    """A request's events on their way into messages, one after the other: nothing but the messages is held.

    Raises RejectedError (413) for an event that is too large for a message and, when a message is full, for too many
    events or bytes.
    """

    def __init__(self, settings: Gateway) -> None:
        self._settings = settings
        self._messages: list[bytes] = []
        self._held: list[bytes] = []
        # An event and the newline after it; the last one of a message has none.
        self._room = settings.max_message_bytes + 1
        self.events, self._bytes = 0, 0

    def add(self, lines: bytes) -> None:
        """Events that are a line of JSON each: they share a message with their neighbors."""
        start, stop = 0, len(lines)
        while stop - start >= self._room:
            # The newline after the last event that fits.
            end = lines.rfind(b"\n", start, start + self._room)
            if end >= 0:
                self._hold(lines[start:end])
                start = end + 1
            elif not self._held:
                found = lines.find(b"\n", start)
                size = (found if found >= 0 else stop) - start
                raise event_too_large(self.events, size, self._settings.max_message_bytes)
            self._close()
        if start < stop:
            self._hold(lines[start:])

    def add_alone(self, event: bytes) -> None:
        """An event that only a message of its own can carry. It may have several lines."""
        self._close()
        if len(event) >= self._room:
            raise event_too_large(self.events, len(event), self._settings.max_message_bytes)
        self.events += 1
        self._held.append(event)
        self._close()

    def messages(self) -> list[bytes]:
        """All of them; nothing can be added any more."""
        self._close()
        return self._messages

    def _hold(self, lines: bytes) -> None:
        self.events += lines.count(b"\n") + 1
        self._held.append(lines)
        self._room -= len(lines) + 1

    def _close(self) -> None:
        if not self._held:
            return
        settings = self._settings
        message = b"\n".join(self._held)
        self._bytes += len(message)
        if self.events > settings.max_request_events:
            raise too_many_events(settings.max_request_events)
        if self._bytes > settings.max_inflated_bytes:
            raise _events_too_large(settings.max_inflated_bytes)
        self._messages.append(message)
        self._held, self._room = [], settings.max_message_bytes + 1


def cut(lines: bytes, start: int, stop: int, max_message_bytes: int) -> list[bytes]:
    """Messages of whole lines, cut out of `lines` between `start` and `stop`. No work is done per line.

    Raises RejectedError (413) with the index of a line that fits into no message.
    """
    messages: list[bytes] = []
    first = start
    while stop - start > max_message_bytes:
        end = lines.rfind(b"\n", start, start + max_message_bytes + 1)
        if end < 0:
            found = lines.find(b"\n", start, stop)
            size = (found if found >= 0 else stop) - start
            raise event_too_large(lines.count(b"\n", first, start), size, max_message_bytes)
        messages.append(_line_feeds(lines[start:end]))
        start = end + 1
    if start < stop:
        messages.append(_line_feeds(lines[start:stop]))
    return messages


def _line_feeds(lines: bytes) -> bytes:
    """Lines that end with LF, where they may have ended with CRLF; after the last one its LF was cut off."""
    return lines.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in lines else lines


def recognizable(messages: list[bytes]) -> list[bytes]:
    """Messages of lines of JSON that the view in ClickHouse takes for as many events as they have lines.

    It takes lines for events if one of them is valid JSON, and the whole message for one event otherwise. So lines of
    which none is valid go alone.
    """
    kept: list[bytes] = []
    for index, message in enumerate(messages):
        # Its lines and itself, of all messages, would be twice the request.
        messages[index] = b""
        head, _, rest = message.partition(b"\n")
        if not rest or _is_valid(head) or any(_is_valid(line) for line in rest.split(b"\n")):
            kept.append(message)
        else:
            kept += message.split(b"\n")
    return kept


def _is_valid(line: bytes) -> bool:
    """Whether it is JSON by the narrow rules of ClickHouse's parser, which are also orjson's.

    Both refuse bytes that are not UTF-8, half of a surrogate pair, and 1e400; msgspec takes them.
    orjson alone refuses integers that are as large: what it takes, ClickHouse takes, on which `recognizable` relies.
    """
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def all_named(messages: list[bytes]) -> bool:
    """Whether each line of JSON has a key `event_id`. The first one that has none ends the search."""
    return bool(messages) and all(_EVENT_ID.search(line[0]) for message in messages for line in _LINE.finditer(message))


def refuse_large(events: Sequence[Sized], first: int, settings: Gateway) -> None:
    """Raise RejectedError (413) for an event that fits into no message; `first` is the index of the first one."""
    if max(map(len, events), default=0) > settings.max_message_bytes:
        index, size = next((at, len(each)) for at, each in enumerate(events) if len(each) > settings.max_message_bytes)
        raise event_too_large(first + index, size, settings.max_message_bytes)


def event_too_large(index: int, size: int, max_message_bytes: int) -> RejectedError:
    """The answer to an event that fits into no message."""
    return RejectedError(
        413,
        "event_too_large",
        f"Event {index} (counted from 0) has {size} bytes; the most is {max_message_bytes}. "
        "Shorten it, or raise LOGBROOK_GATEWAY_MAX_MESSAGE_BYTES and the topic's max.message.bytes.",
        event=index,
        limit=max_message_bytes,
    )


def too_many_events(limit: int) -> RejectedError:
    """The answer to a request with too many events."""
    return RejectedError(
        413, "too_many_events", f"The request has more than {limit} events. Send it in parts.", limit=limit
    )


def _events_too_large(limit: int) -> RejectedError:
    return RejectedError(
        413,
        "inflated_too_large",
        f"The request's events, each with all that it carries, come to more than {limit} bytes as JSON. "
        "Send it in parts.",
        limit=limit,
    )
