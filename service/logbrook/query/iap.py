"""Who somebody is, by the header that Google's Identity-Aware Proxy signs.

Protocol: https://cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29): a JWT signed by ES256, with the keys
of https://www.gstatic.com/iap/verify/public_key-jwk, and up to 30 s of difference between clocks.
"""

import asyncio
import time

import httpx
import jwt
import structlog

from logbrook.errors import RejectedError, UnavailableError

log = structlog.get_logger()

KEYS = "https://www.gstatic.com/iap/verify/public_key-jwk"
_ISSUER = "https://cloud.google.com/iap"
_SKEW_SECONDS = 30
_TIMEOUT_SECONDS = 5.0
# Google changes its keys now and then: they are read again by age, and for one that is not known, but not at any rate.
_KEYS_SECONDS = 3600.0
_UNKNOWN_KEY_SECONDS = 10.0


class Assertions:
    """Checks the header for one audience."""

    def __init__(self, audience: str) -> None:
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at, self._lock = float("-inf"), asyncio.Lock()

    async def email(self, assertion: str) -> str:
        """The e-mail address of who sent the request.

        Raises RejectedError (401) for an assertion that is not good, UnavailableError if Google's keys can't be read.
        """
        try:
            key = await self._key(str(jwt.get_unverified_header(assertion).get("kid")))
            claims = jwt.decode(
                assertion,
                key,
                algorithms=["ES256"],
                audience=self._audience,
                issuer=_ISSUER,
                leeway=_SKEW_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss", "sub", "email"]},
            )
        except (jwt.PyJWTError, KeyError) as error:
            raise RejectedError(401, "bad_assertion", f"IAP's assertion: {type(error).__name__}: {error}") from None
        return str(claims["email"])

    async def _key(self, name: str) -> jwt.PyJWK:
        async with self._lock:
            age = time.monotonic() - self._read_at
            if age > _KEYS_SECONDS or (name not in self._keys and age > _UNKNOWN_KEY_SECONDS):
                self._read_at = time.monotonic()
                try:
                    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                        answer = (await client.get(KEYS)).raise_for_status()
                    self._keys = {str(each.key_id): each for each in jwt.PyJWKSet.from_dict(answer.json()).keys}
                except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
                    log.warning("Google's keys can't be read: those that are known stay good", error=repr(error))
        if not self._keys:
            raise UnavailableError("no_keys", "Google's keys can't be read", int(_UNKNOWN_KEY_SECONDS))
        return self._keys[name]
