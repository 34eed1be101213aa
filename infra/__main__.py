"""The Pulumi program: declares one stack and exports how to use it."""

import gc
import sys
from pathlib import Path

# Pulumi runs this directory as a script: modules are found as `infra.<name>`, here as in the tests.
if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(path for path in sys.path if Path(path or ".").resolve() != here)]
    # All that is imported lives as long as the program: to look for garbage in it takes a quarter of its start.
    gc.disable()

import pulumi

from infra import budget, config, rule_files
from infra.autoscaler import Autoscaler
from infra.cloud_logging import CloudLogging
from infra.consumer import Consumer
from infra.data_node import DataNode
from infra.enforce import enforce
from infra.foundation import Foundation
from infra.gateway_domain import GatewayDomain
from infra.github import GitHub
from infra.grafana import Grafana
from infra.images import Images
from infra.managed import Managed
from infra.monitoring import Monitoring
from infra.network import Network
from infra.outputs import commands
from infra.project import Project
from infra.secret_store import SECRET_KEYS, SecretStore
from infra.services import Gateway, Query


def program() -> None:
    """Declare everything. Raises StackError before anything is declared if the configuration is invalid."""
    settings = config.load(config.of_this_stack(), SECRET_KEYS)
    budget.check(settings)
    rule_files.check(settings)
    # Every component is created with this provider: it waits for the APIs.
    there = pulumi.ResourceOptions(providers=[Project(settings).provider])
    store = SecretStore(settings, pulumi.Config(config.NAMESPACE), there)
    foundation = Foundation(settings, Network(settings, there), Images(settings, store, there), store, there)
    backend = DataNode(foundation, there).backend if settings.on_vm else Managed(foundation, there).backend
    gateway = Gateway(foundation, backend, there)
    domain = GatewayDomain(settings, gateway, there) if settings.gateway_domain else None
    url = pulumi.Output.from_input(domain.url) if domain else gateway.url
    if settings.cloud_logging_filter:
        CloudLogging(foundation, backend, gateway, there)
    query = Query(foundation, backend, there)
    consumer = Consumer(foundation, backend, there)
    if settings.autoscaler:
        Autoscaler(foundation, backend, consumer, there)
    Monitoring(settings, url.apply(lambda url: url.removeprefix("https://")), backend.node_id, there)
    pulumi.export("image", foundation.images.image)
    outputs = commands(settings, url)
    if gateway.grpc:
        outputs["grpc_url"] = domain.url if domain else gateway.grpc.uri
    if domain:
        outputs |= domain.outputs
    if settings.query_iap:
        outputs["explorer_url"] = query.service.uri
        del outputs["open_explorer"]
    if settings.grafana:
        outputs["grafana_url"] = Grafana(foundation, backend, there).url
    if settings.github_repository_id:
        outputs |= GitHub(settings, there).outputs(settings)
    for name, value in outputs.items():
        pulumi.export(name, value)


def main() -> None:
    """The program under its own rules: what `pulumi preview` and `pulumi up` run."""
    enforce(config.load(config.of_this_stack(), SECRET_KEYS))
    program()


if __name__ == "__main__":
    main()
