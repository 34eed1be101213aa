"""POST /services/collector: Splunk's HTTP Event Collector, its events, its raw text, and its acknowledgements.

https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data says what is sent ("Format events for
HTTP Event Collector"), what the codes of the answers mean ("Troubleshoot HTTP Event Collector"), and how to ask for
acknowledgements ("About HTTP Event Collector Indexer Acknowledgment"). What stands around an event gets the names that
splunkhecreceiver of https://github.com/open-telemetry/opentelemetry-collector-contrib gives it.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch, too_many_events
from logbrook.gateway.formats import elements, mend, text
from logbrook.gateway.formats.format import Format, Read, beginning
from logbrook.gateway.formats.ndjson import WHITESPACE
from logbrook.gateway.formats.unfit import Unfit, check_part, pack

_RESOURCE = {
    "host": "host.name",
    "source": "com.splunk.source",
    "sourcetype": "com.splunk.sourcetype",
    "index": "com.splunk.index",
}
_NAMES = [b'"%b":' % name.encode() for name in _RESOURCE.values()]
_NEXT = re.compile(rb"\}(?=[ \t\r\n]*+\{)")
_REQUIRED, _BLANK, _INVALID = "Event field is required", "Event field cannot be blank", "Invalid data format"
_CODES = {_REQUIRED: 12, _BLANK: 13, _INVALID: 6}
# What the collector answers in place of the gateway's own codes: status, code, and text.
_REFUSALS = {
    "no_token": (401, 2, "Token is required"),
    "unknown_token": (403, 4, "Invalid token"),
    "expired_token": (403, 1, "Token disabled"),
    "path_not_allowed": (403, 4, "Invalid token"),
    "empty_body": (400, 5, "No data"),
    "internal": (500, 8, "Internal server error"),
}
_BUSY = (503, 9, "Server is busy")
_NOTHING = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct):
    time: msgspec.Raw = _NOTHING
    host: msgspec.Raw = _NOTHING
    source: msgspec.Raw = _NOTHING
    sourcetype: msgspec.Raw = _NOTHING
    index: msgspec.Raw = _NOTHING
    event: msgspec.Raw = _NOTHING
    fields: msgspec.Raw = _NOTHING


class _Acks(msgspec.Struct):
    acks: list[Annotated[int, msgspec.Meta(ge=0, le=2**53)]]


_ENVELOPE, _ACKS = msgspec.json.Decoder(_Envelope), msgspec.json.Decoder(_Acks)


def read(body: bytes, settings: Gateway) -> Batch:
    """All events: JSON objects, one after the other. Raises RejectedError (413) for too many events or bytes."""
    beginning(body)
    body = mend.surrogates(body)
    return pack(_events(body, settings), "event", settings, cut_from=body)


def _events(body: bytes, settings: Gateway) -> Iterator[Callable[[], bytes]]:
    at, stop = 0, len(body.rstrip(WHITESPACE))
    view = memoryview(body)
    while at < stop:
        # A part that ends where another object may begin is an event if it is valid: no object is the start of another.
        found = _NEXT.search(body, at, stop)
        after = found.end() if found else stop
        made = _decoded(view[at:after])
        if made is None:
            after = _end(view[at:stop], at, stop)
            made = _decoded(view[at:after])
        yield partial(_event, made, after - at, settings)
        at = after


def _end(rest: memoryview, at: int, stop: int) -> int:
    """Where the first value ends. The last one is followed by nothing; of one that is broken nobody knows the end."""
    try:
        size = elements.end(rest)
    except RecursionError:
        return stop
    return at + size if size >= 0 else stop


def _decoded(event: memoryview) -> _Envelope | None:
    try:
        return _ENVELOPE.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _event(made: _Envelope | None, size: int, settings: Gateway) -> bytes:
    """The keys of an event that is an object, and `fields`, stand beside each other, so that the view finds them."""
    check_part(size, settings)
    if made is None:
        raise Unfit(_INVALID)
    event, fields = bytes(made.event), bytes(made.fields)
    if event in (b"null", b'""'):
        raise Unfit(_REQUIRED if event == b"null" else _BLANK)
    parts = [b'"timestamp":' + bytes(made.time)] if made.time is not _NOTHING else []
    values = (made.host, made.source, made.sourcetype, made.index)
    around = [name + bytes(value) for name, value in zip(_NAMES, values, strict=True) if value is not _NOTHING]
    if around:
        parts.append(b'"resource":{%b}' % b",".join(around))
    parts.append(event[1:-1].strip() if event[:1] == b"{" else b'"body":' + event)
    if fields[:1] == b"{":
        parts.append(fields[1:-1].strip())
    return b"{%b}" % b",".join(filter(None, parts))


def _read_raw(body: bytes, settings: Gateway, resource: dict[str, str]) -> Batch:
    """Lines of text, and what the request's parameters say of all of them."""
    tail = b',"resource":%b}' % orjson.dumps(resource) if resource else b"}"
    return text.split(body, beginning(body), settings, tail)


