"""The private network: two subnets, the one static address, who may connect to whom, and the way out."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.render import ALERT_PORT, CLICKHOUSE_PORT, KAFKA_PORT

# Google's Identity-Aware Proxy connects from here, once it knows who is asking.
IAP_RANGE = "35.235.240.0/20"


@dataclass(frozen=True)
class NodeNetwork:
    """Where the data node is, and how it reaches out."""

    subnet: gcp.compute.Subnetwork
    address: gcp.compute.Address
    nat: gcp.compute.RouterNat


class Network(pulumi.ComponentResource):
    """A VPC without any public address. Cloud Run has its own subnet, by which the firewall recognizes it."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Network", "network", None, opts)
        self.settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self.vpc = gcp.compute.Network("vpc", name=settings.name, auto_create_subnetworks=False, opts=self._child)
        self.run_subnet = self._subnet("run", settings.run_subnet)
        self.register_outputs({})

    def for_node(self) -> NodeNetwork:
        """A subnet for the data node alone, its static address, and a way out."""
        subnet = self._subnet("vm", self.settings.vm_subnet)
        return NodeNetwork(subnet, self._address(subnet), self._way_out(subnet))

    def admit(self, node: pulumi.Input[str]) -> None:
        """Let only Cloud Run's subnet and IAP's tunnel reach the data node, identified by its service account."""
        run = [str(KAFKA_PORT), str(CLICKHOUSE_PORT), *([str(ALERT_PORT)] if self.settings.alert_rules else [])]
        self._firewall("run-to-node", run, self.settings.run_subnet, node, "Kafka and ClickHouse, for Cloud Run")
        self._firewall("iap-to-node", ["22"], IAP_RANGE, node, "SSH through Identity-Aware Proxy")

    def vpc_access(self) -> Any:
        """How programs on Cloud Run reach the network: directly, and only with private addresses."""
        interface = {"network": self.vpc.id, "subnetwork": self.run_subnet.id}
        return {"egress": "PRIVATE_RANGES_ONLY", "network_interfaces": [interface]}

    def _subnet(self, name: str, addresses: str) -> gcp.compute.Subnetwork:
        return gcp.compute.Subnetwork(
            f"{name}-subnet",
            name=f"{self.settings.name}-{name}",
            region=self.settings.region,
            network=self.vpc.id,
            ip_cidr_range=addresses,
            private_ip_google_access=True,
            opts=self._child,
        )

    def _address(self, subnet: gcp.compute.Subnetwork) -> gcp.compute.Address:
        return gcp.compute.Address(
            "node-address",
            name=f"{self.settings.name}-node",
            region=self.settings.region,
            address_type="INTERNAL",
            purpose="GCE_ENDPOINT",
            subnetwork=subnet.id,
            address=self.settings.node_address,
            opts=self._child,
        )

    def _way_out(self, subnet: gcp.compute.Subnetwork) -> gcp.compute.RouterNat:
        """For the data node to fetch packages: it can reach out, but can't be reached."""
        where: Any = {"name": self.settings.name, "region": self.settings.region}
        router = gcp.compute.Router("router", network=self.vpc.id, opts=self._child, **where)
        return gcp.compute.RouterNat(
            "nat",
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[{"name": subnet.id, "source_ip_ranges_to_nats": ["PRIMARY_IP_RANGE"]}],
            log_config={"enable": True, "filter": "ERRORS_ONLY"},
            opts=self._child,
            **where,
        )

    def _firewall(self, name: str, ports: list[str], source: str, node: pulumi.Input[str], why: str) -> None:
        gcp.compute.Firewall(
            name,
            name=f"{self.settings.name}-{name}",
            description=why,
            network=self.vpc.id,
            direction="INGRESS",
            allows=[{"protocol": "tcp", "ports": ports}],
            source_ranges=[source],
            target_service_accounts=[node],
            log_config={"metadata": "INCLUDE_ALL_METADATA"},
            opts=self._child,
        )
