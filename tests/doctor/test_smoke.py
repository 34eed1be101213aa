"""`make smoke`, as far as it goes without a cloud: outputs, gateway, query API and node are a stack's on this machine.

pulumi and gcloud are scripts, called as their documentation has it (November 2026): `pulumi stack output --json` prints
one object (pulumi.com/docs/iac/cli/commands/pulumi_stack_output); `gcloud run services proxy` serves on loopback until
it is ended (cloud.google.com/sdk/gcloud/reference/run/services/proxy); `gcloud compute ssh` runs a command there and
ends with its status, or with ssh's 255.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from logbrook import config
from tests.components import REPOSITORY, NativeStack

PULUMI = """\
[ "$*" = "stack output --json --stack dev" ] || exit 9
cat {outputs}
"""
GCLOUD = """\
case "$*" in
  "run services proxy logbrook-dev-query --project p --region r --port "*)
    exec {python} -c "
import socket, sys, threading
def copy(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:
    while True:
        here, _ = server.accept()
        there = socket.create_connection(('127.0.0.1', {query}))
        for pair in ((here, there), (there, here)): threading.Thread(target=copy, args=pair, daemon=True).start()
" "${{10}}";;
  "compute ssh logbrook-dev-node --project p --zone z --tunnel-through-iap --command logbrook doctor")
    {node};;
  *) exit 9;;
esac
"""


def smoke(
    stack: NativeStack, directory: Path, node: str, token: str, without: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it with programs that say what those of a deployed stack would."""
    ports = stack.settings.ports
    place = "--project p --region r"
    outputs = {
        "gateway_url": f"http://127.0.0.1:{ports.gateway}",
        "open_explorer": f"gcloud run services proxy logbrook-dev-query {place} --port 8080",
        "open_node": "gcloud compute ssh logbrook-dev-node --project p --zone z --tunnel-through-iap",
    }
    outputs.pop(without, None)
    (directory / "outputs.json").write_text(json.dumps(outputs))
    scripts = {
        "pulumi": PULUMI.format(outputs=directory / "outputs.json"),
        "gcloud": GCLOUD.format(python=sys.executable, query=ports.query, node=node),
    }
    for name, text in scripts.items():
        (directory / name).write_text("#!/bin/sh\n" + text)
        (directory / name).chmod(0o755)
    environ = {"PATH": f"{directory}:{os.environ['PATH']}", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'service'}"}
    command = [sys.executable, "-m", "infra.smoke", "--stack", "dev"]
    return subprocess.run(
        command,
        cwd=directory,
        env=environ | {"LOGBROOK_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture
def token(stack: NativeStack) -> str:
    """A token that the gateway knows."""
    return config.read_env_file(stack.settings.env_file)["LOGBROOK_TOKEN"]


def on_the_node(stack: NativeStack) -> str:
    """The node's own doctor: with the variables of a container there, which knows no gateway."""
    variables = config.of_local_stack(config.read_env_file(stack.settings.env_file))
    here = " ".join(f"{name}={value}" for name, value in variables.items() if not name.endswith(("_URL", "_TOKEN")))
    return f"env {here} {sys.executable} -m logbrook doctor"


def test_a_deployed_stack(stack: NativeStack, token: str, tmp_path: Path) -> None:
    """An event goes in through the gateway and is found by the query API; then the node looks at what is behind."""
    done = smoke(stack, tmp_path, on_the_node(stack), token)

    assert done.returncode == 0, done.stdout + done.stderr
    from_here, _, on_node = done.stdout.partition("On the data node:")
    assert "found by the query API after" in from_here
    assert "stored after" in on_node
    assert token not in done.stdout + done.stderr


def test_behind_googles_sign_in(stack: NativeStack, token: str, tmp_path: Path) -> None:
    """A stack whose explorer only a browser opens (`queryIap`): the event is sent, and a person looks for it."""
    done = smoke(stack, tmp_path, "exit 0", token, without="open_explorer")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "look there whether the event arrived" in done.stdout


def test_no_login_on_the_node(stack: NativeStack, token: str, tmp_path: Path) -> None:
    """ssh fails with 255: said, and not taken for a failure of the stack."""
    done = smoke(stack, tmp_path, "exit 255", token)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no login on the node" in done.stderr


def test_a_failure_on_the_node(stack: NativeStack, token: str, tmp_path: Path) -> None:
    """What is wrong there is wrong."""
    assert smoke(stack, tmp_path, "exit 1", token).returncode == 1


def test_nothing_to_send_with(stack: NativeStack, tmp_path: Path) -> None:
    """Without a token no event is sent, and nothing is proven: that is not a success."""
    done = smoke(stack, tmp_path, "exit 0", "")

    assert done.returncode == 1
    assert "set LOGBROOK_TOKEN" in done.stderr


def test_a_stack_that_is_not_deployed(tmp_path: Path) -> None:
    """It says what to do first."""
    (tmp_path / "pulumi").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "pulumi").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "infra.smoke", "--stack", "dev"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "make up STACK=dev" in done.stderr
