"""POST /loki/api/v1/push: a stream's labels become the resource of its events, structured metadata their attributes.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs says what is sent, and what Loki makes of it
stands in pkg/loghttp/push/push.go of https://github.com/grafana/loki. This is the JSON; loki_protobuf.py has the rest.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from starlette.responses import PlainTextResponse, Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import elements, mend
from logbrook.gateway.formats.format import Format
from logbrook.gateway.formats.unfit import Unfit, check_part, dumps, pack

# Where Loki itself looks for a service's name: `discover_service_name` in its limits_config.
_SERVICE = (
    *("service_name", "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container"),
    *("container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name"),
)
_LEVEL = ("level", "severity", "detected_level")


class _Push(msgspec.Struct):
    streams: msgspec.Raw = msgspec.Raw(b"null")


class _Stream(msgspec.Struct):
    stream: msgspec.Raw = msgspec.Raw(b"{}")
    values: msgspec.Raw = msgspec.Raw(b"null")


_PUSH, _STREAM = msgspec.json.Decoder(_Push), msgspec.json.Decoder(_Stream)
_LABELS = msgspec.json.Decoder(dict[str, Any])
_ENTRY = msgspec.json.Decoder(list[msgspec.Raw])


def shared(labels: dict[str, Any]) -> bytes:
    """What the events of a stream share, as it stands in each: `,"severity_text":"info","resource":{...}`."""
    made: dict[str, Any] = {}
    level, service = (next((labels[name] for name in names if labels.get(name)), None) for names in (_LEVEL, _SERVICE))
    if level:
        made["severity_text"] = level
    if labels:
        made["resource"] = ({"service.name": service} if service else {}) | labels
    return b"," + dumps(made)[1:-1] if made else b""


def read(body: bytes, settings: Gateway) -> Batch:
    """All entries. Raises RejectedError: 400 for what is not a push request, 413 for too many entries or bytes."""
    try:
        return _read(body, settings)
    except RejectedError as error:
        mended = mend.surrogates(body) if error.status == 400 else body
        if mended == body:
            raise
        return _read(mended, settings)


def _read(body: bytes, settings: Gateway) -> Batch:
    try:
        return pack(_entries(body, settings), "entry", settings, cut_from=body)
    except (msgspec.DecodeError, RecursionError, Unfit) as error:
        raise RejectedError(400, "broken_push", f"The body is not a push request of Loki: {error}") from None


def _entries(body: bytes, settings: Gateway) -> Iterator[Callable[[], bytes]]:
    limit = settings.max_request_events
    # As in json_document.py: a list of ten times too many takes some 50 MB.
    few = len(body) < 10 * limit or body.count(b",") < 10 * limit
    for each in elements.cut(_PUSH.decode(body).streams, limit, few=few):
        stream = _STREAM.decode(each)
        common = shared(_labels(stream.stream, settings))
        for entry in elements.cut(stream.values, limit, few=few):
            yield partial(_event, entry, common, settings)


def _labels(labels: msgspec.Raw, settings: Gateway) -> dict[str, Any]:
    check_part(len(bytes(labels)), settings)
    try:
        return _LABELS.decode(labels)
    except UnicodeDecodeError:
        return _LABELS.decode(mend.utf8(bytes(labels)))


def _event(entry: elements.Raw, common: bytes, settings: Gateway) -> bytes:
    """`["TIME", "LINE", {METADATA}]`, of which no value is looked at: they stand in the event as they were sent."""
    check_part(memoryview(entry).nbytes, settings)
    try:
        time, line, metadata = (*map(bytes, _ENTRY.decode(entry)), b"{}")[:3]
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unfit("it is not an array of a time and a line") from None
    if not metadata.startswith(b"{"):
        raise Unfit("its structured metadata is not an object")
    metadata = metadata[1:-1].strip()
    return b'{"timestamp":%b,"body":%b%b%b}' % (time, line, common, metadata and b"," + metadata)


def taken(batch: Batch) -> Response:
    """204; with 400 Loki says that it stored what it could, but not all."""
    if not batch.rejected:
        return Response(status_code=204)
    return PlainTextResponse(f"{batch.rejected} entries are not stored, {batch.events} are. {batch.reason}\n", 400)


def refused(error: RejectedError | UnavailableError) -> Response:
    """The reason as text, which is what Loki's clients log."""
    return PlainTextResponse(f"{error}\n", error.status, answers.headers(error))


FORMAT = Format("/loki/api/v1/push", ("application/json",), read, taken, refused, ready=("/ready",))
