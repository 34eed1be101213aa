"""An address that does not work is told apart by how it does not work, and blamed once."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from logbrook import config
from logbrook.doctor.contact import at_once
from native import ports
from tests.components import ClickHouseServer
from tests.doctor import holes
from tests.doctor.examining import diagnosed, examined, place


def kafka(address: str, protocol: str = "PLAINTEXT") -> config.Kafka:
    """Settings that lead there."""
    return config.Kafka(bootstrap_servers=address, security_protocol=protocol)


def database(port: int, *, secure: bool = False) -> config.ClickHouse:
    """Settings that lead there."""
    return config.ClickHouse(port=port, password="secret", secure=secure)


def test_a_firewall_or_a_wrong_address_between_cloud_run_and_the_vm() -> None:
    """What is sent to the broker is swallowed: the diagnosis names the firewall rule and the address."""
    with holes.black_hole() as port:
        finding = diagnosed(place(kafka=kafka(f"127.0.0.1:{port}")), "address.dropped")

    assert f"127.0.0.1:{port} (LOGBROOK_KAFKA_BOOTSTRAP_SERVERS)" in finding.text
    assert "run-to-node" in finding.remedy


def test_the_same_for_clickhouse() -> None:
    """The consumer's other way to the VM."""
    with holes.black_hole() as port:
        assert diagnosed(place(clickhouse=database(port)), "address.dropped").check == "clickhouse address"


def test_nothing_listens() -> None:
    """A refusal comes from the machine itself: it is there, and the process is not."""
    [port] = ports.free(1)

    assert diagnosed(place(gateway=f"http://127.0.0.1:{port}"), "address.refused").check == "gateway address"


def test_a_name_that_leads_nowhere() -> None:
    """RFC 6761 keeps `.invalid` free of names."""
    assert "kafka.invalid" in diagnosed(place(kafka=kafka("kafka.invalid:9092")), "address.unresolved").text


def test_no_way_to_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine outside the VPC has no route to its addresses."""

    def unreachable(*_: object, **__: object) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)

    assert "Network is unreachable" in diagnosed(place(query="http://10.10.0.2"), "address.no_route").text


def test_one_bootstrap_server_of_two_is_enough(topic: config.Kafka) -> None:
    """Clients ask the next one, too."""
    [port] = ports.free(1)
    both = replace(topic, bootstrap_servers=f"127.0.0.1:{port},{topic.bootstrap_servers}")

    found = examined(place(kafka=both), "consumers", "probe")

    assert not [each for each in found.values() if each.code]
    assert found["topic"].state == "ok"


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """It is said what is wrong with it."""
    with holes.tls(tmp_path) as port:
        finding = diagnosed(place(gateway=f"https://localhost:{port}"), "tls.untrusted")

    assert "self-signed" in finding.text


def test_tls_to_a_port_that_does_not_speak_it(clickhouse: ClickHouseServer) -> None:
    """The settings say TLS, ClickHouse listens in the clear."""
    diagnosed(place(clickhouse=database(clickhouse.port, secure=True)), "tls.missing")


@pytest.mark.parametrize("part", ["kafka", "clickhouse"])
def test_a_port_that_speaks_tls_and_is_asked_in_the_clear(part: str, tmp_path: Path) -> None:
    """It neither answers nor says why: the doctor tries a handshake."""
    with holes.tls(tmp_path) as port:
        settings = {"kafka": kafka(f"127.0.0.1:{port}"), "clickhouse": database(port)}
        diagnosed(place("", **{part: settings[part]}), "tls.expected")


def test_a_listener_that_never_answers() -> None:
    """Connections are accepted, then nothing: neither a dead check nor a wrong password, but a silent port."""
    with holes.silent() as port:
        diagnosed(place(kafka=kafka(f"127.0.0.1:{port}")), "kafka.silent")
    with holes.silent() as port:
        diagnosed(place(clickhouse=database(port)), "clickhouse.silent")


def test_dockers_port_before_the_container_listens() -> None:
    """Docker accepts for the container and closes: what to look at are the container's logs."""
    with holes.closing() as port:
        assert "docker logs" in diagnosed(place(clickhouse=database(port)), "clickhouse.silent").remedy


def test_work_that_hangs_holds_nobody_up() -> None:
    """What does not return ends at its deadline, whatever runs beside it."""
    with holes.silent() as port, socket.create_connection(("127.0.0.1", port)) as hung:
        read, nothing = at_once(lambda size: hung.recv(size) if size else b"", [1, 0], 0.2)

    assert isinstance(read, TimeoutError)
    assert nothing == b""
