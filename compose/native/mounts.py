"""Changed files reach their containers: a digest of what each service mounts, as a label that Compose compares.

Compose recreates a container when its definition has changed, which does not include the contents of mounted files.
Replacing a file creates a new one, which a mount of the old one does not see: without this, `up` would change nothing.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from native import runtime

PREFIX = "MOUNTED_FILES_"


def write(env_file: Path) -> None:
    """Write the digests of the current files into the file with the stack's variables."""
    now = digests(runtime.configuration(env_file))
    before = env_file.read_text().splitlines(keepends=True) if env_file.exists() else []
    kept = [line for line in before if not line.startswith(PREFIX)]
    lines = kept + [f"{name}={digest}\n" for name, digest in sorted(now.items())]
    if lines != before:
        temporary = env_file.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(lines)
        temporary.replace(env_file)


def digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A stack's variables, according to `docker compose config`, each with the digest of a service's files."""
    folder = runtime.COMPOSE_FILE.parent
    found = {}
    for name, service in config["services"].items():
        sources = [Path(each["source"]) for each in service.get("volumes", []) if each["type"] == "bind"]
        ours = [source for source in sources if source.is_relative_to(folder)]
        if ours:
            digest = hashlib.sha256()
            for path in sorted({file for source in ours for file in _files(source)}):
                content = path.read_bytes()
                digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
            found[PREFIX + name.upper()] = digest.hexdigest()[:16]
    return found


def _files(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    else:
        yield source
