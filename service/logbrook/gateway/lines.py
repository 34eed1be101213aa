"""POST /ingest: NDJSON, a JSON array, one JSON object or plain text, as messages for the topic.

Lines of JSON are passed on as they are: they are parsed once, in ClickHouse, where a broken one becomes a flagged row.
A body is never copied or split as a whole: what it is made of is held for a piece of it, and counted before the next.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec
import orjson

from logbrook import multiline
from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway import elements, mend
from logbrook.gateway.batch import Batch, Packing, all_named, cut, event_too_large, recognizable, too_many_events

_NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
_JSON = {"application/json", "text/json"}
_TEXT = {"text/plain"}
# In lines of JSON: a line that does not begin like an object.
_NO_OBJECT = re.compile(rb"\n[^{]")
_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_WHITESPACE = b" \t\r\n"
_TOKEN = re.compile(rb"[^ \t\r\n]")
_INK = re.compile(rb"\S")
_BOM = b"\xef\xbb\xbf"
_LIKE_JSON = (b"{", b"[", _BOM)
# Lines are split so many bytes at a time, and elements of an array so many: fewer if they may be large.
_PIECE_BYTES = 64 * 1024
_ELEMENTS, _LARGE_ELEMENTS = 500, 16


def read(body: bytes, content_type: str, settings: Gateway) -> Batch:
    """The events of `body`. A content type that says nothing (curl's, none at all) is decided by the first bytes.

    Raises RejectedError: 400 for a broken JSON document, 413 for an event or a number of events over the limit.
    """
    start = len(_BOM) if body.startswith(_BOM) else 0
    if not _INK.search(body, start):
        raise RejectedError(400, "empty_body", "The body contains no event.")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NDJSON:
        return _ndjson(body, start, settings)
    if kind in _JSON:
        return _json(body, start, settings)
    if kind in _TEXT:
        return _text(body, start, settings)
    return _sniff(body, start, settings)


def _sniff(body: bytes, start: int, settings: Gateway) -> Batch:
    """JSON where it starts as JSON does and holds together, else text."""
    if _first(body, start) in (b"{", b"["):
        try:
            return _json(body, start, settings)
        except RejectedError as error:
            if error.status != 400:
                raise
    return _text(body, start, settings)


def _first(body: bytes, start: int) -> bytes:
    """The first byte that is not whitespace to JSON."""
    found = _TOKEN.search(body, start)
    return found[0] if found else b""


def _json(body: bytes, start: int, settings: Gateway) -> Batch:
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
    opening = _first(body, start)
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
        return _ndjson(body, start, settings)
    stop = len(body.rstrip(_WHITESPACE))
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
        yield from found if few else (bytes(each).strip(_WHITESPACE) for each in found)
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
            _refuse_large(some, packing.events, settings)
        lines = list(map(bytes, some))
        if is_broken_up:
            lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
        packing.add(b"\n".join([line if line[:1] == b"{" else b'{"body":' + line + b"}" for line in lines]))
    if not packing.events:
        raise RejectedError(400, "empty_body", "The array holds no event.")
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))


def _refuse_large(events: Sequence[elements.Raw | bytes], first: int, settings: Gateway) -> None:
    """Raise RejectedError (413) for an event that fits into no message; `first` is the index of the first one."""
    if max(map(len, events), default=0) > settings.max_message_bytes:
        index, size = next((at, len(each)) for at, each in enumerate(events) if len(each) > settings.max_message_bytes)
        raise event_too_large(first + index, size, settings.max_message_bytes)


def _ndjson(body: bytes, start: int, settings: Gateway) -> Batch:
    """Lines of JSON, not parsed: two searches at the speed of memory, and no work per line."""
    stop = len(body.rstrip(_WHITESPACE))
    if _first(body, start) != b"{":
        return _mixed(body, start, settings)
    start = body.index(b"{", start)
    if _NO_OBJECT.search(body, start, stop):
        return _mixed(body, start, settings)
    events = body.count(b"\n", start, stop) + 1
    if events > settings.max_request_events:
        raise too_many_events(settings.max_request_events)
    messages = recognizable(cut(body, start, stop, settings.max_message_bytes))
    return Batch(messages, events, all_named(messages))


def _mixed(body: bytes, start: int, settings: Gateway) -> Batch:
    """Lines that are objects, lines of text, which become bodies, and blank ones, which are not events."""
    packing = Packing(settings)
    for lines in _pieces(body, start):
        events = [line for each in lines if (line := each.strip(_WHITESPACE)) and not line.isspace()]
        try:
            encoded = [
                line if line[:1] == b"{" else b'{"body":' + orjson.dumps(line.decode()) + b"}" for line in events
            ]
        except UnicodeDecodeError:
            for line in events:
                if line[:1] == b"{":
                    packing.add(line)
                else:
                    _add_text(packing, [line], settings)
        else:
            packing.add(b"\n".join(encoded))
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))


def _text(body: bytes, start: int, settings: Gateway) -> Batch:
    """A line an event; a continuation line joins the one before. Blank lines between events are not events."""
    packing = Packing(settings)
    for events in _text_events(body, start, settings.max_message_bytes):
        _add_text(packing, events, settings)
    return Batch(packing.messages(), packing.events)


def _text_events(body: bytes, start: int, max_message_bytes: int) -> Iterator[list[bytes]]:
    """The events of each piece of `body`."""
    if not multiline.may_continue(memoryview(body)[start:]):
        for lines in _pieces(body, start):
            yield [line for line in lines if line and not line.isspace()]
        return
    # The last event so far, of so many lines, and the blank ones after it: the next piece may continue it.
    last: list[bytes] = []
    size = 0
    for lines in _pieces(body, start):
        some = last + lines
        groups = multiline.group(some)
        if not groups:
            continue
        *whole, (first, stop) = groups
        yield [b"\n".join(some[begin:end]) for begin, end in whole]
        last, size = some[first:], stop - first
        if sum(map(len, last)) + len(last) > max_message_bytes:
            # With what continues it, it would fit into no message. It may still do without the blank lines.
            yield [b"\n".join(last[:size])]
            last = []
    if last:
        yield [b"\n".join(last[:size])]


def _pieces(body: bytes, start: int) -> Iterator[list[bytes]]:
    """The lines of `body` from `start` on, without their ends, a piece of the body at a time."""
    while start < len(body):
        end = body.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or body.find(b"\n", start + _PIECE_BYTES) + 1
        piece = body[start : end or len(body)]
        start += len(piece)
        # A search for one byte is ten times as fast as one for two.
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        yield piece.removesuffix(b"\n").split(b"\n")


def _add_text(packing: Packing, events: list[bytes], settings: Gateway) -> None:
    """Texts as `{"body": ...}`; what is not UTF-8 can't be JSON, and goes as a message of its own."""
    _refuse_large(events, packing.events, settings)
    texts: list[str] = []
    for event in events:
        try:
            texts.append(event.decode())
        except UnicodeDecodeError:
            if b"\n" in event and event.lstrip().startswith(_LIKE_JSON):
                # As a message of its own, its lines could be taken for an event each.
                texts.append(event.decode(errors="replace"))
                continue
            packing.add(_as_bodies(texts))
            packing.add_alone(event)
            texts = []
    packing.add(_as_bodies(texts))


def _as_bodies(texts: list[str]) -> bytes:
    """Each as `{"body": ...}` on a line of its own."""
    if not texts:
        return b""
    # Indented, JSON has a raw newline between two elements, and nowhere else.
    lines = orjson.dumps(texts, option=orjson.OPT_INDENT_2)[len(b"[\n  ") : -len(b"\n]")]
    return b'{"body":' + lines.replace(b",\n  ", b'}\n{"body":') + b"}"


def _check(body: bytes, start: int, stop: int) -> None:
    """Raise RejectedError (400) if there is no JSON document between `start` and `stop`. It is not built."""
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
