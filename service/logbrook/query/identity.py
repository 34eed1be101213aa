"""Who asks: the one place that says it."""

from urllib.parse import unquote

from starlette.requests import Request

HEADER = "Logbrook-User"
_MAX_CHARACTERS = 100


def caller(request: Request) -> str:
    """The name that the client gives itself, percent-encoded in a header; empty if it gives none, or not a name.

    It is a claim: whoever may ask can give any name.
    """
    name = unquote(request.headers.get(HEADER, "")).strip()
    return name if len(name) <= _MAX_CHARACTERS and name.isprintable() else ""
