"""Keep the worst sentences out, in `make lint`: prints each with a better wording, in every text that people read."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
RULES = (
    (r"(?<!there )(?<!There )\b(?:is|are|was|were) no (?!longer|more|less|later|other|earlier)[a-z]", "is not a ..."),
    (r"\b(?:is|are) none of (?:[A-Z{]|those\b)", "is not one of ..."),
    (r"\bmade-up\b", "generated, sample"),
    (r"\banew\b", "again; recreated, rewritten, restarted, starts over"),
    (r"\bcan't be had\b", "is not available"),
    (r"\btakes no\b", "does not take"),
    (r"\bfor ever\b", "forever"),
    (r"\b(?:take|fail)-overs?\b|\blook-ups?\b|\btime-outs?\b", "takeover, failover, lookup, timeout"),
    (r"(?<!are )(?<!be )\ball the same\b", "anyway, still"),
    (r"\bby a slip\b|\bsees? to it that\b", "by mistake, makes sure that"),
    (r"(?<![\w'\"])(?:process|Prometheus)'(?= [a-z])", "process's, Prometheus's"),
    (r"\bmisspelt\b|\b(?:normal|recogn|central|serial)is(?:e[ds]?|ing)\b", "American spelling: -ize, misspelled"),
)
# Numbered SQL is immutable, a changed view is applied again, and tests are for people who work on the code.
LEFT_OUT = re.compile(r"^(tests/|bench/|CHANGELOG|LICENSE|service/logbrook/schema/(tables|views)/)|requirements\.txt$")


def main() -> int:
    """Print what is found; its exit status is 1 if there is anything."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    found = 0
    for name in listed.stdout.split("\0"):
        if not name or LEFT_OUT.search(name) or not (REPOSITORY / name).is_file():
            continue
        try:
            lines = (REPOSITORY / name).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            for pattern, better in RULES:
                if match := re.search(pattern, line):
                    found += 1
                    print(f"{name}:{number}: {match[0]!r}: write {better}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
