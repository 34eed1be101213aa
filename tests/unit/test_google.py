"""Logging in to Google's Kafka with what the metadata server gives."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from logbrook import google
from logbrook.config import Kafka
from logbrook.kafka import client_config


class Metadata(BaseHTTPRequestHandler):
    """Answers like the metadata server: only to those that send its header."""

    answers = {"/token": '{"access_token": "ya29.x", "expires_in": 3599}', "/email": "consumer@p.example"}  # noqa: RUF012

    def do_GET(self) -> None:
        """One of the two entries."""
        self.send_response(200 if self.headers["Metadata-Flavor"] == "Google" else 403)
        self.end_headers()
        self.wfile.write(self.answers[self.path].encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A metadata server of our own."""
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(google, "_METADATA", f"http://127.0.0.1:{server.server_port}/")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("metadata")
def test_the_token_is_what_googles_kafka_expects() -> None:
    """Three parts: Google's header, claims for the account, and the account's access token, each in base64url."""
    token, expires = google.kafka_token("")

    header, claims, access = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}
    assert json.loads(claims)["sub"] == "consumer@p.example"
    assert json.loads(claims)["exp"] == int(expires)
    assert access == b"ya29.x"


def test_no_password_is_needed_with_it() -> None:
    """OAUTHBEARER replaces user and password by the callback."""
    settings = Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER")

    assert client_config(settings)["oauth_cb"] is google.kafka_token
    assert "sasl.password" not in client_config(settings)
