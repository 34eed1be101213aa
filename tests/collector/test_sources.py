"""compose/collector: what each source sends becomes these events, in the real Collector."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest
from fluent import sender

from tests.collector.collector import CONFIGURATIONS, Gateway, ready, running
from tests.collector.conftest import Edge
from tests.components import until
from tests.recipes import BLOCKS, rsyslog

LINE = '<165>1 2026-11-28T09:15:02.417Z web-1 nginx 4711 ID47 [origin@32473 ip="203.0.113.9"] a line of RFC 5424'
OLD_LINE = "<34>Nov 28 09:15:02 web-1 sshd[24]: a line of RFC 3164"
LONG = "x" * 40_000


def arrived(gateway: Gateway, count: int, which: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The events of a kind, once there are so many."""

    def found() -> list[dict[str, Any]]:
        return [event for event in gateway.events if which(event)]

    until(lambda: len(found()) >= count)
    assert len(found()) == count
    return found()


def of_host(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is of a host."""
    return lambda event: event.get("resource", {}).get("host.name") == name


def send(host: str, port: int, content: bytes) -> None:
    """Send over one connection, and close it."""
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(content)


def test_files(edge: Edge) -> None:
    """A file's lines are events of the service that it is named after."""
    (edge.files / "cart.2026.log").write_text("first line\nsecond line\n")

    events = arrived(edge.gateway, 2, lambda event: event.get("resource") == {"service.name": "cart"})

    assert [event["body"] for event in events] == ["first line", "second line"]


def test_syslog_of_both_kinds_on_one_port(edge: Edge) -> None:
    """Lines of RFC 5424 and RFC 3164 in one connection: time, severity, host, program, structured data."""
    send(edge.host, 5514, f"{LINE}\n{OLD_LINE}\nneither of them\n".encode())

    new, old = arrived(edge.gateway, 2, of_host("web-1"))
    [other] = arrived(edge.gateway, 1, lambda event: event["body"] == "neither of them")

    assert new["resource"] == {"service.name": "nginx", "host.name": "web-1"}
    assert (new["body"], new["severity_text"]) == ("a line of RFC 5424", "notice")
    assert new["timestamp"] == nanoseconds(2026, 11, 28, 9, 15, 2, 417_000)
    assert new["attributes"]["structured_data"] == {"origin@32473": {"ip": "203.0.113.9"}}
    assert (new["attributes"]["proc_id"], new["attributes"]["msg_id"]) == ("4711", "ID47")
    assert old["resource"] == {"service.name": "sshd", "host.name": "web-1"}
    assert (old["body"], old["severity_text"]) == ("a line of RFC 3164", "crit")
    assert "resource" not in other


def test_syslog_in_frames(edge: Edge) -> None:
    """Frames with their length may have line ends in them."""
    text = LINE.replace("web-1", "web-2") + "\nand its second line"
    send(edge.host, 5515, f"{len(text)} {text}".encode() * 2)

    events = arrived(edge.gateway, 2, of_host("web-2"))

    assert {event["body"] for event in events} == {"a line of RFC 5424\nand its second line"}


@pytest.mark.parametrize("options", [["--rfc5424"], ["--rfc3164"], ["--rfc5424", "--octet-count"]])
def test_logger(edge: Edge, options: list[str]) -> None:
    """util-linux's `logger` sends both, and frames, too."""
    if shutil.which("logger") is None:
        pytest.skip("needs logger: apt-get install bsdutils")
    port = "5515" if "--octet-count" in options else "5514"
    said = f"by logger {' '.join(options)}"
    command = [
        "logger",
        "--tcp",
        "--server",
        edge.host,
        "--port",
        port,
        "--tag",
        "backup",
        "--priority",
        "user.warning",
    ]
    subprocess.run([*command, *options, "--", said], check=True, timeout=30)

    [event] = arrived(edge.gateway, 1, lambda event: event["body"] == said)

    assert (event["resource"]["service.name"], event["severity_text"]) == ("backup", "warning")


def test_rsyslog(edge: Edge, tmp_path: Path) -> None:
    """The real rsyslog, with the lines of docs/sources/recipes.md, passes on what it gets."""
    with rsyslog(tmp_path, BLOCKS["recipes: rsyslog"].replace("127.0.0.1", edge.host)) as port:
        send("127.0.0.1", port, b"<11>Nov 28 09:15:02 web-4 backup[4711]: by rsyslog\n")

        [event] = arrived(edge.gateway, 1, of_host("web-4"))

    assert event["resource"]["service.name"] == "backup"
    assert (event["body"], event["severity_text"], event["attributes"]["proc_id"]) == ("by rsyslog", "err", "4711")


def test_forward_by_fluent_logger(edge: Edge) -> None:
    """Fluentd's own client for Python: the tag is the service unless the record names one, and its level counts."""
    client = sender.FluentSender("shop", host=edge.host, port=24224, nanosecond_precision=True)
    assert client.emit("cart", {"message": "by the tag", "user": {"id": 7}})
    assert client.emit("cart", {"log": "by the record", "service": "checkout", "level": "warn"})
    client.close()

    [tagged] = arrived(edge.gateway, 1, lambda event: event["body"] == "by the tag")
    [named] = arrived(edge.gateway, 1, lambda event: event["body"] == "by the record")

    assert tagged["resource"] == {"service.name": "shop.cart"}
    assert tagged["attributes"] == {"fluent.tag": "shop.cart", "user": {"id": 7}}
    assert named["resource"] == {"service.name": "checkout"}
    assert (named["severity_text"], named["attributes"]) == ("warn", {"fluent.tag": "shop.cart"})
    assert "severity_text" not in tagged


def test_forward_with_acknowledgement(edge: Edge) -> None:
    """A request with several records, compressed or not, is acknowledged by the name of its chunk."""
    records = msgpack.packb([1_764_321_302, {"log": "in a chunk"}])
    with socket.create_connection((edge.host, 24224), timeout=30) as connection:
        connection.sendall(msgpack.packb(["app", records * 3, {"chunk": "p8n9gmxTQVC8/nh2wlKKeQ==", "size": 3}]))
        answer = msgpack.unpackb(connection.recv(1000))

    assert answer == {"ack": "p8n9gmxTQVC8/nh2wlKKeQ=="}
    arrived(edge.gateway, 3, lambda event: event["body"] == "in a chunk")


def test_docker(edge: Edge) -> None:
    """Docker's files: stream, time, container, the name in its tag; the pieces of a long line are joined."""
    folder = edge.files / "containers" / ("4f" * 32)
    folder.mkdir(parents=True)
    at = {"time": "2026-11-28T09:15:02.123456789Z"}
    written = [
        {"log": "by docker\n", "stream": "stderr", "attrs": {"tag": "cart"}, **at},
        *({"log": piece, "stream": "stdout", **at} for piece in (LONG[:16384], LONG[16384:32768], LONG[32768:] + "\n")),
    ]
    (folder / f"{folder.name}-json.log").write_text("".join(json.dumps(line) + "\n" for line in written))

    short, long = arrived(edge.gateway, 2, lambda event: event.get("resource", {}).get("container.id") == folder.name)

    assert short == {
        "resource": {"container.id": folder.name, "service.name": "cart"},
        "timestamp": nanoseconds(2026, 11, 28, 9, 15, 2, 123_456) + 789,
        "observed_timestamp": short["observed_timestamp"],
        "body": "by docker",
        "attributes": {"log.iostream": "stderr"},
    }
    assert long["body"] == LONG


def test_pods(edge: Edge) -> None:
    """A node's pods: namespace, pod, container, stream; pieces are joined; the Collector's own lines are left out."""
    for container in ("cart", "logbrook-collector"):
        folder = edge.files / "pods" / f"shop_cart-7d4b9_1c7f-42-{container}" / container
        folder.mkdir(parents=True)
        at = "2026-11-28T09:15:02.123456789Z stdout"
        (folder / "3.log").write_text(f"{at} F by a pod\n{at} P {LONG[:16384]}\n{at} F {LONG[16384:]}\n{at} F \n")

    short, long, empty = arrived(
        edge.gateway, 3, lambda event: event.get("resource", {}).get("k8s.namespace.name") == "shop"
    )

    assert short["resource"] == {
        "service.name": "cart",
        "k8s.namespace.name": "shop",
        "k8s.pod.name": "cart-7d4b9",
        "k8s.pod.uid": "1c7f-42-cart",
        "k8s.container.name": "cart",
        "k8s.container.restart_count": "3",
    }
    assert (short["body"], short["attributes"]) == ("by a pod", {"log.iostream": "stdout"})
    assert short["timestamp"] == nanoseconds(2026, 11, 28, 9, 15, 2, 123_456) + 789
    assert long["body"] == LONG
    assert empty["body"] == ""


def test_journald(tmp_path: Path) -> None:
    """A journal's entries, with all their fields, read by the real journalctl."""
    remote = Path("/usr/lib/systemd/systemd-journal-remote")
    if not remote.exists() or shutil.which("journalctl") is None:
        pytest.skip("needs systemd-journal-remote: apt-get install systemd-journal-remote")
    fields = {
        "__REALTIME_TIMESTAMP": "1764321302123456",
        "__MONOTONIC_TIMESTAMP": "1",
        "_BOOT_ID": "0123456789abcdef0123456789abcdef",
        "_HOSTNAME": "web-3",
        "_SYSTEMD_UNIT": "nginx.service",
        "PRIORITY": "3",
        "MESSAGE": "by the journal",
    }
    exported = "".join(f"{name}={value}\n" for name, value in fields.items()) + "\n"
    (tmp_path / "journal").mkdir()
    into = f"--output={tmp_path}/journal/remote.journal"
    subprocess.run([remote, into, "-"], input=exported.encode(), check=True, capture_output=True, timeout=30)
    overrides = {"receivers": {"journald": {"directory": str(tmp_path / "journal")}}}

    with (
        Gateway().running() as gateway,
        running(tmp_path, gateway, CONFIGURATIONS / "journald.yaml", overrides=overrides) as process,
    ):
        ready(tmp_path, process)
        [event] = arrived(gateway, 1, lambda event: True)

    assert (event["body"], event["severity_text"]) == ("by the journal", "3")
    assert event["resource"] == {"service.name": "nginx.service", "host.name": "web-3"}
    assert event["timestamp"] == 1_764_321_302_123_456_000
    assert event["attributes"]["PRIORITY"] == "3"


def nanoseconds(*parts: int) -> int:
    """A time in UTC, down to microseconds, since 1970."""
    since = datetime(*parts, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)  # type: ignore[misc,arg-type]
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
