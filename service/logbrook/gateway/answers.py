"""What the gateway answers in its own JSON."""

import orjson
from starlette.responses import Response

from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway.batch import Batch


def json(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def taken(batch: Batch) -> Response:
    """How many events were accepted."""
    return json(200, {"accepted": batch.events})


def refused(error: RejectedError | UnavailableError) -> Response:
    """`{"error": {"code", "message", place}}`."""
    place = error.place if isinstance(error, RejectedError) else {}
    return json(error.status, {"error": {"code": error.code, "message": str(error), **place}}, headers(error))


def headers(error: RejectedError | UnavailableError) -> dict[str, str]:
    """What the answer to an error says in headers, whatever its format."""
    if isinstance(error, UnavailableError):
        return {"retry-after": str(error.retry_after_seconds)}
    if error.status == 401:
        return {"www-authenticate": "Bearer"}
    return {"allow": str(error.place["allow"])} if "allow" in error.place else {}
