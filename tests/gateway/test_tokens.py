"""Who may send."""

import base64
import hashlib
import json

import pytest
from typer.testing import CliRunner

from logbrook import cli
from logbrook.errors import ConfigError, RejectedError
from logbrook.gateway.tokens import Tokens, given_token, issue


def basic(user: str, password: str) -> str:
    """What stands in the header (RFC 7617)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_token_stands_for_its_source() -> None:
    """Of several sources, the one whose token was sent is named."""
    one, two = issue("one"), issue("two")
    tokens = Tokens(f"{one.entry}, {two.entry}", allow_anonymous=False)

    assert tokens.source(two.token) == "two"
    assert tokens.source(one.token) == "one"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer a-token"},
        {"authorization": "bearer  a-token "},
        {"authorization": "Splunk a-token"},
        {"authorization": f"Basic {basic('anybody', 'a-token')}"},
        {"authorization": f"Basic {basic('', 'a-token')}"},
        {"authorization": f"ApiKey {basic('id', 'a-token')}"},
        {"dd-api-key": "a-token"},
    ],
    ids=str,
)
def test_a_token_stands_where_its_protocol_has_a_place_for_one(headers: dict[str, str]) -> None:
    """Behind a scheme's name, as password or as the second part of an API key, or in a header of its own."""
    assert given_token(headers) == "a-token"


def test_a_source_can_have_two_tokens() -> None:
    """A token is replaced without a gap: for a while both are good."""
    old, new = issue("shop"), issue("shop")
    tokens = Tokens(f"{old.entry},{new.entry}", allow_anonymous=False)

    assert {tokens.source(each.token) for each in (old, new)} == {"shop"}


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer ",
        "Bearer wrong",
        "Basic YTpi",
        "Basic wrong",
        "Basic \u00e9",
        "Basic",
        "Digest x",
        "wrong",
        "Bearer \u00e9\u00ff",
    ],
)
def test_anything_else_is_refused(sent: str | None) -> None:
    """No token, a wrong one or another scheme is answered 401."""
    tokens = Tokens(issue("one").entry, allow_anonymous=False)

    with pytest.raises(RejectedError) as refused:
        tokens.source(given_token({} if sent is None else {"authorization": sent}))

    assert refused.value.status == 401


def test_the_stored_digest_is_no_token() -> None:
    """Who reads the configuration can't send with it."""
    entry = issue("one").entry
    tokens = Tokens(entry, allow_anonymous=False)

    with pytest.raises(RejectedError):
        tokens.source(entry.partition("=")[2])


def test_anonymous_senders_are_let_in_only_when_told_to() -> None:
    """With anonymous senders allowed a missing token is fine, a wrong one still is not."""
    tokens = Tokens(issue("one").entry, allow_anonymous=True)

    assert tokens.source(None) == "anonymous"
    with pytest.raises(RejectedError):
        tokens.source("wrong")


def test_a_gateway_that_nobody_could_use_does_not_start() -> None:
    """No tokens and no anonymous senders stop the start, and the message says what to do."""
    with pytest.raises(ConfigError, match="logbrook token"):
        Tokens("", allow_anonymous=False)


@pytest.mark.parametrize("entries", ["x", "x=", "x=abc", "=" + "0" * 64, "a b=" + "0" * 64, "anonymous=" + "0" * 64])
def test_a_malformed_entry_stops_the_start(entries: str) -> None:
    """An entry that is not name=sha256 is refused."""
    with pytest.raises(ConfigError):
        Tokens(entries, allow_anonymous=True)


def test_a_token_given_in_place_of_its_digest_is_not_shown() -> None:
    """A common mistake does not put the token into the log."""
    token = issue("one").token

    with pytest.raises(ConfigError) as refused:
        Tokens(f"one={token}", allow_anonymous=False)

    assert token not in str(refused.value)


def test_the_command_prints_token_and_entry() -> None:
    """`logbrook token NAME` prints a new token and the entry for it, for people and as JSON."""
    shown = CliRunner().invoke(cli.app, ["token", "shop"])
    made = json.loads(CliRunner().invoke(cli.app, ["token", "shop", "--json"]).stdout)

    assert shown.exit_code == 0
    assert "LOGBROOK_GATEWAY_TOKENS: shop=" in shown.stdout
    assert made["entry"] == f"shop={hashlib.sha256(made['token'].encode()).hexdigest()}"
    assert made["token"] not in shown.stdout


def test_a_pasted_token_is_not_repeated() -> None:
    """A token where name=SHA256 belongs gets an error that doesn't show it, since errors end up in logs."""
    for text in ("vN5WzX-secret-of-someone", "a=vN5WzX-secret-of-someone"):
        with pytest.raises(ConfigError) as refused:
            Tokens(text, allow_anonymous=False)
        assert "vN5WzX" not in str(refused.value)
