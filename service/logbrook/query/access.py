"""Authentication by tokens, Google's IAP, or a trusted proxy; authorization by a file of roles; and the audit log."""

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from starlette.requests import Request

from logbrook import config, tokens
from logbrook.errors import ConfigError, RejectedError
from logbrook.query import identity, roles
from logbrook.query.answers import Cost
from logbrook.query.roles import Role
from logbrook.rereading import reread

log = structlog.get_logger()

ASSERTION = "x-goog-iap-jwt-assertion"
_VARIABLE = config.variable(config.Query, "tokens")
# The most of a parameter, or of SQL, that a line of the audit log has.
_LOGGED_CHARACTERS = 2000


@dataclass(frozen=True)
class Caller:
    """Who sent a request: an e-mail address or `token:NAME`; empty if that is not known."""

    name: str = ""
    names: frozenset[str] = frozenset()
    """What a role can call them."""
    author: str = ""
    """The name that they save under."""


@dataclass(frozen=True)
class Me:
    """Who asks: the name that they save under, and their role."""

    name: str
    role: Role


class Access:
    """Identifies callers and finds their roles. Raises ConfigError if the settings can't identify anyone."""

    def __init__(self, query: config.Query) -> None:
        self._query = query
        self._tokens_file = config.secret_file(config.Query, "tokens")
        # An empty file of tokens counts as well: it lets nobody in.
        self._has_tokens = bool(query.tokens or self._tokens_file)
        self._tokens = tokens.Tokens(query.tokens, allow_anonymous=True, variable=_VARIABLE)
        self._assertions = None
        if query.iap_audience:
            from logbrook.query.iap import Assertions  # noqa: PLC0415 - its libraries take 11 MB: only where it is used

            self._assertions = Assertions(query.iap_audience)
        try:
            listed = [each.strip() for each in query.trusted_proxies.split(",") if each.strip()]
            self._proxies = [ipaddress.ip_network(each) for each in listed]
        except ValueError as error:
            raise ConfigError(f"{config.variable(config.Query, 'trusted_proxies')}: {error}") from None
        self.is_open = not (self._has_tokens or self._assertions or self._proxies)
        self._roles = roles.load(Path(query.roles)) if query.roles else None
        if query.roles and self.is_open:
            raise ConfigError(
                f"{config.variable(config.Query, 'roles')} is set, but callers can't be identified: set "
                "LOGBROOK_QUERY_TOKENS, LOGBROOK_QUERY_IAP_AUDIENCE, or LOGBROOK_QUERY_TRUSTED_PROXIES"
            )

    async def reread(self) -> None:
        """Read the files of tokens and roles again and again, so that changes need no restart."""
        roles_file = Path(self._query.roles) if self._query.roles else None
        await asyncio.gather(reread(self._tokens_file, self._tokens.renew), reread(roles_file, self._renew_roles))

    def _renew_roles(self, text: str) -> bool:
        before, self._roles = self._roles, roles.parse(text, self._query.roles)
        return self._roles != before

    async def caller(self, request: Request, path: str) -> Caller:
        """Who sent a request for a route; `anonymous` if the API is open. Raises RejectedError (401 or 403)."""
        if self.is_open:
            return Caller(tokens.ANONYMOUS, author=identity.claimed(request.headers))
        refused = RejectedError(401, "not_identified", "you are not identified: send `Authorization: Bearer TOKEN`")
        if self._has_tokens and (given := _bearer(request)) is not None:
            try:
                grant = self._tokens.grant(given)
            except RejectedError as error:
                # It may be a token that IAP or the proxy issued and passes on beside its own header.
                refused = error
            else:
                grant.check_path(path)
                name = f"token:{grant.source}"
                return Caller(name, frozenset({name}), name)
        if self._assertions is not None and ASSERTION in request.headers:
            return _person(await self._assertions.email(_single(request, ASSERTION)))
        if self._is_trusted(request) and self._query.user_header in request.headers:
            has_groups = self._query.groups_header in request.headers
            groups = _single(request, self._query.groups_header) if has_groups else ""
            return _person(_single(request, self._query.user_header), groups)
        raise refused

    def role(self, caller: Caller, permission: str) -> Role:
        """The first role that names the caller. Raises RejectedError (403) without one, or without the permission."""
        if self._roles is None:
            return Role()
        role = next((role for who, role in self._roles.items() if who in caller.names), None)
        if role is None:
            message = f"{caller.name} has no role here: ask whoever maintains the roles file"
            raise RejectedError(403, "no_role", message)
        if permission and not role.allows(permission):
            message = f"this needs `{permission}`, which the role {role.name} of {caller.name} does not have"
            raise RejectedError(403, "not_allowed", message)
        return role

    def _is_trusted(self, request: Request) -> bool:
        try:
            address = ipaddress.ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        # On an IPv6 socket, a client with the IPv4 address 10.0.0.5 is ::ffff:10.0.0.5.
        mapped = getattr(address, "ipv4_mapped", None)
        return any(address in network or (mapped and mapped in network) for network in self._proxies)


def _bearer(request: Request) -> str | None:
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def _single(request: Request, header: str) -> str:
    """The value of a header. Raises RejectedError if there are several: one could be the sender's own."""
    values = request.headers.getlist(header)
    if len(values) != 1:
        message = f"the request has {len(values)} headers {header}: the proxy must replace them, not add its own"
        raise RejectedError(401, "not_identified", message)
    return values[0].strip()


def _person(email: str, groups: str = "") -> Caller:
    email = email.lower()
    name, _, domain = email.rpartition("@")
    # With a colon it could be the name of a group in a role: `group:sre@example.org`.
    if not name or not domain or ":" in email:
        raise RejectedError(401, "not_identified", f"{email[:64]!r} is not an e-mail address")
    listed = (f"group:{each.strip()}" for each in groups.split(","))
    return Caller(email, frozenset({email, f"*@{domain}", *listed}), email)


class Audit:
    """The line of the audit log for one request: who asked for what, how long it took, and what it cost."""

    def __init__(self, request: Request) -> None:
        self._path, self._started = request.url.path, time.monotonic()
        self.caller = Caller()
        self.role = Role()
        self.asked: dict[str, Any] = dict(request.query_params)

    def write(self, status: int, cost: Cost | None = None, **more: int) -> None:
        """Write the line, unless the caller was not identified. Local stacks ship it as service `logbrook.audit`."""
        if not self.caller.name:
            return
        spent = {} if cost is None else {"rows_read": cost.rows_read, "bytes_read": cost.bytes_read}
        log.info(
            "query",
            service="logbrook.audit",
            who=self.caller.name,
            role=self.role.name,
            path=self._path,
            asked={name: str(value)[:_LOGGED_CHARACTERS] for name, value in self.asked.items()},
            status=status,
            duration_ms=round((time.monotonic() - self._started) * 1000, 1),
            **spent,
            **more,
        )
