"""The elements of a JSON array, cut out as bytes: none of them is built, and a list of all is only made of few."""

from collections.abc import Iterator

import msgspec

from logbrook.gateway.batch import too_many_events

Raw = msgspec.Raw | memoryview
"""A piece of JSON, as the bytes of the body that hold it."""
_ONE = msgspec.json.Decoder(msgspec.Raw)
_ALL = msgspec.json.Decoder(list[msgspec.Raw] | None)


def cut(array: Raw, limit: int, *, few: bool) -> Iterator[Raw]:
    """The elements of `array`. Raises RejectedError (413) for more than `limit`.

    `few` says that there can't be too many for a list, which takes a tenth of the time. Without it the array has to be
    valid JSON. Raises msgspec.DecodeError if it is not, or is neither an array nor null.
    """
    if few or bytes(memoryview(array)[:1]) != b"[":
        found = _ALL.decode(array) or ()
        if len(found) > limit:
            raise too_many_events(limit)
        yield from found
        return
    view = memoryview(array)
    at, count = 1, 0
    while True:
        size = end(view[at:])
        if size < 0:
            return
        count += 1
        if count > limit:
            raise too_many_events(limit)
        yield view[at : at + size]
        at += size + 1


def end(rest: memoryview) -> int:
    """Where the value that `rest` begins with is followed by something else; -1 if it is not, or is broken."""
    try:
        _ONE.decode(rest)
    except msgspec.DecodeError as error:
        # JSON is malformed: trailing characters (byte 8). The byte is counted from 1.
        message = str(error)
        if "trailing" in message:
            return int(message[message.rindex(" ") + 1 : -1]) - 1
    return -1
