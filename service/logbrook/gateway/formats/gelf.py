"""POST /gelf: Graylog's Extended Log Format, a message in each request or one on each line.

https://go2docs.graylog.org/current/getting_in_log_data/gelf.html; the answer of Graylog's own input is in
HttpHandler.java of https://github.com/Graylog2/graylog2-server.
"""

from starlette.responses import Response

from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import json_document
from logbrook.gateway.formats.format import Format


def taken(_batch: Batch) -> Response:
    """202 and nothing else, as Graylog has it."""
    return Response(status_code=202)


FORMAT = Format("/gelf", (), json_document.read, taken)
