"""Who may send."""

import base64
import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from logbrook import cli
from logbrook.errors import ConfigError, RejectedError
from logbrook.tokens import Tokens, entries, given_token, issue


def basic(user: str, password: str) -> str:
    """What stands in the header (RFC 7617)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_token_stands_for_its_source() -> None:
    """Of several sources, the one whose token was sent is named."""
    one, two = issue("one"), issue("two")
    tokens = Tokens(f"{one.entry}, {two.entry}", allow_anonymous=False)

    assert tokens.grant(two.token).source == "two"
    assert tokens.grant(one.token).source == "one"


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

    assert {tokens.grant(each.token).source for each in (old, new)} == {"shop"}


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
        tokens.grant(given_token({} if sent is None else {"authorization": sent}))

    assert refused.value.status == 401


def test_the_stored_digest_is_no_token() -> None:
    """Who reads the configuration can't send with it."""
    entry = issue("one").entry
    tokens = Tokens(entry, allow_anonymous=False)

    with pytest.raises(RejectedError):
        tokens.grant(entry.partition("=")[2])


def test_anonymous_senders_are_let_in_only_when_told_to() -> None:
    """With anonymous senders allowed a missing token is fine, a wrong one still is not."""
    tokens = Tokens(issue("one").entry, allow_anonymous=True)

    assert tokens.grant(None).source == "anonymous"
    with pytest.raises(RejectedError):
        tokens.grant("wrong")


def test_a_gateway_that_nobody_could_use_does_not_start() -> None:
    """No tokens and no anonymous senders stop the start, and the message says what to do."""
    with pytest.raises(ConfigError, match="logbrook token"):
        Tokens("", allow_anonymous=False)


@pytest.mark.parametrize("text", ["x", "x=", "x=abc", "=" + "0" * 64, "a b=" + "0" * 64, "anonymous=" + "0" * 64])
def test_a_malformed_entry_stops_the_start(text: str) -> None:
    """An entry that is not name=sha256 is refused."""
    with pytest.raises(ConfigError):
        Tokens(text, allow_anonymous=True)


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


def test_an_entry_limits_what_its_token_may_do() -> None:
    """Limits are read from the entry, and written back as they were; lines and commas both separate entries."""
    one, two = issue("one", ";expires=2027-01-31;paths=/v1/logs+/ingest;bytes_per_second=20"), issue("two")
    read = entries(f"{one.entry},\n\n{two.entry}\n")

    assert [str(each) for each in read] == [one.entry, two.entry]
    assert (read[0].expires, read[0].paths, read[0].bytes_per_second) == (
        date(2027, 1, 31),
        ("/v1/logs", "/ingest"),
        20,
    )
    assert read[1].bytes_per_day is None


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        ("color=red", "expires, paths, bytes_per_second, bytes_per_day"),
        ("expires=tomorrow", "2027-01-31"),
        ("expires=2027-02-30", "2027-01-31"),
        ("paths=v1/logs", "/v1/logs"),
        ("paths=", "/v1/logs"),
        ("bytes_per_second=2MB", "2000000"),
        ("bytes_per_day=0", "10000000000"),
        ("bytes_per_day=-1", "10000000000"),
        ("bytes_per_day", "10000000000"),
    ],
)
def test_a_limit_that_can_not_be_read_stops_the_start(limit: str, wanted: str) -> None:
    """The error names the source, and says what could stand there: a limit that is ignored would be none."""
    with pytest.raises(ConfigError, match="'shop'") as refused:
        issue("shop", f";{limit}")
    assert wanted in str(refused.value)


def test_a_token_is_good_until_the_end_of_its_last_day() -> None:
    """The day is UTC's; afterwards the answer says that it expired, and when."""
    today = datetime.now(UTC).date()
    good, over = issue("shop", f";expires={today}"), issue("shop", f";expires={today - timedelta(days=1)}")
    tokens = Tokens(f"{good.entry}\n{over.entry}", allow_anonymous=False)

    assert tokens.grant(good.token).source == "shop"
    with pytest.raises(RejectedError, match=str(today - timedelta(days=1))) as refused:
        tokens.grant(over.token)
    assert (refused.value.status, refused.value.code) == (401, "expired_token")


def test_entries_that_can_not_be_read_change_nothing() -> None:
    """Whoever was let in before still is."""
    one, two = issue("one"), issue("two")
    tokens = Tokens(one.entry, allow_anonymous=False)

    for text in ("one=broken", ""):
        with pytest.raises(ConfigError):
            tokens.renew(text)
    assert tokens.grant(one.token).source == "one"
    assert tokens.renew(two.entry)
    assert not tokens.renew(two.entry)
    with pytest.raises(RejectedError):
        tokens.grant(one.token)


