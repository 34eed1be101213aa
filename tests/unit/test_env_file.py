"""The settings of a stack on this machine, found without any export."""

import os
from pathlib import Path

import pytest

from logbrook import config
from logbrook.errors import ConfigError


def test_the_nearest_env_file_is_found(tmp_path: Path) -> None:
    """In a directory below it; one that is not Logbrook's is passed over."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".env").write_text("# ours\nLOGBROOK_CLICKHOUSE_PASSWORD=secret\n")
    (tmp_path / "a" / ".env").write_text("DJANGO_SECRET=x\nNOT_LOGBROOK_=y\n")

    assert config.find_env_file(below) == tmp_path / ".env"


def test_an_env_file_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write into a directory above ours must not decide where our token is sent."""
    (tmp_path / ".env").write_text("LOGBROOK_GATEWAY_URL=http://elsewhere\n")
    assert config.find_env_file(tmp_path) == tmp_path / ".env"

    owner = (tmp_path / ".env").stat()
    another = os.stat_result((*owner[:4], 12345, *owner[5:]))
    monkeypatch.setattr(Path, "stat", lambda _path, **_: another)

    assert config.find_env_file(tmp_path) is None


def test_a_command_adopts_the_stack_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings become the process's, also if all of the file was exported; a misspelled one is still refused."""
    (tmp_path / ".env").write_text("LOGBROOK_KAFKA_PORT=1\nLOGBROOK_CLICKHOUSE_PASSWORD=secret\nLOGBROOK_TOKEN=t\n")
    exported = {"LOGBROOK_KAFKA_PORT": "1", "LOGBROOK_CLICKHOUSE_PASSWORD": "secret", "LOGBROOK_TOKEN": "mine"}
    for given in ({}, exported):
        monkeypatch.setattr(os, "environ", {"PATH": "/bin", **given})

        assert config.adopt_local_stack(tmp_path) == tmp_path / ".env"
        assert config.load(config.Kafka).bootstrap_servers == "127.0.0.1:1"
        assert config.load(config.ClickHouse).password == "secret"
        assert config.client_variable("LOGBROOK_TOKEN", "") == given.get("LOGBROOK_TOKEN", "t")

    monkeypatch.setitem(os.environ, "LOGBROOK_SCHEMA_RETENTION_DAY", "3")
    config.adopt_local_stack(tmp_path)
    with pytest.raises(ConfigError, match="LOGBROOK_SCHEMA_RETENTION_DAY"):
        config.load(config.Schema)


def test_a_command_for_another_deployment_adopts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever leads elsewhere does so alone: no password of the stack's goes to another server."""
    (tmp_path / ".env").write_text("LOGBROOK_CLICKHOUSE_PASSWORD=secret\n")
    monkeypatch.setattr(os, "environ", {"LOGBROOK_CLICKHOUSE_HOST": "elsewhere"})

    assert config.adopt_local_stack(tmp_path) is None
    assert os.environ == {"LOGBROOK_CLICKHOUSE_HOST": "elsewhere"}


def test_ports_lead_to_addresses() -> None:
    """What moves a process of the stack moves those who look for it; what the service does not know is left out."""
    found = config.of_local_stack(
        {"LOGBROOK_KAFKA_PORT": "1", "LOGBROOK_GATEWAY_PORT": "2", "LOGBROOK_KAFKA_HEAP": "3"}
    )

    assert found["LOGBROOK_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:1"
    assert found["LOGBROOK_GATEWAY_URL"] == "http://127.0.0.1:2"
    assert found["LOGBROOK_CLICKHOUSE_PORT"] == "8123"
    assert not {"LOGBROOK_KAFKA_HEAP", "LOGBROOK_KAFKA_PORT"} & found.keys()
