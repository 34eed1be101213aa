"""POST /ingest: NDJSON, a JSON array, one JSON object or plain text, as messages for the topic.

Lines of JSON are passed on as they are: they are parsed once, in ClickHouse, where a broken one becomes a flagged row.
"""

import re

import msgspec
import orjson

from logbrook import multiline
from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway import mend
from logbrook.gateway.batch import Batch, all_named, cut, join, recognisable, too_many_events

_NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
_JSON = {"application/json", "text/json"}
_TEXT = {"text/plain"}
# In lines of JSON: a line that does not begin like an object.
_NO_OBJECT = re.compile(rb"\n[^{]")
_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_WHITESPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_LIKE_JSON = (b"{", b"[", _BOM)


def read(body: bytes, content_type: str, settings: Gateway) -> Batch:
    """The events of `body`. A content type that says nothing (curl's, none at all) is decided by the first bytes.

    Raises RejectedError: 400 for a broken JSON document, 413 for an event or a number of events over the limit.
    """
    body = body.removeprefix(_BOM)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if not body or body.isspace():
        raise RejectedError(400, "empty_body", "The body holds no event.")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NDJSON:
        return _ndjson(body, settings)
    if kind in _JSON:
        return _json(body, settings)
    if kind in _TEXT:
        return _text(body, settings)
    return _sniff(body, settings)


def _sniff(body: bytes, settings: Gateway) -> Batch:
    """JSON where it starts as JSON does and holds together, else text."""
    if body.lstrip(_WHITESPACE)[:1] in (b"{", b"["):
        try:
            return _json(body, settings)
        except RejectedError as error:
            if error.status != 400:
                raise
    return _text(body, settings)


def _json(body: bytes, settings: Gateway) -> Batch:
    """A JSON document. Where it breaks only because a surrogate stands alone, that is mended."""
    try:
        return _document(body, settings)
    except RejectedError as error:
        mended = mend.surrogates(body) if error.code == "broken_json" else body
        if mended == body:
            raise
        return _document(mended, settings)


def _document(body: bytes, settings: Gateway) -> Batch:
    """One object, an array, or (as many senders do under this type) objects on lines of their own."""
    start = body.lstrip(_WHITESPACE)
    if start[:1] == b"[":
        return _array(body, settings)
    if start[:1] != b"{":
        raise RejectedError(400, "no_event", "The body is neither a JSON object nor an array of them.", byte=0)
    wrong = _check(body)
    if wrong is None:
        return _documents([_one_line(body)], settings)
    if _check(start.partition(b"\n")[0]) is None:
        return _ndjson(body, settings)
    raise wrong


def _array(body: bytes, settings: Gateway) -> Batch:
    """Each element is an event: cut out without being built."""
    try:
        elements = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, len(body)) from None
    if not elements:
        raise RejectedError(400, "empty_body", "The array holds no event.")
    return _documents([_one_line(bytes(each)) for each in elements], settings)


def _documents(documents: list[bytes], settings: Gateway) -> Batch:
    """JSON values on one line each; one that is no object is a body."""
    if len(documents) > settings.max_request_events:
        raise too_many_events(len(documents), settings.max_request_events)
    lines = [each if each[:1] == b"{" else b'{"body":' + each + b"}" for each in documents]
    messages = recognisable(join(lines, settings.max_message_bytes))
    return Batch(messages, len(lines), all_named(messages))


def _ndjson(body: bytes, settings: Gateway) -> Batch:
    """Lines of JSON, not parsed: two searches at the speed of memory, and no work per line."""
    body = body.strip(_WHITESPACE)
    if body[:1] != b"{" or _NO_OBJECT.search(body):
        return _mixed(body.split(b"\n"), settings)
    events = body.count(b"\n") + 1
    if events > settings.max_request_events:
        raise too_many_events(events, settings.max_request_events)
    messages = recognisable(cut(body, settings.max_message_bytes))
    return Batch(messages, events, all_named(messages))


def _mixed(lines: list[bytes], settings: Gateway) -> Batch:
    """Lines that are objects, lines of text, which become bodies, and blank ones, which are no events."""
    events = [line.strip(_WHITESPACE) for line in lines if line and not line.isspace()]
    if len(events) > settings.max_request_events:
        raise too_many_events(len(events), settings.max_request_events)
    messages = recognisable(_encode(events, settings.max_message_bytes, keep_objects=True))
    return Batch(messages, len(events), all_named(messages))


def _text(body: bytes, settings: Gateway) -> Batch:
    """A line an event; a continuation line joins the one before. Blank lines between events are none."""
    lines = body.split(b"\n")
    if multiline.may_continue(body):
        events = [b"\n".join(lines[first:last]) for first, last in multiline.group(lines)]
    else:
        events = [line for line in lines if line and not line.isspace()]
    if len(events) > settings.max_request_events:
        raise too_many_events(len(events), settings.max_request_events)
    return Batch(_encode(events, settings.max_message_bytes), len(events))


def _encode(events: list[bytes], limit: int, *, keep_objects: bool = False) -> list[bytes]:
    """Text as `{"body": ...}`; what is not UTF-8 can't be JSON, and goes as a message of its own."""
    messages: list[bytes] = []
    held: list[bytes] = []
    for index, event in enumerate(events):
        if keep_objects and event[:1] == b"{":
            held.append(event)
            continue
        if b"\n" in event and event.lstrip().startswith(_LIKE_JSON):
            # As a message of its own, its lines could be taken for an event each.
            event = mend.utf8(event)  # noqa: PLW2901 - the same text
        try:
            held.append(b'{"body":' + orjson.dumps(event.decode()) + b"}")
        except UnicodeDecodeError:
            messages += join(held, limit, first=index - len(held))
            messages += join([event], limit, first=index)
            held = []
    return messages + join(held, limit, first=len(events) - len(held))


def _one_line(document: bytes) -> bytes:
    """Valid JSON on one line: a raw newline can only stand between its tokens."""
    return document.strip(_WHITESPACE).replace(b"\n", b" ").replace(b"\r", b" ")


def _check(document: bytes) -> RejectedError | None:
    """What is wrong with a JSON document, found without building it."""
    try:
        msgspec.json.decode(document, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return _malformed(error, len(document))
    return None


def _malformed(error: Exception, size: int) -> RejectedError:
    if isinstance(error, RecursionError):
        return RejectedError(400, "too_deep", "The JSON is nested too deeply.")
    at = _AT_BYTE.search(str(error))
    byte = int(at.group(1)) if at else size
    return RejectedError(400, "broken_json", f"{error}. Lines of JSON need the type application/x-ndjson.", byte=byte)
