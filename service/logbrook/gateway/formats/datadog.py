"""POST /api/v2/logs: what Datadog's Agent and libraries send, each log as it was sent.

https://docs.datadoghq.com/api/latest/logs/#send-logs says what is sent and answered; what the Agent makes of an answer
stands in pkg/logs/client/http/destination.go of https://github.com/DataDog/datadog-agent.
"""

from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import elements, mend, text
from logbrook.gateway.formats.format import Format, Read, beginning
from logbrook.gateway.formats.ndjson import WHITESPACE, first_byte
from logbrook.gateway.formats.unfit import pack

# What may also stand in the address, of all logs of a request.
_SHARED = ("ddsource", "ddtags", "hostname", "service")
_ONE = msgspec.json.Decoder(msgspec.Raw)


def read(body: bytes, settings: Gateway, shared: bytes = b"") -> Batch:
    """An array of logs, one log, or lines of text; `shared` is the end of each.

    Raises RejectedError: 400 for JSON that is broken, 413 for too many logs or bytes.
    """
    start = beginning(body)
    if first_byte(body, start) not in (b"[", b"{"):
        return text.split(body, start, settings, shared + b"}")
    try:
        return pack(_logs(mend.surrogates(body)[start:], settings, shared), "log", settings, cut_from=body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RejectedError(400, "broken_logs", f"The body is neither a log nor an array of logs: {error}") from None


def _logs(body: bytes, settings: Gateway, shared: bytes) -> Iterator[Callable[[], bytes]]:
    limit = settings.max_request_events
    found: Iterator[elements.Raw] = iter([_ONE.decode(body)])
    if first_byte(body, 0) == b"[":
        # As in json_document.py: a list of ten times too many takes some 50 MB.
        few = len(body) < 10 * limit or body.count(b",") < 10 * limit
        found = elements.cut(memoryview(body.strip(WHITESPACE)), limit, few=few)
    elif body.strip(b"{} \t\r\n") == b"":
        # So the Agent asks whether it may send.
        return
    for each in found:
        yield partial(_event, each, shared)


def _event(log: elements.Raw, shared: bytes) -> bytes:
    own = bytes(log).strip(WHITESPACE)
    rest = own[:-1].rstrip(WHITESPACE) if own[:1] == b"{" else b'{"message":' + own
    return rest + (shared.removeprefix(b",") if rest == b"{" else shared) + b"}"


def _reader(request: Request) -> Read:
    given = {name: request.query_params[name] for name in _SHARED if name in request.query_params}
    return partial(read, shared=b"," + orjson.dumps(given)[1:-1] if given else b"")


def taken(batch: Batch) -> Response:
    """202; or 413, upon which a sender drops the request: what fits of it is stored."""
    if not batch.rejected:
        return answers.json(202, {})
    return _errors(413, f"{batch.rejected} logs are not stored, {batch.events} are. {batch.reason}", {})


def refused(error: RejectedError | UnavailableError) -> Response:
    """The reason, in Datadog's form of an error."""
    return _errors(error.status, str(error), answers.headers(error))


def _errors(status: int, detail: str, headers: dict[str, str]) -> Response:
    title = HTTPStatus(status).phrase
    return answers.json(status, {"errors": [{"status": str(status), "title": title, "detail": detail}]}, headers)


FORMAT = Format(
    "/api/v2/logs",
    (),
    read,
    taken,
    refused,
    also=("/v1/input",),
    reader=_reader,
    asked={"/api/v1/validate": partial(answers.json, 200, {"valid": True})},
)