def run(*arguments: str, **variables: str) -> Result:
    """The command line with these settings."""
    names = {f"LOGBROOK_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(cli.app, [*arguments], env=names)


def test_tokens_are_made_listed_checked_and_retired_in_a_file(tmp_path: Path) -> None:
    """Each command does its part of the file, and none shows a token a second time."""
    file = str(tmp_path / "tokens")
    made = run("token", "shop", "--expires", "2020-01-31", "--path", "/v1/logs", "--json", GATEWAY_TOKENS_FILE=file)
    other = run("token", "cart", "--bytes-per-day", "1000", GATEWAY_TOKENS_FILE=file)
    token, entry = json.loads(made.stdout)["token"], json.loads(made.stdout)["entry"]
    [listed, second] = json.loads(run("tokens", "--json", GATEWAY_TOKENS_FILE=file).stdout)

    assert Path(file).read_text().startswith(f"{entry}\n")
    assert file in other.stdout
    assert (listed["source"], listed["expires"], listed["expired"]) == ("shop", "2020-01-31", True)
    assert listed["paths"] == ["/v1/logs"]
    assert (second["source"], second["bytes_per_day"]) == ("cart", 1000)
    assert "(expired)" in run("tokens", GATEWAY_TOKENS_FILE=file).stdout
    assert "expired" in str(run("tokens", "--check", GATEWAY_TOKENS_FILE=file, TOKEN=token).exception)
    assert "1 retired, 1 left" in run("tokens", "--retire", listed["id"], GATEWAY_TOKENS_FILE=file).stdout
    assert "No source" in str(run("tokens", "--check", GATEWAY_TOKENS_FILE=file, TOKEN=token).exception)
    assert isinstance(run("tokens", "--retire", "shop", GATEWAY_TOKENS_FILE=file).exception, ConfigError)
    assert token not in Path(file).read_text() + other.stdout


def test_tokens_that_read_are_apart_from_those_that_send(tmp_path: Path) -> None:
    """With --query, each command is about the query API's own tokens."""
    file = str(tmp_path / "tokens")
    made = json.loads(run("token", "nightly", "--query", "--json", QUERY_TOKENS_FILE=file).stdout)

    assert Path(file).read_text() == f"{made['entry']}\n"
    assert "nightly" in run("tokens", "--query", QUERY_TOKENS_FILE=file).stdout
    assert "no tokens" in run("tokens", QUERY_TOKENS_FILE=file, GATEWAY_TOKENS="").stdout
    assert "is good" in run("tokens", "--query", "--check", QUERY_TOKENS_FILE=file, TOKEN=made["token"]).stdout
    assert isinstance(run("tokens", "--query", "--retire", "nightly", QUERY_TOKENS_FILE=file).exception, ConfigError)
    assert "LOGBROOK_QUERY_TOKENS: " in run("token", "other", "--query").stdout
    assert "LOGBROOK_QUERY_TOKENS: the entry" in str(run("tokens", "--query", QUERY_TOKENS="a=b").exception)
    assert "LOGBROOK_QUERY_TOKENS: the entry" in str(
        run("tokens", "--query", "--check", QUERY_TOKENS="a=b", TOKEN="c").exception
    )


@pytest.mark.parametrize(
    ("option", "setting", "makes"),
    [
        ([], "GATEWAY_TOKENS", "`logbrook token NAME`"),
        (["--query"], "QUERY_TOKENS", "`logbrook token NAME --query`"),
    ],
)
def test_every_message_has_the_command_for_its_tokens(option: list[str], setting: str, makes: str) -> None:
    """Where a token that reads is missing, one that sends would not help."""
    old = issue("shop", f";expires={datetime.now(UTC).date() - timedelta(days=1)}")
    said = [
        *(run("tokens", "--check", *option, **{setting: old.entry, "TOKEN": each}) for each in (old.token, "unknown")),
        *(run("tokens", *option, **{setting: each}) for each in ("shop", "shop=abc", "")),
        run("tokens", "--retire", "shop", *option, **{setting: old.entry}),
    ]
    unknown = run("tokens", "--retire", "other", *option, **{setting: old.entry})

    assert f"`{' '.join(['logbrook tokens', *option])}` lists" in str(unknown.exception)
    assert [text for each in said if makes not in (text := f"{each.stdout}{each.exception}")] == []


def test_without_a_file_the_setting_that_is_left_is_printed() -> None:
    """Nothing is written anywhere: the reader is told what to set."""
    one, two = issue("one"), issue("two", ";bytes_per_day=5")
    both = f"{one.entry},{two.entry}"

    assert (
        run("tokens", "--retire", "one", GATEWAY_TOKENS=both).stdout == f"Set LOGBROOK_GATEWAY_TOKENS to: {two.entry}\n"
    )
    assert run("tokens", "--check", GATEWAY_TOKENS=both, TOKEN=two.token).stdout.endswith(" of two is good.\n")
    assert "LOGBROOK_TOKEN" in str(run("tokens", "--check", GATEWAY_TOKENS=both, TOKEN="").exception)
    assert "no tokens" in run("tokens", GATEWAY_TOKENS="").stdout


def test_the_last_token_is_not_retired() -> None:
    """A gateway without any would keep the ones that it had: another one is made first."""
    only = issue("one")
    assert isinstance(run("tokens", "--retire", "one", GATEWAY_TOKENS=only.entry).exception, ConfigError)
