"""`make audit-deps`: look every pinned package up among the known vulnerabilities, and say so if that can't be done.

pip-audit leaves out packages that it can't look up and still calls that a success: here they are counted.
"""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
FILES = (
    "service/requirements.txt",
    "service/with-mcp/requirements.txt",
    "compose/native/requirements.txt",
    "infra/requirements.txt",
    "docs/requirements.txt",
    "tests/requirements.txt",
)


def main() -> int:
    """Print a line per file; 1 if there is a vulnerability, or with `--strict` if any package was not looked up."""
    strict = sys.argv[1:] == ["--strict"]
    found = False
    for name in FILES:
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "--timeout",
            "20",
        ]
        command += ["--disable-pip", "--require-hashes", "-r", str(REPOSITORY / name)]
        print(f"{name}: ", end="", flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            packages = json.loads(done.stdout)["dependencies"]
        except ValueError:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"NOT CHECKED: the advisory source can't be reached from here ({reason[:160]})")
            found |= strict
            continue
        found |= _report(packages, strict=strict)
    return int(found)


def _report(packages: list[dict[str, object]], *, strict: bool) -> bool:
    """Say what is known of these packages; whether that is a reason to fail."""
    skipped = [package for package in packages if "skip_reason" in package]
    bad = [package for package in packages if package.get("vulns")]
    for package in bad:
        print(f"\n  {package['name']} {package['version']}: {json.dumps(package['vulns'])[:400]}", end="")
    checked = len(packages) - len(skipped)
    if bad:
        print()
    elif not checked:
        print(f"NOT CHECKED: the advisory source knows none of the {len(packages)} packages from here")
    else:
        print(f"none known among {checked} packages" + (f", {len(skipped)} NOT CHECKED" if skipped else ""))
    return bool(bad) or (strict and bool(skipped))


if __name__ == "__main__":
    sys.exit(main())
