"""POST /gelf: Graylog's Extended Log Format, a message in each request or one on each line.

https://go2docs.graylog.org/current/getting_in_log_data/gelf.html; the answer of Graylog's own input is in
HttpHandler.java of https://github.com/Graylog2/graylog2-server. How a message is compressed, its first bytes say
(GELFMessage.java): pygelf and graypy send the header `gzip,deflate`, and then zlib.
"""

import re
from dataclasses import replace

from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.gateway.batch import Batch, all_named
from logbrook.gateway.formats import json_document
from logbrook.gateway.formats.format import Format

# A key: in a text a quotation mark has a backslash before it, and a value no colon behind it.
_OWN = re.compile(rb'(?<=[{,])([ \t\r\n]*+)"_(?=[^"\\]++"[ \t\r\n]*+:)')


def read(body: bytes, settings: Gateway) -> Batch:
    """Fields of one's own without the underscore that marks them, as Graylog stores them. Raises as /ingest does."""
    batch = json_document.read(body, settings)
    # Once events are counted, and one message after the other: a body may have ten million of these keys.
    for index, message in enumerate(batch.messages):
        if b'"_' in message:
            batch.messages[index] = _OWN.sub(rb'\1"', message)
    return replace(batch, named=all_named(batch.messages))


def taken(_batch: Batch) -> Response:
    """202 and nothing else, as Graylog has it."""
    return Response(status_code=202)


FORMAT = Format("/gelf", (), read, taken, encoding="gelf")
