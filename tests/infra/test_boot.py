"""What the data node boots with: the local stack's own compose files, secrets in memory only, an ordered start."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from infra import budget, render
from infra.config import DISKS
from infra.data_node import NODE_SECRETS, SECRETS_FOR_RULES
from tests.infra.engine import settings_of

SETTINGS = settings_of("dev")
MEMORY = budget.node_memory(SETTINGS)
IMAGE = "us-central1-docker.pkg.dev/my-project/logbrook-dev/service@sha256:" + "0" * 64
MIRROR = "us-central1-docker.pkg.dev/my-project/logbrook-dev-mirror"
VARIABLES = render.environment(SETTINGS, MEMORY, IMAGE, MIRROR) | {
    "LOGBROOK_BACKUP_URL": "https://storage.googleapis.com/my-project-logbrook-dev-backups/clickhouse",
    "LOGBROOK_BACKUP_KEY_ID": "GOOG1EXAMPLE",
    "LOGBROOK_BACKUP_FULL_EVERY_DAYS": "7",
}
SECRETS = {
    name: {"version": f"projects/p/secrets/{secret}/versions/1", "as": form, "name": secret}
    for name, (secret, form) in (NODE_SECRETS | SECRETS_FOR_RULES).items()
}
RULES = "rules: []\n"
SCRIPTS = sorted(render.BOOT.glob("*.sh"))


class _Google(BaseHTTPRequestHandler):
    """The metadata server and Secret Manager, as far as the node asks them.

    https://cloud.google.com/compute/docs/metadata/querying-metadata: an ETag names a value, and with
    `wait_for_change=true&last_etag=` the answer comes when it has another.
    """

    bundle = ""
    attributes: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        place, _, query = self.path.partition("?")
        if place.endswith("/attributes/logbrook-bundle") and self.headers["Metadata-Flavor"] == "Google":
            seen = query.rpartition("last_etag=")[2]
            deadline = time.monotonic() + 2
            while "wait_for_change" in query and self._etag() == seen and time.monotonic() < deadline:
                time.sleep(0.02)
            self._answer(self.bundle)
        elif self.path.endswith("/service-accounts/default/token") and self.headers["Metadata-Flavor"] == "Google":
            self._answer(json.dumps({"access_token": "the-nodes-token", "expires_in": 3599}))
        elif self.path.endswith(":access") and self.headers["Authorization"] == "Bearer the-nodes-token":
            # A configuration has more lines than one.
            value = "value-of-" + self.path.split("/")[-3] + ("\n'$x'\n" if "config" in self.path else "")
            self._answer(json.dumps({"payload": {"data": b64encode(value.encode()).decode()}}))
        else:
            self.send_error(403)

    def do_PUT(self) -> None:
        assert self.path == "/computeMetadata/v1/instance/guest-attributes/logbrook/state"
        assert self.headers["Metadata-Flavor"] == "Google"
        self.attributes.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer("")

    def _etag(self) -> str:
        return hashlib.sha256(self.bundle.encode()).hexdigest()[:16]

    def _answer(self, text: str) -> None:
        # Tests end who asks.
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("ETag", self._etag())
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


def _agent(rules: str) -> list[dict[str, Any]]:
    """What Google's agent scrapes on the node."""
    files = json.loads(render.bundle(VARIABLES, SECRETS, "registry", rules))["files"]
    config = yaml.safe_load(files["boot/agent.yaml"])["metrics"]
    assert config["service"]["pipelines"] == {"logbrook": {"receivers": ["logbrook"]}}
    jobs: list[dict[str, Any]] = config["receivers"]["logbrook"]["config"]["scrape_configs"]
    return jobs


