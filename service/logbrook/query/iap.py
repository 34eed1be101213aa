"""Who somebody is, by the header that Google's Identity-Aware Proxy signs.

Protocol: https://cloud.google.com/iap/docs/signed-headers-howto (read 2026-11-29): a JWT signed by ES256, with the keys
of https://www.gstatic.com/iap/verify/public_key-jwk, and up to 30 s of difference between clocks.
"""

import time

import httpx
import jwt

from logbrook.errors import RejectedError, UnavailableError

KEYS = "https://www.gstatic.com/iap/verify/public_key-jwk"
_ISSUER = "https://cloud.google.com/iap"
_SKEW_SECONDS = 30
_TIMEOUT_SECONDS = 5.0
# Google changes its keys now and then: they are read again by age, and for one that is not known, but not at any rate.
_KEYS_SECONDS = 3600.0
_UNKNOWN_KEY_SECONDS = 60.0


class Assertions:
    """Checks the header for one audience."""

    def __init__(self, audience: str, keys_url: str = KEYS) -> None:
        self._audience, self._keys_url = audience, keys_url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")

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
        age = time.monotonic() - self._read_at
        if age > _KEYS_SECONDS or (name not in self._keys and age > _UNKNOWN_KEY_SECONDS):
            try:
                async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                    answer = (await client.get(self._keys_url)).raise_for_status()
                self._keys = {str(each.key_id): each for each in jwt.PyJWKSet.from_dict(answer.json()).keys}
                self._read_at = time.monotonic()
            except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
                if name not in self._keys:
                    reason = f"Google's keys can't be read: {type(error).__name__}"
                    raise UnavailableError("no_keys", reason, 10) from error
        return self._keys[name]
