"""Run a Pulumi program without an engine and record what it declares; outputs are the fake cloud's.

Assertions belong on the records, after the run: one inside `apply` passes whenever it does not run.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pulumi
import yaml
from pulumi.runtime import mocks, rpc
from pulumi.runtime.config import set_all_config

from infra.node_state import ready
from infra.policy import Declared
from tests.infra import refused
from tests.infra.engine import ROOT, secrets_of, settings_of
from tests.infra.fake_gcp import Cloud, computed, identifier, look_up


class NotFound(grpc.RpcError):
    """What the engine answers when a data source finds nothing."""

    def code(self) -> grpc.StatusCode:
        """The kind of error."""
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        """The provider's words."""
        return "it was not found"


class _Mocks(mocks.Mocks):
    def __init__(self) -> None:
        self.bundle = ""
        self.provider: dict[str, Any] = {"project": ""}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        if args.typ == "pulumi:providers:gcp":
            self.provider = {"project": args.inputs["project"]}
        if not args.typ.startswith(("gcp:", "docker-build:")):
            return args.name, args.inputs
        inputs = self.provider | dict(args.inputs)
        if args.typ == "gcp:compute/instance:Instance":
            self.bundle = inputs.get("metadata", {}).get("logbrook-bundle", "")
        return identifier(args.typ, inputs, args.name), inputs | computed(args.typ, inputs)

    def call(self, args: mocks.MockCallArgs) -> Any:
        if args.token == refused.GUEST_ATTRIBUTES:
            return {"variableValue": ready(self.bundle)}
        found = look_up(Cloud(), args.token, args.args)
        if found is None:
            raise NotFound
        return found


class _Monitor(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.declared: list[Declared] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.custom:
            inputs = _plain(rpc.deserialize_properties(request.object))
            self.declared.append(Declared(request.type, request.name, inputs, request.protect))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _plain(value: Any) -> Any:
    """Values without the wrapping of secrets, and whole numbers as such."""
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return _plain(value["value"])
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value == int(value) else value


def record(program: Callable[[], None], config: Mapping[str, str] | None = None, stack: str = "dev") -> list[Declared]:
    """What a program declares, with this configuration, sorted by type and name."""
    values = dict(config or {})
    set_all_config(values, [key for key in values if key.endswith(("Password", "Tokens", "Config"))])
    monitor = _Monitor()
    pulumi.runtime.set_mocks(_Mocks(), project="logbrook", stack=stack, preview=False, monitor=monitor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
    return sorted(monitor.declared, key=lambda each: (each.token, each.name))


def stack_config(stack: str, **changes: str) -> dict[str, str]:
    """The configuration of one of the repository's stacks, with generated secrets and some keys changed."""
    values = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()}
    return {**texts, **secrets_of(settings_of(stack)), **{f"logbrook:{key}": value for key, value in changes.items()}}
