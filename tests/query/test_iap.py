"""Google's signed header: https://cloud.google.com/iap/docs/signed-headers-howto says what is in it, and what to check.

The keys here are our own, served in the form of https://www.gstatic.com/iap/verify/public_key-jwk: `kid`, `kty` EC,
`crv` P-256, `alg` ES256, `use` sig.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from logbrook import config, tokens
from logbrook.errors import RejectedError, UnavailableError
from logbrook.query import iap
from logbrook.query.iap import Assertions
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader

AUDIENCE = "/projects/123456789/locations/europe-west1/services/logbrook-query"
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def published(**keys: ec.EllipticCurvePrivateKey) -> bytes:
    """The file with the public keys."""
    written = [
        json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": name, "alg": "ES256", "use": "sig"}
        for name, key in keys.items()
    ]
    return json.dumps({"keys": written}).encode()


def assertion(key: Any = KEY, algorithm: str = "ES256", kid: str = "one", **claims: Any) -> str:
    """What IAP sends, but for these claims; one that is None is left out."""
    now = int(time.time())
    usual = {
        "aud": AUDIENCE,
        "iss": "https://cloud.google.com/iap",
        "sub": "accounts.google.com:1234567890",
        "email": "mia@example.org",
        "hd": "example.org",
        "iat": now,
        "exp": now + 600,
    }
    payload = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid})


class Google(ThreadingHTTPServer):
    """Serves keys, and counts how often it is asked."""

    content = b""
    asked = 0


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """Where the keys are, in place of Google."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked += 1
            self.send_response(200 if server.content else 500)
            self.end_headers()
            self.wfile.write(server.content)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as it is there
            pass

    with Google(("127.0.0.1", 0), Handler) as server:
        server.content = published(one=KEY)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(iap, "KEYS", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def email(assertions: Assertions, text: str) -> str:
    """Who it says that somebody is."""
    return asyncio.run(assertions.email(text))


def test_an_assertion_says_who_somebody_is(google: Google) -> None:
    """The keys are read once for many."""
    assertions = Assertions(AUDIENCE)

    assert [email(assertions, assertion(email=f"{n}@example.org")) for n in range(3)] == [
        "0@example.org", "1@example.org", "2@example.org"
    ]  # fmt: skip
    assert google.asked == 1


def test_clocks_may_differ_by_half_a_minute(google: Google) -> None:
    """In both directions, as Google asks for; not by more."""
    now = int(time.time())

    assert email(Assertions(AUDIENCE), assertion(iat=now + 20, exp=now + 600))
    assert email(Assertions(AUDIENCE), assertion(iat=now - 600, exp=now - 20))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: assertion(aud="/projects/123456789/locations/europe-west1/services/other"),
        lambda: assertion(iss="https://accounts.google.com"),
        lambda: assertion(iat=int(time.time()) - 700, exp=int(time.time()) - 60),
        lambda: assertion(iat=int(time.time()) + 90),
        lambda: assertion(key=OTHER),
        lambda: assertion(kid="two"),
        lambda: assertion(key=None, algorithm="none"),
        lambda: assertion(key="a secret that is long enough for HS256", algorithm="HS256"),
        lambda: assertion(aud=None),
        lambda: assertion(iss=None),
        lambda: assertion(iat=None),
        lambda: assertion(exp=None),
        lambda: assertion(sub=None),
        lambda: assertion(email=None),
        lambda: assertion()[:-8],
        lambda: "a.b.c",
        lambda: "",
    ],
)
def test_any_other_is_refused(google: Google, bad: Any) -> None:
    """For another service, from another issuer, too old or too new, of another key or none, or incomplete: 401."""
    with pytest.raises(RejectedError) as refused:
        email(Assertions(AUDIENCE), bad())

    assert refused.value.status == 401


def test_new_keys_are_found_and_old_ones_outlast_an_outage(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not known is looked for, but not at any rate; known ones are good while Google is away."""
    assertions = Assertions(AUDIENCE)
    email(assertions, assertion())
    google.content = published(one=KEY, two=OTHER)
    second = assertion(key=OTHER, kid="two")
    with pytest.raises(RejectedError):
        email(assertions, second)
    assert google.asked == 1

    monkeypatch.setattr(iap, "_UNKNOWN_KEY_SECONDS", 0)
    assert email(assertions, second)
    google.content = b""
    monkeypatch.setattr(iap, "_KEYS_SECONDS", 0)
    assert email(assertions, second)
    without = Assertions(AUDIENCE)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            email(without, second)


def test_behind_iap_everybody_is_known(
    google: Google, clickhouse: ClickHouseServer, corpus_database: config.ClickHouse
) -> None:
    """Who comes around IAP is refused; a program may have a token of ours besides Google's own."""
    ours = tokens.issue("nightly")
    behind = config.Query(iap_audience=AUDIENCE, tokens=ours.entry)
    with door.serving(behind, as_reader(clickhouse, corpus_database)) as served:

        def status(**headers: str) -> int:
            return served.client.get(
                "/v1/fields", headers={k.replace("_", "-"): v for k, v in headers.items()}
            ).status_code

        assert status(X_Goog_IAP_JWT_Assertion=assertion()) == 200
        assert status(X_Goog_IAP_JWT_Assertion=assertion(), Authorization="Bearer of-google") == 200
        assert status(Authorization=f"Bearer {ours.token}") == 200
        assert status() == 401
        assert status(X_Goog_Authenticated_User_Email="accounts.google.com:mia@example.org") == 401
        assert status(X_Goog_IAP_JWT_Assertion=assertion(key=OTHER)) == 401
