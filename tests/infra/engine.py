"""The real Pulumi engine on this repository's own Pulumi.yaml and stack files, against the fake cloud."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import yaml
from pulumi import log
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc

from infra.__main__ import main
from infra.config import Settings, load
from infra.secret_store import ALERTMANAGER, SECRET_KEYS, TOKENS, wanted
from tests.infra.fake_gcp import Cloud, Server

ROOT = Path(__file__).parents[2]
CANARY = "canary_of_a_secret_0123456789"
_PASSPHRASE = "only-in-tests"
# This process is the program of many engines, each on ports of its own, and the SDK never closes its channels. gRPC
# keeps one connection for an address, whichever channel asks: an engine whose port an earlier one had was said to be
# gone ("Resource monitor has terminated") until the pause between two attempts, up to two minutes, was over.
# https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL
_GRPC_CHANNEL_OPTIONS.append(("grpc.use_local_subchannel_pool", 1))
# Nobody reads what the SDK says for debugging, and each line is a call to the engine: a sixth of a deploy's work here.
log.debug = lambda *_, **__: None
# A call between engine and program that gRPC loses now and then, in the words of Pulumi's SDK and of the engine. The
# second one is an open error of theirs, waiting for one of gRPC's: https://github.com/pulumi/pulumi/issues/20992
_LOST_CALLS = (
    "Resource monitor has terminated, shutting down",
    "invoke transform: rpc error: code = Canceled desc = CANCELLED",
)


class DeployError(Exception):
    """What a `pulumi` command that failed has printed."""


@dataclass
class Engine:
    """A stack under the engine.

    One command is one process: Pulumi's Automation API starts three more after each `up`, to read outputs and history.
    """

    stack: str
    project: Server
    state: Path
    directory: Path
    environ: dict[str, str]
    """What any command that runs `pulumi` needs, to see this stack with this program."""
    said: str = ""
    """What the last command printed."""

    @property
    def cloud(self) -> Cloud:
        """What there is in the project."""
        return self.project.cloud

    @property
    def file(self) -> Path:
        """The stack's configuration."""
        return self.directory / f"Pulumi.{self.stack}.yaml"

    @property
    def _state(self) -> Path:
        return self.state / f".pulumi/stacks/logbrook/{self.stack}.json"

    def set(self, **values: str | None) -> None:
        """Change keys of the stack's configuration: `machineType="e2-medium"`; None takes a key out."""
        document = yaml.safe_load(self.file.read_text())
        for key, value in values.items():
            document["config"].pop(f"logbrook:{key}", None)
            if value is not None:
                document["config"][f"logbrook:{key}"] = value
        self.file.write_text(yaml.safe_dump(document))

    def pulumi(self, *words: str) -> str:
        """Run a command on the stack; what it printed. Raises DeployError if it fails."""
        command = ["pulumi", *words, "--stack", self.stack, "--non-interactive"]
        place: Any = {"cwd": self.directory, "env": self.environ}
        done = subprocess.run(
            command, **place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        self.said = done.stdout
        if os.environ.get("SHOW_PULUMI"):
            sys.stdout.write(self.said)
        if done.returncode:
            raise DeployError(self.said)
        return self.said

    def up(self) -> dict[str, int]:
        """Deploy; the changes by kind."""
        return self._changes("up", "--yes", "--skip-preview")

    def preview(self) -> dict[str, int]:
        """What a deploy would change."""
        return self._changes("preview")

    def destroy(self) -> None:
        """Delete everything."""
        self.pulumi("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[dict[str, Any]]:
        """What the state has."""
        state = json.loads(self._state.read_text())
        found: list[dict[str, Any]] = state["checkpoint"]["latest"]["resources"]
        return found

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, of which none is secret."""
        found: dict[str, Any] = self.resources()[0]["outputs"]
        return found

    def _changes(self, *words: str) -> dict[str, int]:
        """Run it; the changes by kind. What ended for a lost call before it changed anything is begun anew, once."""
        log = self.directory / "events.json"
        before, state = list(self.cloud.events), self._state.read_bytes()
        for again in (True, False):
            log.unlink(missing_ok=True)
            try:
                self.pulumi(*words, "--event-log", str(log))
                break
            except DeployError as error:
                reasons = re.findall(r"^ +error: (.*)", str(error), re.MULTILINE)
                lost = reasons and all(any(each in reason for each in _LOST_CALLS) for reason in reasons)
                if not (again and lost and self.cloud.events == before):
                    raise
                self._state.write_bytes(state)
        events = [json.loads(line) for line in log.read_text().splitlines()]
        changes: dict[str, int] = [each for each in events if "summaryEvent" in each][-1]["summaryEvent"][
            "resourceChanges"
        ]
        return changes


@contextmanager
def _serving(run: Callable[[], None]) -> Iterator[int]:
    """The port at which the engine finds the program."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(run), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


def settings_of(stack: str) -> Settings:
    """The typed configuration of one of the repository's stack files."""
    values = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return load({key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()})


def secrets_of(settings: Settings) -> dict[str, str]:
    """Sample values for the stack's secrets, Alertmanager's configuration included, each with the canary in it."""
    values = {secret.full_key: f"{CANARY}_{secret.key}" for secret in wanted(settings)}
    values[TOKENS.full_key] = "shop=" + "ab" * 32
    values[ALERTMANAGER.full_key] = f"route: {{receiver: team}}\nreceivers: [{{name: team}}]\n# {CANARY}\n"
    assert values.keys() <= SECRET_KEYS
    return values


@contextmanager
def engine(
    pulumi_cli: Path,
    directory: Path,
    stack: str = "dev",
    *,
    run: Callable[[], None] = main,
    change_project: Callable[[str], str] = lambda text: text,
    config: dict[str, str] | None = None,
    project: Server | None = None,
    environ: Mapping[str, str] = {},
    plugin: Path | None = None,
) -> Iterator[Engine]:
    """A fresh stack in `directory`. The stack's file is the repository's, with `config` on top.

    With a `project`, the stack is in one that others are in too. The fake cloud is behind it; with a `plugin`, that is
    the provider `gcp`, and `environ` says where Google is.
    """
    work, state, home = directory / "work", directory / "state", directory / "home"
    programs = directory / "programs"
    for each in (work / "infra", state, home, programs):
        each.mkdir(parents=True)
    (work / "Pulumi.yaml").write_text(change_project((ROOT / "Pulumi.yaml").read_text()))
    shutil.copy(ROOT / f"Pulumi.{stack}.yaml", work)
    if plugin:
        link = home / "plugins" / f"resource-gcp-v{version('pulumi-gcp')}" / "pulumi-resource-gcp"
        link.parent.mkdir(parents=True)
        link.symlink_to(plugin)
    with nullcontext(project) if project else Server() as server, _serving(run) as port:
        # The engine finds the program in this process, whoever calls it.
        wrapper = programs / "pulumi"
        wrapper.write_text(
            "#!/bin/sh\ncase $1 in\n"
            f'  up | preview) exec {pulumi_cli} "$@" --client=127.0.0.1:{port} --exec-kind auto.inline ;;\n'
            f'  *) exec {pulumi_cli} "$@" ;;\nesac\n'
        )
        wrapper.chmod(0o755)
        variables = {
            **os.environ,
            **environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_DEBUG_COMMANDS": "1",
            # The state is written once, at the end, and not after each of a hundred steps.
            "PULUMI_SKIP_CHECKPOINTS": "1",
            # Each command lives a second: collecting its garbage is a fifth of that.
            "GOGC": "400",
            "PULUMI_DEBUG_PROVIDERS": ("" if plugin else f"gcp:{server.port},") + f"docker-build:{server.port}",
        }
        made = Engine(stack, server, state, work, variables)
        made.pulumi("stack", "init")
        secrets = [f"{key}={value}" for key, value in secrets_of(settings_of(stack)).items()]
        # Pauses that only Google needs are short here.
        plain = [f"{key}={value}" for key, value in ({"logbrook:apiWaitSeconds": "1"} | (config or {})).items()]
        made.pulumi(
            *("config", "set-all"),
            *[word for each in secrets for word in ("--secret", each)],
            *[word for each in plain for word in ("--plaintext", each)],
        )
        yield made


def without_refresh(project: str) -> str:
    """Pulumi.yaml without `options: refresh: always`."""
    changed = re.sub(r"(?ms)^options:\n  refresh: always\n", "", project)
    assert changed != project
    return changed
