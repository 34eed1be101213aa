"""What a stack needs in a year of operation, each as one command: docs/operations.md says when.

    python -m infra.lifecycle renew-node --stack prod
    python -m infra.lifecycle restore-disk --stack prod --snapshot SNAPSHOT
    python -m infra.lifecycle move-node --stack prod --zone us-central1-b [--lost]
    python -m infra.lifecycle rollback --stack prod [--image IMAGE@sha256:...]

Each ends with `pulumi up`, which shows what it will do and asks (`--yes` does not ask). Protection is lifted only from
what is replaced, and `pulumi up` restores it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from infra.config import DISKS, NAMESPACE, Disk, Settings, full_key
from infra.disks import disk_name
from infra.errors import StackError
from infra.passwords import settings_of

_NODE = f"{NAMESPACE}:infra:DataNode"
# The only one that can be restored separately.
[_CLICKHOUSE] = [disk for disk in DISKS if disk.name == "clickhouse"]


def _urn(stack: str, kind: str, name: str) -> str:
    return f"urn:pulumi:{stack}::{NAMESPACE}::{_NODE}$gcp:compute/{kind}::{name}"


def _run(*words: str) -> None:
    print("$ " + " ".join(words), flush=True)
    subprocess.run(words, check=True)


def _ask(*words: str) -> str:
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


class Stack:
    """One stack, controlled with Pulumi's and Google's commands."""

    def __init__(self, name: str, *, ask: bool) -> None:
        self.name, self.ask = name, ask
        self.settings: Settings = settings_of(name)[0]
        if not self.settings.on_vm:
            raise StackError(f"{name} has no data node: its backend is {self.settings.backend}")
        self.node = f"{self.settings.name}-node"

    def set(self, key: str, value: str) -> None:
        """Set a key in the stack's file, or remove it."""
        command = ["set", key, value] if value else ["rm", key]
        _run("pulumi", "config", command[0], "--stack", self.name, *command[1:])

    def may_replace_node(self) -> None:
        """Lift Google's own protection of the machine; its disks keep theirs."""
        if self.settings.guarded:
            self.compute("instances", "update", self.node, "--no-deletion-protection")

    def may_replace_disk(self, disk: Disk) -> None:
        """Lift Pulumi's protection of one disk, which then stays in the cloud, outside the stack."""
        urn = _urn(self.name, "disk:Disk", f"{disk.name}-disk")
        _run("pulumi", "state", "unprotect", "--yes", "--stack", self.name, urn)

    def compute(self, group: str, verb: str, *words: str) -> None:
        """`gcloud compute` in the node's zone."""
        place = ("--project", self.settings.project, "--zone", self.settings.zone)
        _run("gcloud", "compute", group, verb, *words, *place)

    def up(self, *words: str) -> None:
        """Deploy."""
        _run("pulumi", "up", "--stack", self.name, *([] if self.ask else ["--yes"]), *words)


def renew_node(stack: Stack, _: argparse.Namespace) -> None:
    """A new machine with the newest Debian, with the same disks and the same address."""
    stack.may_replace_node()
    stack.up("--replace", _urn(stack.name, "instance:Instance", "node"))


def restore_disk(stack: Stack, options: argparse.Namespace) -> None:
    """ClickHouse's disk as it was when the snapshot was taken. Kafka's disk has what came since: `logbrook replay`.

    Kafka's disk is never restored alone: Kafka would reuse offsets that ClickHouse has, and new events would count as
    stored.
    """
    _known(stack.settings, options.snapshot)
    stack.set(full_key(_CLICKHOUSE.keys[1]), options.snapshot)
    stack.may_replace_node()
    stack.may_replace_disk(_CLICKHOUSE)
    stack.up()
    print(f"The previous disk still exists: {disk_name(stack.settings, _CLICKHOUSE)}. On the node: logbrook replay")


def move_node(stack: Stack, options: argparse.Namespace) -> None:
    """The node with its data in another zone of the region.

    Its machine is stopped first, so that all disks are from the same moment. If the zone is lost, the machine, which
    has the address, is deleted first; ClickHouse comes from its newest snapshot, and Kafka starts empty: its own
    snapshot would be older than what ClickHouse has stored.
    """
    settings = stack.settings
    if not options.zone.startswith(f"{settings.region}-") or options.zone == settings.zone:
        raise StackError(f"{options.zone} is not another zone of {settings.region}")
    if options.lost:
        snapshots = dict.fromkeys(DISKS, "") | {_CLICKHOUSE: _newest(settings, _CLICKHOUSE)}
        _let_go_of_address(stack)
    else:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        snapshots = {disk: f"{settings.name}-{disk.name}-{now}" for disk in DISKS}
        stack.compute("instances", "stop", stack.node)
        for disk, snapshot in snapshots.items():
            _run(
                *("gcloud", "compute", "snapshots", "create", snapshot, "--project", settings.project),
                *("--source-disk", disk_name(settings, disk), "--source-disk-zone", settings.zone),
            )
        stack.may_replace_node()
    stack.set("gcp:zone", options.zone)
    for disk, snapshot in snapshots.items():
        if snapshot or disk.snapshot(settings):
            stack.set(full_key(disk.keys[1]), snapshot)
    for disk in DISKS:
        stack.may_replace_disk(disk)
    stack.up()
    print(f"The disks in {settings.zone} still exist: delete them with gcloud once everything works")


