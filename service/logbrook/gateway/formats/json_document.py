"""A JSON document: one object, an array of events, or lines of JSON, as many senders call JSON.

It is never copied or split as a whole: what it is made of is held for a piece of it, and counted before the next.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch, Packing, all_named, recognizable, refuse_large
from logbrook.gateway.formats import elements, mend, ndjson
from logbrook.gateway.formats.format import Format, beginning
from logbrook.gateway.formats.ndjson import WHITESPACE, first_byte

_AT_BYTE = re.compile(r"\(byte (\d+)\)")
# Elements of an array are taken so many at a time: fewer if they may be large.
_ELEMENTS, _LARGE_ELEMENTS = 500, 16


def read(body: bytes, settings: Gateway) -> Batch:
    """Each element of an array is an event; one that is not an object is a body."""
    return split(body, beginning(body), settings)


FORMAT = Format("/ingest", ("application/json", "text/json"), read)


def split(body: bytes, start: int, settings: Gateway) -> Batch:
    """A JSON document. Where it breaks only because a surrogate stands alone, that is mended."""
    try:
        return _document(body, start, settings)
    except RejectedError as error:
        mended = mend.surrogates(body) if error.code == "broken_json" else body
        if mended == body:
            raise
        return _document(mended, start, settings)


def _document(body: bytes, start: int, settings: Gateway) -> Batch:
    """One object, an array, or (as many senders do under this type) objects on lines of their own."""
    opening = first_byte(body, start)
    if opening == b"[":
        return _documents(_elements(body, start, settings), body, settings)
    if opening != b"{":
        raise RejectedError(400, "no_event", "The body is neither a JSON object nor an array of them.", byte=0)
    try:
        _check(body, start, len(body))
    except RejectedError:
        first = body.index(b"{", start)
        end = body.find(b"\n", first)
        if end < 0 or not _is_sound(body, first, end):
            raise
        return ndjson.split(body, start, settings)
    stop = len(body.rstrip(WHITESPACE))
    return _documents([memoryview(body)[body.index(b"{", start) : stop]], body, settings)


def _elements(body: bytes, start: int, settings: Gateway) -> Iterator[elements.Raw | bytes]:
    """Each element of an array is an event: cut out without being built."""
    limit = settings.max_request_events
    # Each element but the first has a comma before it. A list of ten times too many takes some 50 MB.
    few = len(body) < 10 * limit or body.count(b",") < 10 * limit
    if not few:
        _check(body, start, len(body))
    first = start if few else body.index(b"[", start)
    try:
        found = elements.cut(memoryview(body)[first:], limit, few=few)
        yield from found if few else (bytes(each).strip(WHITESPACE) for each in found)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, first, len(body)) from None


def _documents(documents: Iterable[elements.Raw | bytes], body: bytes, settings: Gateway) -> Batch:
    """JSON values on one line each; one that is not an object is a body."""
    packing = Packing(settings)
    # A raw newline can only stand between the tokens of valid JSON.
    is_broken_up = b"\n" in body or b"\r" in body
    rest = iter(documents)
    # Each may have the size of a message.
    count = _LARGE_ELEMENTS if len(body) > _LARGE_ELEMENTS * settings.max_message_bytes else _ELEMENTS
    while some := list(islice(rest, count)):
        if len(body) > settings.max_message_bytes:
            refuse_large(some, packing.events, settings)
        lines = list(map(bytes, some))
        if is_broken_up:
            lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
        packing.add(b"\n".join([line if line[:1] == b"{" else b'{"body":' + line + b"}" for line in lines]))
    if not packing.events:
        raise RejectedError(400, "empty_body", "The array holds no event.")
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))


def _check(body: bytes, start: int, stop: int) -> None:
    """Raise RejectedError (400) unless a JSON document lies between `start` and `stop`; no objects are built."""
    try:
        msgspec.json.decode(memoryview(body)[start:stop], type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, start, stop) from None


def _is_sound(body: bytes, start: int, stop: int) -> bool:
    try:
        _check(body, start, stop)
    except RejectedError:
        return False
    return True


def _malformed(error: Exception, start: int, stop: int) -> RejectedError:
    if isinstance(error, RecursionError):
        return RejectedError(400, "too_deep", "The JSON is nested too deeply.")
    at = _AT_BYTE.search(str(error))
    byte = start + int(at.group(1)) if at else stop
    return RejectedError(400, "broken_json", f"{error}. Lines of JSON need the type application/x-ndjson.", byte=byte)
