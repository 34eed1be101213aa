"""`make audit-deps`: what was not looked up does not count as free of vulnerabilities."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from tests import audit_deps

KNOWN = {"name": "a", "version": "1", "vulns": []}
BAD = {**KNOWN, "vulns": [{"id": "CVE-1"}]}
UNKNOWN = {"name": "b", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("printed", "fails", "fails_if_strict"),
    [
        (json.dumps({"dependencies": [KNOWN]}), False, False),
        (json.dumps({"dependencies": [KNOWN, BAD]}), True, True),
        (json.dumps({"dependencies": [KNOWN, UNKNOWN]}), False, True),
        ("", False, True),
    ],
    ids=["nothing known", "vulnerable", "a package is unknown", "the source is unreachable"],
)
def test_only_what_was_looked_up_counts(
    monkeypatch: pytest.MonkeyPatch, printed: str, fails: bool, fails_if_strict: bool
) -> None:
    """A vulnerability is always a failure; with --strict, so is each package of which nothing is known."""
    done = SimpleNamespace(stdout=printed, stderr="no route to host")
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_named: done)
    for arguments, expected in (([], fails), (["--strict"], fails_if_strict)):
        monkeypatch.setattr("sys.argv", ["audit_deps.py", *arguments])
        assert audit_deps.main() == expected