def _let_go_of_address(stack: Stack) -> None:
    """Delete the lost machine, but not its data disks. This comes first, so that a refusal leaves everything as it was.

    An internal address belongs to a machine as long as the machine exists, running or not, and a second machine that
    asks for it is refused (IP_IN_USE_BY_ANOTHER_RESOURCE): only deleting frees it; `delete-access-config` is for public
    addresses. https://cloud.google.com/sdk/gcloud/reference/compute/instances/delete and delete-access-config (read
    2026-11-28)
    """
    settings = stack.settings
    found = ("--project", settings.project, f"--zones={settings.zone}", f"--filter=name={stack.node}")
    try:
        if _ask("gcloud", "compute", "instances", "list", *found, "--format=value(name)"):
            stack.may_replace_node()
            stack.compute("instances", "delete", stack.node, "--keep-disks=data", "--quiet")
    except subprocess.CalledProcessError as error:
        raise StackError(
            f"Google does not delete {stack.node} in {settings.zone} yet, and as long as it exists, no other machine "
            f"gets its address {settings.node_address}. Nothing else was changed: try again, or wait for the zone"
        ) from error


def rollback(stack: Stack, options: argparse.Namespace) -> None:
    """Deploy the service's previous image everywhere; the tables stay as they are, since migrations only add."""
    stack.set(full_key("image"), options.image or _image_before(stack))
    stack.up()
    print(f"To go forward again: pulumi config rm --stack {stack.name} {full_key('image')}, and make up")


def _known(settings: Settings, snapshot: str) -> None:
    try:
        _ask("gcloud", "compute", "snapshots", "describe", snapshot, "--project", settings.project)
    except subprocess.CalledProcessError as error:
        listed = f"gcloud compute snapshots list --project {settings.project}"
        raise StackError(f"there is no snapshot {snapshot}: {listed}") from error


def _newest(settings: Settings, disk: Disk) -> str:
    source = f"sourceDisk~/zones/{settings.zone}/disks/{disk_name(settings, disk)}$"
    listed = ("gcloud", "compute", "snapshots", "list", "--project", settings.project, "--filter", source)
    found = _ask(*listed, "--sort-by=~creationTimestamp", "--limit=1", "--format=value(name)")
    if not found:
        raise StackError(f"{disk_name(settings, disk)} has no snapshot")
    return found


def _image_before(stack: Stack) -> str:
    """The image that the gateway ran before the deployed one: not one that was only pushed, or that never got ready.

    Each deploy of another image leaves a revision: https://cloud.google.com/run/docs/managing/revisions. The first with
    the deployed image counts, so that a second rollback goes back further.
    """
    settings = stack.settings
    now = _ask("pulumi", "stack", "output", "--stack", stack.name, "image")
    place = ("--project", settings.project, "--region", settings.region)
    service = f"{settings.name}-gateway"
    listed = _ask(
        *("gcloud", "run", "revisions", "list", "--service", service, *place),
        *("--sort-by=~metadata.creationTimestamp", "--format=json"),
    )
    images = [each["spec"]["containers"][0]["image"] for each in json.loads(listed) if _was_ready(each)]
    since = max((number for number, image in enumerate(images) if image == now), default=len(images))
    if since + 1 >= len(images):
        raise StackError(f"{service} ran no image before {now}: name one with IMAGE=...@sha256:...")
    return str(images[since + 1])


def _was_ready(revision: dict[str, Any]) -> bool:
    ready = [each for each in revision["status"].get("conditions", []) if each["type"] == "Ready"]
    return not any(each["status"] == "False" and each.get("reason") != "Retired" for each in ready)


COMMANDS: dict[str, Callable[[Stack, argparse.Namespace], None]] = {
    "renew-node": renew_node,
    "restore-disk": restore_disk,
    "move-node": move_node,
    "rollback": rollback,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; if it can't be done, print a line that says why and return 1."""
    parser = argparse.ArgumentParser(description="Renew, restore, move or roll back a stack.")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--yes", action="store_true", help="do not ask before the deploy")
    parser.add_argument("--snapshot", default="", help="restore-disk: the snapshot of ClickHouse's disk")
    parser.add_argument("--zone", default="", help="move-node: the zone to move to")
    parser.add_argument("--lost", action="store_true", help="move-node: the zone is gone; take the newest snapshot")
    parser.add_argument("--image", default="", help="rollback: the image by digest; the one before this one")
    options = parser.parse_args(arguments)
    for command, name in (("restore-disk", "snapshot"), ("move-node", "zone")):
        if options.command == command and not getattr(options, name):
            parser.error(f"{command} needs --{name} (make {command} {name.upper()}=...)")
    try:
        COMMANDS[options.command](Stack(options.stack, ask=not options.yes), options)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(
            f"error: `{' '.join(error.cmd)}` failed; what was done before it stays, and the command can be repeated",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
