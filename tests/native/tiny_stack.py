"""A supervisor over shell scripts: `python -m tests.native.tiny_stack STATE`, with the processes as JSON on stdin."""

import json
import os
import sys
from pathlib import Path

from native.processes import Service
from native.supervisor import Supervisor


def main() -> None:
    """Run it; a process is ready as soon as the file `NAME.ready` is in the state directory."""
    state = Path(sys.argv[1])
    if "FAULT_MUTANT" in os.environ:
        from tests.native.mutants import MUTANTS  # noqa: PLC0415 - the front takes long to load

        MUTANTS[os.environ["FAULT_MUTANT"]]()
    services = [
        Service(
            name=each["name"],
            command=["sh", "-c", each["script"]],
            ready=(state / f"{each['name']}.ready").exists,
            port=None,
            environment={"STATE": str(state)},
            needs=tuple(each.get("needs", ())),
            once=each.get("once", False),
            attempts=each.get("attempts", 1),
            ready_seconds=each.get("ready_seconds", 60),
            stop_seconds=each.get("stop_seconds", 15),
            alive=(state / f"{each['name']}.alive").exists if "silent_seconds" in each else None,
            silent_seconds=each.get("silent_seconds", 60),
        )
        for each in json.load(sys.stdin)
    ]
    sys.exit(Supervisor(state, services).run())


if __name__ == "__main__":
    main()