@pytest.fixture
def google() -> Iterator[str]:
    """Both servers on one free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Google)
    _Google.attributes.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _programs(directory: Path, **scripts: str) -> str:
    """A PATH on which these programs are the given shell scripts."""
    directory.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = directory / name
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.fixture
def node(tmp_path: Path, google: str) -> Path:
    """A root directory after fetch.py has run there."""
    _Google.bundle = render.bundle(VARIABLES, SECRETS, "us-central1-docker.pkg.dev", RULES)
    _fetch(tmp_path, google)
    return tmp_path


def _fetch(root: Path, google: str) -> None:
    environ = {
        "PATH": _programs(root / "bin", docker=f'printf "%s\\n" "$*" >> {root}/docker; cat >> {root}/docker.stdin'),
        "GCE_METADATA_HOST": google,
        "LOGBROOK_SECRETS_URL": f"http://{google}",
    }
    command = ["python3", "-I", str(render.BOOT / "fetch.py"), str(root)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_node_gets_the_local_stacks_files(node: Path) -> None:
    """Byte for byte what is in this repository: there is one source."""
    for path in ("compose.yaml", "compose.cloud.yaml", "kafka/healthy.sh", "clickhouse/server.xml"):
        assert (node / "opt/logbrook/compose" / path).read_bytes() == (render.ROOT / "compose" / path).read_bytes()


def test_what_compose_mounts_is_in_the_bundle(node: Path) -> None:
    """Each file or directory that a service of the data node mounts from beside compose.yaml is there."""
    for name in ("compose.yaml", "compose.cloud.yaml"):
        document = yaml.safe_load((render.ROOT / "compose" / name).read_text())
        for service in ("zookeeper", "kafka", "clickhouse", "migrate", "access", "alertmanager"):
            for volume in document["services"].get(service, {}).get("volumes", []):
                source = volume.partition(":")[0] if isinstance(volume, str) else ""
                if source.startswith("./"):
                    assert (node / "opt/logbrook/compose" / source).exists(), (service, source)


def test_a_file_that_is_gone_from_the_bundle_goes(node: Path, google: str) -> None:
    """The next fetch leaves exactly what the bundle has, of secrets, too: those of rules that are gone."""
    left_over = node / "opt/logbrook/compose/old.yaml"
    left_over.write_text("services: {}")
    secrets = node / "run/logbrook/secrets"
    assert (secrets / "alertmanager-config").exists()
    _Google.bundle = render.bundle(
        VARIABLES, {name: SECRETS[name] for name in NODE_SECRETS}, "us-central1-docker.pkg.dev"
    )
    _fetch(node, google)
    assert not left_over.exists()
    assert {path.name for path in secrets.iterdir()} == {"clickhouse-admin-password", "backup-key-secret"}


def test_secrets_are_for_root_and_in_memory_only(node: Path) -> None:
    """They are in files below /run; users that log in from elsewhere as hashes; the token in a pipe.

    What Docker would keep on its disk, the environment, has no password of who runs on.
    """
    secrets = node / "run/logbrook/secrets.env"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    lines = dict(line.split("=", 1) for line in secrets.read_text().splitlines())
    assert lines.keys() == SECRETS.keys()
    assert lines["KAFKA_GATEWAY_PASSWORD"] == "'value-of-kafka-gateway-password'"
    hashed = hashlib.sha256(b"value-of-clickhouse-writer-password").hexdigest()
    assert lines["CLICKHOUSE_WRITER_PASSWORD_SHA256"] == f"'{hashed}'"
    names = ("clickhouse-admin-password", "backup-key-secret", "clickhouse-reader-password", "alertmanager-config")
    for name in names:
        file = node / "run/logbrook/secrets" / name
        assert file.read_text().splitlines()[0] == f"value-of-{name}"
        assert f"value-of-{name}" not in secrets.read_text()
        # Not writable for the container's user, which is not root.
        assert stat.S_IMODE(file.stat().st_mode) == 0o444
    for path in (node / "opt").rglob("*"):
        assert not path.is_file() or "value-of-" not in path.read_text()
    assert "the-nodes-token" not in (node / "docker").read_text()
    assert (node / "docker.stdin").read_text() == "the-nodes-token"


def test_every_variable_has_a_use_and_every_use_a_value() -> None:
    """Nothing that is rendered is ignored, and nothing that the node's compose files demand is missing."""
    text = "".join((render.ROOT / "compose" / name).read_text() for name in ("compose.yaml", "compose.cloud.yaml"))
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    demanded = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    given = VARIABLES.keys() | SECRETS.keys() | render.mounted_files({}).keys() | {"MOUNTED_SECRETS"}
    files = {name for name, secret in SECRETS.items() if secret["as"] == "file"}
    assert given - files <= used
    assert all(f"_FILE: /run/secrets/{SECRETS[name]['name']}" in text for name in files)
    assert demanded <= given


