"""Applies the rules of policy.py at every preview and deploy: a resource that breaks one is never sent to Google.

Each registration passes through a transform of the stack
(https://www.pulumi.com/docs/iac/concepts/options/transforms/), which leaves it as it is or stops the deploy. A
CrossGuard policy pack would do the same with one more plugin, and only if the person who deploys passes `--policy-pack`
or uses Pulumi Cloud.
"""

from typing import Any

import pulumi
from pulumi.runtime.stack import register_resource_transform

from infra.config import Settings
from infra.errors import StackError
from infra.policy import UNKNOWN, Declared, violations

# A secret as the SDK unpacks it, where it is not an Output: pulumi/runtime/rpc.py.
_SIGNATURE = "4dabf18193072939515e22adb298388d"


def enforce(settings: Settings) -> None:
    """Check every resource declared from here on. Raises a StackError that says all that is wrong in its registration.

    With `protectData` off, protection of data from deletion is not required: that is how a stack is taken down.
    """

    async def judge(args: pulumi.ResourceTransformArgs) -> None:
        if not args.custom or not args.type_.startswith("gcp:"):
            return
        inputs = await _plain(dict(args.props))
        declared = Declared(args.type_, args.name, inputs, bool(args.opts.protect))
        found = violations([declared], prod=settings.guarded, kept=settings.protect_data)
        if found:
            raise StackError("refused by the rules of infra/policy.py: " + "; ".join(found))

    register_resource_transform(judge)


async def _plain(value: Any) -> Any:
    """An input's value: secrets are unwrapped, and UNKNOWN replaces what only the deploy will tell."""
    if isinstance(value, pulumi.Output):
        return await _plain(await value.future()) if await value.is_known() else UNKNOWN
    if isinstance(value, dict):
        if _SIGNATURE in value:
            return await _plain(value.get("value"))
        return {name: await _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [await _plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value == int(value) else value
