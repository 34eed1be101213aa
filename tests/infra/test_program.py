"""The program as Pulumi starts it: the directory as a script, from inside it."""

import ast
import json
import subprocess
import sys
import tomllib

from tests.infra.engine import ROOT
from tests.infra.recorded import stack_config

# One that is built needs no Docker.
IMAGE = "registry.example/service@sha256:" + "0" * 64
# As Pulumi's Python host does, but with stand-ins for the engine and the cloud.
START = """
import json, os, runpy, sys
import grpc
import pulumi

class NotFound(grpc.RpcError):
    code = lambda self: grpc.StatusCode.UNKNOWN
    details = lambda self: "it was not found"

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        names.append(args.name)
        extra = {"email": "a@b", "name": "n", "address": "1.2.3.4", "uri": "https://g", "ref": "i@sha256:0",
                 "version": "1", "uptimeCheckId": "u", "secretId": "s", "accessId": "a", "secret": "s",
                 "instanceId": "1"}
        return args.name, {**extra, **args.inputs}

    def call(self, args):
        raise NotFound

names = []
pulumi.runtime.set_mocks(Mocks(), project="logbrook", stack="dev", preview=False)

@pulumi.runtime.test
def run():
    runpy.run_path(os.getcwd(), run_name="__main__")

run()
print(json.dumps(names))
"""


def test_it_runs_as_pulumi_runs_it() -> None:
    """From infra/, with no other directory to find modules in: it declares the VM, and no module hides another."""
    environ = {
        "PULUMI_CONFIG": json.dumps(stack_config("dev", nodeWaitMinutes="0", image=IMAGE)),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-W", "ignore", "-c", START]
    done = subprocess.run(command, cwd=ROOT / "infra", env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "node" in json.loads(done.stdout)


def test_what_it_uses_of_the_gcp_sdk_is_type_checked() -> None:
    """mypy follows only some of the SDK's packages: all that the program uses, and no others."""
    [followed] = [
        override["module"]
        for override in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
        if override.get("follow_imports") == "normal"
    ]
    used = {
        node.attr
        for file in (ROOT / "infra").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gcp"
    }
    internal = {f"pulumi_gcp{name}" for name in ("", "._inputs", "._utilities", ".config.*", ".provider")}
    assert set(followed) - internal == {f"pulumi_gcp.{name}.*" for name in used - {"Provider"}}
