"""`make destroy STACK=dev`: delete a stack, and retry the subnet, which Google releases late.

Cloud Run holds addresses in its subnet for one to two hours after the last service is gone, and the subnet can't be
deleted before that (docs/decisions/first-deploy.md). The rest is gone after the first try, and costs nothing.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

RETRY_SECONDS = 300
TRIES = 36
# What is left when only the subnet is in the way: the subnet, what contains it, and what created them.
HELD = ("gcp:compute/subnetwork:", "gcp:compute/network:", "gcp:projects/service:", "pulumi:", "logbrook:")


def left(stack: str) -> list[str]:
    """The types of the resources that the stack still has."""
    shown = subprocess.run(["pulumi", "stack", "export", "--stack", stack], check=True, text=True, capture_output=True)
    return [each["type"] for each in json.loads(shown.stdout)["deployment"].get("resources") or []]


def held_by_addresses(types: list[str]) -> bool:
    """Whether only a subnet is in the way."""
    subnet = any(each.startswith("gcp:compute/subnetwork:") for each in types)
    return subnet and all(each.startswith(HELD) for each in types)


def destroy(stack: str, options: list[str], wait: Callable[[float], None] = time.sleep) -> int:
    """Pulumi's exit status. Asks once; Ctrl-C is safe, and the next call continues where this one stopped."""
    # Without this, failing to delete the subnet would stop the deletion of everything else.
    command = ["pulumi", "destroy", "--continue-on-error", "--stack", stack, *options]
    for number in range(TRIES):
        status = subprocess.run(command, check=False).returncode
        if status == 0 or not held_by_addresses(left(stack)):
            return status
        if number == 0:
            print(
                "\nAll but the network is deleted: Cloud Run holds addresses in its subnet for one to two hours after "
                f"the last service is gone. This tries again every {RETRY_SECONDS // 60} minutes; nothing that is "
                f"left costs anything. Ctrl-C is safe: `make destroy STACK={stack}` continues later.\n",
                flush=True,
            )
            command.append("--yes")
        wait(RETRY_SECONDS)
    print(f"Google still holds the subnet. Try `make destroy STACK={stack}` later.", file=sys.stderr)
    return 1


def main() -> int:
    """Delete a stack. Arguments other than --stack are passed on to `pulumi destroy`."""
    parser = argparse.ArgumentParser(description="Delete a stack.")
    parser.add_argument("--stack", required=True)
    known, options = parser.parse_known_args()
    try:
        return destroy(known.stack, options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
