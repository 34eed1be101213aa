"""What no content type names (curl's own, or none): decided by the first bytes."""

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import json_document, text
from logbrook.gateway.formats.format import Format, beginning
from logbrook.gateway.formats.ndjson import first_byte


def read(body: bytes, settings: Gateway) -> Batch:
    """JSON where it starts as JSON does and holds together, else text."""
    if first_byte(body, beginning(body)) in (b"{", b"["):
        try:
            return json_document.read(body, settings)
        except RejectedError as error:
            if error.status != 400:
                raise
    return text.read(body, settings)


FORMAT = Format("/ingest", (), read)
