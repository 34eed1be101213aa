"""A deploy continues when the data node runs what the deploy gave it: the node says so in a guest attribute.

The node writes `logbrook/state`: `ready DIGEST` with the SHA-256 of the bundle that it has applied, or what it is
doing. It clears `ready` when the machine stops, and at each boot before anything else.
https://cloud.google.com/compute/docs/metadata/manage-guest-attributes (read 2026-11-28)
"""

import asyncio
from collections.abc import Mapping

import pulumi
import pulumi_gcp as gcp

from infra.config import NAMESPACE, Settings
from infra.errors import StackError
from infra.render import digest

ATTRIBUTE = "logbrook/state"
# Google allows 10 queries a minute.
POLL_SECONDS = 15.0
_MINUTE_SECONDS = 60.0


def ready(bundle: str) -> str:
    """What the node writes once it has applied this bundle and everything is running."""
    return f"ready {digest(bundle)}"


def serving(settings: Settings, instance: gcp.compute.Instance) -> pulumi.Output[gcp.compute.Instance]:
    """The data node, once it is ready. Whatever depends on this starts after that.

    If the node has reported nothing at all within `nodeWaitMinutes`, the deploy continues with a warning: guest
    attributes may be forbidden here, and what is started waits for Kafka and ClickHouse on its own. Fails the deploy
    with StackError if the node has reported something but is not ready by then.
    """

    async def wait(metadata: Mapping[str, str] | None) -> gcp.compute.Instance:
        if metadata and settings.node_wait_minutes and not pulumi.runtime.is_dry_run():
            await _wait(settings, instance, ready(metadata["logbrook-bundle"]))
        return instance

    return instance.metadata.apply(wait)


async def _wait(settings: Settings, instance: gcp.compute.Instance, wanted: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _MINUTE_SECONDS * settings.node_wait_minutes
    last = None
    while (state := await _state(settings, instance)) != wanted:
        if state != last:
            pulumi.log.info(f"waiting for the data node, which says: {_shown(state)}", instance)
            last = state
        if loop.time() > deadline:
            _give_up(settings, instance, state)
            return
        await asyncio.sleep(POLL_SECONDS)


async def _state(settings: Settings, instance: gcp.compute.Instance) -> str:
    """The attribute's value; empty if there is none, or it may not be read: the provider does not say which."""
    answer = await gcp.compute.get_instance_guest_attributes_output(
        name=f"{settings.name}-node",
        project=settings.project,
        zone=settings.zone,
        variable_key=ATTRIBUTE,
        opts=pulumi.InvokeOutputOptions(parent=instance),
    ).future()
    return (answer.variable_value if answer else None) or ""


def _shown(state: str) -> str:
    if state.startswith("ready "):
        return "it is running an earlier deploy"
    return state or "nothing yet"


def _give_up(settings: Settings, instance: gcp.compute.Instance, state: str) -> None:
    look = "`pulumi stack output open_node` opens a shell there; `sudo logbrook-node status` says what it is doing"
    late = f"after {settings.node_wait_minutes} minutes ({NAMESPACE}:nodeWaitMinutes)"
    if state:
        raise StackError(f"the data node is not ready {late}; it says: {_shown(state)}. {look}. Then deploy again.")
    pulumi.log.warn(
        f"the data node has said nothing {late}: it does not get that far, or guest attributes are forbidden here. "
        f"The deploy continues, and what it starts waits for the node. {look}.",
        instance,
    )
