"""Authentication by the JWT that Google's Identity-Aware Proxy adds to each request.

Protocol: https://cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29): signed with ES256 and the keys of
https://www.gstatic.com/iap/verify/public_key-jwk; clocks may differ by up to 30 s.
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
# Google rotates its keys: they are fetched again after an hour, and for an unknown key, at most every ten seconds.
_KEYS_SECONDS = 3600.0
_UNKNOWN_KEY_SECONDS = 10.0


class Assertions:
    """Verifies assertions for one audience."""

    def __init__(self, audience: str) -> None:
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at, self._lock = float("-inf"), asyncio.Lock()

    async def email(self, assertion: str) -> str:
        """The e-mail address in an assertion.

        Raises RejectedError (401) if the assertion is not valid, UnavailableError if Google's keys can't be fetched.
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
        except jwt.PyJWTError as error:
            message = f"IAP's assertion is not valid: {type(error).__name__}: {error}"
            raise RejectedError(401, "bad_assertion", message) from None
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
                    log.warning("IAP's keys can't be fetched: those from before stay valid", error=repr(error))
        if not self._keys:
            raise UnavailableError("no_keys", "IAP's keys can't be fetched", int(_UNKNOWN_KEY_SECONDS))
        if name not in self._keys:
            raise RejectedError(401, "bad_assertion", "IAP's assertion is signed with an unknown key")
        return self._keys[name]
