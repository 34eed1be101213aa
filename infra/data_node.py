"""The one VM with ZooKeeper, Kafka and ClickHouse: the local stack's compose files on persistent disks."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import backups, budget, disks, node_state, render, rule_files
from infra.backend import Backend
from infra.backups import Backups
from infra.config import DISKS
from infra.foundation import Foundation
from infra.identity import Identity
from infra.network import NodeNetwork
from infra.secret_store import ALERTMANAGER

BOOT_IMAGE = "debian-cloud/debian-13"
# Variables of compose.cloud.yaml and the secrets behind them: as they are, as their hash, or in a file with the
# secret's name. ClickHouse gets hashes: users who only log in from elsewhere have no plain-text password here.
NODE_SECRETS = {
    "LOGBROOK_CLICKHOUSE_PASSWORD": ("clickhouse-admin-password", "file"),
    "CLICKHOUSE_PASSWORD_SHA256": ("clickhouse-admin-password", "sha256"),
    "CLICKHOUSE_WRITER_PASSWORD_SHA256": ("clickhouse-writer-password", "sha256"),
    "CLICKHOUSE_READER_PASSWORD_SHA256": ("clickhouse-reader-password", "sha256"),
    "CLICKHOUSE_VIEWS_PASSWORD_SHA256": ("clickhouse-views-password", "sha256"),
    "KAFKA_GATEWAY_PASSWORD": ("kafka-gateway-password", "plain"),
    "KAFKA_CONSUMER_PASSWORD": ("kafka-consumer-password", "plain"),
    "KAFKA_AUTOSCALER_PASSWORD": ("kafka-autoscaler-password", "plain"),
    "LOGBROOK_BACKUP_KEY_SECRET": (backups.SECRET, "file"),
}
# The same for the evaluator of alert rules and for Alertmanager, which run only where there are rules.
SECRETS_FOR_RULES = {
    "LOGBROOK_ALERT_CLICKHOUSE_PASSWORD": ("clickhouse-reader-password", "file"),
    "LOGBROOK_ALERTMANAGER_CONFIG": (ALERTMANAGER.name, "file"),
}


class DataNode(pulumi.ComponentResource):
    """`backend` says how to reach what runs on it."""

    def __init__(self, foundation: Foundation, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:DataNode", "data-node", None, opts)
        settings = foundation.settings
        network = foundation.network.for_node()
        self.settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.backups = Backups(settings, foundation.store, self._child)
        identity = Identity(settings, "node", "the data node", self._child)
        foundation.network.admit(identity.email)
        before: list[pulumi.Resource] = [
            *foundation.rights(identity, "roles/logging.logWriter", "roles/monitoring.metricWriter"),
            *self.backups.ready,
            # The first thing it does is fetch packages.
            network.nat,
        ]
        self.disks = {disk.name: disks.declare(settings, disk, self._child) for disk in DISKS}
        self._snapshots()
        bundle = self._bundle(foundation)
        self.instance = self._instance(network, identity, self._metadata(bundle), before)
        self._administrators(identity)
        self.backend = Backend(
            kafka_bootstrap=network.address.address.apply(lambda address: f"{address}:{render.KAFKA_PORT}"),
            kafka_partitions=settings.kafka_partitions,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-512",
            clickhouse_host=settings.node_address,
            clickhouse_port=render.CLICKHOUSE_PORT,
            clickhouse_secure=False,
            ready=(node_state.serving(settings, self.instance),),
            node_id=self.instance.instance_id,
        )
        self.register_outputs({"address": network.address.address})

    def _snapshots(self) -> None:
        policy = gcp.compute.ResourcePolicy(
            "snapshots",
            name=f"{self.settings.name}-daily",
            region=self.settings.region,
            snapshot_schedule_policy={
                "schedule": {"daily_schedule": {"days_in_cycle": 1, "start_time": "03:00"}},
                "retention_policy": {
                    "max_retention_days": self.settings.snapshot_days,
                    "on_source_disk_delete": "KEEP_AUTO_SNAPSHOTS",
                },
                "snapshot_properties": {"storage_locations": self.settings.region},
            },
            opts=self._child,
        )
        for name, disk in self.disks.items():
            gcp.compute.DiskResourcePolicyAttachment(
                f"{name}-snapshots", name=policy.name, disk=disk.name, zone=self.settings.zone, opts=self._child
            )

    def _bundle(self, foundation: Foundation) -> pulumi.Output[str]:
        """The machine's files. They have names of secrets, never secrets: everyone who may view the VM sees this."""
        images, store = foundation.images, foundation.store
        memory = budget.node_memory(self.settings)
        rules = rule_files.text(self.settings, "alert_rules")
        wanted = NODE_SECRETS | (SECRETS_FOR_RULES if rules else {})
        versions = {variable: store.versions[name].name for variable, (name, _) in wanted.items()}
        # Links in alerts. The explorer is made after the node, but its address is known.
        explorer: pulumi.Input[str] = ""
        if rules and self.settings.query_iap:
            explorer = foundation.iap.url(f"{self.settings.name}-query")

        def bundle(values: dict[str, Any]) -> str:
            variables = render.environment(self.settings, memory, values["image"], images.mirror) | {
                "LOGBROOK_BACKUP_URL": values["url"],
                "LOGBROOK_BACKUP_KEY_ID": values["key_id"],
                "LOGBROOK_BACKUP_FULL_EVERY_DAYS": str(backups.FULL_EVERY_DAYS),
                "LOGBROOK_ALERT_EXPLORER_URL": values["explorer"],
            }
            secrets = {
                variable: {"version": values["versions"][variable], "as": form, "name": name}
                for variable, (name, form) in wanted.items()
            }
            return render.bundle(variables, secrets, images.registry, rules)

        return pulumi.Output.all(
            image=images.image, versions=versions, url=self.backups.url, key_id=self.backups.key_id, explorer=explorer
        ).apply(bundle)

    def _metadata(self, bundle: pulumi.Output[str]) -> dict[str, pulumi.Input[str]]:
        return {
            "startup-script": render.startup_script(),
            "logbrook-bundle": bundle,
            # The node reports there that it is ready:
            # https://cloud.google.com/compute/docs/metadata/manage-guest-attributes (read 2026-11-28).
            "enable-guest-attributes": "TRUE",
            "enable-oslogin": "TRUE",
            "block-project-ssh-keys": "TRUE",
            "serial-port-enable": "FALSE",
            "serial-port-logging-enable": "TRUE",
        }

    def _instance(
        self,
        network: NodeNetwork,
        identity: Identity,
        metadata: dict[str, pulumi.Input[str]],
        before: list[pulumi.Resource],
    ) -> gcp.compute.Instance:
        return gcp.compute.Instance(
            "node",
            name=f"{self.settings.name}-node",
            zone=self.settings.zone,
            machine_type=self.settings.machine_type,
            # Changing the machine type means stop, resize, start; the disks stay.
            allow_stopping_for_update=True,
            deletion_protection=self.settings.guarded,
            boot_disk={
                "auto_delete": True,
                "initialize_params": {"image": BOOT_IMAGE, "size": 20, "type": "pd-balanced"},
            },
            attached_disks=[
                {"source": disk.id, "device_name": f"logbrook-{name}", "mode": "READ_WRITE"}
                for name, disk in self.disks.items()
            ],
            # No access_configs: no public address.
            network_interfaces=[{"subnetwork": network.subnet.id, "network_ip": network.address.address}],
            metadata=metadata,
            # Secret Manager accepts only this scope: the account's rights limit it, and containers do not get its token
            # (guard in boot/node.sh). https://cloud.google.com/secret-manager/docs/accessing-the-api (read 2026-11-28)
            service_account={"email": identity.email, "scopes": ["cloud-platform"]},
            shielded_instance_config={
                "enable_secure_boot": True,
                "enable_vtpm": True,
                "enable_integrity_monitoring": True,
            },
            scheduling={"automatic_restart": True, "on_host_maintenance": "MIGRATE"},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=before,
                # The name and the address are taken, so the old machine is deleted first. Its data is on separate
                # disks.
                delete_before_replace=True,
                # A disk is not replaced under what is running on it.
                replace_with=list(self.disks.values()),
                # A newer Debian is for new machines: `make renew-node`.
                ignore_changes=["bootDisk.initializeParams.image"],
            ),
        )

    def _administrators(self, identity: Identity) -> None:
        """Who may log in: through the tunnel, as themselves, to this machine."""
        for number, member in enumerate(self.settings.ssh_users):
            gcp.iap.TunnelInstanceIAMMember(
                f"tunnel-{number}",
                zone=self.settings.zone,
                instance=self.instance.name,
                role="roles/iap.tunnelResourceAccessor",
                member=member,
                opts=self._child,
            )
            gcp.compute.InstanceIAMMember(
                f"login-{number}",
                zone=self.settings.zone,
                instance_name=self.instance.name,
                role="roles/compute.osAdminLogin",
                member=member,
                opts=self._child,
            )
            identity.may_be_used_by(f"administrator-{number}", member)
