"""Secrets and settings of the local stack."""

import hashlib
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from native import brokers, environment
from native.failure import Failure
from native.stack import services
from tests.components import REPOSITORY


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from outside."""
    for name in ("LOGBROOK_TOKEN", "LOGBROOK_GATEWAY_TOKENS", "LOGBROOK_CLICKHOUSE_PASSWORD", "LOGBROOK_KAFKA_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """The first start makes them, the next ones read them."""
    first = environment.load(tmp_path)
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_text()
    second = environment.load(tmp_path)
    assert path.read_text() == written
    assert first.password == second.password
    passwords = [first.password, first.reader_password, first.views_password]
    assert len({*passwords, first.variables["LOGBROOK_TOKEN"]}) == 4
    assert min(map(len, passwords)) >= 32


def test_the_gateway_knows_the_tokens_hash_only(tmp_path: Path) -> None:
    """The token's SHA-256, under the name of the source `local`."""
    found = environment.load(tmp_path).variables
    digest = hashlib.sha256(found["LOGBROOK_TOKEN"].encode()).hexdigest()
    assert found["LOGBROOK_GATEWAY_TOKENS"] == f"local={digest}"


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    """A file that lacks some secrets gets those alone; own tokens are not paired with a generated one."""
    path = tmp_path / ".env"
    path.write_text("# mine\nLOGBROOK_CLICKHOUSE_PASSWORD='chosen'\nLOGBROOK_GATEWAY_TOKENS=me=abc\n")
    found = environment.load(tmp_path)
    assert found.password == "chosen"
    assert "LOGBROOK_TOKEN" not in found.variables
    assert path.read_text().startswith("# mine\nLOGBROOK_CLICKHOUSE_PASSWORD='chosen'\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Compose."""
    monkeypatch.setenv("LOGBROOK_KAFKA_PORT", "19092")
    monkeypatch.setenv("LOGBROOK_CLICKHOUSE_PASSWORD", "from outside")
    found = environment.load(tmp_path)
    assert (found.ports.kafka, found.password) == (19092, "from outside")
    assert found.for_service()["LOGBROOK_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"


def test_processes_get_their_own_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service does not know is not handed to it: it would refuse to start."""
    monkeypatch.setenv("LOGBROOK_KAFKA_PORT", "19092")
    monkeypatch.setenv("LOGBROOK_CONSUMER_GROUP", "mine")
    given = environment.load(tmp_path).for_service()
    assert given["LOGBROOK_CONSUMER_GROUP"] == "mine"
    assert "LOGBROOK_KAFKA_PORT" not in given
    assert environment.READER_PASSWORD not in given


def test_no_process_gets_a_secret_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets into the gateway or the shipper does not find ClickHouse's password there."""
    monkeypatch.setenv("LOGBROOK_BACKUP_KEY_SECRET", "of-the-bucket")
    (tmp_path / "jmx_prometheus_javaagent-1.jar").touch()
    settings = environment.load(tmp_path)
    secrets = {
        settings.password: "clickhouse", settings.reader_password: "reader", "of-the-bucket": "bucket",
        settings.views_password: "views",
        settings.variables["LOGBROOK_TOKEN"]: "token", settings.variables["LOGBROOK_GATEWAY_TOKENS"]: "digests",
    }  # fmt: skip

    given = {
        service.name: {name for value, name in secrets.items() if value in service.environment.values()}
        for service in services(settings, tmp_path)
        if service.environment
    }

    assert given == {
        "clickhouse": {"clickhouse", "reader", "views"}, "migrate": {"clickhouse"}, "gateway": {"digests"},
        "consumer": {"clickhouse"}, "query": {"reader", "views"}, "alert": {"reader"},
        "audit": {"clickhouse", "bucket"}, "ship": {"token"},
    }  # fmt: skip


def test_a_misspelled_variable_is_noticed(tmp_path: Path) -> None:
    """With the one that was probably meant; what the processes, the stack, or Compose read is known."""
    file = tmp_path / ".env"
    known = ("LOGBROOK_ALERT_RULES", "LOGBROOK_AUDIT_PORT", "LOGBROOK_KAFKA_MEMORY", "COMPOSE_PROFILES")
    file.write_text("".join(f"{name}=1\n" for name in (*known, "LOGBROOK_GATEWAY_PROT", "LOGBROOK_X")))
    assert environment.unread(file) == {"LOGBROOK_GATEWAY_PROT": "LOGBROOK_GATEWAY_PORT", "LOGBROOK_X": ""}


def test_alert_rules_are_tried_as_the_reader(tmp_path: Path) -> None:
    """`run alert test` and `run query` log in as the user whom they accept."""
    settings = environment.load(tmp_path)
    assert settings.reader == {
        "LOGBROOK_CLICKHOUSE_USERNAME": "reader",
        "LOGBROOK_CLICKHOUSE_PASSWORD": settings.reader_password,
    }


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "-1"])
def test_a_port_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message names the variable."""
    monkeypatch.setenv("LOGBROOK_KAFKA_PORT", text)
    with pytest.raises(Failure, match="LOGBROOK_KAFKA_PORT"):
        _ = environment.load(tmp_path).ports


@pytest.mark.parametrize("start", [brokers.zookeeper, partial(brokers.kafka, zookeeper_port=2181)])
def test_others_of_this_machine_can_not_read_the_data(
    tmp_path: Path, start: Callable[[Path, Path, int], object]
) -> None:
    """Kafka's files are raw logs: the folder that they are in is closed, also one that an older version left open."""
    (tmp_path / "own" / "data").mkdir(parents=True)

    start(tmp_path / "own", tmp_path, 9092)

    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_the_local_stack_has_all_that_the_service_needs() -> None:
    """Each package that the service pins is pinned for the local stack, too, in the same version."""
    pins = [
        set(re.findall(r"^([\w.-]+==\S+)", (REPOSITORY / place / "requirements.txt").read_text(), re.MULTILINE))
        for place in ("service", "compose/native")
    ]
    assert pins[0] <= pins[1]
