"""Events that can't be taken, and do not cost their sender the others of the request."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from logbrook.config import Gateway
from logbrook.gateway.batch import Batch, Packing, all_named, recognizable, too_many_events

# The most bytes of a part of a request as it is sent, unless a message may have more. Taken apart, empty values come to
# some thirty times their bytes.
_MAX_PART_BYTES = 2 * 2**20
# Events are packed so many bytes at a time: one by one takes longer.
_HELD_BYTES = 64 * 1024


class Unfit(Exception):  # noqa: N818 - not an error of the service: one event can't be taken, the others can
    """Why an event can't be taken."""


def check_part(size: int, settings: Gateway) -> None:
    """Raise Unfit for an event, or what several of them share, of too many bytes, before it is taken apart."""
    limit = max(_MAX_PART_BYTES, settings.max_message_bytes)
    if size > limit:
        raise Unfit(f"it has {size} bytes as it was sent; the most is {limit}")


def dumps(value: Any) -> bytes:
    """JSON. Raises Unfit for what has none: an integer beyond 64 bits."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Unfit(str(error)) from None


def _sized(event: bytes, limit: int) -> bytes:
    if len(event) > limit:
        raise Unfit(f"it has {len(event)} bytes as JSON, with all that it shares; the most is {limit}")
    return event


def pack(events: Iterable[Callable[[], bytes]], what: str, settings: Gateway, *, cut_from: bytes = b"") -> Batch:
    """All events that can be taken: each is made by a call, which raises Unfit if it can't.

    `what` is the format's word for one. Events that hold pieces of a JSON body, `cut_from`, may be broken up into lines
    as it is, and need not be JSON that every parser takes. Raises RejectedError (413) for too many events or bytes.
    """
    packing = Packing(settings)
    rejected, reason, first = 0, "", -1
    held, size = list[bytes](), 0
    limit = settings.max_message_bytes
    is_broken_up = b"\n" in cut_from or b"\r" in cut_from
    for index, make in enumerate(events):
        if index >= settings.max_request_events:
            raise too_many_events(settings.max_request_events)
        try:
            event = make()
            # A raw newline can only stand between the tokens of valid JSON.
            event = _sized(event.replace(b"\n", b" ").replace(b"\r", b" ") if is_broken_up else event, limit)
        except Unfit as error:
            if not rejected:
                reason, first = f"{what} {index} (counted from 0): {error}", index
            rejected += 1
            continue
        held.append(event)
        size += len(event)
        if size > _HELD_BYTES:
            packing.add(b"\n".join(held))
            held, size = [], 0
    packing.add(b"\n".join(held))
    messages = recognizable(packing.messages()) if cut_from else packing.messages()
    return Batch(messages, packing.events, all_named(messages), rejected, reason, first)
