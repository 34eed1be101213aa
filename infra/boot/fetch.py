"""On the data node, at each boot and after each deploy: fetch the files and secrets that Logbrook starts with.

    python3 fetch.py [ROOT]

The instance's metadata value `logbrook-bundle` has the files and the names of secrets; the secrets themselves are read
with the node's own service account and written only to memory. Only Python's standard library is available.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

METADATA = f"http://{os.environ.get('GCE_METADATA_HOST', 'metadata.google.internal')}/computeMetadata/v1/instance"
SECRETS = os.environ.get("LOGBROOK_SECRETS_URL", "https://secretmanager.googleapis.com")
TIMEOUT_SECONDS = 20


def main(root: Path) -> None:
    """Write `/opt/logbrook` and `/run/logbrook` below `root`, and log in to the image registry."""
    text = metadata("attributes/logbrook-bundle")
    bundle = json.loads(text)
    token = json.loads(metadata("service-accounts/default/token"))["access_token"]
    write_files(root / "opt/logbrook", bundle["files"])
    run = root / "run/logbrook"
    run.mkdir(parents=True, exist_ok=True)
    (run / "bundle").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")
    (run / "secrets").mkdir(exist_ok=True)
    write_secret(run / "secrets.env", secrets_file(bundle["secrets"], token, run / "secrets"))
    wanted = {secret["name"] for secret in bundle["secrets"].values() if secret["as"] == "file"}
    for path in (run / "secrets").iterdir():
        if path.name not in wanted:
            path.unlink()
    log_in(run / "docker", bundle["registry"], token)


def metadata(path: str) -> str:
    """One of the instance's metadata values."""
    return get(f"{METADATA}/{path}", {"Metadata-Flavor": "Google"})


def get(url: str, headers: dict[str, str]) -> str:
    """The body of a response. Raises OSError: systemd then tries everything again."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - constants, or an operator's own
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return str(answer.read().decode())


def write_files(directory: Path, files: dict[str, str]) -> None:
    """Make `directory` contain exactly these files, each replaced in one step."""
    for name, text in files.items():
        path = directory / name
        if directory not in path.resolve().parents:
            raise ValueError(f"{name} leads out of {directory}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            unfinished = path.with_name(path.name + ".new")
            unfinished.write_text(text)
            unfinished.replace(path)
    for path in directory.rglob("*"):
        if path.is_file() and str(path.relative_to(directory)) not in files:
            path.unlink()


def secrets_file(wanted: dict[str, dict[str, str]], token: str, directory: Path) -> str:
    """Lines NAME='value' for docker compose, which Docker keeps on its disk.

    For a secret marked `sha256` there is only its hash; one marked `file` is left out: containers mount the directory.
    """
    lines = []
    for name, secret in wanted.items():
        answer = get(f"{SECRETS}/v1/{secret['version']}:access", {"Authorization": f"Bearer {token}"})
        value = base64.b64decode(json.loads(answer)["payload"]["data"]).decode()
        if secret["as"] == "sha256":
            value = hashlib.sha256(value.encode()).hexdigest()
        if secret["as"] == "file":
            # Its directory belongs to root; a container's user reads it through the mount.
            write_secret(directory / secret["name"], value, 0o444)
            value = "in-a-file"
        if not re.fullmatch(r"[A-Za-z0-9_+/=-]+", value):
            raise ValueError(f"{secret['version']} has characters other than letters, digits and _-+/=")
        lines.append(f"{name}='{value}'\n")
    return "".join(lines)


def write_secret(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that has this mode from its first byte on: only root can read it."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    unfinished.replace(path)


def log_in(config: Path, registry: str, token: str) -> None:
    """Let Docker pull images as the node's service account; the token is piped in and expires within an hour."""
    subprocess.run(
        ["docker", "--config", str(config), "login", "--username", "oauth2accesstoken", "--password-stdin", registry],
        input=token,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/"))