def _read_acks(body: bytes, settings: Gateway) -> Batch:
    """The numbers that are asked about."""
    try:
        acks = _ACKS.decode(body).acks
    except (msgspec.DecodeError, RecursionError) as error:
        raise RejectedError(400, "broken_acks", f"The body is not a query of acknowledgements: {error}") from None
    if len(acks) > settings.max_request_events:
        raise too_many_events(settings.max_request_events)
    return Batch([], 0, items=[b'"%d":true' % each for each in acks])


def _acknowledged(request: Request, read: Read) -> Read:
    """`read`; who names a channel gets a number to ask about."""
    if "x-splunk-request-channel" not in request.headers and "channel" not in request.query_params:
        return read
    # JavaScript's numbers have 53 bits. Nothing is kept: what had an answer was in Kafka before.
    number = b"%d" % secrets.randbits(53)
    return lambda body, settings: replace(read(body, settings), items=[number])


def _raw_reader(request: Request) -> Read:
    given = {name: request.query_params[key] for key, name in _RESOURCE.items() if key in request.query_params}
    return _acknowledged(request, partial(_read_raw, resource=given))


def taken(batch: Batch) -> Response:
    """Success or, if an event could not be taken, 400 with the number of the first; the others are stored."""
    if batch.rejected:
        said = batch.reason.rpartition(": ")[2]
        code, cause = _CODES.get(said, 6), said if said in _CODES else _INVALID
        number = batch.first_rejected
        return answers.json(400, {"text": cause, "code": code, "invalid-event-number": number, "detail": batch.reason})
    acknowledged = {"ackId": int(batch.items[0])} if batch.items else {}
    return answers.json(200, {"text": "Success", "code": 0} | acknowledged)


def _acks_taken(batch: Batch) -> Response:
    """Each is in Kafka: before that, no number is given out."""
    return Response(b'{"acks":{%b}}' % b",".join(batch.items), media_type="application/json")


def refused(error: RejectedError | UnavailableError) -> Response:
    """The collector's own status, code, and text."""
    busy = isinstance(error, UnavailableError)
    status, code, said = _BUSY if busy else _REFUSALS.get(error.code, (error.status, 6, _INVALID))
    return answers.json(status, {"text": said, "code": code, "detail": str(error)}, answers.headers(error))


FORMAT = Format(
    "/services/collector/event",
    (),
    read,
    taken,
    refused,
    # Docker asks with OPTIONS, and starts a container only if that is answered 200.
    methods=("POST", "OPTIONS"),
    also=("/services/collector", "/services/collector/event/1.0"),
    reader=partial(_acknowledged, read=read),
    ready=("/services/collector/health", "/services/collector/health/1.0"),
)
RAW = Format(
    "/services/collector/raw",
    (),
    text.read,
    taken,
    refused,
    also=("/services/collector/raw/1.0",),
    reader=_raw_reader,
)
ACKS = Format("/services/collector/ack", (), _read_acks, _acks_taken, refused)
