"""What the Compose file promises, read from the file alone: these tests need no Docker and always run."""

import re
from typing import Any

import pytest
import yaml

from logbrook import config
from tests.compose.compose_file import (
    COMPOSE_FILE,
    REQUIRED,
    ROOT,
    STAND_IN_FILE,
    MissingVariableError,
    dependencies,
    load,
    mebibytes,
    services,
)

SERVICES = services()
# Asked while it is there, and waited for by nobody.
SOFT = {("query", "prometheus"), ("query", "alert"), ("alert", "alertmanager")}
# They run once and end; whoever needs them waits for their success.
ONE_SHOT = {"migrate", "spool"}
LONG_RUNNING = sorted(set(SERVICES) - ONE_SHOT)
# Their images have no program that could check their health: compose/images.yaml.
UNCHECKED = {"otelcol"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment, every value as text."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


@pytest.mark.parametrize(("name", "needed", "condition"), list(dependencies()))
def test_each_dependency_is_a_condition(name: str, needed: str, condition: str) -> None:
    """Nobody starts because something else merely started: it is healthy, or has done its work."""
    assert needed in SERVICES
    assert condition == ("service_completed_successfully" if needed in ONE_SHOT else "service_healthy"), name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_talks_to_a_service_waits_for_it(name: str) -> None:
    """Each host name that a service's settings mention is a service that it waits for, directly or through others."""
    graph: dict[str, set[str]] = {each: set() for each in SERVICES}
    for service, needed, _ in dependencies():
        graph[service].add(needed)
    waits_for = {name}  # a broker also mentions itself
    while more := set().union(*(graph[each] for each in waits_for)) - waits_for:
        waits_for |= more

    mentioned = {
        other
        for other in SERVICES
        for value in environment(SERVICES[name]).values()
        if re.search(rf"(^|//|,){other}(:\d+|$)", value)
    }

    assert {other for other in mentioned if (name, other) not in SOFT} <= waits_for


def test_the_consumer_waits_for_tables_and_topic() -> None:
    """The consumer starts once migrate has made the tables and the topic; so does the gateway."""
    edges = set(dependencies())

    assert ("consumer", "migrate", "service_completed_successfully") in edges
    assert ("gateway", "migrate", "service_completed_successfully") in edges
    assert ("kafka", "zookeeper", "service_healthy") in edges


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_port_is_published_on_loopback(name: str) -> None:
    """Nothing of the stack is reachable from another machine unless somebody sets the address."""
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)

    for port in services(REQUIRED | {"LOGBROOK_BIND_ADDRESS": "10.0.0.5"})[name].get("ports", []):
        assert port.startswith("10.0.0.5:")


def test_a_web_page_reads_nothing_that_has_no_password() -> None:
    """Prometheus refuses other origins, Alertmanager can't be reached, and Grafana answers under its own name only.

    https://github.com/prometheus/prometheus/blob/0d5a682b30e3539ad74d9bb6f3224cdc6774d49a/util/httputil/cors.go
    https://github.com/grafana/grafana/blob/ab59f3cb1a71e3f7b31fe71b0d19b5754733c640/pkg/api/http_server.go
    """
    grafana = environment(SERVICES["grafana"])

    assert "--web.cors.origin=none" in SERVICES["prometheus"]["command"]
    assert "ports" not in SERVICES["alertmanager"]
    assert (grafana["GF_SERVER_DOMAIN"], grafana["GF_SERVER_ENFORCE_DOMAIN"]) == ("localhost", "true")


