"""`logbrook token` and `logbrook tokens`: the entries of a setting such as LOGBROOK_GATEWAY_TOKENS, or of its file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from logbrook import config, tokens
from logbrook.errors import ConfigError
from logbrook.tokens import Grant

Section = type[config.Gateway] | type[config.Query]


def create(section: Section, name: str, limits: Mapping[str, object], *, as_json: bool) -> None:
    """Make a token, and add its entry to the file of tokens if there is one. Raises ConfigError."""
    variable, file = config.variable(section, "tokens"), config.secret_file(section, "tokens")
    rest = "".join(f";{key}={value}" for key, value in limits.items() if value)
    issued = tokens.issue(name, rest, variable)
    if file:
        _write(file, tokens.entries(f"{_text(file)}\n{issued.entry}", variable))
    if as_json:
        print(json.dumps({"name": name, "token": issued.token, "entry": issued.entry}))  # noqa: T201
        return
    print(f"Token (shown once): {issued.token}")  # noqa: T201
    print(f"Added to {file}" if file else f"Add to {variable}: {issued.entry}")  # noqa: T201


def show(section: Section, *, as_json: bool) -> None:
    """Print each token's id, its source and its limits."""
    grants = _entries(section)
    if as_json:
        print(json.dumps([_described(each) for each in grants]))  # noqa: T201
        return
    if not grants:
        print(f"There are no tokens. {_command(section)} makes one.")  # noqa: T201
        return
    table = Table("id", "source", "good until", "paths", "bytes a second", "bytes a day", box=None, pad_edge=False)
    for each in grants:
        until = "always" if each.expires is None else f"{each.expires}{' (expired)' if each.is_expired else ''}"
        rates = (f"{size:,}" if size else "" for size in (each.bytes_per_second, each.bytes_per_day))
        table.add_row(each.id, each.source, until, ", ".join(each.paths) or "all", *rates)
    Console().print(table)


def check(section: Section, token: str, *, as_json: bool) -> None:
    """Print what a token stands for. Raises ConfigError if it is empty, RejectedError if it is not valid."""
    if not token:
        raise ConfigError("LOGBROOK_TOKEN is not set: set it to the token that you want to check")
    variable = config.variable(section, "tokens")
    found = tokens.Tokens(config.load(section).tokens, allow_anonymous=True, variable=variable).grant(token)
    until = "" if found.expires is None else f", until the end of {found.expires} (UTC)"
    print(json.dumps(_described(found)) if as_json else f"The token {found.id} of {found.source} is good{until}.")  # noqa: T201


def retire(section: Section, name: str) -> None:
    """Remove a source's tokens, or the one with this id, and say what is left. Raises ConfigError if there is none."""
    grants = _entries(section)
    left = [each for each in grants if name not in (each.source, each.id)]
    if len(left) == len(grants):
        option = " --query" if section is config.Query else ""
        raise ConfigError(f"no source and no token is called {name!r}: `logbrook tokens{option}` lists them")
    # A gateway whose file is empty keeps the tokens that it had, and a query API without tokens asks for none.
    if not left and not getattr(config.load(section), "allow_anonymous", False):
        raise ConfigError(f"nobody could send or ask any more: make another token first, with {_command(section)}")
    file = config.secret_file(section, "tokens")
    if file:
        _write(file, left)
        print(f"{len(grants) - len(left)} retired, {len(left)} left in {file}")  # noqa: T201
    else:
        print(f"Set {config.variable(section, 'tokens')} to: {','.join(map(str, left))}")  # noqa: T201


def _entries(section: Section) -> list[Grant]:
    return tokens.entries(config.load(section).tokens, config.variable(section, "tokens"))


def _command(section: Section) -> str:
    return tokens.command(config.variable(section, "tokens"))


def _described(grant: Grant) -> dict[str, object]:
    return {
        "id": grant.id,
        "source": grant.source,
        "expires": grant.expires and grant.expires.isoformat(),
        "expired": grant.is_expired,
        "paths": list(grant.paths),
        "bytes_per_second": grant.bytes_per_second,
        "bytes_per_day": grant.bytes_per_day,
    }


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _write(file: Path, grants: list[Grant]) -> None:
    """All or nothing: a gateway may read it at any time."""
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text("".join(f"{each}\n" for each in grants))
        if file.exists():
            new.chmod(file.stat().st_mode & 0o777)
        os.replace(new, file)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
