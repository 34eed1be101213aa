"""Who asks, and whether they may: identities from tokens, Google's IAP or a trusted proxy, and the roles of a file."""

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
# As much of a parameter, or of SQL, as a line of the audit has.
_TOLD_CHARACTERS = 2000


@dataclass(frozen=True)
class Caller:
    """Who asks: an e-mail address or `token:NAME`, and under which names roles may have them."""

    name: str
    names: frozenset[str] = frozenset()


class Access:
    """Knows callers, and their roles. Raises ConfigError for settings with which nobody could be known."""

    def __init__(self, query: config.Query) -> None:
        self._query = query
        self._tokens_file = config.secret_file(config.Query, "tokens")
        # Not whether there are any now: a file of tokens that is empty lets in nobody.
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
                f"{config.variable(config.Query, 'roles')} is set, but nobody can be known: set "
                "LOGBROOK_QUERY_TOKENS, LOGBROOK_QUERY_IAP_AUDIENCE, or LOGBROOK_QUERY_TRUSTED_PROXIES"
            )

    async def reread(self) -> None:
        """From now on: whom the files of tokens and roles let in, and to what."""
        roles_file = Path(self._query.roles) if self._query.roles else None
        await asyncio.gather(reread(self._tokens_file, self._tokens.renew), reread(roles_file, self._renew_roles))

    def _renew_roles(self, text: str) -> bool:
        before, self._roles = self._roles, roles.parse(text, self._query.roles)
        return self._roles != before

    async def caller(self, request: Request, path: str) -> Caller:
        """Who asks for a route: `anonymous` where anybody may. Raises RejectedError (401) if that is not known."""
        if self.is_open:
            return Caller(tokens.ANONYMOUS)
        refused = RejectedError(401, "not_identified", "it is not known who asks: send `Authorization: Bearer TOKEN`")
        if self._has_tokens and (given := _bearer(request)) is not None:
            try:
                grant = self._tokens.grant(given)
            except RejectedError as error:
                # A token that is not ours may be that of the proxy, which passes it on and says who somebody is.
                refused = error
            else:
                grant.check_path(path)
                name = f"token:{grant.source}"
                return Caller(name, frozenset({name}))
        if self._assertions is not None and ASSERTION in request.headers:
            return _person(await self._assertions.email(_only(request, ASSERTION)))
        if self._is_trusted(request) and self._query.user_header in request.headers:
            groups = _only(request, self._query.groups_header) if self._query.groups_header in request.headers else ""
            return _person(_only(request, self._query.user_header), groups)
        raise refused

    def signature(self, caller: Caller, request: Request) -> str:
        """The name to save under: the caller's, or, if nobody is identified, what the client claims; may be empty."""
        if not self.is_open:
            return caller.name
        return identity.claimed(request.headers)

    def role(self, caller: Caller, permission: str) -> Role:
        """The first role that names somebody. Raises RejectedError (403) if there is none, or it lacks a permission."""
        if self._roles is None:
            return Role()
        role = next((role for who, role in self._roles.items() if who in caller.names), None)
        if role is None:
            raise RejectedError(403, "no_role", f"{caller.name} has no role here: ask who maintains the roles file")
        if permission and not role.allows(permission):
            message = f"this needs `{permission}`, which the role {role.name} of {caller.name} does not have"
            raise RejectedError(403, "not_allowed", message)
        return role

    def _is_trusted(self, request: Request) -> bool:
        try:
            address = ipaddress.ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def _bearer(request: Request) -> str | None:
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def _only(request: Request, header: str) -> str:
    """The value of a header. Of several, one could be the sender's own: then RejectedError."""
    values = request.headers.getlist(header)
    if len(values) != 1:
        raise RejectedError(401, "not_identified", f"{header} is there {len(values)} times: the proxy must replace it")
    return values[0].strip()


def _person(email: str, groups: str = "") -> Caller:
    name, at, domain = email.lower().rpartition("@")
    if not (name and at and domain):
        raise RejectedError(401, "not_identified", f"{email[:64]!r} is not an e-mail address")
    listed = (each.strip() for each in groups.split(","))
    return Caller(email.lower(), frozenset({email.lower(), f"*@{domain}", *(f"group:{each}" for each in listed)}))


class Audit:
    """One line for each request of somebody who is known: who, what, how long, and what it cost."""

    def __init__(self, request: Request) -> None:
        self._path, self._started = request.url.path, time.monotonic()
        self.caller: Caller | None = None
        self.role = Role()
        self.asked: dict[str, Any] = dict(request.query_params)

    def write(self, status: int, cost: Cost | None = None, **more: int) -> None:
        """Write it. The local stacks ship it as an event of the service `logbrook.audit`."""
        if self.caller is None:
            return
        spent = {} if cost is None else {"rows_read": cost.rows_read, "bytes_read": cost.bytes_read}
        log.info(
            "query",
            service="logbrook.audit",
            who=self.caller.name,
            role=self.role.name,
            path=self._path,
            asked={name: str(value)[:_TOLD_CHARACTERS] for name, value in self.asked.items()},
            status=status,
            duration_ms=round((time.monotonic() - self._started) * 1000, 1),
            **spent,
            **more,
        )