def test_the_consumer_can_be_scaled() -> None:
    """Three consumers run side by side: none has a fixed name or a port on the host."""
    assert not {"ports", "container_name", "hostname"} & set(SERVICES["consumer"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_memory_limit_of_its_own(name: str) -> None:
    """The limit is LOGBROOK_<SERVICE>_MEMORY, so that infra's budget and the local defaults have one source."""
    given = services(REQUIRED | {f"LOGBROOK_{name.upper()}_MEMORY": "123m"})

    assert given[name]["mem_limit"] == "123m"
    assert mebibytes(SERVICES[name]["mem_limit"]) >= 128


def test_the_default_limits_fit_each_other() -> None:
    """Heaps and ClickHouse's own limits stay below those of their containers: nothing is killed by its defaults."""
    limit = {name: mebibytes(service["mem_limit"]) for name, service in SERVICES.items()}
    heap = {
        name: mebibytes(environment(SERVICES[name])["KAFKA_HEAP_OPTS"].rpartition("-Xmx")[2])
        for name in ("zookeeper", "kafka")
    }
    clickhouse = {
        name: int(value) / 2**20
        for name, value in environment(SERVICES["clickhouse"]).items()
        if name.endswith("_BYTES")
    }
    server = clickhouse["CLICKHOUSE_SERVER_MEMORY_BYTES"]
    query = clickhouse["CLICKHOUSE_QUERY_MEMORY_BYTES"]

    assert limit["zookeeper"] >= heap["zookeeper"] + 128
    assert limit["kafka"] >= 1.25 * heap["kafka"] + 256
    assert 1024 <= server <= 0.85 * limit["clickhouse"]
    assert query <= min(server / 2, server - 512)
    assert clickhouse["CLICKHOUSE_SPILL_BYTES"] <= query / 2
    assert 64 <= clickhouse["CLICKHOUSE_MARK_CACHE_BYTES"] <= server / 20


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_service_comes_back(name: str) -> None:
    """A process that dies is started again, and its health is checked where something in its image can."""
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    if name in UNCHECKED:
        assert service["healthcheck"] == {"disable": True}
        return
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_a_one_shot_fails_for_all_to_see(name: str) -> None:
    """What runs once isn't tried again behind the back of `up`, which reports its failure."""
    assert SERVICES[name]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_can_do_little(name: str) -> None:
    """Not root, no capabilities, no way to gain any, a read-only image, bounded processes and log files."""
    service = SERVICES[name]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 4096
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & set(service)


def test_there_is_no_default_password() -> None:
    """Without a password nothing starts, and the message says what makes one."""
    with pytest.raises(MissingVariableError, match="LOGBROOK_CLICKHOUSE_PASSWORD: run make local-up"):
        load(environ={})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned(name: str) -> None:
    """An image is either built here or named with a full version."""
    service = SERVICES[name]

    if "build" in service:
        assert service["image"].startswith("logbrook:")
    else:
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"])


def test_data_is_kept_in_named_volumes() -> None:
    """What must survive `down` lies in volumes with a name; every volume that is declared is used."""
    used = {
        volume.split(":")[0]: volume.split(":")[1]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "/"))
    }

    assert set(used) == set(load()["volumes"])
    assert {"/var/lib/zookeeper/data", "/var/lib/zookeeper/log", "/var/lib/kafka/data", "/var/lib/clickhouse"} <= set(
        used.values()
    )


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_configuration_files_exist_and_are_read_only(name: str) -> None:
    """A mounted file that is missing would become an empty directory; none can be changed from a container."""
    for volume in SERVICES[name].get("volumes", []):
        if volume.startswith((".", "/")):
            source, _, mode = volume.split(":")
            assert (COMPOSE_FILE.parent / source).exists()
            assert mode == "ro"


@pytest.mark.parametrize("name", sorted(name for name in SERVICES if "build" in SERVICES[name]))
def test_our_processes_know_their_settings(name: str) -> None:
    """A variable that the service doesn't know would stop it at start; each value has the type that it wants."""
    given = environment(SERVICES[name])

    for section in config.SECTIONS:
        config.load(section, {"LOGBROOK_CLICKHOUSE_PASSWORD": "x"} | given)


def test_the_brokers_listeners_name_hosts_that_clients_can_reach() -> None:
    """Containers are sent to kafka:29092, programs on this machine to the port that is published for them."""
    broker = environment(services(REQUIRED | {"LOGBROOK_KAFKA_PORT": "19092"})["kafka"])

    advertised = dict(each.split("://") for each in broker["KAFKA_ADVERTISED_LISTENERS"].split(","))

    assert advertised == {"INTERNAL": "kafka:29092", "HOST": "127.0.0.1:19092"}
    assert environment(SERVICES["gateway"])["LOGBROOK_KAFKA_BOOTSTRAP_SERVERS"] == advertised["INTERNAL"]


def test_the_stand_in_override_replaces_images_only() -> None:
    """The engine tests run the file that users run: their override may name other images, and nothing else."""
    override = yaml.safe_load(STAND_IN_FILE.read_text())

    assert set(override) == {"services"}
    for name, service in override["services"].items():
        assert name in SERVICES
        assert set(service) == {"image"}


def test_all_own_logs_are_shipped() -> None:
    """Whatever writes a file into the volume of own logs is followed, and what is followed is written by somebody."""
    written = {"/var/log/logbrook/zookeeper.log", "/var/log/logbrook/kafka.log"} | {
        log for service in SERVICES.values() if (log := environment(service).get("LOGBROOK_LOG_FILE"))
    }

    followed = {word.removeprefix("--file=") for word in SERVICES["ship"]["command"] if word.startswith("--file=")}

    assert followed == written


def test_every_variable_is_documented_with_its_default() -> None:
    """docs/compose.md lists what the file asks for, and nothing that it doesn't; images without their digests."""
    used = dict(re.findall(r"\$\{(\w+):[-?]([^}]*)\}", COMPOSE_FILE.read_text()))
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "docs" / "compose.md").read_text(), re.MULTILINE)

    documented = {name: default.strip("`") for name, default in rows}

    assert set(documented) == set(used)
    for name in set(used) - set(REQUIRED):
        assert documented[name] == (used[name].partition("@")[0] or "empty"), name
