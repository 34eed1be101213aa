"""`make secrets STACK=dev`: generates the passwords that a stack does not have yet, and one token to send with.

Values go to Pulumi through a pipe and are encrypted in the stack's file. The token is shown once: only its hash is
kept.
"""

import argparse
import hashlib
import json
import secrets
import subprocess

from infra.config import Settings, load
from infra.secret_store import SECRET_KEYS, TOKENS, missing, wanted


def configured(stack: str) -> dict[str, str]:
    """The stack's configuration, secrets as empty strings. Raises CalledProcessError if Pulumi has no such stack."""
    shown = subprocess.run(
        ["pulumi", "config", "--json", "--stack", stack], check=True, text=True, stdout=subprocess.PIPE
    )
    return {key: str(entry.get("value", "")) for key, entry in json.loads(shown.stdout).items()}


def settings_of(stack: str) -> tuple[Settings, frozenset[str]]:
    """The stack's typed configuration, and the keys that it has."""
    values = configured(stack)
    return load(values, SECRET_KEYS), frozenset(values)


def store(stack: str, key: str, value: str) -> None:
    """Set a secret without showing it in the list of processes."""
    subprocess.run(["pulumi", "config", "set", "--secret", "--stack", stack, key], input=value, text=True, check=True)


def main() -> None:
    """Set what is missing, and say what was set."""
    parser = argparse.ArgumentParser(description="Generate the secrets that a stack does not have yet.")
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args().stack
    settings, keys = settings_of(stack)
    lacking = missing(settings, keys)
    theirs = {secret.full_key: secret.meaning for secret in wanted(settings) if not secret.ours}
    if not settings.on_vm:
        # There the users belong to somebody else, and so do the passwords.
        theirs |= {key: f"{settings.clickhouse_host}: the password" for key in lacking if key != TOKENS.full_key}
    for key in (key for key in lacking if key in theirs):
        print(f"{key} can't be generated ({theirs[key]}): pulumi config set --stack {stack} --secret {key}")
    for key in (key for key in lacking if key not in theirs):
        if key != TOKENS.full_key:
            store(stack, key, secrets.token_urlsafe(32))
            print(f"{key}: set")
            continue
        token = secrets.token_urlsafe(32)
        store(stack, key, f"first={hashlib.sha256(token.encode()).hexdigest()}")
        print(f"{key}: set. The token of the source `first`, shown once:\n\n    export LOGBROOK_TOKEN={token}\n")
    if not lacking:
        print("nothing is missing")


if __name__ == "__main__":
    main()
