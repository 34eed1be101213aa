"""A parsed request: who asks, for which statement, with which settings and parameters."""

import base64
import binascii
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from native.front import guard
from native.front.errors import EngineError

# URL parameters with a special meaning. `param_*` are the statement's; all others are settings.
_OWN = {
    "add_http_cors_header", "buffer_size", "client_protocol_version", "compress", "database", "decompress",
    "default_format", "password", "query", "query_id", "quota_key", "role", "session_check", "session_id",
    "session_timeout", "stacktrace", "user", "wait_end_of_query",
}  # fmt: skip
MAX_SESSION_SECONDS = 3600
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Users:
    """The passwords: of the limited users of guard.py, and of any other name, which may do everything."""

    password: str
    limited: Mapping[str, str]

    def rights(self, user: str, password: str) -> str:
        """The limited user whose rights this one has; "" for all rights. Takes constant time.

        Raises EngineError unless the password is right. A limited user whose password is empty can't log in.
        """
        limited = user if user in guard.TABLES else ""
        expected = self.limited[limited] if limited else self.password
        right = hmac.compare_digest(password.encode(), expected.encode())
        if not right or not expected:
            raise EngineError(
                516, f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            )
        return limited


@dataclass(frozen=True)
class Request:
    """What a request's head says."""

    method: str
    headers: Mapping[str, str]
    url: Mapping[str, str]
    user: str
    rights: str
    query_id: str
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str | None:
        """The database to use, if given."""
        return self.url.get("database") or self.headers.get("x-clickhouse-database") or None

    @property
    def default_format(self) -> str:
        """The result's format if the statement does not name one."""
        name = self.url.get("default_format") or self.headers.get("x-clickhouse-format") or "TabSeparated"
        # It becomes part of the statement, so it must be a name and nothing else.
        if not _NAME.fullmatch(name):
            raise EngineError(73, f"Unknown format {name!r}", "UNKNOWN_FORMAT")
        return name

    def flag(self, name: str) -> bool:
        """A URL parameter that is 0 or 1."""
        return self.url.get(name, "0") not in ("", "0", "false")


def parse(method: str, query_string: bytes, raw_headers: list[tuple[bytes, bytes]], users: Users) -> Request:
    """Parse a request's head. Raises EngineError unless it is from a known user."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw_headers}
    # Bytes that are not UTF-8 must reach the engine unchanged.
    text = query_string.decode("utf-8", "surrogateescape")
    url = dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))
    user, password = _credentials(headers, url)
    rights = users.rights(user, password)
    settings, parameters = split(url)
    query_id = url.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4())
    return Request(method, headers, url, user, rights, query_id, settings, parameters)


def split(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings and the statement's parameters among the URL's parameters."""
    settings = {name: text for name, text in options.items() if name not in _OWN and not name.startswith("param_")}
    return settings, {name[len("param_") :]: text for name, text in options.items() if name.startswith("param_")}


def session_seconds(request: Request) -> int:
    """How long the session outlives this request."""
    text = request.url.get("session_timeout", "60")
    if not text.isdecimal() or int(text) > MAX_SESSION_SECONDS:
        raise EngineError(374, f"Invalid session timeout: '{text}', the most is {MAX_SESSION_SECONDS}")
    return int(text)


def _credentials(headers: Mapping[str, str], url: Mapping[str, str]) -> tuple[str, str]:
    """User and password, from the only place that may have them."""
    own = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
    basic = headers.get("authorization", "")
    in_url = "user" in url or "password" in url
    if own + bool(basic) + in_url > 1:
        raise EngineError(516, "Invalid authentication: it is not allowed to use more than one way to log in at once")
    if own:
        return headers.get("x-clickhouse-user") or "default", headers.get("x-clickhouse-key", "")
    if in_url:
        return url.get("user") or "default", url.get("password", "")
    if basic:
        scheme, _, encoded = basic.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise EngineError(516, "Invalid authentication: malformed Basic credentials") from None
        if scheme.lower() != "basic":
            raise EngineError(516, f"Invalid authentication: '{scheme}' is not supported, only Basic is")
        return user or "default", password
    raise EngineError(194, "A password is needed: X-ClickHouse-User and X-ClickHouse-Key, or Basic authentication")
