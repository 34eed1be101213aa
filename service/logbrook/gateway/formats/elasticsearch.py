"""PUT or POST /_bulk: each document is an event as it was sent, and what its shippers ask first is answered.

https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk says what is sent and answered. Who asks for
what: libbeat/esleg/eslegclient/connection.go of https://github.com/elastic/beats, http_client/pool.rb of
https://github.com/logstash-plugins/logstash-output-elasticsearch, src/sinks/elasticsearch/common.rs of
https://github.com/vectordotdev/vector.
"""

from functools import partial
from typing import NamedTuple

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch, Packing, all_named, recognizable, too_many_events
from logbrook.gateway.formats import text
from logbrook.gateway.formats.format import Format, Read, beginning

# Without it, official clients refuse to talk:
# https://github.com/elastic/elasticsearch-py/blob/main/elasticsearch/_sync/client/_base.py
_PRODUCT = {"x-elastic-product": "Elasticsearch"}
# A version that clients of 7, 8, and 9 work with.
_VERSION = {"number": "8.19.0", "build_flavor": "default"}
_ASKED: dict[str, object] = {
    "/": {
        "name": "logbrook",
        "cluster_name": "logbrook",
        "cluster_uuid": "logbrook",
        "version": _VERSION,
        "tagline": "You Know, for Search",
    },
    "/_license": {"license": {"status": "active", "uid": "logbrook", "type": "basic"}},
    "/_cluster/health": {"cluster_name": "logbrook", "status": "green", "timed_out": False},
}
_KINDS = {
    401: "security_exception",
    403: "security_exception",
    413: "content_too_long_exception",
    429: "es_rejected_execution_exception",
}
# Elasticsearch's own limits: https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/mapping-id-field,
# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
_MAX_INDEX_BYTES, _MAX_ID_BYTES = 255, 512
# Shippers send the same action again and again, unless it has an id.
_MOST_KNOWN = 1_000


class _Target(msgspec.Struct):
    index: str | None = msgspec.field(default=None, name="_index")
    id: str | int | None = msgspec.field(default=None, name="_id")


_ACTION = msgspec.json.Decoder(dict[str, _Target])


class _Action(NamedTuple):
    """The line before a document: the start of its event, and of its item in the answer."""

    start: bytes
    item: bytes
    taken_item: bytes
    is_named: bool
    # `update` has a document too, `delete` has none.
    is_taken: bool
    has_document: bool


def read(body: bytes, settings: Gateway, index: str | None = None) -> Batch:
    """All documents that can be taken; `index` is that of actions without one.

    Raises RejectedError: 400 for lines that are not pairs of an action and a document, 413 for too many of them.
    """
    packing, items, known = Packing(settings), list[bytes](), dict[bytes, _Action]()
    action, named, rejected = None, True, 0
    for lines in text.pieces(body, beginning(body)):
        events = list[bytes]()
        for line in lines:
            if action is None:
                if not line or line.isspace():
                    continue
                action = known.get(line) or _action(line, index, len(items))
                if len(known) < _MOST_KNOWN and not action.is_named:
                    known[line] = action
                if action.has_document:
                    continue
            reason = _why_not(action, line, settings.max_message_bytes)
            if reason:
                rejected += 1
            else:
                named = named and action.is_named
                rest = line[1:].lstrip()
                events.append((action.start.removesuffix(b",") if rest[:1] == b"}" else action.start) + rest)
            items.append(action.item + reason if reason else action.taken_item)
            if len(items) > settings.max_request_events:
                raise too_many_events(settings.max_request_events)
            action = None
        packing.add(b"\n".join(events))
    if action is not None:
        raise _broken(len(items), "has no document after it")
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, (named and bool(messages)) or all_named(messages), rejected, items=items)


def _action(line: bytes, index: str | None, number: int) -> _Action:
    try:
        [(name, target)] = _ACTION.decode(line).items()
        where = {"_index": target.index or index, "_id": None if target.id is None else str(target.id)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise _broken(number, "is not an object with one action") from None
    if name not in ("create", "index", "update", "delete"):
        raise _broken(number, f"has the unknown action {name[:40]!r}")
    for key, most in (("_index", _MAX_INDEX_BYTES), ("_id", _MAX_ID_BYTES)):
        if len((where[key] or "").encode()) > most:
            raise _broken(number, f"has an {key} of more than {most} bytes")
    said = orjson.dumps({key: value for key, value in where.items() if value is not None})
    own = said[1:-1] + b"," if len(said) > len(b"{}") else b""
    item = b'{"%b":{%b"status":' % (name.encode(), own)
    return _Action(
        b"{" + own,
        item,
        item + b'201,"result":"created"}}',
        target.id is not None,
        name in ("create", "index"),
        name != "delete",
    )


def _why_not(action: _Action, document: bytes, limit: int) -> bytes:
    """The rest of the item of what is not taken; nothing for what is."""
    if not action.is_taken:
        return _error(400, "illegal_argument_exception", "only create and index are supported")
    if not document.startswith(b"{"):
        return _error(400, "document_parsing_exception", "a document is an object")
    if len(action.start) + len(document) > limit:
        return _error(413, "illegal_argument_exception", f"a document has at most {limit} bytes")
    return b""


def _error(status: int, kind: str, reason: str) -> bytes:
    return b'%d,"error":%b}}' % (status, orjson.dumps({"type": kind, "reason": reason}))


def _broken(number: int, reason: str) -> RejectedError:
    return RejectedError(400, "broken_bulk", f"Action {number} (counted from 0) {reason}.", event=number)


def taken(batch: Batch) -> Response:
    """An item for each action, in their order."""
    errors = b"true" if batch.rejected else b"false"
    content = b'{"took":0,"errors":%b,"items":[%b]}' % (errors, b",".join(batch.items))
    return Response(content, 200, _PRODUCT, "application/json")


def refused(error: RejectedError | UnavailableError) -> Response:
    """As Elasticsearch says that it took nothing."""
    cause = {"type": _KINDS.get(error.status, "illegal_argument_exception"), "reason": str(error)}
    content = {"error": {"root_cause": [cause], **cause}, "status": error.status}
    return answers.json(error.status, content, answers.headers(error) | _PRODUCT)


def reader(request: Request) -> Read:
    """Takes the index from /INDEX/_bulk."""
    index, _, _ = request.scope["path"][1:].rpartition("/_bulk")
    return partial(read, index=index or None)


FORMAT = Format(
    "/_bulk",
    (),
    read,
    taken,
    refused,
    methods=("POST", "PUT"),
    also=("/*/_bulk",),
    reader=reader,
    asked={path: partial(answers.json, 200, said, _PRODUCT) for path, said in _ASKED.items()},
)
