"""The name that a client gives itself: the explorer, and `logbrook views`."""

from collections.abc import Mapping
from urllib.parse import unquote

HEADER = "Logbrook-User"
_MAX_CHARACTERS = 100


def claimed(headers: Mapping[str, str]) -> str:
    """The name that the client gives itself, percent-encoded in a header; empty if there is none, or it is not valid.

    It is only a claim: a client can give any name.
    """
    name = unquote(headers.get(HEADER, "")).strip()
    return name if len(name) <= _MAX_CHARACTERS and name.isprintable() else ""
