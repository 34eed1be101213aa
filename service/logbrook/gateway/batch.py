"""A request's events, cut into as few messages as the limit allows. The same bytes always give the same messages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from logbrook.errors import RejectedError

_EVENT_ID = re.compile(rb'"event_id"\s*:')
_LINE = re.compile(rb"[^\n]+")


@dataclass(frozen=True)
class Batch:
    """What one request adds to the topic.

    Each message is one event as JSON, several of them separated by newlines, or one event as plain text.
    `named` says that each event carries an `event_id`. `rejected` is how many events could not be taken (only
    OTLP has a way to say so), `reason` why the first of them could not.
    """

    messages: list[bytes]
    events: int
    named: bool = False
    rejected: int = 0
    reason: str = ""


def join(events: Iterable[bytes], max_message_bytes: int, *, first: int = 0) -> list[bytes]:
    """Messages of whole `events`, each a line of JSON; `first` is the index of the first one in the request.

    Raises RejectedError (413) with the index of an event that fits into no message.
    """
    messages: list[bytes] = []
    held: list[bytes] = []
    size = -1
    for index, event in enumerate(events, first):
        if len(event) > max_message_bytes:
            raise event_too_large(index, len(event), max_message_bytes)
        if size + 1 + len(event) > max_message_bytes:
            messages.append(b"\n".join(held))
            held, size = [], -1
        held.append(event)
        size += 1 + len(event)
    if held:
        messages.append(b"\n".join(held))
    return messages


def cut(lines: bytes, max_message_bytes: int) -> list[bytes]:
    """Messages of whole lines, cut out of `lines` without looking at each. No work is done per line.

    Raises RejectedError (413) with the index of a line that fits into no message.
    """
    messages: list[bytes] = []
    start = 0
    while len(lines) - start > max_message_bytes:
        end = lines.rfind(b"\n", start, start + max_message_bytes + 1)
        if end < 0:
            stop = lines.find(b"\n", start)
            size = (stop if stop >= 0 else len(lines)) - start
            raise event_too_large(lines.count(b"\n", 0, start), size, max_message_bytes)
        messages.append(lines[start:end])
        start = end + 1
    if start < len(lines):
        messages.append(lines[start:] if start else lines)
    return messages


def recognisable(messages: list[bytes]) -> list[bytes]:
    """Messages of lines of JSON that the view in ClickHouse takes for as many events as they have lines.

    It takes lines for events if one of them is valid JSON, and the whole message for one event otherwise. So lines of
    which none is valid go alone.
    """
    kept: list[bytes] = []
    for message in messages:
        head, _, rest = message.partition(b"\n")
        if not rest or _is_valid(head) or any(_is_valid(line) for line in rest.split(b"\n")):
            kept.append(message)
        else:
            kept += message.split(b"\n")
    return kept


def _is_valid(line: bytes) -> bool:
    """Whether it is JSON by the narrow rules of ClickHouse's parser, which are also orjson's.

    Both refuse bytes that are not UTF-8, half of a surrogate pair, and numbers beyond a double; msgspec takes them.
    """
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def all_named(messages: list[bytes]) -> bool:
    """Whether each line of JSON has a key `event_id`. The first one that has none ends the search."""
    return bool(messages) and all(_EVENT_ID.search(line[0]) for message in messages for line in _LINE.finditer(message))


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


def too_many_events(events: int, limit: int) -> RejectedError:
    """The answer to a request with too many events."""
    return RejectedError(
        413,
        "too_many_events",
        f"The request has {events} events; the most is {limit}. Send it in parts.",
        events=events,
        limit=limit,
    )