@pytest.fixture
def configured(node: Path, compose_cli: list[str]) -> dict[str, Any]:
    """What docker compose makes of the node's files."""
    files = node / "opt/logbrook"
    command = [*compose_cli, "--project-name", "logbrook", "--env-file", str(files / "logbrook.env")]
    command += ["--env-file", str(node / "run/logbrook/secrets.env")]
    command += ["--file", str(files / "compose/compose.yaml"), "--file", str(files / "compose/compose.cloud.yaml")]
    done = subprocess.run([*command, "config", "--format", "json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_compose_runs_the_rendered_file(configured: dict[str, Any]) -> None:
    """Limits are the budget's, images come through the mirror, data is on the disks, logs are rotated."""
    services = configured["services"]
    mib = 2**20
    for name, limit in (
        ("zookeeper", MEMORY.zookeeper_limit),
        ("kafka", MEMORY.kafka_limit),
        ("clickhouse", MEMORY.clickhouse_limit),
        ("alertmanager", budget.ALERTMANAGER_MIB),
        ("alert", budget.ALERT_MIB),
    ):
        service = services[name]
        assert int(service["mem_limit"]) == limit * mib
        assert service["image"].startswith(f"{MIRROR}/") or name == "alert"
        assert service["restart"] == "unless-stopped"
        assert service["logging"]["options"]["max-size"]
    assert f"-Xmx{MEMORY.kafka_heap}m" in services["kafka"]["environment"]["KAFKA_HEAP_OPTS"]
    server = int(services["clickhouse"]["environment"]["CLICKHOUSE_SERVER_MEMORY_BYTES"])
    assert server == MEMORY.clickhouse_server * mib < MEMORY.clickhouse_limit * mib
    binds = {name: each.get("driver_opts", {}) for name, each in configured["volumes"].items()}
    volumes = {name: each["device"] for name, each in binds.items() if each.get("o") == "bind"}
    assert volumes == {name: f"/mnt/logbrook/{disk.name}/{name}" for disk in DISKS for name, _ in disk.directories}
    assert services["migrate"]["image"] == services["access"]["image"] == services["alert"]["image"] == IMAGE


def test_what_runs_on_has_no_password_in_its_environment(configured: dict[str, Any]) -> None:
    """Docker keeps the environment on the boot disk; passwords come from a directory in memory, which must be there."""
    for name in ("zookeeper", "kafka", "clickhouse", "audit", "migrate", "logbrook", "alert", "alertmanager"):
        service = configured["services"].get(name, {"environment": {}})
        assert not [key for key, value in service["environment"].items() if "value-of-" in (value or "")], name
    for name in ("audit", "migrate"):
        service = configured["services"][name]
        assert service["environment"]["LOGBROOK_CLICKHOUSE_PASSWORD_FILE"] == "/run/secrets/clickhouse-admin-password"
        [mount] = [each for each in service["volumes"] if each["target"] == "/run/secrets"]
        assert mount["source"] == "/run/logbrook/secrets"
        assert mount["read_only"]
        assert not mount["bind"].get("create_host_path")


def test_a_changed_file_makes_its_service_anew(configured: dict[str, Any]) -> None:
    """What Compose compares, a label, changes with what the service mounts, and with nothing else."""
    files = render.compose_files(RULES)
    before = render.mounted_files(files)
    after = render.mounted_files(files | {"compose/kafka/log4j.properties": "changed"})
    assert [name for name in before if before[name] != after[name]] == ["MOUNTED_FILES_KAFKA"]
    after = render.mounted_files(render.compose_files("rules: []  # changed\n"))
    assert [name for name in before if before[name] != after[name]] == ["MOUNTED_FILES_ALERT"]
    for service in ("zookeeper", "kafka", "clickhouse", "alertmanager", "alert"):
        label = configured["services"][service]["labels"]["logbrook.mounted-files"]
        assert label == before[f"MOUNTED_FILES_{service.upper()}"]


def test_alerts_run_as_the_reader_and_see_one_secret_each(configured: dict[str, Any]) -> None:
    """The evaluator has the reader's password, Alertmanager its configuration; neither what opens anything else.

    Where they keep their state, they may write: on ClickHouse's disk, each as the user that its image has.
    """
    alert, alertmanager = configured["services"]["alert"], configured["services"]["alertmanager"]
    for service, name in ((alert, "clickhouse-reader-password"), (alertmanager, "alertmanager-config")):
        [mount] = [each for each in service["volumes"] if each["target"].startswith("/run")]
        assert mount["target"] in service["environment"].values()
        assert (mount["source"], mount["target"]) == (f"/run/logbrook/secrets/{name}", f"/run/secrets/{name}")
        assert mount["read_only"]
        assert not mount["bind"].get("create_host_path")
    assert alert["environment"]["LOGBROOK_CLICKHOUSE_USERNAME"] == "reader"
    [rules] = [each for each in alert["volumes"] if each["target"] == alert["environment"]["LOGBROOK_ALERT_RULES"]]
    assert Path(rules["source"]).read_text() == RULES
    [scraped] = alertmanager["ports"]
    assert scraped["host_ip"] == "127.0.0.1"
    ports = {(each["host_ip"], int(each["published"])) for each in alert["ports"]}
    assert ports == {(SETTINGS.node_address, render.ALERT_PORT), ("127.0.0.1", render.ALERT_PORT)}
    assert alert["environment"]["LOGBROOK_ALERT_EXPLORER_URL"] == "http://localhost:8080"
    owners = {name: f"{owner}:{owner}" for disk in DISKS for name, owner in disk.directories}
    for service in (alert, alertmanager):
        for each in service["volumes"]:
            assert each.get("source") not in owners or service["user"] == owners[each["source"]]


def test_two_listeners(configured: dict[str, Any]) -> None:
    """Inside, the compose network's name; for Cloud Run, the static address with SASL. No right without an ACL.

    Every published port leads to the one that asks for a password: nobody is a superuser by being on the node.
    """
    environment = configured["services"]["kafka"]["environment"]
    advertised = dict(each.split("://") for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised["INTERNAL"] == "kafka:29092"
    assert advertised["VPC"] == f"{SETTINGS.node_address}:9094" == f"{SETTINGS.node_address}:{render.KAFKA_PORT}"
    protocols = dict(each.split(":") for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert protocols["VPC"] == "SASL_PLAINTEXT"
    assert advertised.keys() == protocols.keys()
    assert environment["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    listeners = dict(each.split("://") for each in environment["KAFKA_LISTENERS"].split(","))
    assert listeners.keys() == advertised.keys()
    vpc = int(listeners["VPC"].partition(":")[2])
    ports = {(each["host_ip"], each["published"], each["target"]) for each in configured["services"]["kafka"]["ports"]}
    assert ports == {("127.0.0.1", "9092", vpc), ("127.0.0.1", "9404", 9404), (SETTINGS.node_address, "9094", vpc)}
    assert "PLAINTEXT" not in {protocols[name] for name in protocols.keys() - {"INTERNAL"}}


@pytest.mark.parametrize("rules", ["", RULES], ids=["without rules", "with rules"])
def test_the_agent_scrapes_what_runs_on_loopback(configured: dict[str, Any], rules: str) -> None:
    """Each of its targets is a port that the node publishes to itself, and ZooKeeper publishes nothing besides.

    Without rules, neither their evaluator nor Alertmanager runs: scraping them would be an alert without a cause.
    """
    published = {
        f"{port['host_ip']}:{port['published']}": (name, port["target"])
        for name in ("zookeeper", "kafka", "clickhouse", "audit", "alert", "alertmanager")
        for port in configured["services"][name]["ports"]
    }
    asked = {each["job_name"]: published[each["static_configs"][0]["targets"][0]] for each in _agent(rules)}

    for_rules = {"alert": ("alert", 9466), "alertmanager": ("alertmanager", 9093)} if rules else {}
    assert asked == for_rules | {
        "zookeeper": ("zookeeper", 9404),
        "kafka": ("kafka", 9404),
        "clickhouse": ("clickhouse", 9363),
        "audit": ("audit", 9464),
    }
    assert [port["host_ip"] for port in configured["services"]["zookeeper"]["ports"]] == ["127.0.0.1"]


def test_the_agent_keeps_what_rules_and_dashboards_use() -> None:
    """A name of these servers that an alert or a panel mentions is sent on."""
    places = [
        render.ROOT / "compose/prometheus/rules.yml",
        *(render.ROOT / "compose/grafana/dashboards").glob("*.json"),
    ]
    text = "".join(path.read_text() for path in places)
    kept = [re.compile(each["metric_relabel_configs"][0]["regex"]) for each in _agent(RULES)]
    used = set(re.findall(r"\b(?:kafka_|zookeeper_|ClickHouse[A-Z]\w+_|process_resident)\w+", text))

    assert len(used) > 20
    assert not [name for name in used if not any(pattern.fullmatch(name) for pattern in kept)]


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_shellcheck(script: Path) -> None:
    """Each script of the boot passes shellcheck."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about any of them."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze on PATH")
    units = [path for path in render.BOOT.iterdir() if path.suffix in (".service", ".timer")]
    for unit in units:
        # The one program that is not on every machine.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/local/bin/logbrook", "/usr/bin/true"))
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert len(units) > 5
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_services_outlive_dockers_restart() -> None:
    """An unattended upgrade restarts Docker: containers go on. What stops them in order is a unit of its own."""
    assert json.loads((render.BOOT / "daemon.json").read_text())["live-restore"] is True
    assert "ExecStop=" in (render.BOOT / "logbrook-shutdown.service").read_text()


def test_metadata_has_room() -> None:
    """The bundle is far below what one metadata value may have, and too large a one is refused."""
    assert len(render.bundle(VARIABLES, SECRETS, "registry")) < render.MAX_METADATA_BYTES / 2
    with pytest.raises(ValueError, match="bytes of metadata"):
        render.bundle({"X": "x" * render.MAX_METADATA_BYTES}, SECRETS, "registry")
