"""After a deploy: does an event arrive? Runs `logbrook doctor` against a stack, by its outputs, and on its data node.

python -m infra.smoke --stack dev
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

# A new revision and its first connection take a while.
WAIT_SECONDS = 120
_PROXY_SECONDS = 30
# ssh(1): the status of the remote command, or 255 if an error occurred. gcloud has the same (its
# googlecloudsdk/command_lib/util/ssh/ssh.py, CommandError).
_SSH_FAILED = 255


def main() -> int:
    """Check from here, then on the node. 0 if nothing failed, 1 if anything did."""
    parser = argparse.ArgumentParser(description="Send an event through a deployed stack, and find it again.")
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args().stack
    asked = subprocess.run(
        ["pulumi", "stack", "output", "--json", "--stack", stack], stdout=subprocess.PIPE, check=False
    )
    outputs = json.loads(asked.stdout) if asked.returncode == 0 else {}
    if "gateway_url" not in outputs:
        print(f"the stack {stack} has no outputs: `make up STACK={stack}` first", file=sys.stderr)
        return 1
    if "open_explorer" in outputs:
        with _query_api(outputs) as query_url:
            failed = _look_from_here(outputs["gateway_url"], query_url)
            failed |= not query_url
    else:
        print("The query API asks for Google's sign-in in a browser: look there whether the event arrived.")
        failed = _look_from_here(outputs["gateway_url"], "")
    if "open_node" in outputs:
        failed |= _look_on_the_node(outputs["open_node"])
    return int(failed)


def _look_from_here(gateway_url: str, query_url: str) -> bool:
    """Whether anything failed, or no event could be sent."""
    print(f"From here: {gateway_url}", flush=True)
    token = os.environ.get("LOGBROOK_TOKEN", "")
    if not token:
        print("No event can be sent: set LOGBROOK_TOKEN to a token of `logbrook:gatewayTokens`.", file=sys.stderr)
    # Nothing from a local stack.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROOK_")}
    environ |= {"LOGBROOK_GATEWAY_URL": gateway_url, "LOGBROOK_TOKEN": token}
    environ |= {"LOGBROOK_QUERY_URL": query_url} if query_url else {}
    command = [sys.executable, "-m", "logbrook", "doctor", f"--wait={WAIT_SECONDS}"]
    return bool(subprocess.run(command, env=environ, check=False).returncode) or not token


@contextlib.contextmanager
def _query_api(outputs: Mapping[str, str]) -> Iterator[str]:
    """The URL of the query API, through the proxy that the stack's output names; empty if that does not start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command, _, _ = outputs["open_explorer"].rpartition(" --port ")
    started = [*shlex.split(command), "--port", str(port)]
    with subprocess.Popen(started, stdin=subprocess.DEVNULL, start_new_session=True) as proxy:
        try:
            yield f"http://127.0.0.1:{port}" if _comes_up(proxy, port) else ""
        finally:
            # The proxy is a child process of gcloud.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(proxy.pid, signal.SIGTERM)


def _comes_up(proxy: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _PROXY_SECONDS
    while proxy.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return True
    print("The query API can't be opened (see above), so it is unknown whether events arrive.", file=sys.stderr)
    return False


def _look_on_the_node(open_node: str) -> bool:
    """Whether anything failed there. Without a login there, this is unknown."""
    print("\nOn the data node:", flush=True)
    code = subprocess.run([*shlex.split(open_node), "--command", "logbrook doctor"], check=False).returncode
    if code == _SSH_FAILED:
        print("Not checked: no login on the node (see above; `logbrook:sshUsers`).", file=sys.stderr)
        return False
    return bool(code)


if __name__ == "__main__":
    sys.exit(main())
