"""What the gateway answers: its own JSON, and OTLP's responses in the encoding of the request."""

from typing import Literal

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from starlette.requests import Request
from starlette.responses import Response

from logbrook.errors import RejectedError, UnavailableError

Kind = Literal["protobuf", "json"]
_OTLP_TYPES: dict[Kind, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
# google.rpc.Code of a status, for OTLP's error body.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
_RPC_INTERNAL = 13


def otlp_kind(request: Request) -> Kind | None:
    """The encoding of OTLP that a request's content type names; None if it names neither."""
    name = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if name in ("application/x-protobuf", "application/protobuf"):
        return "protobuf"
    return "json" if name == "application/json" else None


def json(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def otlp_taken(kind: Kind, rejected: int, reason: str) -> Response:
    """OTLP's success, with the records that could not be taken, if any."""
    if kind == "protobuf":
        response = ExportLogsServiceResponse()
        if rejected:
            response.partial_success.rejected_log_records = rejected
            response.partial_success.error_message = reason
        return Response(response.SerializeToString(), media_type=_OTLP_TYPES[kind])
    partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": reason}} if rejected else {}
    return json(200, partial)


def refused(error: RejectedError | UnavailableError, kind: Kind | None = None) -> Response:
    """An error: for OTLP a google.rpc.Status, else `{"error": {"code", "message", place}}`."""
    headers = {}
    place: dict[str, int | str] = {}
    if isinstance(error, UnavailableError):
        headers["retry-after"] = str(error.retry_after_seconds)
    else:
        place = error.place
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if "allow" in place:
        headers["allow"] = str(place["allow"])
    if kind is None:
        return json(error.status, {"error": {"code": error.code, "message": str(error), **place}}, headers)
    code = _RPC_CODES.get(error.status, _RPC_INTERNAL)
    if kind == "json":
        return json(error.status, {"code": code, "message": str(error)}, headers)
    return Response(_status(code, str(error)), error.status, headers, _OTLP_TYPES[kind])


def _status(code: int, message: str) -> bytes:
    """google.rpc.Status in protobuf: field 1 is the code, field 2 the message."""
    text = message.encode()
    size, length = b"", len(text)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return b"\x08" + bytes([code]) + b"\x12" + size + bytes([length]) + text
