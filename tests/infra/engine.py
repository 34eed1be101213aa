"""The real Pulumi engine on this repository's own Pulumi.yaml and stack files, against the fake cloud."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import yaml
from pulumi import automation as auto
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

from infra.__main__ import main
from infra.config import Settings, load
from infra.secret_store import SECRET_KEYS, TOKENS, wanted
from tests.infra.fake_gcp import Cloud, Server

ROOT = Path(__file__).parents[2]
CANARY = "canary_of_a_secret_0123456789"
_PASSPHRASE = "only-in-tests"


@dataclass
class Engine:
    """A stack under the engine."""

    stack: auto.Stack
    cloud: Cloud
    state: Path
    directory: Path
    environ: dict[str, str]
    """What `pulumi` on a terminal needs to see the same stack."""

    def set(self, **values: str) -> None:
        """Change keys of the stack's configuration: `machineType="e2-medium"`."""
        for key, value in values.items():
            self.stack.set_config(f"logbrook:{key}", auto.ConfigValue(value))

    def up(self) -> dict[str, int]:
        """Deploy; the changes by kind.

        The engine and the program in this process sometimes lose each other at the start of a run, before anything was
        changed: gRPC's UNAVAILABLE, which Pulumi's SDK words as below. Such a run is begun anew, twice at most.
        """
        for _ in range(2):
            try:
                return _counts(self.stack.up(on_output=_quiet).summary.resource_changes)
            except auto.errors.CommandError as error:
                if "Resource monitor has terminated" not in str(error):
                    raise
        return _counts(self.stack.up(on_output=_quiet).summary.resource_changes)

    def preview(self) -> dict[str, int]:
        """What a deploy would change."""
        return _counts(dict(self.stack.preview(on_output=_quiet).change_summary))


@contextmanager
def command_line(engine: Engine, pulumi_cli: Path, run: Callable[[], None] = main) -> Iterator[dict[str, str]]:
    """The environment of commands that run `pulumi`: the real one, on this stack, with `run` as its program."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(run), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    programs = engine.directory / "programs"
    programs.mkdir(exist_ok=True)
    wrapper = programs / "pulumi"
    wrapper.write_text(
        f'#!/bin/sh\n[ "$1" != up ] || set -- "$@" --client=127.0.0.1:{port} --exec-kind auto.inline\n'
        f'exec {pulumi_cli} "$@"\n'
    )
    wrapper.chmod(0o755)
    try:
        yield engine.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    finally:
        server.stop(0)


def _counts(changes: object) -> dict[str, int]:
    assert isinstance(changes, dict)
    return {getattr(kind, "value", str(kind)): count for kind, count in changes.items()}


def _quiet(line: str) -> None:
    if os.environ.get("SHOW_PULUMI"):
        sys.stdout.write(line + "\n")


def settings_of(stack: str) -> Settings:
    """The typed configuration of one of the repository's stack files."""
    values = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return load({key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()})


def secrets_of(settings: Settings) -> dict[str, str]:
    """Made-up values of the stack's secrets, each with the canary in it."""
    values = {secret.full_key: f"{CANARY}_{secret.key}" for secret in wanted(settings)}
    values[TOKENS.full_key] = "shop=" + "ab" * 32
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
    for each in (work / "infra", state, home):
        each.mkdir(parents=True)
    (work / "Pulumi.yaml").write_text(change_project((ROOT / "Pulumi.yaml").read_text()))
    shutil.copy(ROOT / f"Pulumi.{stack}.yaml", work)
    if plugin:
        link = home / "plugins" / f"resource-gcp-v{version('pulumi-gcp')}" / "pulumi-resource-gcp"
        link.parent.mkdir(parents=True)
        link.symlink_to(plugin)
    with nullcontext(project) if project else Server() as server:
        environ = {
            **environ,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_DEBUG_PROVIDERS": ("" if plugin else f"gcp:{server.port},") + f"docker-build:{server.port}",
        }
        options = auto.LocalWorkspaceOptions(
            work_dir=str(work),
            pulumi_home=str(home),
            pulumi_command=auto.PulumiCommand(root=str(pulumi_cli.parent.parent), skip_version_check=True),
            env_vars=environ,
        )
        made = auto.create_stack(stack, project_name="logbrook", program=run, opts=options)
        settings = settings_of(stack)
        values = {key: auto.ConfigValue(value, secret=True) for key, value in secrets_of(settings).items()}
        # Pauses that only Google needs are short here.
        quick = {"logbrook:apiWaitSeconds": "1"}
        values |= {key: auto.ConfigValue(value) for key, value in (quick | (config or {})).items()}
        made.set_all_config(values)
        environ |= {"PULUMI_HOME": str(home), "PATH": f"{pulumi_cli.parent}:{os.environ['PATH']}"}
        yield Engine(made, server.cloud, state, work, environ)


def without_refresh(project: str) -> str:
    """Pulumi.yaml without `options: refresh: always`."""
    changed = re.sub(r"(?ms)^options:\n  refresh: always\n", "", project)
    assert changed != project
    return changed
