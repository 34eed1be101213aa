"""POST /ingest: NDJSON, a JSON array, one JSON object or plain text, as messages for the topic.

Lines of JSON are passed on as they are: they are parsed once, in ClickHouse, where a broken one becomes a flagged row.
A body is never copied or split as a whole: what it is made of is held for a piece of it, and counted before the next.
"""

import re
from collections.abc import Iterable, Iterator

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
# Lines are split so many bytes at a time.
_PIECE_BYTES = 64 * 1024


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
        return _documents(_elements(body, start, settings), settings)
    if opening != b"{":
        raise RejectedError(400, "no_event", "The body is neither a JSON object nor an array of them.", byte=0)
    wrong = _check(body, start, len(body))
    if wrong is None:
        return _documents([memoryview(body)[start:]], settings)
    first = body.index(b"{", start)
    end = body.find(b"\n", first)
    if end >= 0 and _check(body, first, end) is None:
        return _ndjson(body, start, settings)
    raise wrong


def _elements(body: bytes, start: int, settings: Gateway) -> Iterator[elements.Raw]:
    """Each element of an array is an event: cut out without being built."""
    limit = settings.max_request_events
    few = body.count(b",") < limit
    if not few and (wrong := _check(body, start, len(body))):
        raise wrong
    first = start if few else body.index(b"[", start)
    try:
        yield from elements.cut(memoryview(body)[first:], limit, few=few)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, first, len(body)) from None


def _documents(documents: Iterable[elements.Raw], settings: Gateway) -> Batch:
    """JSON values on one line each; one that is not an object is a body."""
    packing = Packing(settings)
    for each in documents:
        document = bytes(each).strip(_WHITESPACE)
        if len(document) > settings.max_message_bytes:
            raise event_too_large(packing.events, len(document), settings.max_message_bytes)
        # A raw newline can only stand between the tokens of valid JSON.
        document = document.replace(b"\n", b" ").replace(b"\r", b" ")
        packing.add(document if document[:1] == b"{" else b'{"body":' + document + b"}")
    if not packing.events:
        raise RejectedError(400, "empty_body", "The array holds no event.")
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))


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
        for each in lines:
            line = each.strip(_WHITESPACE)
            if line[:1] == b"{":
                packing.add(line)
            elif line and not line.isspace():
                _add_text(packing, line, settings)
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))


def _text(body: bytes, start: int, settings: Gateway) -> Batch:
    """A line an event; a continuation line joins the one before. Blank lines between events are not events."""
    packing = Packing(settings)
    for event in _text_events(body, start, settings.max_message_bytes):
        _add_text(packing, event, settings)
    return Batch(packing.messages(), packing.events)


def _text_events(body: bytes, start: int, max_message_bytes: int) -> Iterator[bytes]:
    if not multiline.may_continue(memoryview(body)[start:]):
        for lines in _pieces(body, start):
            yield from (line for line in lines if line and not line.isspace())
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
        yield from (b"\n".join(some[begin:end]) for begin, end in whole)
        last, size = some[first:], stop - first
        if sum(map(len, last)) + len(last) > max_message_bytes:
            # With what continues it, it would fit into no message. It may still do without the blank lines.
            yield b"\n".join(last[:size])
            last = []
    if last:
        yield b"\n".join(last[:size])


def _pieces(body: bytes, start: int) -> Iterator[list[bytes]]:
    """The lines of `body` from `start` on, without their ends, a piece of the body at a time."""
    while start < len(body):
        end = body.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or body.find(b"\n", start + _PIECE_BYTES) + 1
        piece = body[start : end or len(body)]
        yield piece.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        start += len(piece)


def _add_text(packing: Packing, event: bytes, settings: Gateway) -> None:
    """Text as `{"body": ...}`; what is not UTF-8 can't be JSON, and goes as a message of its own."""
    if len(event) > settings.max_message_bytes:
        raise event_too_large(packing.events, len(event), settings.max_message_bytes)
    if b"\n" in event and event.lstrip().startswith(_LIKE_JSON):
        # As a message of its own, its lines could be taken for an event each.
        event = mend.utf8(event)
    try:
        text = event.decode()
    except UnicodeDecodeError:
        packing.add_alone(event)
    else:
        packing.add(b'{"body":' + orjson.dumps(text) + b"}")


def _check(body: bytes, start: int, stop: int) -> RejectedError | None:
    """What is wrong with the JSON document between `start` and `stop`, found without building it."""
    try:
        msgspec.json.decode(memoryview(body)[start:stop], type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return _malformed(error, start, stop)
    return None


def _malformed(error: Exception, start: int, stop: int) -> RejectedError:
    if isinstance(error, RecursionError):
        return RejectedError(400, "too_deep", "The JSON is nested too deeply.")
    at = _AT_BYTE.search(str(error))
    byte = start + int(at.group(1)) if at else stop
    return RejectedError(400, "broken_json", f"{error}. Lines of JSON need the type application/x-ndjson.", byte=byte)
