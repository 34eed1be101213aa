"""Who sends or asks, by tokens, and what each token may do. Only the SHA-256 of a token is kept.

An entry is `name=SHA256`, followed by limits: `;expires=2027-01-31` (the last day, UTC), `;paths=/v1/logs+/ingest`,
`;bytes_per_second=2000000`, `;bytes_per_day=10000000000`. Commas or line breaks separate entries.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from logbrook import config
from logbrook.errors import ConfigError, RejectedError

ANONYMOUS = "anonymous"
VARIABLE = config.variable(config.Gateway, "tokens")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Grant:
    """What a token stands for: a source, and the limits on what it may do."""

    source: str
    digest: bytes = field(default=b"", repr=False)
    expires: date | None = None
    """The last day on which it is valid."""
    paths: tuple[str, ...] = ()
    """Where it may be sent; anywhere if empty."""
    bytes_per_second: int | None = None
    bytes_per_day: int | None = None

    @property
    def id(self) -> str:
        """Distinguishes the tokens of a source."""
        return self.digest.hex()[:8]

    @property
    def is_expired(self) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and datetime.now(UTC).date() > self.expires

    def check_path(self, path: str) -> None:
        """Raise RejectedError (403) if it may not be sent to `path`."""
        if self.paths and path not in self.paths:
            known = ", ".join(self.paths)
            raise RejectedError(403, "path_not_allowed", f"The token of {self.source} is for {known}, not {path}.")

    def __str__(self) -> str:
        """Its entry."""
        limits = {name: getattr(self, name) for name in _LIMITS} | {"paths": "+".join(self.paths)}
        rest = "".join(f";{name}={value}" for name, value in limits.items() if value)
        return f"{self.source}={self.digest.hex()}{rest}"


@dataclass(frozen=True)
class Issued:
    """A new token: `token` goes to its user and is kept nowhere else; `entry` goes into the setting."""

    token: str
    entry: str


def issue(name: str, limits: str = "", variable: str = VARIABLE) -> Issued:
    """Make a random token for the source `name`; `limits` is the rest of its entry, beginning with a semicolon.

    Raises ConfigError for a name or limits that are not valid.
    """
    _check_name(name)
    token = f"lb_{secrets.token_urlsafe(32)}"
    return Issued(token, str(_entry(f"{name}={_digest(token).hex()}{limits}", variable)))


def command(variable: str) -> str:
    """The command that makes a token for the setting `variable`."""
    return f"`logbrook token NAME{' --query' if variable == config.variable(config.Query, 'tokens') else ''}`"


def given_token(headers: Mapping[str, str]) -> str | None:
    """The token of a request, from whichever header its protocol uses; None if there is none.

    Raises RejectedError (401) for an `Authorization` header without a token.
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


def entries(text: str, variable: str = VARIABLE) -> list[Grant]:
    """The grants in `text`. Raises ConfigError, which names `variable`, for a malformed entry."""
    return [_entry(each.strip(), variable) for each in re.split(r"[,\n]", text) if each.strip()]


class Tokens:
    """The sources that may send. A name may have several tokens, so that one can be replaced without a gap."""

    def __init__(self, text: str, *, allow_anonymous: bool, checked_source: str = "", variable: str = VARIABLE) -> None:
        """Read the entries. Raises ConfigError if one is malformed, or if nobody could send.

        With a `checked_source`, every request is from that source, and tokens are ignored.
        """
        self._allow_anonymous = allow_anonymous or checked_source != ""
        if checked_source:
            _check_name(checked_source)
        self._checked_source, self._variable = checked_source, variable
        self._text = ""
        self._grants: list[Grant] = []
        self.renew(text)

    def renew(self, text: str) -> bool:
        """Replace the entries; whether they differ. On ConfigError, as from `__init__`, the old ones stay."""
        text = text.strip()
        grants = entries(text, self._variable)
        if not grants and not self._allow_anonymous:
            raise ConfigError(
                f"{VARIABLE} is empty, so nobody can send. Create a token with `logbrook token NAME`, "
                "or set LOGBROOK_GATEWAY_ALLOW_ANONYMOUS=true to accept everybody."
            )
        differs = text != self._text
        self._text, self._grants = text, grants
        return differs

    def grant(self, token: str | None) -> Grant:
        """What a token stands for. Raises RejectedError (401) if it is missing, unknown, or expired."""
        if self._checked_source:
            return Grant(self._checked_source)
        if token is None:
            if self._allow_anonymous:
                return Grant(ANONYMOUS)
            raise RejectedError(401, "no_token", "Send the header `Authorization: Bearer TOKEN`.")
        found = self._find(_digest(token))
        if found is None:
            message = f"No source has this token. {command(self._variable)} makes one."
            raise RejectedError(401, "unknown_token", message)
        if found.is_expired:
            until = f"This token of {found.source} expired at the end of {found.expires}."
            message = f"{until} {command(self._variable)} makes one."
            raise RejectedError(401, "expired_token", message)
        return found

    def _find(self, digest: bytes) -> Grant | None:
        """The grant of `digest`, in a time that depends only on the number of entries."""
        found = None
        for each in self._grants:
            if hmac.compare_digest(each.digest, digest):
                found = each
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


def _entry(text: str, variable: str) -> Grant:
    first, *rest = (each.strip() for each in text.split(";"))
    name, equals, digest = first.partition("=")
    # Nothing of the entry is shown that could be the token itself, pasted by mistake.
    if not equals:
        raise ConfigError(
            f"{variable}: an entry of {len(text)} characters has no `=`: write name=SHA256. "
            f"{command(variable)} prints one."
        )
    _check_name(name)
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(
            f"{variable}: the entry of {name!r} is not name=SHA256 with 64 hexadecimal digits. "
            f"{command(variable)} prints one."
        )
    limits = dict(_limit(name, each, variable) for each in rest)
    return Grant(name, bytes.fromhex(digest), **limits)


def _limit(source: str, text: str, variable: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name not in _LIMITS:
        raise ConfigError(
            f"{variable}: the entry of {source!r} limits {name[:20]!r}: it may limit {', '.join(_LIMITS)}."
        )
    read, example = _LIMITS[name]
    try:
        return name, read(value)
    except ValueError:
        raise ConfigError(f"{variable}: {name} of {source!r} is {value[:40]!r}: write it like {example}.") from None


def _paths(text: str) -> tuple[str, ...]:
    paths = tuple(text.split("+"))
    if not all(each.startswith("/") for each in paths):
        raise ValueError(text)
    return paths


def _bytes(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise ValueError(text)
    return int(text)


# By name: what reads its value, and an example of one.
_LIMITS: dict[str, tuple[Callable[[str], Any], str]] = {
    "expires": (date.fromisoformat, "2027-01-31"),
    "paths": (_paths, "/v1/logs+/ingest"),
    "bytes_per_second": (_bytes, "2000000"),
    "bytes_per_day": (_bytes, "10000000000"),
}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name == ANONYMOUS:
        raise ConfigError(
            f"{name[:64]!r} can't be the name of a source: use letters, digits, dot, dash and underscore, up to 64, "
            f"and not {ANONYMOUS!r}."
        )
