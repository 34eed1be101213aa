"""Who sends: a token per source. Only the SHA-256 of a token is ever known here."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from logbrook.errors import ConfigError, RejectedError

ANONYMOUS = "anonymous"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Issued:
    """A new token: `token` goes to the sender and is kept nowhere; `entry` goes into LOGBROOK_GATEWAY_TOKENS."""

    token: str
    entry: str


def issue(name: str) -> Issued:
    """Make a random token for the source `name`. Raises ConfigError if a source cannot have that name."""
    _check_name(name)
    token = f"lb_{secrets.token_urlsafe(32)}"
    return Issued(token, f"{name}={hashlib.sha256(token.encode()).hexdigest()}")


def given_token(headers: Mapping[str, str]) -> str | None:
    """The token of a request, wherever its protocol has a place for one; None if there is none.

    Raises RejectedError (401) for an `Authorization` that has no token.
    """
    if "dd-api-key" in headers:
        # https://docs.datadoghq.com/api/latest/logs/#send-logs
        return headers["dd-api-key"].strip()
    if "authorization" not in headers:
        return None
    scheme, _, rest = headers["authorization"].strip().partition(" ")
    # https://docs.splunk.com/Documentation/Splunk/latest/Data/HECExamples
    if scheme.lower() in ("bearer", "splunk"):
        return rest.strip()
    # RFC 7617; Elasticsearch's API keys are also two parts with a colon between them.
    if scheme.lower() in ("basic", "apikey"):
        with contextlib.suppress(binascii.Error, ValueError):
            _, colon, token = base64.b64decode(rest.strip(), validate=True).decode("latin-1").partition(":")
            if colon:
                return token
    raise RejectedError(
        401, "no_token", "The Authorization header must be `Bearer TOKEN`, or `Basic` with the token as password."
    )


class Tokens:
    """The sources that may send. A name may have several tokens, so that one can be replaced without a gap."""

    def __init__(self, entries: str, *, allow_anonymous: bool) -> None:
        """Read `name=sha256hex,...`. Raises ConfigError if an entry is malformed, or if nobody could send."""
        self._allow_anonymous = allow_anonymous
        self._digests = [_entry(each.strip()) for each in entries.split(",") if each.strip()]
        if not self._digests and not allow_anonymous:
            raise ConfigError(
                "LOGBROOK_GATEWAY_TOKENS is empty, so nobody can send. Create a token with `logbrook token NAME`, "
                "or set LOGBROOK_GATEWAY_ALLOW_ANONYMOUS=true to accept everybody."
            )

    def source(self, token: str | None) -> str:
        """The source that a token stands for. Raises RejectedError (401) for any other, and without one."""
        if token is None:
            if self._allow_anonymous:
                return ANONYMOUS
            raise RejectedError(401, "no_token", "Send the header `Authorization: Bearer TOKEN`.")
        found = self._find(hashlib.sha256(token.encode("latin-1", "replace")).digest())
        if found is None:
            raise RejectedError(401, "unknown_token", "No source has this token. `logbrook token NAME` makes one.")
        return found

    def _find(self, digest: bytes) -> str | None:
        """The name of `digest`, in a time that depends on the number of entries alone."""
        found = None
        for name, known in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found


def _entry(text: str) -> tuple[str, bytes]:
    name, equals, digest = text.partition("=")
    # Nothing of the entry is shown that could be the token itself, pasted by mistake.
    if not equals:
        raise ConfigError(
            f"LOGBROOK_GATEWAY_TOKENS: an entry of {len(text)} characters has no `=`: write name=SHA256. "
            "`logbrook token NAME` prints one."
        )
    _check_name(name)
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(
            f"LOGBROOK_GATEWAY_TOKENS: the entry of {name!r} is not name=SHA256 with 64 hexadecimal digits. "
            "`logbrook token NAME` prints one."
        )
    return name, bytes.fromhex(digest)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name == ANONYMOUS:
        raise ConfigError(
            f"{name[:64]!r} can't be the name of a source: use letters, digits, dot, dash and underscore, up to 64, "
            f"and not {ANONYMOUS!r}."
        )
