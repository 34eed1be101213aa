"""`make secrets` with the real Pulumi CLI: values go in through a pipe, and are in the stack's file encrypted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from infra.secret_store import SECRETS
from tests.infra.engine import ROOT


def test_secrets_are_set_encrypted_and_once(pulumi_cli: Path, tmp_path: Path) -> None:
    """All of them the first time, none the second time; the file has no value in clear."""
    (tmp_path / "state").mkdir()
    (tmp_path / "infra").mkdir()
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    environ = {
        **os.environ,
        "PATH": f"{pulumi_cli.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "only-in-tests",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("pulumi", "stack", "init", "dev")
    made_up = {secret.full_key for secret in SECRETS if secret.ours}
    first = run(sys.executable, "-m", "infra.passwords", "--stack", "dev")
    assert {line.partition(": set")[0] for line in first.splitlines() if ": set" in line} == made_up
    stored = (tmp_path / "Pulumi.dev.yaml").read_text()
    assert len(re.findall(r"secure: v1:", stored)) == len(made_up)
    password = run("pulumi", "config", "get", "--stack", "dev", "clickhouseAdminPassword").strip()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", password)
    assert password not in stored
    assert run(sys.executable, "-m", "infra.passwords", "--stack", "dev") == "nothing is missing\n"
