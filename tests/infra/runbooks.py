"""The runbooks' commands, as whoever operates a stack runs them: `make` of the repository, and a stand-in of gcloud."""

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.infra.engine import ROOT, Engine
from tests.infra.google import Google

REPOSITORY = "us-central1-docker.pkg.dev/my-project/logbrook-prod/service"


def make(stack: Engine, command: str) -> subprocess.CompletedProcess[str]:
    """Run what `make ...` runs, in the stack's directory."""
    shown = subprocess.run(
        ["make", "-n", "-o", ".venv/.infra", *shlex.split(command)[1:], f"STACK={stack.stack}", "YES=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    line = shown.stdout.strip().splitlines()[-1].replace(".venv/bin/python", sys.executable)
    environ = stack.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", line], cwd=stack.directory, env=environ, capture_output=True, text=True, check=False
    )


@contextmanager
def gcloud_on_path(stack: Engine, answer: Callable[[list[str]], str]) -> Iterator[None]:
    """Within this block the stack's commands find a gcloud that prints `answer` to its words.

    It fails if that raises a KeyError, because there is no such thing, or an AssertionError.
    """

    class Gcloud(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            words = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                text, code = answer(words), 200
            except (KeyError, AssertionError) as error:
                text, code = repr(error), 404
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Gcloud)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    program = stack.directory.parent / "programs/gcloud"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys, urllib.request\n"
        f"url = 'http://127.0.0.1:{server.server_port}'\n"
        "print(urllib.request.urlopen(url, json.dumps(sys.argv[1:]).encode()).read().decode())\n"
    )
    program.chmod(0o755)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def revisions() -> str:
    """The gateway's, newest first: one that is deployed, one that never got ready, and the one before.

    As https://cloud.google.com/run/docs/reference/rest/v1/namespaces.revisions has them.
    """

    def revision(digit: str, ready: str = "True") -> dict[str, Any]:
        conditions = [{"type": "Active", "status": "False"}, {"type": "Ready", "status": ready}]
        return {
            "spec": {"containers": [{"image": f"{REPOSITORY}@sha256:" + digit * 64}]},
            "status": {"conditions": conditions},
        }

    return json.dumps([revision("1"), revision("2", ready="False"), revision("0")])


def gcloud(google: Google, words: list[str]) -> str:
    """What gcloud does to the recording server's resources and prints; AssertionError for what no runbook asks."""
    options = dict(re.findall(r"--([a-z-]+)(?:[= ]([^-\s]\S*))?", " ".join(words)))
    project = f"compute/projects/{options.get('project')}"
    found, snapshots = google.resources, f"{project}/global/snapshots"
    match words[:3]:
        case ["compute", "instances", "list"]:
            name = options["filter"].removeprefix("name=")
            return name if f"{project}/zones/{options['zones']}/instances/{name}" in found else ""
        case ["compute", "instances", verb]:
            machine = found[key := f"{project}/zones/{options['zone']}/instances/{words[3]}"]
            if verb == "update":
                assert "--no-deletion-protection" in words
                machine["deletionProtection"] = False
            elif verb == "stop":
                machine["status"] = "TERMINATED"
            else:
                assert verb == "delete"
                assert not machine["deletionProtection"]
                google.delete(key)
        case ["compute", "snapshots", "create"]:
            disk = found[f"{project}/zones/{options['source-disk-zone']}/disks/{options['source-disk']}"]
            made = {"name": words[3], "diskSizeGb": disk["sizeGb"], "sourceDisk": disk["selfLink"]}
            found[f"{snapshots}/{words[3]}"] = made
        case ["compute", "snapshots", "describe"]:
            return json.dumps(found[f"{snapshots}/{words[3]}"])
        case ["compute", "snapshots", "list"]:
            of_disk = options["filter"].removeprefix("sourceDisk~")
            every = [each for key, each in found.items() if key.startswith(snapshots)]
            return str(next((each["name"] for each in reversed(every) if re.search(of_disk, each["sourceDisk"])), ""))
        case ["run", "revisions", "list"]:
            return revisions()
        case _:
            raise AssertionError(words)
    return ""
